// Written by `make links` from downloader/post_links.py: change that.
// Patterns match the whole of a host, a path or an id, ignoring case.

/** @typedef {"tiktok" | "instagram" | "twitter" | "youtube"} Platform */
/**
 * @typedef {object} LinkForm see `LinkForm` in downloader/post_links.py
 * @property {"post" | "short" | "wrapper" | "collection" | "other" | "mistyped"} kind
 * @property {string} path
 * @property {string | undefined} host
 * @property {string[] | undefined} query
 * @property {string | undefined} id
 * @property {string | undefined} link
 * @property {string | undefined} thing
 * @property {boolean | undefined} several
 */

export const MAX_DEPTH = 4;

/** @type {Record<Platform, string>} */
export const HOSTS = {
  "tiktok": "(?:(?:www|m|vm|vt|lite)\\.)?tiktok\\.com|www\\.tiktokv\\.com",
  "instagram": "(?:(?:www|m)\\.)?instagram\\.com|(?:www\\.)?instagr\\.am",
  "twitter": "(?:(?:www|m|mobile)\\.)?(?:twitter|x)\\.com",
  "youtube": "(?:(?:www|m|music)\\.)?youtube\\.com|(?:www\\.)?youtube-nocookie\\.com|(?:www\\.)?youtu\\.be"
};

/** @type {Record<Platform, string>} */
export const IDS = {
  "tiktok": "[0-9]{1,20}",
  "instagram": "[A-Za-z0-9_-]{1,80}",
  "twitter": "[0-9]{1,20}",
  "youtube": "[A-Za-z0-9_-]{11}"
};

/** @type {Record<Platform, LinkForm[]>} */
export const FORMS = {
  tiktok: [
    {"kind": "short", "path": "(?:/t)?/(?<id>(?!@|%40)[^/]+)(?:/[^?]*)?", "host": "v[mt]\\.tiktok\\.com", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://{host}/{id}/"},
    {"kind": "short", "path": "/t/(?<id>[^/]+)(?:/[^?]*)?", "host": "lite\\.tiktok\\.com", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://lite.tiktok.com/t/{id}/"},
    {"kind": "short", "path": "/(?<id>Z[^/]+)", "host": "lite\\.tiktok\\.com", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://lite.tiktok.com/{id}/"},
    {"kind": "short", "path": "/t/(?<id>[^/]+)(?:/[^?]*)?", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://www.tiktok.com/t/{id}/"},
    {"kind": "post", "path": "/(?:@|%40)(?:(?<user>[A-Za-z0-9_.-]+)|[^/]*)/(?:video|photo)(?:/(?<id>[^/]+)(?:/[^?]*)?)?", "link": "https://www.tiktok.com/@{user}/video/{id}"},
    {"kind": "post", "path": "(?:/h5)?(?:/i18n)?(?:/share)?/(?:video|photo|item)/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://www.tiktok.com/@{user}/video/{id}"},
    {"kind": "post", "path": "/(?:embed(?:/v[0-9])?|player/v[0-9]|v)/(?<id>[^/]+?)(?:\\.html?)?", "link": "https://www.tiktok.com/@{user}/video/{id}"},
    {"kind": "post", "path": "(?:/(?:foryou|following|friends|explore|trending))?", "query": ["item_id", "share_item_id"], "link": "https://www.tiktok.com/@{user}/video/{id}"},
    {"kind": "wrapper", "path": "/(?:login|signup)(?:/[^?]*)?", "query": ["redirect_url"], "thing": "login"},
    {"kind": "wrapper", "path": "/link(?:/[^?]*)?", "query": ["target"], "thing": "elsewhere"},
    {"kind": "wrapper", "path": "/oembed", "query": ["url"], "thing": "elsewhere"},
    {"kind": "other", "path": "/(?:@|%40)[^/]*/live(?:/[^?]*)?", "thing": "live"},
    {"kind": "other", "path": "(?:/share)?/live(?:/[^?]*)?", "thing": "live"},
    {"kind": "other", "path": "/(?:@|%40)[^/]*/story(?:/[^?]*)?", "thing": "story"},
    {"kind": "collection", "path": "/(?:@|%40)[^/]*/(?:playlist|collection)(?:/[^?]*)?", "thing": "playlist"},
    {"kind": "collection", "path": "/(?:@|%40)[^/]*(?:/[^?]*)?", "thing": "profile"},
    {"kind": "collection", "path": "(?:/h5)?/share/use?r(?:/[^?]*)?", "thing": "profile"},
    {"kind": "collection", "path": "(?:/share)?/music(?:/[^?]*)?", "thing": "sound"},
    {"kind": "collection", "path": "(?:/share)?/(?:tag|challenge)(?:/[^?]*)?", "thing": "hashtag"},
    {"kind": "collection", "path": "(?:/share)?/(?:sticker|effect)(?:/[^?]*)?", "thing": "effect"},
    {"kind": "collection", "path": "/(?:search|discover|channel)(?:/[^?]*)?", "thing": "search"},
    {"kind": "other", "path": "/place(?:/[^?]*)?", "thing": "place"},
    {"kind": "other", "path": "/(?:login|signup)(?:/[^?]*)?", "thing": "login"},
    {"kind": "other", "path": "/(?:about|explore|following|foryou|friends|legal|messages|setting|trending|upload)(?:/[^?]*)?", "thing": "page"},
    {"kind": "other", "path": "/(?:tiktok-?lite|download|app|business|coin|shop)(?:/[^?]*)?", "thing": "advertisement"},
  ],
  instagram: [
    {"kind": "short", "path": "/share/(?<sort>[a-z]{1,10})/(?<id>[^/]+)(?:/[^?]*)?", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://www.instagram.com/share/{sort}/{id}/"},
    {"kind": "short", "path": "/share/(?<id>[^/]+)", "id": "[A-Za-z0-9_-]{1,80}", "link": "https://www.instagram.com/share/{id}/"},
    {"kind": "other", "path": "/(?:stories|s)(?:/[^?]*)?", "thing": "story"},
    {"kind": "collection", "path": "/reels?/audio(?:/[^?]*)?", "thing": "sound"},
    {"kind": "wrapper", "path": "/(?:accounts|challenge|consent|auth_platform)(?:/[^?]*)?", "query": ["next"], "thing": "login"},
    {"kind": "wrapper", "path": "(?:/api/v1)?/oembed", "query": ["url"], "thing": "elsewhere"},
    {"kind": "wrapper", "path": "/(?:linkshim|l\\.php)", "query": ["u"], "thing": "elsewhere"},
    {"kind": "post", "path": "(?:/[^/]+)?/(?:p|tv|reels?)/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://www.instagram.com/p/{id}/"},
    {"kind": "mistyped", "path": "(?:/[^/]+)?/(?:p|tv|reel)"},
    {"kind": "other", "path": "/(?:accounts|challenge|consent|auth_platform)(?:/[^?]*)?", "thing": "login"},
    {"kind": "other", "path": "/[^/]+/live(?:/[^?]*)?", "thing": "live"},
    {"kind": "collection", "path": "/explore/tags(?:/[^?]*)?", "thing": "hashtag"},
    {"kind": "collection", "path": "/explore/search(?:/[^?]*)?", "thing": "search"},
    {"kind": "other", "path": "/explore/locations(?:/[^?]*)?", "thing": "place"},
    {"kind": "other", "path": "/ar(?:/[^?]*)?", "thing": "effect"},
    {"kind": "other", "path": "/(?:about|api|developer|direct|directory|download|emails|explore|legal|press|reels|web)(?:/[^?]*)?", "thing": "page"},
    {"kind": "other", "path": "/(?:privacy|settings|terms)(?:/[^?]*)?", "thing": "page"},
    {"kind": "collection", "path": "/[^/]+(?:/[^?]*)?", "thing": "profile"},
  ],
  twitter: [
    {"kind": "post", "path": "(?:/i/web|/[^/]+)?/status(?:es)?/(?<id>[^/]+)/video/(?<part>[1-9][0-9]?)(?:/[^?]*)?", "link": "https://x.com/i/status/{id}/video/{part}"},
    {"kind": "post", "path": "(?:/i/web|/[^/]+)?/status(?:es)?/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://x.com/i/status/{id}"},
    {"kind": "mistyped", "path": "/[^/]+/status(?:es)?"},
    {"kind": "post", "path": "/i/(?:cards/tfw/v1|videos(?:/tweet)?)/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://x.com/i/status/{id}"},
    {"kind": "post", "path": "/i/(?<sort>broadcasts|events)/(?<id>[^/]+)(?:/[^?]*)?", "id": "[A-Za-z0-9_]{1,40}", "link": "https://x.com/i/{sort}/{id}"},
    {"kind": "post", "path": "/(?:intent|compose)(?:/[^?]*)?", "query": ["tweet_id", "in_reply_to"], "link": "https://x.com/i/status/{id}"},
    {"kind": "wrapper", "path": "/intent(?:/[^?]*)?|/share", "query": ["url"], "thing": "elsewhere"},
    {"kind": "wrapper", "path": "[^?]*", "query": ["redirect_after_login"]},
    {"kind": "wrapper", "path": "/i/redirect", "query": ["url"], "thing": "elsewhere"},
    {"kind": "wrapper", "path": "(?:/i)?/safety/unsafe_link_warning", "query": ["unsafe_link"], "thing": "elsewhere"},
    {"kind": "wrapper", "path": "/oembed", "query": ["url"], "thing": "elsewhere"},
    {"kind": "other", "path": "/i/spaces(?:/[^?]*)?", "thing": "space"},
    {"kind": "other", "path": "/[^/]+/article(?:/[^?]*)?", "thing": "article"},
    {"kind": "other", "path": "/(?:login|signup|account|i/flow)(?:/[^?]*)?", "thing": "login"},
    {"kind": "collection", "path": "/(?:i/)?[^/]+/lists(?:/[^?]*)?|/i/lists(?:/[^?]*)?", "thing": "list"},
    {"kind": "collection", "path": "/i/(?:moments|topics|bookmarks|trending|timeline)(?:/[^?]*)?|/[^/]+/moments(?:/[^?]*)?", "thing": "list"},
    {"kind": "collection", "path": "/i/communities(?:/[^?]*)?", "thing": "community"},
    {"kind": "collection", "path": "/hashtag(?:/[^?]*)?", "thing": "hashtag"},
    {"kind": "collection", "path": "/(?:i/)?search(?:/[^?]*)?", "thing": "search"},
    {"kind": "collection", "path": "/i/user(?:/[^?]*)?|/intent/(?:user|follow)", "thing": "profile"},
    {"kind": "other", "path": "/(?:download|i/premium_sign_up|i/ads)(?:/[^?]*)?", "thing": "advertisement"},
    {"kind": "other", "path": "/(?:i|intent|compose|share|home|explore|notifications|messages|settings)(?:/[^?]*)?", "thing": "page"},
    {"kind": "other", "path": "/(?:tos|privacy|about|jobs|oembed|safety|logout)(?:/[^?]*)?", "thing": "page"},
    {"kind": "collection", "path": "/[^/]+(?:/[^?]*)?", "thing": "profile"},
  ],
  youtube: [
    {"kind": "post", "path": "(?:/(?:watch|movie)(?:_popup)?(?:\\.php)?|/shorts|/embed|/live|/v)?", "host": "music\\.youtube\\.com", "query": ["v", "vi"], "link": "https://music.youtube.com/watch?v={id}"},
    {"kind": "post", "path": "(?:/(?:watch|movie)(?:_popup)?(?:\\.php)?|/shorts|/embed|/live|/v)?", "query": ["v", "vi"], "link": "https://www.youtube.com/watch?v={id}"},
    {"kind": "post", "path": "/watch_videos", "query": ["video_ids"], "link": "https://www.youtube.com/watch?v={id}", "several": true},
    {"kind": "post", "path": "/(?:get_)?video_info", "query": ["video_id"], "link": "https://www.youtube.com/watch?v={id}"},
    {"kind": "collection", "path": "/embed(?:/videoseries)?|/playlist|/watch", "query": ["list"], "thing": "playlist"},
    {"kind": "mistyped", "path": "/embed/videoseries|/playlist|/(?:watch|movie)(?:_popup|_videos)?(?:\\.php)?|/shorts|/embed|/live"},
    {"kind": "other", "path": "/embed/live_stream", "thing": "live"},
    {"kind": "post", "path": "/(?:v|vi|e|embed|shorts|live|watch|source)/(?<id>[^/]+)(?:/[^?]*)?", "link": "https://www.youtube.com/watch?v={id}"},
    {"kind": "post", "path": "/(?<id>[^/]+)(?:/[^?]*)?", "host": "(?:www\\.)?youtu\\.be", "link": "https://www.youtube.com/watch?v={id}"},
    {"kind": "wrapper", "path": "/attribution_link", "query": ["u"], "thing": "elsewhere"},
    {"kind": "wrapper", "path": "/redirect", "query": ["q", "url"], "thing": "elsewhere"},
    {"kind": "wrapper", "path": "/oembed", "query": ["url"], "thing": "elsewhere"},
    {"kind": "wrapper", "path": "[^?]*", "query": ["next_url", "next", "continue"]},
    {"kind": "other", "path": "/clip(?:/[^?]*)?", "thing": "clip"},
    {"kind": "other", "path": "/(?:@|%40)[^/]+/live|/(?:c|channel|user)/[^/]+/live", "thing": "live"},
    {"kind": "collection", "path": "/(?:@|%40)[^/]+(?:/[^?]*)?|/(?:c|channel|user)/[^/]+(?:/[^?]*)?", "thing": "channel"},
    {"kind": "collection", "path": "/(?:results|search)(?:/[^?]*)?", "thing": "search"},
    {"kind": "collection", "path": "/hashtag(?:/[^?]*)?", "thing": "hashtag"},
    {"kind": "collection", "path": "/(?:feed|show|browse|podcast)(?:/[^?]*)?", "thing": "playlist"},
    {"kind": "other", "path": "/(?:post|community)(?:/[^?]*)?", "thing": "article"},
    {"kind": "other", "path": "/(?:signin|login|verify_age|verify_controversy|consent)(?:/[^?]*)?", "thing": "login"},
    {"kind": "other", "path": "/(?:premium|ads|kids|app|tv)(?:/[^?]*)?", "thing": "advertisement"},
    {"kind": "other", "path": "/(?:about|account|attribution_link|creators|gaming|howyoutubeworks|intl|live_chat|logout)(?:/[^?]*)?", "thing": "page"},
    {"kind": "other", "path": "/(?:explore|library|oembed|redirect|source|supported_browsers|t|terms|trending|upload)(?:/[^?]*)?", "thing": "page"},
    {"kind": "other", "path": "/(?:v|e|vi|(?:get_)?video_info)(?:/[^?]*)?", "thing": "page"},
    {"kind": "collection", "path": "/[^/]+|/feeds/videos\\.xml", "thing": "channel"},
  ],
};
