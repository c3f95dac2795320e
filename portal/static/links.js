// Reads links out of pasted text. What counts as a platform's link is the server's rule, word for word
// (downloader/platform_detector.py; tests/portal/test_modules.py compares them). Does not use the document.

import { findCandidates, trimEnd } from "./candidates.js";
import { MAX_URL_LENGTH } from "./platforms.js";
import { collectionBeside, foldFragment, platformOfHost, readLink } from "./post_links.js";
import { toJson, toRecords, unquoted } from "./records.js";
import { percentDecoded } from "./unescape.js";
import { unwrapped } from "./wrappers.js";

/** @typedef {import("./post_links.js").Platform} Platform */
/** @typedef {"unsupported" | "too_long" | "mistyped" | "no_link" | "other"} Reason */
/**
 * @typedef {{url: string, platform: Platform, beside?: string, isShort?: true}} Link `beside`: the collection that it
 *   names too; `isShort`: where it leads is known once it is followed
 */
/** @typedef {{text: string, line: number, reason: Reason}} Problem */
/**
 * @typedef {object} Aside a link of a platform that does not lead to a post
 * @property {string} text
 * @property {number} line
 * @property {string} destination what it leads to ("profile", "playlist" …); "unknown" if its form is, and it is accepted
 * @property {boolean} isAlone it is the only text in its line, so it may be meant as a download
 * @property {Platform} [platform] of a collection, that is a playlist, a channel or a profile
 * @property {string | null} [collection] what to list of it, or null if its platform shows no list
 */
/** @typedef {{url: string, platform: Platform, destination: string}} Collection */

const LINK = /^(?:(https?):\/\/)?([a-z0-9.-]+)(?::([0-9]{1,5}))?((?:[/?#].*)?)$/is; // no u flag: K must not match the Kelvin sign
const BLANKS_AROUND = /^[^\S\ufeff]+|[^\S\ufeff]+$/g;
const UNWRITABLE = /[\p{C}\p{Z}]/u;

const PLAIN = /^https:\/\/[\w-]+(?:\.[\w-]+)+(?:\/[\w@.%+-]*){1,6}(?:\?[\w@.%+=&-]*)?$/; // for speed: most lines of most lists
const PLAIN_ENDS = /[\w/=+-]$/;
const BULLET = /^(?:[-*+•–>]\s+|\(?\d{1,5}[.):]\s*|["'<([]+)+/;
const NOTHING = /^[^\p{L}\p{N}]*$/u;
const COMMENT = /^#(?:\s|#|\S*:\/\/|$|EXT|PLAYLIST|KODIPROP)/;
// What playlists and shortcuts contain besides links; a # starts a comment, or tags.
const FURNITURE = /^(?:[#;\]]|\[[\w .-]+\]$|(?:title|length|numberofentries|version|icon\w+|idlist|hotkey|modified)\d*=)/i;
const HEADER = /^["']?(?:(?:video|post|media|share)[ _-]?)?(?:urls?|links?|hrefs?|addresses|address)["']?$/i;
const ELSEWHERE = /^(?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,24}(?::\d{1,5})?[/?#]\S/i;
const ENTRY = /^\S*[\d@/_=][^\s]*$/; // a name or number that may be meant as a link
const SENTENCE_END = /\p{L}["')]*[.!?:…]+$/u;

const MAX_KNOWN = 20_000;
/** @type {Map<string, ReturnType<typeof meaningOf>>} */
const known = new Map();

const MAX_WRAPPERS = 4;
const MAX_CUTS = 12;
const LONG_NUMBER = /\/\d{15,20}(?:[/?]|$)/;
const UNKNOWN_FORM = {
  unknown: /[/=](?:\d{6,20}|(?=[a-z_-]*\d)[\w-]{8,40})(?:[/?&]|$)/i,
  profile: LONG_NUMBER,
  channel: LONG_NUMBER,
};
// Numbers end with their digits, YouTube's ids after 11 characters.
const GLUED_TO_ID = [/^(.{1,300}?[/=]\d{15,20})[^\d/?&]/, /^(.{1,300}?(?:[/=][\w-]{11}(?=[-_])|[?&]v=[\w-]{11}(?=\/)))/];
const TWITTERS_OWN = /^(?:https?:\/\/)?(?:t\.co|pic\.(?:twitter|x)\.com)\//i; // in the text of tweets, in place of links
const NEAR_LINES = 3;
const NAMESPACE = /^http:\/\/(?:www\.w3\.org|xspf\.org\/ns|www\.apple\.com\/DTDs)\//i; // of XML: not a link, but written like one
const ENCODED_PATH = /^[^?#]*%(?:25)*(?:2f|3f)/i;

/**
 * Apply the server's rule.
 * @param {string} text
 * @returns {Link | null} the link in the server's spelling, or null if no platform owns it
 */
export function parseLink(text) {
  const trimmed = text.replace(BLANKS_AROUND, "");
  if (trimmed === "" || isTooLong(trimmed) || trimmed.includes("\\") || UNWRITABLE.test(trimmed)) return null;
  const [, scheme, host, port, rest] = LINK.exec(trimmed) ?? [];
  if (host === undefined || !isDefaultPort(scheme, port)) return null;
  const platform = platformOfHost(host);
  const url = `https://${host.toLowerCase()}${foldFragment(rest)}`;
  return platform !== "unknown" && !isTooLong(url) ? { url, platform } : null; // with its scheme it may be longer
}

/**
 * @param {string} text anything: a link, a list, a message, a table, markdown, HTML, an export
 * @returns {{links: Link[], collections: Collection[], duplicates: number, problems: Problem[], asides: Aside[]}} each
 *   post and each collection that is meant once, in the order of the text
 */
export function readLinks(text) {
  const plain = text.replace(/^\ufeff/, "");
  const json = toJson(plain);
  const found = json ? readJson(json).sort((a, b) => a.line - b.line) : toRecords(plain).map((record) => readRecord(record));
  const table = isTable(found);
  const header = found.find((record) => record.kind !== "ignored");
  const list = table || isList(found, header);
  const tweets = linesOfTweets(found);

  const links = new Map();
  const asides = new Map();
  const problems = [];
  let duplicates = 0;
  for (const record of found) {
    for (const { key, link } of record.posts) {
      if (links.has(key)) duplicates += 1;
      else links.set(key, link);
    }
    // A table's row may have other links, to a picture for example, which are not meant.
    const isWhole = !table || record.posts.length === 0;
    for (const aside of record.asides) {
      if ((isWhole || isDoubt(aside)) && !asides.has(aside.text)) asides.set(aside.text, aside);
    }
    if (isWhole) {
      for (const problem of record.problems) if (!isOfTweet(problem, record, tweets, json !== null)) problems.push(problem);
    }
    if (list && isMissing(record) && !(record === header && (table || HEADER.test(record.text)))) {
      problems.push({ text: record.text, line: record.line, reason: "no_link" });
    }
  }
  if (links.size + asides.size + problems.length === 0) {
    for (const each of found) if (each.kind === "entry") problems.push({ text: each.text, line: each.line, reason: "no_link" });
  }
  const isMeant = ({ collection, isAlone }) => collection && (isAlone || links.size === 0);
  const [meant, others] = [true, false].map((wanted) => [...asides.values()].filter((aside) => Boolean(isMeant(aside)) === wanted));
  const collections = new Map(
    meant.map(({ collection: url, platform, destination }) => [url, { url, platform, destination }]),
  );
  duplicates += meant.length - collections.size;
  return { links: [...links.values()], collections: [...collections.values()], duplicates, problems, asides: others };
}

/** If an object has a post, its other links (to the uploader, to pictures) are not meant. */
function readJson({ isList, strings, inner }) {
  const own = strings.map((string) => readRecord(string, "mixed"));
  const below = inner.flatMap(readJson);
  if (isList || !own.some(hasPosts)) return [...own, ...below];
  return [...own, ...below].filter(hasPosts).map((record) => ({ ...record, problems: [], asides: record.asides.filter(isDoubt) }));
}

/** Whether it is accepted, but reported. */
function isDoubt(aside) {
  return aside.destination === "unknown";
}

function hasPosts(record) {
  return record.posts.length > 0;
}

/** A line without a link in a list of links. Sentences around a list are allowed. */
function isMissing(record) {
  return !hasPosts(record) && record.problems.length + record.asides.length === 0 && record.kind !== "ignored" &&
    !SENTENCE_END.test(record.text);
}

/** At least two thirds of the lines are nothing but a link, or what may be meant as one; at least one is a link. */
function isList(found, header) {
  const counted = found.filter((record) => record.kind !== "ignored" && record.kind !== "mixed");
  const alone = counted.filter((record) => record.kind === "link");
  const entries = counted.filter((record) => record.kind === "entry");
  const lines = counted.length - (header !== undefined && HEADER.test(header.text) ? 1 : 0);
  return alone.length > 0 && (alone.length + entries.length) * 3 >= lines * 2;
}

/** Every line has the same number of the same separator, and two thirds, not counting a header, have a link. */
function isTable(found) {
  const rows = found.filter((record) => record.kind !== "ignored");
  if (rows.length < 2) return false;
  const withLink = rows.filter((record) => hasPosts(record) || record.asides.length > 0).length;
  if (withLink === 0 || withLink * 3 < (rows.length - 1) * 2) return false;
  return ["\t", ";", ",", "|"].some((separator) => {
    const columnsOf = (record) => unquoted(record.text).split(separator).length;
    const columns = columnsOf(rows[0]);
    return columns > 1 && rows.every((record) => columnsOf(record) === columns);
  });
}

/** @returns {Set<number>} the lines with a tweet, and those nearby */
function linesOfTweets(found) {
  const lines = new Set();
  for (const { line, posts } of found) {
    if (!posts.some(({ link }) => link.platform === "twitter")) continue;
    for (let near = line - NEAR_LINES; near <= line + NEAR_LINES; near += 1) lines.add(near);
  }
  return lines;
}

/** Whether *problem* is a short link in the text of a tweet whose own link is there too. */
function isOfTweet(problem, record, tweets, isExport) {
  if (!TWITTERS_OWN.test(problem.text)) return false;
  return isExport ? tweets.size > 0 : record.kind === "mixed" && tweets.has(record.line);
}

/**
 * @param {import("./records.js").TextRecord} record
 * @param {"mixed"} [asKind] its kind, whatever it looks like
 * @returns {{text: string, line: number, kind: "ignored" | "link" | "entry" | "mixed" | "prose",
 *   posts: {key: string, link: Link}[], problems: Problem[], asides: Aside[]}}
 */
function readRecord({ text, line, url }, asKind) {
  const read = { text, line, kind: "ignored", posts: [], problems: [], asides: [] };
  if (url !== undefined) {
    if (url !== "") judge({ text, url, marks: "" }, read, "mixed");
    return read;
  }
  if (PLAIN.test(text) && PLAIN_ENDS.test(text)) {
    judge({ text, url: text, marks: "" }, read, asKind ?? "link");
    return read;
  }
  read.text = text.trim();
  if (NOTHING.test(text) || COMMENT.test(read.text)) return read;
  const candidates = findCandidates(read.text);
  const bare = read.text.replace(BULLET, "");
  if (candidates.length === 0) {
    const token = trimEnd(bare);
    if (parseLink(token) || ELSEWHERE.test(token)) judge({ text: token, url: token, marks: "" }, read, asKind ?? "link");
    else if (!FURNITURE.test(read.text)) read.kind = asKind ?? (ENTRY.test(bare) ? "entry" : "prose");
    return read;
  }
  const [first] = candidates;
  const around = read.text.slice(0, first.start).replace(BULLET, "") + read.text.slice(first.end);
  const kind = asKind ?? (candidates.length === 1 && NOTHING.test(around) ? "link" : "mixed");
  for (const candidate of candidates) judge(candidate, read, kind);
  return read;
}

/** Add a candidate to what was *read* from its record, which is of that *kind*. */
function judge({ text, url, marks }, read, kind) {
  read.kind = kind;
  if (NAMESPACE.test(url)) return;
  let meaning = knownMeaningOf(url);
  if (meaning.reason === "mistyped" && marks !== "") meaning = knownMeaningOf(url + marks);
  const { posts = [], destination, list, reason } = meaning;
  read.posts.push(...posts);
  if (destination) read.asides.push({ text, line: read.line, destination, isAlone: kind === "link", ...list });
  if (reason) read.problems.push({ text, line: read.line, reason });
}

/** Cached, because the page reads the whole text again with every keystroke. */
function knownMeaningOf(url) {
  let meaning = known.get(url);
  if (meaning === undefined) {
    if (known.size >= MAX_KNOWN) known.clear();
    meaning = meaningOf(url);
    known.set(url, meaning);
  }
  return meaning;
}

/**
 * @returns {{posts?: {key: string, link: Link}[], destination?: string, list?: {platform: Platform,
 *   collection: string | null}, reason?: Reason}}
 */
function meaningOf(url, depth = MAX_WRAPPERS) {
  const link = parseLink(url);
  if (link === null) {
    const inner = depth > 0 ? unwrapped(url).map((each) => meaningOf(each, depth - 1)) : [];
    return inner.find(({ posts, list }) => posts || list?.collection) ?? { reason: reasonOf(url) };
  }
  const target = readLink(link.url);
  if (isPost(target)) return { posts: postsOf(target, link) };
  const isOdd = target.kind === "mistyped" || ["page", "unknown"].includes(target.destination) || ENCODED_PATH.test(link.url);
  for (const guess of isOdd ? guesses(link.url) : []) {
    const guessed = parseLink(guess);
    const better = guessed && readLink(guessed.url);
    if (better && isPost(better)) return { posts: postsOf(better, guessed) };
  }
  if (target.kind === "mistyped") return { reason: "mistyped" };
  // Platforms invent new forms. What contains something like an id is accepted; the server decides.
  const isUnknown = UNKNOWN_FORM[target.destination]?.test(link.url) ?? false;
  if (isUnknown) return { posts: [{ key: link.url, link }], destination: "unknown" };
  const list = target.kind === "collection" && { platform: target.platform, collection: target.canonical_url };
  return { destination: target.destination === "unknown" ? "page" : target.destination, list };
}

/** Whether it is a post's, or a short link that may lead to one. */
function isPost({ kind, canonical_url: canonicalUrl }) {
  return canonicalUrl !== null && kind !== "collection";
}

/** The link as written if it names the post's id in the usual place, else the canonical one; and the further posts it names. */
function postsOf({ kind, platform, canonical_url: canonicalUrl, post_id: id, part, more_ids: moreIds }, link) {
  const code = id ?? canonicalUrl.split("/").slice(3).filter(Boolean).pop();
  const whole = withoutTail(platform, code);
  const meant = canonicalUrl.replace(code, () => whole);
  const url = whole === code && hasId(link.url, code) ? link.url : meant;
  const more = moreIds.map((each) => ({ key: `${platform} ${each} null`, link: { url: canonicalUrl.replace(id, () => each), platform } }));
  const beside = collectionBeside(link.url);
  return [{ key: id ? `${platform} ${whole} ${part}` : meant, link: { url, platform, ...(beside && { beside }), ...(kind === "short" && { isShort: true }) } }, ...more];
}

/** A code without characters at its end that are valid in a code, but not part of this one. */
function withoutTail(platform, code) {
  if (platform === "tiktok") return code.replace(/[_-]+$/, "") || code; // short links have only letters and digits
  if (platform !== "instagram") return code;
  return code.replace(/^([\w-]{11})[-_][\w-]{0,15}$/, "$1"); // it has 11 characters, or 39 if the post is private
}

/** Whether *url* has *id* where current links have it. */
function hasId(url, id) {
  const mark = url.indexOf("?");
  const path = mark === -1 ? url : url.slice(0, mark);
  if (path.endsWith(`/${id}`) || path.includes(`/${id}/`)) return true;
  return /\/watch\/?$/.test(path) && `&${url.slice(mark + 1)}&`.includes(`&v=${id}&`);
}

/** What a link without a valid id may mean: it is encoded, or something is attached to its id. */
function* guesses(url) {
  if (/[_-]$/.test(url)) yield url.replace(/[_-]+$/, "");
  const decoded = percentDecoded(url);
  if (decoded !== url) yield findCandidates(decoded)[0]?.url ?? url;
  for (const pattern of GLUED_TO_ID) {
    const start = pattern.exec(url)?.[1];
    if (start !== undefined) yield start;
  }
  const host = url.indexOf("/", "https://".length);
  const ends = host === -1 ? [] : [...url.slice(host).matchAll(/[.:+=%@!&]/g)].slice(0, MAX_CUTS);
  for (const { index } of ends) yield url.slice(0, host + index);
}

function reasonOf(url) {
  if (isTooLong(url)) return "too_long";
  const host = LINK.exec(url)?.[2];
  return host !== undefined && platformOfHost(host) === "unknown" ? "unsupported" : "other";
}

function isDefaultPort(scheme, port) {
  if (port === undefined) return true;
  if (scheme === undefined) return port === "80" || port === "443";
  return port === (scheme.toLowerCase() === "https" ? "443" : "80");
}

/** In characters, as the server counts, not in UTF-16 units. */
function isTooLong(text) {
  return text.length > MAX_URL_LENGTH && (text.length > MAX_URL_LENGTH * 2 || [...text].length > MAX_URL_LENGTH);
}
