// What links mean, by the table of cases that the server is held to as well.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { readLink } from "../../portal/static/post_links.js";

const CASES = JSON.parse(readFileSync(new URL("../data/post_links.json", import.meta.url), "utf8"));
const UNSAID = { canonical_url: null, post_id: null, part: null, more_ids: [], collection_id: null, destination: null };

for (const { url, ...told } of CASES) {
  test(`reads ${url}`, () => assert.deepEqual(readLink(url), { ...UNSAID, ...told }));
}
