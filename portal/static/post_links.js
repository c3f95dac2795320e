// What a link leads to, by the rules of downloader/platform_detector.py: change both.
// tests/data/post_links.json tests both. Does not use the document.

import { MAX_DEPTH, PLATFORMS } from "./platforms.js";

/** @typedef {import("./platforms.js").Platform} Platform */
/** @typedef {import("./platforms.js").LinkForm} LinkForm */
/**
 * @typedef {object} LinkTarget what a link leads to
 * @property {"post" | "short" | "collection" | "other" | "mistyped" | "unknown"} kind `short` must be followed,
 *   `mistyped` has no valid post id, `unknown` is no platform's
 * @property {Platform | "unknown"} platform
 * @property {string | null} canonical_url for a post or a short link: what to fetch; for a collection: what to list, or null
 * @property {string | null} post_id
 * @property {number | null} part which of the post's media is meant, from 1; null: all of them
 * @property {string[]} more_ids of other posts that the link names
 * @property {string | null} collection_id of a collection that can be listed
 * @property {string | null} destination for the other kinds: "profile", "playlist", "live" …; "unknown" if no form matches
 */

const URL_PARTS = /^https?:\/\/([a-z0-9.-]+)(?::(?:80|443))?(\/[^?#]*)?(?:\?([^#]*))?(?:#[^]*)?$/i;
const ROUTE =
  /^(?:(?:\/(?:index|foryou|trending)?)?(?:\?[^#]*)?#!?(?=\/)|\/[a-z0-9_]{1,15}#!(?=\/[a-z0-9_]{1,15}\/status))/i;
const WATCH_ROUTE = /^\/watch#!?(?=v=)/i;
const ID_ENDS = /[?& ]|%3f|%26|%20/i;

/** @type {Map<string, RegExp>} */
const compiled = new Map();

/**
 * @param {string} url best one from `parseLink`
 * @returns {LinkTarget}
 */
export function readLink(url) {
  return read(url, MAX_DEPTH);
}

/**
 * Old pages of X, YouTube and TikTok had the post's address behind a #: it becomes the path.
 * @param {string} rest what follows the host of a link
 * @returns {string} the same without its fragment
 */
export function foldFragment(rest) {
  return rest.replace(ROUTE, "").replace(WATCH_ROUTE, "/watch?").split("#", 1)[0];
}

/** @param {string} host */
export function platformOfHost(host) {
  const name = host.toLowerCase();
  const found = Object.entries(PLATFORMS).find(([, { hosts }]) => hosts.includes(name));
  return /** @type {Platform | "unknown"} */ (found ? found[0] : "unknown");
}

/**
 * @param {string} url of a post
 * @returns {string | null} the collection that it names beside the post, as watch?v=…&list=… does
 */
export function collectionBeside(url) {
  const [, host = "", , query = ""] = URL_PARTS.exec(url) ?? [];
  const platform = platformOfHost(host);
  if (platform === "unknown") return null;
  const sent = parameters(query);
  for (const { kind, query: names, id, link } of PLATFORMS[platform].linkForms) {
    const name = kind === "collection" && link && names?.find((each) => sent.has(each));
    if (name && match(id, sent.get(name))) return link.replace("{id}", () => sent.get(name));
  }
  return null;
}

/** @returns {LinkTarget} */
function read(url, depth) {
  const [, writtenHost = "", writtenPath = "", writtenQuery = ""] = URL_PARTS.exec(url) ?? [];
  const host = writtenHost.toLowerCase();
  const platform = platformOfHost(host);
  if (platform === "unknown") return target("unknown", platform);
  const path = writtenPath.replace(/\/+/g, "/").replace(/\/$/, "");
  const query = parameters(writtenQuery);
  for (const form of PLATFORMS[platform].linkForms) {
    if (form.host && !match(form.host, host)) continue;
    const found = match(form.path, path);
    const name = form.query?.find((each) => query.has(each));
    if (!found || (name === undefined && form.query)) continue;
    const value = name === undefined ? null : query.get(name);
    const known = targetOf(form, platform, { ...found.groups, host }, value, depth);
    if (known) return known;
  }
  return target("other", platform, { destination: path === "" ? "page" : "unknown" });
}

/** @returns {LinkTarget | null} null: later forms decide, as for a wrapper whose inner link is useless */
function targetOf(form, platform, groups, value, depth) {
  if (form.kind === "wrapper") {
    const inner = depth > 0 ? read(absolute(value, groups.host), depth - 1) : null;
    if (inner && inner.kind !== "unknown" && inner.destination !== "page" && inner.destination !== "unknown") return inner;
    return form.destination ? target("other", platform, { destination: form.destination }) : null;
  }
  if (!form.link) return target(form.kind, platform, { destination: form.destination ?? null });
  const text = (form.query ? value : groups.id) ?? "";
  const ids = (form.several ? text.split(",") : [text]).map((id) => id.split(ID_ENDS)[0]);
  const isCollection = form.kind === "collection";
  if (!ids.every((id) => match(form.id ?? PLATFORMS[platform].postId, id))) return isCollection ? null : target("mistyped", platform);
  const values = { ...groups, id: ids[0] };
  const url = form.link.replace(/\{([a-z]+)\}/g, (_, name) => values[name] || "_");
  if (isCollection) {
    const id = url.replace(`https://${PLATFORMS[platform].hosts[0]}/`, "").replace(/\/$/, "");
    return target(form.kind, platform, { canonical_url: url, collection_id: id, destination: form.destination });
  }
  return target(form.kind, platform, {
    canonical_url: url,
    post_id: form.kind === "post" ? ids[0] : null,
    part: groups.part ? Number(groups.part) : null,
    more_ids: [...new Set(ids)].slice(1),
  });
}

/** @returns {LinkTarget} */
function target(kind, platform, more = {}) {
  return { kind, platform, canonical_url: null, post_id: null, part: null, more_ids: [], collection_id: null, destination: null, ...more };
}

/** *link*, found in a link to *host*, as an absolute URL. */
function absolute(link, host) {
  if (/^https?:\/\//i.test(link)) return link;
  if (link.startsWith("//")) return `https:${link}`;
  return link.startsWith("/") ? `https://${host}${link}` : `https://${link}`;
}

/** The first non-empty value of each parameter; `&` may be written as in HTML, or as a semicolon. */
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
