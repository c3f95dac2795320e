// Texts, taken apart.

import assert from "node:assert/strict";
import { test } from "node:test";

import { toJson, toRecords } from "../../portal/static/records.js";

const lines = (text) => toRecords(text).map(({ text: content, line }) => [line, content]);
const rows = (text) => toRecords(text).map(({ url }) => url?.replace("https://www.youtube.com/watch?v=", ""));

test("a quoted field goes on in the next line, and a quote that opens none does not", () => {
  assert.deepEqual(lines('a,"b\nc ""d""\ne",f\ng'), [[1, 'a,"b\nc ""d""\ne",f'], [4, "g"]]);
  assert.deepEqual(lines('5" wide\nb'), [[1, '5" wide'], [2, "b"]]);
  assert.deepEqual(lines('a;"b\nc\r\nd'), [[1, 'a;"b'], [2, "c"], [3, "d"]]);
});

const IDS = [
  ["Google Takeout's", "Video ID,Playlist Video Creation Timestamp\ndQw4w9WgXcQ,2024-05-01T10:00:00+00:00\nabcdefghijk,2024-05-01T10:00:00+00:00\n", ["", "dQw4w9WgXcQ", "abcdefghijk", undefined]],
  ["of before 2023", "Playlist ID,Title\nPL0123456789,Mine\n\nVideo ID,Time Added\ndQw4w9WgXcQ,2020-01-01 00:00:00 UTC", [undefined, undefined, undefined, "", "dQw4w9WgXcQ"]],
  ["in Russian", "Идентификатор видео,Время\ndQw4w9WgXcQ,2024-05-01T10:00:00+00:00", ["", "dQw4w9WgXcQ"]],
  ["in Finnish, whose heading is as long as an id", "Videotunnus\ndQw4w9WgXcQ\nab-defgh_jK", ["", "dQw4w9WgXcQ", "ab-defgh_jK"]],
  ["in another column, quoted", 'Title;Video ID\n"Ada; again";"dQw4w9WgXcQ"\nBob;ab-defgh_jK', ["", "dQw4w9WgXcQ", "ab-defgh_jK"]],
  ["of Windows", "Video ID\r\ndQw4w9WgXcQ\r\nab-defgh_jK\r\n", ["", "dQw4w9WgXcQ", "ab-defgh_jK", undefined]],
];

for (const [name, text, expected] of IDS) test(`finds the ids of a table ${name}`, () => assert.deepEqual(rows(text), expected));

const NO_IDS = [
  ["without a heading", "dQw4w9WgXcQ\nab-defgh_jK"],
  ["of words", "Hello\ninformation\ndescription"],
  ["of numbers", "Video ID\n12345678901\n12345678902"],
  ["where one is not an id", "Video ID,Time\ndQw4w9WgXcQ,1\nab-defgh_jKl,2"],
  ["of Instagram's codes", "shortcode,likes\nC2Gz6dessjX,4\nC2Gz6dessjY,5"],
  ["with links beside", "Video ID,Link\ndQw4w9WgXcQ,https://youtu.be/dQw4w9WgXcQ"],
];

for (const [name, text] of NO_IDS) test(`takes no ids from a table ${name}`, () => assert.deepEqual(rows(text).filter(Boolean), []));

test("JSON is its strings that may have a link, with their lines", () => {
  const json = toJson('[\n {"a": "https://a.example/\\u003d",\n  "no": "none", "b": [{"videoId": "dQw4w9WgXcQ"}]\n }\n]');
  assert.deepEqual(json.inner[0].inner[0].strings, [{ text: "https://a.example/=", line: 2 }]);
  assert.deepEqual(json.inner[0].inner[0].inner[0].inner[0].strings, [{ text: "https://www.youtube.com/watch?v=dQw4w9WgXcQ", line: 3 }]);
});

const JSON_PIECES = [
  ["after a variable's name", 'window.YTD.like.part0 = [ {"a": "x/1"} ];', ["x/1"]],
  ["cut off", '[{"a": "x/1"}, {"a": "x/2', ["x/1", "x/2"]],
  ["from its middle", '"a": "x/1"}, {"a": "x/2"}]', ["x/1", "x/2"]],
  ["line by line", '{"a": "x/1"}\n{"a": "x/2", "b": -1.5e3, "c": null}\n', ["x/1", "x/2"]],
  ["with links as names", '{"https://x/1": true}', ["https://x/1"]],
];
const strings = ({ strings: own, inner }) => [...own.map(({ text }) => text), ...inner.flatMap(strings)];

for (const [name, text, expected] of JSON_PIECES) test(`reads JSON ${name}`, () => assert.deepEqual(strings(toJson(text)), expected));

for (const text of ["", "text", "[label](https://x/1)", '["label"](https://x/1)', '{"a": "x/1"} and words', '"a", "b"', "[url]x/1[/url]", "[".repeat(100) + '"']) {
  test(`does not take for JSON: ${text.slice(0, 40)}`, () => assert.equal(toJson(text), null));
}
