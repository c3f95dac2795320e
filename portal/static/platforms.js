// Written by `make platforms` from downloader/platforms.py: change that.
// Patterns match the whole of a host, a path or an id, ignoring case.

/** @typedef {"tiktok" | "instagram" | "twitter" | "youtube"} Platform */
/**
 * @typedef {object} LinkForm see `LinkForm` in downloader/platforms.py
 * @property {"post" | "short" | "wrapper" | "collection" | "other" | "mistyped"} kind
 * @property {string} path
 * @property {string | undefined} host
 * @property {string[] | undefined} query
 * @property {string | undefined} id
 * @property {string | undefined} link
 * @property {string | undefined} destination
 * @property {boolean | undefined} several
 */

export const MAX_DEPTH = 4;
export const MAX_URL_LENGTH = 2048;
export const MAX_ENTRIES = 10000;

/** @type {Record<Platform, {label: string, hosts: string[], postId: string, mirrors: string, linkForms: LinkForm[]}>} */
export const PLATFORMS = {
  tiktok: {
    label: "TikTok",
    hosts: ["www.tiktok.com", "tiktok.com", "m.tiktok.com", "vm.tiktok.com", "vt.tiktok.com", "lite.tiktok.com", "www.tiktokv.com"],
    postId: "[0-9]{1,20}",
    mirrors: "(?:[a-z0-9-]{1,20}\\.)?tiktokv\\.com|t\\.tiktok\\.com|(?:www\\.)?(?:vx|tn|d)(?:tiktok|ktok)\\.com",
    linkForms: [
      {"kind": "short", "path": "(?:/t)?/(?<id>(?!@|%40)[^/]+)(?:/[^?]*)?", "host": "v[mt]\\.tiktok\\.com", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://{host}/{id}/"},
      {"kind": "short", "path": "/t/(?<id>[^/]+)(?:/[^?]*)?", "host": "lite\\.tiktok\\.com", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://lite.tiktok.com/t/{id}/"},
      {"kind": "short", "path": "/(?<id>Z[^/]+)", "host": "lite\\.tiktok\\.com", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://lite.tiktok.com/{id}/"},
      {"kind": "short", "path": "/t/(?<id>[^/]+)(?:/[^?]*)?", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://www.tiktok.com/t/{id}/"},
      {"kind": "post", "path": "/(?:@|%40)(?:(?<user>[A-Za-z0-9_.-]+)|[^/]*)/(?:video|photo)(?:/(?<id>[^/]+)(?:/[^?]*)?)?", "link": "https://www.tiktok.com/@{user}/video/{id}"},
      {"kind": "post", "path": "(?:/h5)?(?:/i18n)?(?:/share)?/(?:video|photo|item)/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://www.tiktok.com/@{user}/video/{id}"},
      {"kind": "post", "path": "/(?:embed(?:/v[0-9])?|player/v[0-9]|v)/(?<id>[^/]+?)(?:\\.html?)?", "link": "https://www.tiktok.com/@{user}/video/{id}"},
      {"kind": "post", "path": "(?:/(?:foryou|following|friends|explore|trending))?", "query": ["item_id", "share_item_id"], "link": "https://www.tiktok.com/@{user}/video/{id}"},
      {"kind": "wrapper", "path": "/(?:login|signup)(?:/[^?]*)?", "query": ["redirect_url"], "destination": "login"},
      {"kind": "wrapper", "path": "/link(?:/[^?]*)?", "query": ["target"], "destination": "elsewhere"},
      {"kind": "wrapper", "path": "/oembed", "query": ["url"], "destination": "elsewhere"},
      {"kind": "other", "path": "/(?:@|%40)[^/]*/live(?:/[^?]*)?", "destination": "live"},
      {"kind": "other", "path": "(?:/share)?/live(?:/[^?]*)?", "destination": "live"},
      {"kind": "other", "path": "/(?:@|%40)[^/]*/story(?:/[^?]*)?", "destination": "story"},
      {"kind": "collection", "path": "/(?:@|%40)(?<user>[A-Za-z0-9_.-]+)/collection/(?<slug>(?:[A-Za-z0-9_.-]|%[0-9A-F]{2}){1,150})-(?<id>[0-9]+)", "id": "[0-9]{1,20}", "link": "https://www.tiktok.com/@{user}/collection/{slug}-{id}", "destination": "playlist"},
      {"kind": "collection", "path": "/(?:@|%40)[^/]*/(?:playlist|collection)(?:/[^?]*)?", "destination": "playlist"},
      {"kind": "collection", "path": "/(?:@|%40)(?<id>[^/]+)", "id": "[A-Za-z0-9_.-]{1,80}", "link": "https://www.tiktok.com/@{id}", "destination": "profile"},
      {"kind": "collection", "path": "/(?:@|%40)[^/]*(?:/[^?]*)?", "destination": "profile"},
      {"kind": "collection", "path": "(?:/h5)?/share/use?r(?:/[^?]*)?", "destination": "profile"},
      {"kind": "collection", "path": "(?:/share)?/music(?:/[^?]*)?", "destination": "sound"},
      {"kind": "collection", "path": "(?:/share)?/(?:tag|challenge)(?:/[^?]*)?", "destination": "hashtag"},
      {"kind": "collection", "path": "(?:/share)?/(?:sticker|effect)(?:/[^?]*)?", "destination": "effect"},
      {"kind": "collection", "path": "/(?:search|discover|channel)(?:/[^?]*)?", "destination": "search"},
      {"kind": "other", "path": "/place(?:/[^?]*)?", "destination": "place"},
      {"kind": "other", "path": "/(?:login|signup)(?:/[^?]*)?", "destination": "login"},
      {"kind": "other", "path": "/(?:about|explore|following|foryou|friends|legal|messages|setting|trending|upload)(?:/[^?]*)?", "destination": "page"},
      {"kind": "other", "path": "/(?:tiktok-?lite|download|app|business|coin|shop)(?:/[^?]*)?", "destination": "advertisement"},
    ],
  },
  instagram: {
    label: "Instagram",
    hosts: ["www.instagram.com", "instagram.com", "m.instagram.com", "www.instagr.am", "instagr.am"],
    postId: "[A-Za-z0-9_-]{1,80}",
    mirrors: "(?:(?:www|[a-z])\\.)?(?:kk|dd|vx|ee|ez)instagram\\.com",
    linkForms: [
      {"kind": "short", "path": "/share/(?<sort>[a-z]{1,10})/(?<id>[^/]+)(?:/[^?]*)?", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://www.instagram.com/share/{sort}/{id}/"},
      {"kind": "short", "path": "/share/(?<id>[^/]+)", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://www.instagram.com/share/{id}/"},
      {"kind": "post", "path": "/stories/highlights/(?<highlight>[0-9]{1,20})", "query": ["story_media_id"], "id": "[0-9]{1,20}", "link": "https://www.instagram.com/stories/highlights/{highlight}/?story_media_id={id}"},
      {"kind": "collection", "path": "/stories/highlights/(?<id>[0-9]+)", "id": "[0-9]{1,20}", "link": "https://www.instagram.com/stories/highlights/{id}/", "destination": "story"},
      {"kind": "other", "path": "/stories/highlights(?:/[^?]*)?", "destination": "story"},
      {"kind": "post", "path": "/stories/(?<user>[A-Za-z0-9_.]{1,30})/(?<id>[^/]+)(?:/[^?]*)?", "id": "[0-9]{1,20}", "link": "https://www.instagram.com/stories/{user}/{id}/"},
      {"kind": "collection", "path": "/stories/(?<id>[A-Za-z0-9_.]{1,30})", "id": "[A-Za-z0-9_.]{1,30}", "link": "https://www.instagram.com/stories/{id}/", "destination": "story"},
      {"kind": "other", "path": "/(?:stories|s)(?:/[^?]*)?", "destination": "story"},
      {"kind": "collection", "path": "/reels?/audio(?:/[^?]*)?", "destination": "sound"},
      {"kind": "wrapper", "path": "/(?:accounts|challenge|consent|auth_platform)(?:/[^?]*)?", "query": ["next"], "destination": "login"},
      {"kind": "wrapper", "path": "(?:/api/v1)?/oembed", "query": ["url"], "destination": "elsewhere"},
      {"kind": "wrapper", "path": "/(?:linkshim|l\\.php)", "query": ["u"], "destination": "elsewhere"},
      {"kind": "post", "path": "(?:/[^/]+)?/(?:p|tv|reels?)/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://www.instagram.com/p/{id}/"},
      {"kind": "mistyped", "path": "(?:/[^/]+)?/(?:p|tv|reel)"},
      {"kind": "other", "path": "/(?:accounts|challenge|consent|auth_platform)(?:/[^?]*)?", "destination": "login"},
      {"kind": "other", "path": "/[^/]+/live(?:/[^?]*)?", "destination": "live"},
      {"kind": "collection", "path": "/explore/tags(?:/[^?]*)?", "destination": "hashtag"},
      {"kind": "collection", "path": "/explore/search(?:/[^?]*)?", "destination": "search"},
      {"kind": "other", "path": "/explore/locations(?:/[^?]*)?", "destination": "place"},
      {"kind": "other", "path": "/ar(?:/[^?]*)?", "destination": "effect"},
      {"kind": "other", "path": "/(?:about|api|developer|direct|directory|download|emails|explore|legal|press|reels|web)(?:/[^?]*)?", "destination": "page"},
      {"kind": "other", "path": "/(?:privacy|settings|terms)(?:/[^?]*)?", "destination": "page"},
      {"kind": "collection", "path": "/[^/]+(?:/[^?]*)?", "destination": "profile"},
    ],
  },
  twitter: {
    label: "Twitter/X",
    hosts: ["x.com", "www.x.com", "m.x.com", "mobile.x.com", "twitter.com", "www.twitter.com", "m.twitter.com", "mobile.twitter.com"],
    postId: "[0-9]{1,20}",
    mirrors: "(?:(?:www|[a-z])\\.)?(?:(?:vx|fx|fixv)twitter|fixvx|fixupx|twittpr|xcancel|nitter(?:\\.[a-z0-9-]{1,30})?)\\.[a-z]{2,5}",
    linkForms: [
      {"kind": "post", "path": "(?:/i/web|/[^/]+)?/status(?:es)?/(?<id>[^/]+)/video/(?<part>[1-9][0-9]?)(?:/[^?]*)?", "link": "https://x.com/i/status/{id}/video/{part}"},
      {"kind": "post", "path": "(?:/i/web|/[^/]+)?/status(?:es)?/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://x.com/i/status/{id}"},
      {"kind": "mistyped", "path": "/[^/]+/status(?:es)?"},
      {"kind": "post", "path": "/i/(?:cards/tfw/v1|videos(?:/tweet)?)/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://x.com/i/status/{id}"},
      {"kind": "post", "path": "/i/(?<sort>broadcasts|events)/(?<id>[^/]+)(?:/[^?]*)?", "id": "[A-Za-z0-9_]{1,40}", "link": "https://x.com/i/{sort}/{id}"},
      {"kind": "post", "path": "/(?:intent|compose)(?:/[^?]*)?", "query": ["tweet_id", "in_reply_to"], "link": "https://x.com/i/status/{id}"},
      {"kind": "wrapper", "path": "/intent(?:/[^?]*)?|/share", "query": ["url"], "destination": "elsewhere"},
      {"kind": "wrapper", "path": "[^?]*", "query": ["redirect_after_login"]},
      {"kind": "wrapper", "path": "/i/redirect", "query": ["url"], "destination": "elsewhere"},
      {"kind": "wrapper", "path": "(?:/i)?/safety/unsafe_link_warning", "query": ["unsafe_link"], "destination": "elsewhere"},
      {"kind": "wrapper", "path": "/oembed", "query": ["url"], "destination": "elsewhere"},
      {"kind": "other", "path": "/i/spaces(?:/[^?]*)?", "destination": "space"},
      {"kind": "other", "path": "/[^/]+/article(?:/[^?]*)?", "destination": "article"},
      {"kind": "other", "path": "/(?:login|signup|account|i/flow)(?:/[^?]*)?", "destination": "login"},
      {"kind": "collection", "path": "/(?:i/)?[^/]+/lists(?:/[^?]*)?|/i/lists(?:/[^?]*)?", "destination": "list"},
      {"kind": "collection", "path": "/i/(?:moments|topics|bookmarks|trending|timeline)(?:/[^?]*)?|/[^/]+/moments(?:/[^?]*)?", "destination": "list"},
      {"kind": "collection", "path": "/i/communities(?:/[^?]*)?", "destination": "community"},
      {"kind": "collection", "path": "/hashtag(?:/[^?]*)?", "destination": "hashtag"},
      {"kind": "collection", "path": "/(?:i/)?search(?:/[^?]*)?", "destination": "search"},
      {"kind": "collection", "path": "/i/user(?:/[^?]*)?|/intent/(?:user|follow)", "destination": "profile"},
      {"kind": "other", "path": "/(?:download|i/premium_sign_up|i/ads)(?:/[^?]*)?", "destination": "advertisement"},
      {"kind": "other", "path": "/(?:i|intent|compose|share|home|explore|notifications|messages|settings)(?:/[^?]*)?", "destination": "page"},
      {"kind": "other", "path": "/(?:tos|privacy|about|jobs|oembed|safety|logout)(?:/[^?]*)?", "destination": "page"},
      {"kind": "collection", "path": "/[^/]+(?:/[^?]*)?", "destination": "profile"},
    ],
  },
  youtube: {
    label: "YouTube",
    hosts: ["www.youtube.com", "youtube.com", "m.youtube.com", "music.youtube.com", "www.youtu.be", "youtu.be", "www.youtube-nocookie.com", "youtube-nocookie.com"],
    postId: "[A-Za-z0-9_-]{11}",
    mirrors: "(?:www\\.)?youtubekids\\.com|(?:gaming|tv|[a-z]{2})\\.youtube\\.com|youtube\\.googleapis\\.com|yewtu\\.be|(?:www\\.)?(?:piped|invidious)(?:\\.[a-z0-9-]{1,30}){1,2}",
    linkForms: [
      {"kind": "post", "path": "(?:/(?:watch|movie)(?:_popup)?(?:\\.php)?|/shorts|/embed|/live|/v)?", "host": "music\\.youtube\\.com", "query": ["v", "vi"], "link": "https://music.youtube.com/watch?v={id}"},
      {"kind": "post", "path": "(?:/(?:watch|movie)(?:_popup)?(?:\\.php)?|/shorts|/embed|/live|/v)?", "query": ["v", "vi"], "link": "https://www.youtube.com/watch?v={id}"},
      {"kind": "post", "path": "/watch_videos", "query": ["video_ids"], "link": "https://www.youtube.com/watch?v={id}", "several": true},
      {"kind": "post", "path": "/(?:get_)?video_info", "query": ["video_id"], "link": "https://www.youtube.com/watch?v={id}"},
      {"kind": "collection", "path": "/embed(?:/videoseries)?|/playlist|/watch", "query": ["list"], "id": "[A-Za-z0-9_-]{2,80}", "link": "https://www.youtube.com/playlist?list={id}", "destination": "playlist"},
      {"kind": "collection", "path": "/browse/VL(?<id>[^/]+)", "id": "[A-Za-z0-9_-]{2,80}", "link": "https://www.youtube.com/playlist?list={id}", "destination": "playlist"},
      {"kind": "mistyped", "path": "/embed/videoseries|/playlist|/(?:watch|movie)(?:_popup|_videos)?(?:\\.php)?|/shorts|/embed|/live"},
      {"kind": "other", "path": "/embed/live_stream", "destination": "live"},
      {"kind": "post", "path": "/(?:v|vi|e|embed|shorts|live|watch|source)/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://www.youtube.com/watch?v={id}"},
      {"kind": "post", "path": "/(?<id>[^/]+)(?:/[^?]*)?", "host": "(?:www\\.)?youtu\\.be", "link": "https://www.youtube.com/watch?v={id}"},
      {"kind": "wrapper", "path": "/attribution_link", "query": ["u"], "destination": "elsewhere"},
      {"kind": "wrapper", "path": "/redirect", "query": ["q", "url"], "destination": "elsewhere"},
      {"kind": "wrapper", "path": "/oembed", "query": ["url"], "destination": "elsewhere"},
      {"kind": "wrapper", "path": "[^?]*", "query": ["next_url", "next", "continue"]},
      {"kind": "other", "path": "/clip(?:/[^?]*)?", "destination": "clip"},
      {"kind": "other", "path": "/(?:@|%40)[^/]+/live|/(?:c|channel|user)/[^/]+/live", "destination": "live"},
      {"kind": "collection", "path": "/(?:@|%40)(?<id>[^/]+(?:/(?:videos|shorts|streams|playlists|releases|podcasts))?)(?:/(?:featured|about))?", "id": "(?:[A-Za-z0-9_.-]|%[0-9A-F]{2}){1,150}(?:/(?:videos|shorts|streams|playlists|releases|podcasts))?", "link": "https://www.youtube.com/@{id}", "destination": "channel"},
      {"kind": "collection", "path": "/(?<id>(?:c|channel|user)/[^/]+(?:/(?:videos|shorts|streams|playlists|releases|podcasts))?)(?:/(?:featured|about))?", "id": "(?:c|channel|user)/(?:[A-Za-z0-9_.-]|%[0-9A-F]{2}){1,150}(?:/(?:videos|shorts|streams|playlists|releases|podcasts))?", "link": "https://www.youtube.com/{id}", "destination": "channel"},
      {"kind": "collection", "path": "/(?:@|%40)[^/]+(?:/[^?]*)?|/(?:c|channel|user)/[^/]+(?:/[^?]*)?", "destination": "channel"},
      {"kind": "collection", "path": "/(?:results|search)(?:/[^?]*)?", "destination": "search"},
      {"kind": "collection", "path": "/hashtag(?:/[^?]*)?", "destination": "hashtag"},
      {"kind": "collection", "path": "/(?:feed|show|browse|podcast)(?:/[^?]*)?", "destination": "playlist"},
      {"kind": "other", "path": "/(?:post|community)(?:/[^?]*)?", "destination": "article"},
      {"kind": "other", "path": "/(?:signin|login|verify_age|verify_controversy|consent)(?:/[^?]*)?", "destination": "login"},
      {"kind": "other", "path": "/(?:premium|ads|kids|app|tv)(?:/[^?]*)?", "destination": "advertisement"},
      {"kind": "other", "path": "/(?:about|account|attribution_link|creators|gaming|howyoutubeworks|intl|live_chat|logout)(?:/[^?]*)?", "destination": "page"},
      {"kind": "other", "path": "/(?:explore|library|oembed|redirect|source|supported_browsers|t|terms|trending|upload)(?:/[^?]*)?", "destination": "page"},
      {"kind": "other", "path": "/(?:v|e|vi|(?:get_)?video_info)(?:/[^?]*)?", "destination": "page"},
      {"kind": "collection", "path": "/(?<id>[^/]+)", "id": "(?:[A-Za-z0-9_.-]|%[0-9A-F]{2}){1,150}", "link": "https://www.youtube.com/{id}", "destination": "channel"},
      {"kind": "collection", "path": "/[^/]+|/feeds/videos\\.xml", "destination": "channel"},
    ],
  },
};
