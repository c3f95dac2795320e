// What a link means: `read_link` of downloader/post_links.py once more, with its tables. Change both;
// tests/data/post_links.json holds them to each other. Touches no document.

import { FORMS, HOSTS, IDS, MAX_DEPTH } from "./link_forms.js";

export { FORMS, HOSTS, IDS };

/** @typedef {import("./link_forms.js").Platform} Platform */
/** @typedef {import("./link_forms.js").LinkForm} LinkForm */
/**
 * @typedef {object} Reading
 * @property {"post" | "short" | "collection" | "other" | "mistyped" | "unknown"} kind `short` must be followed,
 *   `mistyped` has no id that the platform gives, `unknown` is no link to one of the platforms
 * @property {Platform | "unknown"} platform
 * @property {string | null} canonical of a post, and of a short link: what to fetch, in one spelling
 * @property {string | null} id of a post: what the platform calls it
 * @property {number | null} part which of the post's media is meant, from 1; null: all of them
 * @property {string[]} also ids of other posts that the link names
 * @property {string | null} thing of the rest: what it leads to ("profile", "playlist", "live" …); "unknown" where no form
 *   is like it
 */

const URL_PARTS = /^https?:\/\/([a-z0-9.-]+)(?::(?:80|443))?(\/[^?#]*)?(?:\?([^#]*))?(?:#[^]*)?$/i;
const ROUTE =
  /^(?:(?:\/(?:index|foryou|trending)?)?(?:\?[^#]*)?#!?(?=\/)|\/[a-z0-9_]{1,15}#!(?=\/[a-z0-9_]{1,15}\/status))/i;
const WATCH_ROUTE = /^\/watch#!?(?=v=)/i;
const ID_ENDS = /[?& ]|%3f|%26|%20/i;

/** @type {Map<string, RegExp>} */
const compiled = new Map();

/**
 * @param {string} url best one that `parseLink` handed on, which has what matters of a fragment in its path
 * @returns {Reading}
 */
export function readPost(url) {
  return read(url, MAX_DEPTH);
}

/**
 * Old pages of X, YouTube and TikTok had the address of the post behind a #: that becomes the path.
 * @param {string} rest what follows the host of a link
 * @returns {string} the same without its fragment
 */
export function foldFragment(rest) {
  return rest.replace(ROUTE, "").replace(WATCH_ROUTE, "/watch?").split("#", 1)[0];
}

/** @param {string} host */
export function platformOfHost(host) {
  const found = Object.entries(HOSTS).find(([, pattern]) => match(pattern, host));
  return /** @type {Platform | "unknown"} */ (found ? found[0] : "unknown");
}

/** @returns {Reading} */
function read(url, depth) {
  const [, writtenHost = "", writtenPath = "", writtenQuery = ""] = URL_PARTS.exec(url) ?? [];
  const host = writtenHost.toLowerCase();
  const platform = platformOfHost(host);
  if (platform === "unknown") return reading("unknown", platform);
  const path = writtenPath.replace(/\/+/g, "/").replace(/\/$/, "");
  const query = parameters(writtenQuery);
  for (const form of FORMS[platform]) {
    if (form.host && !match(form.host, host)) continue;
    const found = match(form.path, path);
    const name = form.query?.find((each) => query.has(each));
    if (!found || (name === undefined && form.query)) continue;
    const value = name === undefined ? null : query.get(name);
    const known = asForm(form, platform, { ...found.groups, host }, value, depth);
    if (known) return known;
  }
  return reading("other", platform, { thing: path === "" ? "page" : "unknown" });
}

/** @returns {Reading | null} null: a wrapper, what is inside is no use, and other forms may know */
function asForm(form, platform, groups, value, depth) {
  if (form.kind === "wrapper") {
    const inner = depth > 0 ? read(absolute(value, groups.host), depth - 1) : null;
    if (inner && inner.kind !== "unknown" && inner.thing !== "page" && inner.thing !== "unknown") return inner;
    return form.thing ? reading("other", platform, { thing: form.thing }) : null;
  }
  if (form.kind !== "post" && form.kind !== "short") return reading(form.kind, platform, { thing: form.thing ?? null });
  const text = (form.query ? value : groups.id) ?? "";
  const ids = (form.several ? text.split(",") : [text]).map((id) => id.split(ID_ENDS)[0]);
  if (!ids.every((id) => match(form.id ?? IDS[platform], id))) return reading("mistyped", platform);
  const values = { ...groups, id: ids[0] };
  return reading(form.kind, platform, {
    canonical: form.link.replace(/\{([a-z]+)\}/g, (_, name) => values[name] || "_"),
    id: form.kind === "post" ? ids[0] : null,
    part: groups.part ? Number(groups.part) : null,
    also: [...new Set(ids)].slice(1),
  });
}

/** @returns {Reading} */
function reading(kind, platform, more = {}) {
  return { kind, platform, canonical: null, id: null, part: null, also: [], thing: null, ...more };
}

/** *link*, found in one to *host*, with all that a link has. */
function absolute(link, host) {
  if (/^https?:\/\//i.test(link)) return link;
  if (link.startsWith("//")) return `https:${link}`;
  return link.startsWith("/") ? `https://${host}${link}` : `https://${link}`;
}

/** The first value of each parameter that has one; `&` may be written as in HTML, or as a semicolon. */
function parameters(query) {
  const found = new Map();
  for (const [name, value] of new URLSearchParams(query.replace(/&amp;|;/g, "&"))) {
    if (value !== "" && !found.has(name)) found.set(name, value);
  }
  return found;
}

function match(pattern, text) {
  let whole = compiled.get(pattern);
  if (whole === undefined) {
    whole = new RegExp(`^(?:${pattern})$`, "i");
    compiled.set(pattern, whole);
  }
  return whole.exec(text);
}
