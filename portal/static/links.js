// Reads links out of whatever people paste. What counts as a platform's link is the server's rule, word for word
// (downloader/platform_detector.py; tests/test_portal_modules.py holds both to it). Touches no document.

import { foldFragment } from "./post_links.js";

/** @typedef {"tiktok" | "instagram" | "twitter" | "youtube"} Platform */
/** @typedef {"unsupported" | "too_long" | "no_link" | "other"} Reason */
/** @typedef {{url: string, platform: Platform}} Link */
/** @typedef {{text: string, line: number, reason: Reason}} Problem */

/** @type {Record<Platform, string>} */
export const PLATFORMS = { tiktok: "TikTok", instagram: "Instagram", twitter: "Twitter/X", youtube: "YouTube" };

const MAX_URL_LENGTH = 2048;

/** @type {[Platform, RegExp][]} */
const HOSTS = [
  ["tiktok", /^(?:(?:(?:www|m|vm|vt|lite)\.)?tiktok\.com|www\.tiktokv\.com)$/],
  ["instagram", /^(?:(?:(?:www|m)\.)?instagram\.com|(?:www\.)?instagr\.am)$/],
  ["twitter", /^(?:(?:www|m|mobile)\.)?(?:twitter|x)\.com$/],
  ["youtube", /^(?:(?:(?:www|m|music)\.)?youtube\.com|(?:www\.)?youtube-nocookie\.com|(?:www\.)?youtu\.be)$/],
];
const LINK = /^(?:(https?):\/\/)?([a-z0-9.-]+)(?::([0-9]{1,5}))?((?:[/?#].*)?)$/is; // no u: K must not match the Kelvin sign
const BLANKS_AROUND = /^[^\S\ufeff]+|[^\S\ufeff]+$/g;
const UNWRITABLE = /[\p{C}\p{Z}]/u;

// Commas and semicolons end a link, because tables are common and links of these platforms with a comma are not.
const INSIDE = String.raw`[^\s\p{C}<>"\x60|,;、。，；：！？（）「」『』【】《》〈〉“”‘’«»]`;
const PLATFORM_HOST = String.raw`(?:[a-z0-9-]{1,63}\.){0,2}(?:(?:tiktokv?|instagram|twitter|x|youtube(?:-nocookie)?)\.com|instagr\.am|youtu\.be)`;
const CANDIDATE = new RegExp(
  String.raw`(?<![a-z])[a-z][a-z0-9+]{0,30}:\/\/${INSIDE}*` +
    String.raw`|(?<![\p{L}\p{N}\p{M}_.@:/\\%=&?#-])${PLATFORM_HOST}(?::\d{1,5})?[/?]${INSIDE}*`,
  "giu",
);
const GLUED = /(?<=[\w-])(?=https?:\/\/)|(?<=\]\()(?=https?:\/\/)/i; // two links without a blank, or [link](link)
const LABEL_ENDS = /^["'\])]*[>(]$/;
const CLOSERS = { ")": "(", "]": "[", "}": "{" };
const TRAILING = new Set([...".,:!?*'…", ...Object.keys(CLOSERS)]);

const PLAIN = /^https:\/\/[\w.-]+(?:\/[\w@.%+-]*){1,6}(?:\?[\w@.%+=&-]*)?(?<![.%])$/; // most lines of most lists: this is for speed
const BULLET = /^(?:[-*+•–>]\s+|\(?\d{1,5}[.):]\s*|["'<([]+)+/;
const NOTHING = /^[^\p{L}\p{N}]*$/u;
const COMMENT = /^#(?:\s|#|\S*:\/\/|$)/;
const HEADER = /^["']?(?:(?:video|post|media|share)[ _-]?)?(?:urls?|links?|hrefs?|addresses|address)["']?$/i;
const ELSEWHERE = /^(?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,24}(?::\d{1,5})?[/?#]\S/i;
const ENTRY = /^\S*[\d@/_=][^\s]*$/; // a name or number that somebody may have meant as a link
const SENTENCE_END = /\p{L}["')]*[.!?:…]+$/u;

/**
 * The server's rule.
 * @param {string} text
 * @returns {Link | null} the link in the one spelling that the server hands on, or null where no platform owns it
 */
export function parseLink(text) {
  const trimmed = text.replace(BLANKS_AROUND, "");
  if (trimmed === "" || isTooLong(trimmed) || trimmed.includes("\\") || UNWRITABLE.test(trimmed)) return null;
  const [, scheme, host, port, rest] = LINK.exec(trimmed) ?? [];
  if (host === undefined || !isDefaultPort(scheme, port)) return null;
  const platform = platformOf(host);
  const url = `https://${host.toLowerCase()}${foldFragment(rest)}`;
  return platform && !isTooLong(url) ? { url, platform } : null; // it may have become longer, by its scheme
}

/**
 * @param {string} text anything: a link, a list, a message, a table, markdown, HTML
 * @returns {{links: Link[], duplicates: number, problems: Problem[]}} each link once, in the order of the text
 */
export function readLinks(text) {
  const records = toRecords(text.replace(/^\ufeff/, "").replaceAll("\\/", "/").replace(/&amp;|\\u0026/gi, "&"));
  const found = records.map(readRecord);
  const table = isTable(found);
  const header = found.find((record) => record.kind !== "ignored");
  const list = table || isList(found, header);

  const links = new Map();
  const problems = [];
  let duplicates = 0;
  for (const record of found) {
    for (const link of record.links) {
      if (links.has(link.url)) duplicates += 1;
      else links.set(link.url, link);
    }
    // A row of a table has other links too, such as the picture's: they are not what was meant.
    if (!table || record.links.length === 0) problems.push(...record.problems);
    if (list && isMissing(record) && !(record === header && (table || HEADER.test(record.text)))) {
      problems.push({ text: record.text, line: record.line, reason: "no_link" });
    }
  }
  return { links: [...links.values()], duplicates, problems };
}

/** A line without a link, in a list of links. Sentences around a list are no mistake. */
function isMissing(record) {
  return record.links.length === 0 && record.problems.length === 0 && record.kind !== "ignored" &&
    !SENTENCE_END.test(record.text);
}

/** Two thirds of the lines are a link, or something meant as one, and nothing else; at least one is. */
function isList(found, header) {
  const counted = found.filter((record) => record.kind !== "ignored" && record.kind !== "mixed");
  const alone = counted.filter((record) => record.kind === "link");
  const entries = counted.filter((record) => record.kind === "entry");
  const lines = counted.length - (header !== undefined && HEADER.test(header.text) ? 1 : 0);
  return alone.length > 0 && (alone.length + entries.length) * 3 >= lines * 2;
}

/** Every line has the same number of the same separator, and two thirds of them, a header aside, have a link. */
function isTable(found) {
  const rows = found.filter((record) => record.kind !== "ignored");
  if (rows.length < 2) return false;
  const withLink = rows.filter((record) => record.links.length > 0).length;
  if (withLink === 0 || withLink * 3 < (rows.length - 1) * 2) return false;
  return ["\t", ";", ",", "|"].some((separator) => {
    const columns = rows.map((record) => unquoted(record.text).split(separator).length);
    return columns[0] > 1 && columns.every((count) => count === columns[0]);
  });
}

/**
 * @param {{text: string, line: number}} record
 * @returns {{text: string, line: number, kind: "ignored" | "link" | "entry" | "mixed" | "prose", links: Link[],
 *   problems: Problem[]}}
 */
function readRecord({ text, line }) {
  const read = { text, line, kind: "ignored", links: [], problems: [] };
  if (PLAIN.test(text)) {
    read.kind = "link";
    judge(text, read);
    return read;
  }
  read.text = text.trim();
  if (NOTHING.test(text) || COMMENT.test(read.text)) return read;
  const candidates = findCandidates(read.text);
  const bare = read.text.replace(BULLET, "");
  if (candidates.length === 0) {
    const token = trimEnd(bare);
    if (parseLink(token) || ELSEWHERE.test(token)) candidates.push(token);
  }
  for (const candidate of candidates) judge(candidate, read);
  const alone = candidates.length === 1 && trimEnd(bare.replace(/[>"',;]+$/, "")) === candidates[0];
  if (candidates.length > 0) read.kind = alone ? "link" : "mixed";
  else read.kind = ENTRY.test(bare) ? "entry" : "prose";
  return read;
}

/** Add *candidate* to the links of *read*, or to its problems. */
function judge(candidate, read) {
  const link = parseLink(candidate);
  if (link) {
    read.links.push(link);
    return;
  }
  let reason = "other";
  if (isTooLong(candidate)) reason = "too_long";
  else {
    const host = LINK.exec(candidate)?.[2];
    if (host !== undefined && !platformOf(host)) reason = "unsupported";
  }
  read.problems.push({ text: candidate, line: read.line, reason });
}

/**
 * @param {string} text
 * @returns {string[]} what looks like a link in it; the same one twice in [link](link) or <a href="link">link</a> is one
 */
function findCandidates(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    let start = match.index;
    const pieces = match[0].lastIndexOf("://") > 9 ? match[0].split(GLUED) : [match[0]];
    for (const piece of pieces) {
      const token = trimEnd(piece.replace(/\]\($/, ""));
      // Without a slash it is a word before a link ("seehttps://…").
      const isLabel = token === found.at(-1) && LABEL_ENDS.test(text.slice(end, start));
      if (token.includes("/") && !isLabel) found.push(token);
      end = start + token.length;
      start += piece.length;
    }
  }
  return found;
}

/** Cut off what ends a sentence or closes a bracket that *token* does not open. */
function trimEnd(token) {
  if (isTooLong(token)) return token;
  let end = token.length;
  for (; end > 0 && TRAILING.has(token[end - 1]); end -= 1) {
    const opener = CLOSERS[token[end - 1]];
    const kept = token.slice(0, end);
    if (opener && kept.split(opener).length >= kept.split(token[end - 1]).length) break;
  }
  return token.slice(0, end);
}

/** Lines; where a quoted field of a table goes on in the next line, that line belongs to it. */
function toRecords(text) {
  const records = [];
  let open = null;
  text.split(/\r\n|[\n\r\u2028\u2029]/).forEach((content, index) => {
    if (open) open.text += `\n${content}`;
    else records.push({ text: content, line: index + 1 });
    if (!content.includes('"')) return;
    const last = records.at(-1);
    open = /(?:^|[,;\t])"/.test(unquoted(last.text)) ? last : null;
  });
  if (open === null) return records;
  // That quote was never closed, so it did not open a field.
  records.pop();
  return [...records, ...open.text.split("\n").map((line, index) => ({ text: line, line: open.line + index }))];
}

/** @param {string} text */
function unquoted(text) {
  return text.includes('"') ? text.replace(/"(?:[^"]|"")*"/g, "") : text;
}

/** @param {string} host */
function platformOf(host) {
  const lower = host.toLowerCase();
  return HOSTS.find(([, pattern]) => pattern.test(lower))?.[0] ?? null;
}

function isDefaultPort(scheme, port) {
  if (port === undefined) return true;
  if (scheme === undefined) return port === "80" || port === "443";
  return port === (scheme.toLowerCase() === "https" ? "443" : "80");
}

/** The server counts characters, not their halves. */
function isTooLong(text) {
  return text.length > MAX_URL_LENGTH && (text.length > MAX_URL_LENGTH * 2 || [...text].length > MAX_URL_LENGTH);
}
