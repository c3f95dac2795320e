// What people paste, and what is read out of it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { readLinks } from "../../portal/static/links.js";

const A = "https://www.tiktok.com/@ada/video/7000000000000000001";
const B = "https://youtu.be/dQw4w9WgXcQ";

const urls = (text) => readLinks(text).links.map((link) => link.url);
const problems = (text) => readLinks(text).problems.map(({ line, reason }) => [line, reason]);

const FOUND = [
  ["one link", A, [A]],
  ["a list", `${A}\n${B}\n`, [A, B]],
  ["a list with blanks and Windows line ends", `  ${A}\r\n\r\n${B}  \r\n`, [A, B]],
  ["a message", `Look at this: ${A}, and (${B}). Nice!`, [A, B]],
  ["no scheme", "youtu.be/dQw4w9WgXcQ and www.tiktok.com/@ada/video/7000000000000000001", [B, A]],
  ["a table", `title;link\n"Ada; again";${A}\n"Say ""hi""";${B}\n`, [A, B]],
  ["a table with commas", `url,likes\n${A},12\n${B},9\n`, [A, B]],
  ["markdown", `[Ada](${A}) and <${B}>`, [A, B]],
  ["a web page", `<a href="${A}">x</a><a href='${B}'>y</a>`, [A, B]],
  ["numbered", `1. ${A}\n2. ${B}`, [A, B]],
  ["as JSON", `{"url": "https:\\/\\/youtu.be\\/dQw4w9WgXcQ"}`, [B]],
  ["capitals", "HTTPS://YOUTU.BE/dQw4w9WgXcQ", [B]],
  ["an HTML ampersand", "https://www.youtube.com/watch?v=dQw4w9WgXcQ&amp;t=3", ["https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=3"]],
  ["two glued together", `${A}${B}`, [A, B]],
  ["nothing", "  \n# a comment\n", []],
];

for (const [name, text, expected] of FOUND) test(`finds links in ${name}`, () => assert.deepEqual(urls(text), expected));

test("takes repeated links once, however they are written", () => {
  const { links, duplicates } = readLinks(`${B}\n${B}#t=3\nHTTP://youtu.be/dQw4w9WgXcQ`);
  assert.equal(links.length, 1);
  assert.equal(duplicates, 2);
});

test("says which lines of a list are none, and why", () => {
  assert.deepEqual(problems(`${A}\nhttps://netflix.com/watch/1\n${B}\nvideo_17\n`), [[2, "unsupported"], [4, "no_link"]]);
  assert.deepEqual(problems(`https://youtu.be/${"x".repeat(3000)}`), [[1, "too_long"]]);
});

test("does not complain about words around links", () => {
  assert.deepEqual(problems(`Hello!\nHave you seen this one?\n${A}\nI liked it.\n`), []);
  assert.deepEqual(problems(`link\n${A}\n`), []);
});

test("never looks elsewhere than at the host", () => {
  assert.deepEqual(urls("http://127.0.0.1/?u=https://x.com/ada/status/1"), []);
  assert.deepEqual(urls("https://x.com@evil.example/ada/status/1"), []);
});

test("thousands of lines, and hostile ones, are read at once", () => {
  for (const text of [`${A}\n`.repeat(5000), "(".repeat(100_000), '"'.repeat(50_000), "a.".repeat(50_000), "https://".repeat(20_000)]) {
    readLinks(text); // the time limit of the run is what would notice
  }
});
