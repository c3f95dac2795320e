// What people paste, and what is read out of it.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";

import { readLinks } from "../../portal/static/links.js";

const A = "https://www.tiktok.com/@ada/video/7000000000000000001";
const B = "https://youtu.be/dQw4w9WgXcQ";
const REEL = "https://www.instagram.com/reel/C2Gz6dessjX";
const TWEET = "https://x.com/ada/status/1746000000000000000";
const WATCH = "https://www.youtube.com/watch?v=dQw4w9WgXcQ";

const urls = (text) => readLinks(text).links.map((link) => link.url);
const problems = (text) => readLinks(text).problems.map(({ line, reason }) => [line, reason]);
const asides = (text) => readLinks(text).asides.map(({ line, destination }) => [line, destination]);

/** @param {[name: string, text: string, expected: string[]][]} cases where nothing may be left over */
function finds(cases) {
  for (const [name, text, expected] of cases) {
    test(`finds links: ${name}`, () => {
      const { links, problems: bad, asides: others } = readLinks(text);
      assert.deepEqual([links.map((link) => link.url), bad, others], [expected, [], []]);
    });
  }
}

finds([
  ["one link", A, [A]],
  ["a list", `${A}\n${B}\n`, [A, B]],
  ["a list with blanks and Windows line ends", `  ${A}\r\n\r\n${B}  \r\n`, [A, B]],
  ["a message", `Look at this: ${A}, and (${B}). Nice!`, [A, B]],
  ["no scheme", "youtu.be/dQw4w9WgXcQ and www.tiktok.com/@ada/video/7000000000000000001", [B, A]],
  ["a table", `title;link\n"Ada; again";${A}\n"Say ""hi""";${B}\n`, [A, B]],
  ["a table with commas", `url,likes\n${A},12\n${B},9\n`, [A, B]],
  ["a table with the uploader", `url,by\n${A},https://www.tiktok.com/@ada\n${B},https://www.youtube.com/@ada\n`, [A, B]],
  ["markdown", `[Ada](${A}) and <${B}>`, [A, B]],
  ["a web page", `<a href="${A}">x</a><a href='${B}'>y</a>`, [A, B]],
  ["numbered", `1. ${A}\n2. ${B}`, [A, B]],
  ["capitals", "HTTPS://YOUTU.BE/dQw4w9WgXcQ", [B]],
  ["two glued together", `${A}${B}${A}/${B}`, [A, B]],
  ["nothing", "  \n# a comment\n", []],
  ["no look at other parts than the host", "a@youtube.com/watch?v=dQw4w9WgXcQ my-youtu.be/x netflix.com/x ax.com/a/status/1", []],
]);

test("a link that must be followed to know where it leads says so", () => {
  const { links } = readLinks(`https://vm.tiktok.com/ZMabc123\n${A}`);
  assert.deepEqual(links.map(({ isShort }) => isShort), [true, undefined]);
});

// What is glued to a link

for (const tail of ["🔥🔥 must see", "❤️", "👨‍👩‍👧", "🇩🇪", "1️⃣", "👍🏽", "–worth it", "—", "؟", "، شاهد", "।", "。", "！", "…", "’", "»", "すごい", "입니다", "/すごい", "?すごい",
  "*", "**", "~~", "||", "`", "\"", "'", ")", "]", "]]", "}", ">", "!", "?", ".", ",", ";", ":", "...", ").", "\u200d", "\ufe0f", "\u200b", "\u00a0", "\ue000", "[/url]", "</a>", "\\", "\\nnext", "|text>", "%F0%9F%94%A5", "&nbsp;", "&hellip;"]) {
  for (const link of [A, B, REEL, TWEET, WATCH, "https://vm.tiktok.com/ZMabc123"]) {
    test(`cuts ${JSON.stringify(tail)} off ${link}`, () => {
      assert.deepEqual(urls(`${link}${tail}`).map((url) => url.replace(/[/?]$/, "")), [link]);
      assert.deepEqual(problems(`${link}${tail}`), []);
    });
  }
}

for (const head of ["🔥", "❤️", "1️⃣", "これ見て", "смотри", "שלום", "ดูนี่", "*", "**", "~", "||", "`", "_", "__", "(", "[", "<", "«", "“", "'", "see:", "url=", "-", "•", ">", "...", "1."]) {
  test(`cuts ${JSON.stringify(head)} off before a link`, () => {
    for (const link of [REEL, B]) {
      assert.deepEqual(urls(`${head}${link}`), [link]);
      assert.deepEqual(urls(`${head}${link.replace("https://", "")}`), [link]);
    }
  });
}

finds([
  ["Chinese around", "これ見てhttps://vm.tiktok.com/ZMabc123/すごいhttps://youtu.be/dQw4w9WgXcQ見て", ["https://vm.tiktok.com/ZMabc123/", B]],
  ["names in any script", "https://www.tiktok.com/@ädä.имя/video/7000000000000000001すごい", ["https://www.tiktok.com/@ädä.имя/video/7000000000000000001"]],
  ["in italics", `_${REEL}_`, [REEL]],
  ["in bold italics", `**_${REEL}_**, __${B}__`, [REEL, B]],
  ["in a phrase in italics", `_look at ${REEL}_ and`, [REEL]],
  ["an id that ends with the mark", "https://www.instagram.com/reel/C2Gz6dess__", ["https://www.instagram.com/reel/C2Gz6dess__"]],
  ["an id that ends with the mark, in italics", "_https://www.instagram.com/reel/C2Gz6dess__", ["https://www.instagram.com/reel/C2Gz6dess_"]],
  ["ids that end with a dash", "https://youtu.be/ab_defghij- https://www.instagram.com/p/C2Gz6dessj-", ["https://youtu.be/ab_defghij-", "https://www.instagram.com/p/C2Gz6dessj-"]],
  ["behind a name with the mark", "@_ada and _bob_: https://www.instagram.com/reel/C2Gz6dess_", ["https://www.instagram.com/reel/C2Gz6dess_"]],
  ["an id of 11 signs before the mark", `${B}_ ${REEL}_ ${B}--look ${REEL}-look`, [B, "https://www.instagram.com/p/C2Gz6dessjX/"]],
  ["an id of 11 signs with the mark", "_https://youtu.be/abcdefghij_", ["https://youtu.be/abcdefghij_"]],
  ["a number before a word", `${TWEET}Look ${A}Look`, [TWEET, A]],
  ["the next sentence", `${B}.Next ${WATCH}.Next`, [B]],
  ["Slack's", `<${B}|youtu.be/dQw4w9WgXcQ> <${TWEET}>`, [B, TWEET]],
  ["BBCode", `[url=${B}]x[/url] [url]${A}[/url]`, [B, A]],
  ["Org mode", `[[${B}][x]]`, [B]],
  ["code", `['${B}', '${A}']; f("${TWEET}")`, [B, A, TWEET]],
  ["TeX", String.raw`\url{https://youtu.be/ab\_defghij-}`, ["https://youtu.be/ab_defghij-"]],
  ["a cut label", `<a href="${TWEET}" class="x">x.com/ada/status/17…</a>`, [TWEET]],
]);

test("a link and its label are one", () => {
  for (const text of [`[${B}](${B})`, `<a href="${B}">${B}</a>`, `<a href="${B}" rel="x">youtu.be/dQw4w9WgXcQ</a>`, `<${B}|${B}>`]) {
    assert.equal(readLinks(text).duplicates, 0, text);
    assert.deepEqual(urls(text), [B]);
  }
});

// Escapes

const TAKEOUT = [
  {
    header: "YouTube",
    title: 'Watched "x"\nand y',
    titleUrl: WATCH,
    subtitles: [{ name: "Ada", url: "https://www.youtube.com/channel/UC0123456789012345678901" }],
    time: "2024-05-01T10:00:00.000Z",
  },
];
const asTakeoutDoes = (text) => text.replaceAll("=", "\\u003d").replaceAll("&", "\\u0026");

finds([
  ["as JSON", `{"url": "https:\\/\\/youtu.be\\/dQw4w9WgXcQ"}`, [B]],
  ["Google Takeout's history", asTakeoutDoes(JSON.stringify(TAKEOUT, null, 2)), [WATCH]],
  ["Google Takeout's history in one line", asTakeoutDoes(JSON.stringify(TAKEOUT)), [WATCH]],
  ["a piece of Google Takeout's history", asTakeoutDoes(JSON.stringify(TAKEOUT, null, 2)).split("\n").slice(2, -2).join("\n"), [WATCH]],
  ["Google Takeout's playlist", "Video ID,Playlist Video Creation Timestamp\ndQw4w9WgXcQ,2024-05-01T10:00:00+00:00\nabcdefghijk,2024-05-01T10:00:00+00:00\n", [WATCH, "https://www.youtube.com/watch?v=abcdefghijk"]],
  ["Google Takeout's playlist of before 2023", "Playlist ID,Channel ID,Title\nPL0123456789,UC0123456789,Mine\n\nVideo ID,Time Added\ndQw4w9WgXcQ,2020-01-01 00:00:00 UTC\n", [WATCH]],
  ["an HTML ampersand", "https://www.youtube.com/watch?v=dQw4w9WgXcQ&amp;t=3", [`${WATCH}&t=3`]],
  ["HTML references", "https://www.youtube.com/watch&#x3F;v&#61;dQw4w9WgXcQ https:&#47;&#47;youtu.be&#47;abcdefghijk", [WATCH, "https://youtu.be/abcdefghijk"]],
  ["old parameters", "https://www.youtube.com/watch?feature=share;v=dQw4w9WgXcQ; and", ["https://www.youtube.com/watch?v=dQw4w9WgXcQ"]],
  ["HTML references before the id", "https://www.youtube.com/watch?feature=share&#38;v=dQw4w9WgXcQ", ["https://www.youtube.com/watch?feature=share&v=dQw4w9WgXcQ"]],
  ["a web page as text", `&lt;a href=&quot;${B}&quot;&gt;${A}&lt;/a&gt;`, [B, A]],
  ["escaped again and again", "https://www.youtube.com/watch?v&amp;amp;#61;dQw4w9WgXcQ", [WATCH]],
  ["zsh", String.raw`yt-dlp https://www.youtube.com/watch\?v\=dQw4w9WgXcQ \ `, [WATCH]],
  ["Reddit", String.raw`https://youtu.be/ab\_defghij-`, ["https://youtu.be/ab_defghij-"]],
]);

// Broken beginnings

for (const lead of ["https://https://", "http://https://", "https://https//", "https://https:", "http:https://", "ttps://", "tps://", "htps://", "htttps://", "hhttps://", "httsp://", "htpps://",
  "hxxps://", "hxxp://", "h**ps://", "https:/", "https:///", "https//", "https:", "http;//", "https;", "https:;//", "https：//", "https：／／", "https: //", "https:// ", "https ://", "://", "//", ":/",
  "httpss://", "gttps://", "httpd://", "https:\\\\", "https\\://", "ttps:/", "Linkhttps://", "view-source:https://"]) {
  test(`mends ${lead}`, () => {
    assert.deepEqual(urls(`${lead}youtu.be/dQw4w9WgXcQ`), [B]);
    assert.deepEqual(urls(`look: ${lead}www.tiktok.com/@ada/video/7000000000000000001?x=1 bye`), [`${A}?x=1`]);
    assert.deepEqual(problems(`${lead}youtu.be/dQw4w9WgXcQ`), []);
  });
}

finds([
  ["percent-encoded", "https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3DdQw4w9WgXcQ", [WATCH]],
  ["percent-encoded twice", "https%253A%252F%252Fwww.youtube.com%252Fwatch%253Fv%253DdQw4w9WgXcQ", [WATCH]],
  ["percent-encoded, with more", "url=https%3a%2f%2fyoutu.be%2fdQw4w9WgXcQ%3Ft%3D3&title=x", [`${B}?t=3`]],
  ["percent-encoded, with words", "text=Look%20https%3A%2F%2Fyoutu.be%2FdQw4w9WgXcQ%20now", [B]],
  ["percent-encoded in part", "https%3A//youtu.be/dQw4w9WgXcQ youtu.be%2Fabcdefghijk https://www.youtube.com/watch%3Fv%3Dab_defghij-", [B, "https://youtu.be/abcdefghijk", "https://www.youtube.com/watch?v=ab_defghij-"]],
]);

test("lists what it cannot mend", () => {
  for (const [text, reason] of [
    ["ftp://youtube.com/watch?v=dQw4w9WgXcQ", "other"],
    ["javascript://youtube.com/%0aalert(1)", "other"],
    ["https://youtube.com:8080/watch?v=dQw4w9WgXcQ", "other"],
    ["https://ada@youtube.com/watch?v=dQw4w9WgXcQ", "other"],
    ["https://youtube.com\\@evil.example/watch?v=dQw4w9WgXcQ", "other"],
    ["https:/netflix.com/watch/1", "unsupported"],
    ["ttps://netflix.com/watch/1", "unsupported"],
    ["https%3A%2F%2Fnetflix.com%2Fwatch%2F1", "unsupported"],
    ["https://youtube.com.evil.example/watch?v=dQw4w9WgXcQ", "unsupported"],
    ["https://youtu.be/dQw4w", "mistyped"],
    ["https://x.com/ada/status/12ab", "mistyped"],
    [`https://youtu.be/${"x".repeat(3000)}`, "too_long"],
    ["watch?v=dQw4w9WgXcQ", "no_link"],
    ["https://", "other"],
  ]) {
    assert.deepEqual([urls(text), problems(text)], [[], [[1, reason]]], text);
  }
});

// What is no post

test("takes collections that are meant", () => {
  const list = "https://www.youtube.com/playlist?list=PL0123456789";
  const taken = (text) => readLinks(text).collections.map(({ url, destination }) => [url, destination]);
  for (const [text, url, destination] of [
    ["youtube.com/@ada/videos?x=1", "https://www.youtube.com/@ada/videos", "channel"],
    [`${list}&si=x`, list, "playlist"],
    ["https://www.tiktok.com/@ada", "https://www.tiktok.com/@ada", "profile"],
    ["https://www.instagram.com/stories/ada/", "https://www.instagram.com/stories/ada/", "story"],
    ["Look at https://www.tiktok.com/@ada !", "https://www.tiktok.com/@ada", "profile"],
    [`https://www.youtube.com/redirect?q=${encodeURIComponent(list)}`, list, "playlist"],
  ]) {
    assert.deepEqual([taken(text), urls(text), asides(text)], [[[url, destination]], [], []], text);
  }
  assert.deepEqual(taken(`${A}\n${list}\n${list}&si=x\n`), [[list, "playlist"]]);
  assert.equal(readLinks(`${list}\n${list}&si=x`).duplicates, 1);
  // Who posts a video is not meant, nor is a table's column of uploaders.
  assert.deepEqual(taken(`${A} by https://www.tiktok.com/@ada`), []);
  assert.deepEqual(taken(`url,by\n${A},https://www.tiktok.com/@ada\n`), []);
});

test("knows the list that a video is opened in", () => {
  const beside = (text) => readLinks(text).links.map((link) => link.beside ?? null);
  const list = "https://www.youtube.com/playlist?list=PL0123456789";
  assert.deepEqual(beside(`${WATCH}&list=PL0123456789\nhttps://youtu.be/aaaaaaaaaaa?list=PL0123456789`), [list, list]);
  assert.deepEqual(beside(`${A}?list=PL0123456789\n${WATCH}&list=%20`), [null, null]);
});

test("tells what is no post, and takes none of it", () => {
  for (const [text, destination] of [
    ["https://x.com/ada", "profile"],
    ["https://www.instagram.com/ada/", "profile"],
    ["https://www.tiktok.com/@имя", "profile"],
    ["https://www.tiktok.com/@ada/live", "live"],
    ["https://www.tiktok.com/tag/cats", "hashtag"],
    ["https://www.tiktok.com/tiktoklite", "advertisement"],
    ["https://www.youtube.com/redirect?q=https%3A%2F%2Fexample.org%2F", "elsewhere"],
    ["youtube.com", "page"],
    ["https://www.youtube.com/feed/you", "playlist"],
  ]) {
    assert.deepEqual([urls(text), problems(text), asides(text)], [[], [], [[1, destination]]], text);
  }
});

test("tells them once, and whether they stand alone", () => {
  const text = `My channel https://www.youtube.com/@ada and ${B}\nhttps://x.com/ada\nhttps://x.com/ada\n`;
  const told = readLinks(text).asides.map(({ destination, line, isAlone }) => [destination, line, isAlone]);
  assert.deepEqual(told, [["channel", 1, false], ["profile", 2, true]]);
});

test("what TikTok Lite shares is one video", () => {
  const text = "https://vm.tiktok.com/ZMabc123/ This post is shared via TikTok Lite. Download TikTok Lite to enjoy more posts: https://www.tiktok.com/tiktoklite";
  assert.deepEqual(urls(text), ["https://vm.tiktok.com/ZMabc123/"]);
  assert.deepEqual(asides(text), [[1, "advertisement"]]);
});

test("takes forms that it does not know, and says so", () => {
  for (const url of ["https://www.youtube.com/new/dQw4w9WgXcQ", "https://x.com/ada/new/1746000000000000000"]) {
    assert.deepEqual([urls(url), asides(url)], [[url], [[1, "unknown"]]]);
    assert.deepEqual(asides(`url,by\n${url},https://x.com/ada\n`), [[2, "unknown"]]);
    assert.deepEqual(asides(`{"url": "${url}", "by": "https://x.com/ada"}`), [[1, "unknown"]]);
  }
});

test("takes no page that is known to have no post", () => {
  for (const url of ["https://www.instagram.com/direct/t/17842345678901234/", "https://x.com/messages/123456789-987654321", "https://x.com/i/grok/share/AbC123def456",
    "https://www.tiktok.com/legal/page/12345678", "https://www.tiktok.com/new", "https://www.youtube.com/live_chat?v=dQw4w9WgXcQ", "https://www.youtube.com/"]) {
    assert.deepEqual([urls(url), asides(url)], [[], [[1, "page"]]]);
  }
});

// Links in links

finds([
  ["Google's search", "https://www.google.com/url?q=https%3A%2F%2Fyoutu.be%2FdQw4w9WgXcQ&sa=D", [B]],
  ["Google's search, not encoded", `https://www.google.de/url?sa=t&url=${TWEET}&usg=x`, [TWEET]],
  ["Google's search, without a scheme", "www.google.com/url?q=https%3A%2F%2Fyoutu.be%2FdQw4w9WgXcQ", [B]],
  ["a log-in", `https://accounts.google.com/ServiceLogin?continue=${encodeURIComponent("https://www.youtube.com/signin?next=%2Fshorts%2FdQw4w9WgXcQ")}`, [WATCH]],
  ["consent", `https://consent.youtube.com/m?continue=${encodeURIComponent(WATCH)}&gl=DE`, [WATCH]],
  ["Instagram's way out", `https://l.instagram.com/?u=${encodeURIComponent(REEL)}&e=AT`, [REEL]],
  ["Facebook's way out, to Google's", `https://l.facebook.com/l.php?u=${encodeURIComponent(`https://www.google.com/url?q=${encodeURIComponent(B)}`)}`, [B]],
  ["a link alone behind a ?", `https://href.li/?${B}`, [B]],
  ["YouTube's way out", `https://www.youtube.com/redirect?event=x&q=${encodeURIComponent(B)}`, [WATCH]],
  ["YouTube's way out to X", `https://www.youtube.com/redirect?q=${encodeURIComponent(TWEET)}`, ["https://x.com/i/status/1746000000000000000"]],
  ["an attribution", "https://www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3DdQw4w9WgXcQ%26feature%3Dshare", [WATCH]],
  ["several at once", "http://www.youtube.com/watch_videos?video_ids=dQw4w9WgXcQ,abcdefghijk and", [WATCH, "https://www.youtube.com/watch?v=abcdefghijk"]],
  ["several at once in a table", "link,by\nhttp://www.youtube.com/watch_videos?video_ids=dQw4w9WgXcQ,abcdefghijk,Ada\n", [WATCH, "https://www.youtube.com/watch?v=abcdefghijk"]],
  ["an old address of Twitter", "https://twitter.com/#!/ada/status/20", ["https://twitter.com/ada/status/20"]],
  ["a log-in of Instagram", "https://www.instagram.com/accounts/login/?next=/reel/C2Gz6dessjX/", ["https://www.instagram.com/p/C2Gz6dessjX/"]],
  ["YouTube Kids", "https://www.youtubekids.com/watch?v=dQw4w9WgXcQ", [WATCH]],
  ["mirrors", "https://vxtwitter.com/ada/status/20 https://nitter.net/ada/status/21 https://www.kkinstagram.com/reel/C2Gz6dessjX/ https://yewtu.be/watch?v=dQw4w9WgXcQ", ["https://x.com/ada/status/20", "https://x.com/ada/status/21", `${REEL}/`, WATCH]],
  ["mirrors in one form or another", "https://d.fxtwitter.com/ada/status/20 https://g.fixupx.com/ada/status/21 https://g.ddinstagram.com/reel/C2Gz6dessjX/", ["https://x.com/ada/status/20", "https://x.com/ada/status/21", `${REEL}/`]],
  ["other hosts of TikTok", "https://t.tiktok.com/i18n/share/video/7000000000000000001 https://tiktokv.com/share/video/7000000000000000002/", ["https://www.tiktok.com/i18n/share/video/7000000000000000001", "https://www.tiktok.com/share/video/7000000000000000002/"]],
]);

test("never looks elsewhere than at the host", () => {
  assert.deepEqual(urls("http://127.0.0.1/?u=https://x.com/ada/status/1"), []);
  assert.deepEqual(urls("https://x.com@evil.example/ada/status/1"), []);
  assert.deepEqual(urls("https://evil.example\\@x.com/ada/status/1"), []);
  assert.deepEqual(urls("https://www.google.com/url?q=https%3A%2F%2Fevil.example%2Fwatch%3Fv%3DdQw4w9WgXcQ"), []);
});

// Lists

test("takes repeated posts once, however they are written", () => {
  const { links, duplicates } = readLinks(`${B}\n${B}#t=3\nHTTP://youtu.be/dQw4w9WgXcQ\n${WATCH}&list=PL1\n//youtube.com/shorts/dQw4w9WgXcQ?si=x`);
  assert.deepEqual([links.map((link) => link.url), duplicates], [[B], 4]);
});

test("says which lines of a list are none, and why", () => {
  assert.deepEqual(problems(`${A}\nhttps://netflix.com/watch/1\n${B}\nvideo_17\n`), [[2, "unsupported"], [4, "no_link"]]);
});

test("does not complain about words around links", () => {
  assert.deepEqual(problems(`Hello!\nHave you seen this one?\n${A}\nI liked it.\n`), []);
  assert.deepEqual(problems(`link\n${A}\n`), []);
});

finds([
  ["M3U", `#EXTM3U\n#EXTINF:123,Ada 1\n${A}\n#EXTVLCOPT:x=1\n#PLAYLIST:x\n${B}\n`, [A, B]],
  ["PLS", `[playlist]\nFile1=${A}\nTitle1=Ada 1\nLength1=-1\nNumberOfEntries=1\nVersion=2\n`, [A]],
  ["XSPF", `<playlist version="1" xmlns="http://xspf.org/ns/0/">\n<track>\n<location>${A}</location>\n</track>\n</playlist>`, [A]],
  ["a shortcut of Windows", `[InternetShortcut]\nURL=${A}\nIconIndex=0\n`, [A]],
  ["with tags", `${A}\n#funny #cats_1\n${B}\n`, [A, B]],
  ["with comments of yt-dlp", `# ${REEL}\n; old_1\n${A}\n${B}\n`, [A, B]],
]);

const TWITTERS = [
  { like: { tweetId: "20", fullText: "look https://t.co/abc", expandedUrl: "https://twitter.com/i/web/status/20" } },
  { like: { tweetId: "21", fullText: "none https://t.co/def" } },
];

finds([
  ["Twitter's export", `window.YTD.like.part0 = ${JSON.stringify(TWITTERS, null, 2)}`, ["https://twitter.com/i/web/status/20"]],
  ["a tweet with its text", `look https://t.co/abc pic.twitter.com/def\n${TWEET}`, [TWEET]],
]);

test("a t.co link that stands for itself is told", () => {
  assert.deepEqual(problems(`https://t.co/abc\n${TWEET}`), [[1, "unsupported"]]);
  assert.deepEqual(problems("look https://t.co/abc"), [[1, "unsupported"]]);
});

test("objects without a post tell what they have", () => {
  const objects = [{ url: B, by: "https://youtube.com/@ada" }, { url: "https://x.com/ada" }, { url: "https://netflix.com/1" }];
  const text = JSON.stringify(objects, null, 1);
  assert.deepEqual([urls(text), asides(text), problems(text)], [[B], [[7, "profile"]], [[10, "unsupported"]]]);
});

// Time: what takes ten times as long for ten times the text is read at once. The processor's time is compared, for other
// programs run on the machine as well, and the best of some rounds; a pass that grows with the square takes 100 times as long.

function milliseconds(act) {
  const begin = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1000;
}

function assertGrowsWithItsLength(textOf, few, many) {
  const ratios = [];
  while (ratios.length < 5 && Math.min(...ratios) >= 6 * many / few) { // once is enough
    const [short, long] = [few, many].map((length) => {
      const texts = [].concat(textOf(length, ratios.length));
      return milliseconds(() => texts.forEach(readLinks));
    });
    ratios.push(long / Math.max(short, 1)); // below a millisecond it is the clock's
  }
  assert.ok(Math.min(...ratios) < 6 * many / few, `${ratios} times as long`);
}

const LINES = {
  "links": (number) => `https://www.youtube.com/watch?v=S${number}`,
  "links with words": (number) => `Look 🔥https://x.com/ada/status/10${number}_ すごい`,
  "a history": (number) => `{"title": "x", "titleUrl": "https://www.youtube.com/watch?v\\u003dS${number}"},`,
  "a book": (number) => `This is line ${number} of a book & it has \\_escapes\\_, and such.`,
};

for (const [name, line] of Object.entries(LINES)) {
  test(`many lines of ${name} are read as fast as few`, () => {
    const textOf = (length, round) => Array.from({ length }, (_, index) => line((round + 1) * 1_000_000_000 + index)).join("\n");
    assertGrowsWithItsLength(textOf, 1_000, 10_000);
  });
}

const HOSTILE = [
  "(", '"', "a.", "a", "_", "_ ", "日本", "\\", "&", "#", "[", "1. ", "- ", "://", "a://", "h", "http", "http:", "http/", "https://", "https%3A", "%25", "x.com/", " x.com/a", "ax.com/", "ttp:/", ":\u200b", "\u200b",
  '["', '{"a":', '{"a":"\\"', '"\\"', ',"\n"a"', '"a": ', "\\u003d", "&amp;", "amp;", "https:\\\\a", "aaaaaaaaaaa,", "aaaaaaaaaaa\n", "https://youtu.be/a%", "https://www.google.com/url?q=", "q=//a.bc/&",
  "_a https://x.com/b_ ", '<a href="', '<a href="https://youtu.be/A">', "https://youtu.be/A|", "://youtube.com/@", "https://youtu.be/=", ".",
];

for (const piece of HOSTILE) {
  test(`is not slowed down by ${JSON.stringify(piece)}`, () => {
    const textsOf = (length) => {
      const long = piece.repeat(length / piece.length);
      return [long, `https://${long}`, `https://www.youtube.com/@${long}`, `"${long}"`];
    };
    assertGrowsWithItsLength(textsOf, 10_000, 100_000);
  });
}

for (const [name, text] of [["lines", "ada_1\n".repeat(200_000)], ["links in one line", "https://a.bc/d ".repeat(200_000)]]) {
  test(`tells of 200,000 ${name} that are none of ours`, () => assert.equal(readLinks(text).problems.length, 200_000));
}
