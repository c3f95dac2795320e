// What programs do to a text on its way, undone.

import assert from "node:assert/strict";
import { test } from "node:test";

import { percentDecoded, unescaped } from "../../portal/static/unescape.js";

const W = "https://www.youtube.com/watch?v=dQw4w9WgXcQ";

const ESCAPED = [
  ["JSON", String.raw`https:\/\/www.youtube.com\/watch?v\u003ddQw4w9WgXcQ`, W],
  ["JSON in JSON", String.raw`https:\\/\\/www.youtube.com\\/watch?v\\u003ddQw4w9WgXcQ`, W],
  ["JSON in capitals", String.raw`https:\u002F\u002Fwww.youtube.com\U002Fwatch?v\u003DdQw4w9WgXcQ`, W],
  ["JavaScript", String.raw`https\x3a\x2f\x2fwww.youtube.com/watch\u{3f}v\x3ddQw4w9WgXcQ`, W],
  ["HTML by name", "https&colon;&sol;&sol;www&period;youtube.com/watch&quest;v&equals;dQw4w9WgXcQ", W],
  ["HTML by number", "https:&#47;&#47;www.youtube.com/watch&#63;v&#61;dQw4w9WgXcQ", W],
  ["HTML by hexadecimal number", "https:&#x2F;&#x2f;www.youtube.com/watch&#X3F;v&#x0003D;dQw4w9WgXcQ", W],
  ["HTML in HTML in HTML", "https:&amp;#47;&amp;amp;#47;www.youtube.com/watch?v=dQw4w9WgXcQ", W],
  ["HTML in JSON", String.raw`https://www.youtube.com/watch?v\u0026#61;dQw4w9WgXcQ`, W],
  ["zsh", String.raw`https://www.youtube.com/watch\?v\=dQw4w9WgXcQ`, W],
  ["Markdown", String.raw`https://youtu.be/ab\_de\-ghi\_k`, "https://youtu.be/ab_de-ghi_k"],
  ["a regular expression", String.raw`https:\/\/www\.youtube\.com\/watch\?v=dQw4w9WgXcQ`, W],
  ["Windows", String.raw`https:\\www.tiktok.com\@ada\video\7`, "https://www.tiktok.com/@ada/video/7"],
  ["a name", "@&auml;d&Auml;", "@ädÄ"],
  ["an emoji's halves", String.raw`\ud83d\udd25`, "🔥"],
  ["line ends", String.raw`a\nb\r\nc&#10;d&#x2028;e`, "a b  c d e"],
  ["what is not seen", "https://\u200bwww.you\u00adtube.com/\ufeffwatch?v=\u2060dQw4w9WgXcQ", W],
  ["a separator that is not seen", "https://youtu.be/dQw4w9WgXcQ\u200bnext", "https://youtu.be/dQw4w9WgXcQ\u200bnext"],
  ["no name of HTML", "&constructor; &__proto__; &nothing; &lt", "&constructor; &__proto__; &nothing; &lt"],
  ["no code point", "&#x110000;&#99999999;", "\ufffd\ufffd"],
  ["warnings", "hxxps[://]www[.]youtube[.]com/watch?v=dQw4w9WgXcQ", W.replace("tt", "xx")],
  ["none", "C:\\users & R&D", "C:\\users & R&D"],
];

for (const [name, text, plain] of ESCAPED) test(`undoes ${name}`, () => assert.equal(unescaped(text), plain));

test("decodes as often as it was encoded, and ASCII alone", () => {
  assert.equal(percentDecoded("https%253A%252F%252Fa%2Fb%3Fc"), "https://a/b?c");
  assert.equal(percentDecoded("%E3%81%99 %zz %0a%7F"), "%E3%81%99 %zz %0a\x7f");
});
