// Finds what may be meant as a link in a line of text: cuts off what is attached to it, repairs its scheme. links.js decides
// what it leads to. Does not use the document.

import { PLATFORMS } from "./platforms.js";
import { percentDecoded } from "./unescape.js";
import { OTHER_HOSTS } from "./wrappers.js";

/**
 * @typedef {object} Candidate
 * @property {string} text the line from `start` to `end`
 * @property {string} url what is meant
 * @property {string} marks underscores cut off at its end, which may belong to it
 */

const PLATFORM = Object.values(PLATFORMS).flatMap(({ hosts }) => hosts).join("|").replaceAll(".", "\\.");
const IS_OWN = new RegExp(`^(?:${PLATFORM}|${OTHER_HOSTS})$`, "i");
const IS_OTHER = new RegExp(`^(?:${OTHER_HOSTS})$`, "i");
const BLANK_THEN_HOST = new RegExp(String.raw`^\s{1,2}(?:${PLATFORM})`, "i");

// A link starts with a scheme, whole or broken, or with a platform's host followed by something.
const HTTP = String.raw`h(?:tt|xx|\*\*)ps?`;
const SEPARATORS = String.raw`(?:[:;：；]+[/\\／]*|[/\\／]+)`;
const START = new RegExp(
  String.raw`(${HTTP}(?:[:;：；/\\／]|%(?:25)*3a))|(:\/\/)|(?:${PLATFORM})(?=[/?#\\]|:\d{1,5}[/?#]|%(?:25)*(?:2f|3f))`,
  "gi",
);
const LEAD = new RegExp(
  String.raw`(?:${HTTP}|[a-z][a-z0-9+.-]{0,30})?${SEPARATORS}(?:https?(?:[:;：；]+[/\\／]*|[/\\／]{2,})){0,4}`,
  "iy",
);
const GOOD_LEAD = /^https?:\/\/$/i;
const BROKEN_HTTP = /^(?:[hxtps*]{0,8}|.?ttps?|h.?tps?|ht.?ps?|htt.?s?|http.?)(?:[^a-z]|$)/i; // not ftp, not ws
const SCHEME_BEFORE = /[a-z][a-z0-9+]{0,30}$/i;
const MAX_BEFORE = 80;
const BROKEN_LEAD_BEFORE =
  /(?:^|[^a-z0-9.@_-])([hxtps]{2,7}[:;：；]{1,2} ?[/\\／]{0,6} ?|[hxtps]{0,7}[:;：；]{0,2}[/\\／]{2,6})$/i;
// Letters that may belong to the same name, or a path. Scripts written without spaces may precede a host.
const NAME_BEFORE = /[a-z0-9@%\p{Script=Latin}\u0300-\u036f]$|[a-z0-9][_/\\]+$/iu;

const HOST = /[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,6}/iy;
const HOST_ENDS = /$|[/?#%\\]|:\d{1,5}(?![\d@])|[^\w.@:-]/y;
// What the platforms' links consist of: only user names may have letters of any script. Overlong ones are cut, because a
// candidate is read several times.
const OWN = /(?::\d{1,5})?\\*[\w\-./%@+:=&?#!]{0,4096}/y;
const OWN_WITH_NAME = /(?::\d{1,5})?\\*(?:\/@[\p{L}\p{N}\p{M}._%-]{0,200})?[\w\-./%@+:=&?#!]{0,4096}/uy;
const HAS_NAMES = /tiktok|youtube/i;
const ENDS_WITH_IDS = /[?&]video_ids=[\w-]{11}$/;
const MORE_IDS = /(?:,[\w-]{11})+(?![\w-])/y;
const OLD_PARAMETERS = /(?:;[a-z_]{1,20}=[\w%.-]*)+/iy; // ?feature=share;v=…
const OWN_TRAILING = /[.:!?&#%@+]+$/;
const KEYCAP = /^\ufe0f?\u20e3/;
const REFERENCE = /&[a-z][a-z0-9]{1,30}$/i; // of HTML, for a character that no link has
const ENCODED_AFTER_HOST = /^%(?:25)*(?:2f|3f)/i;

// Other links. Commas and semicolons end one, because tables are common.
const INSIDE = /[^\s\p{C}<>"\x60|,;、。，；：！？（）「」『』【】《》〈〉“”‘’«»]{0,8192}/uy;
const CLOSERS = { ")": "(", "]": "[", "}": "{" };
const TRAILING = new Set([...".,:!?*'~…", ...Object.keys(CLOSERS)]);
const MAX_TRIMMED = 4096; // no link is longer
const NEXT = /https?:\/\//gi;

const LABEL = /^(?:["'\])]*[>(|]|["'][^<>]{0,400}>)$/; // in [link](link), <a href="link">link</a>, <link|link>
const CUT_SHORT = /^(?:…|\.{3})/;

/**
 * @param {string} line
 * @returns {(Candidate & {start: number, end: number})[]} what looks like a link; a link and its label count once
 */
export function findCandidates(line) {
  const found = [];
  let end = 0;
  let underscores = 0; // opened by Markdown's or a chat's _emphasis_
  for (const match of line.matchAll(START)) {
    if (match.index < end) continue;
    const start = startOf(line, match, end);
    if (start === null) continue;
    const between = line.slice(end, start);
    underscores = openUnderscores(between, underscores);
    const candidate = match[1]?.includes("%") ? encodedAt(line, start) : candidateAt(line, start, match, underscores);
    if (candidate === null) continue;
    end = candidate.end;
    if (candidate.url === "") continue;
    underscores -= candidate.marks.length;
    if (!(found.length > 0 && LABEL.test(between) && isLabelOf(found[found.length - 1], candidate, line))) found.push(candidate);
  }
  return found;
}

/** @returns {number | null} where the link of this scheme or host starts; null: it is part of another name */
function startOf(line, match, end) {
  const { index } = match;
  if (match[1]) return index;
  const before = line.slice(Math.max(end, index - MAX_BEFORE), index);
  if (match[2]) return index - (SCHEME_BEFORE.exec(before)?.[0].length ?? 0);
  const name = /[a-z0-9.-]*$/i.exec(before)[0];
  const labels = name.replace(/^.*\.\.|^[.-]+/, "");
  if (labels !== "" && !labels.endsWith(".")) return null;
  const isNumbered = /^\d{1,4}\.$/.test(labels) && labels === before.trimStart();
  if (labels !== "" && !isNumbered) return index - labels.length; // another host
  const lead = BROKEN_LEAD_BEFORE.exec(before)?.[1];
  if (lead !== undefined) return index - lead.length;
  return NAME_BEFORE.test(before.slice(0, before.length - name.length)) ? null : index;
}

/** @returns {(Candidate & {start: number, end: number}) | null} */
function candidateAt(line, start, match, underscores) {
  const hostAt = match[1] || match[2] ? start + at(LEAD, line, start).length : match.index;
  const lead = line.slice(start, hostAt);
  const host = at(HOST, line, hostAt);
  HOST_ENDS.lastIndex = hostAt + host.length;
  if (IS_OWN.test(host) && HOST_ENDS.test(line)) return ownAt(line, start, hostAt, host, underscores);

  const isWhole = /:\/\//.test(lead);
  if (!isWhole && !/[/?#]/.test(line[hostAt + host.length] ?? "")) return null; // "http/2", "https: …"
  if (host === "" && BLANK_THEN_HOST.test(line.slice(hostAt, hostAt + 30))) return null; // it is found next
  const token = trimEnd(untilNext(at(INSIDE, line, hostAt), (before) => /[\w\u0080-\uffff-]$|\]\($/.test(before)));
  const end = hostAt + token.length;
  return { text: line.slice(start, end), url: mended(lead) + token, marks: "", start, end };
}

/** A platform's link, or a wrapper of one: it ends at the first character that none of their links have. */
function ownAt(line, start, hostAt, host, underscores) {
  const restAt = hostAt + host.length;
  let rest = at(HAS_NAMES.test(host) ? OWN_WITH_NAME : OWN, line, restAt);
  if (ENDS_WITH_IDS.test(rest)) rest += at(MORE_IDS, line, restAt + rest.length);
  if (rest.includes("?")) rest += at(OLD_PARAMETERS, line, restAt + rest.length);
  if (!IS_OTHER.test(host)) rest = untilNext(rest, (before) => !before.endsWith("="));
  const behind = line.slice(restAt + rest.length, restAt + rest.length + 2);
  if (KEYCAP.test(behind)) rest = rest.slice(0, -1); // an emoji that starts with a digit
  if (behind.startsWith(";")) rest = rest.replace(REFERENCE, "");
  rest = rest.replace(OWN_TRAILING, "");
  const marks = /_*$/.exec(rest)[0].slice(0, underscores);
  rest = rest.slice(0, rest.length - marks.length);

  const path = ENCODED_AFTER_HOST.test(rest) ? at(OWN, percentDecoded(rest), 0) : rest.replace(/^\\+/, "/");
  const url = mended(line.slice(start, hostAt)) + host + path;
  const end = restAt + rest.length;
  return { text: line.slice(start, end), url, marks, start, end };
}

/** A broken scheme, repaired; another scheme as it is. */
function mended(lead) {
  return !GOOD_LEAD.test(lead) && BROKEN_HTTP.test(lead) ? "https://" : lead;
}

/** A link that is percent-encoded as a whole. */
function encodedAt(line, start) {
  const whole = at(INSIDE, line, start);
  // Parameters that follow are not its own, unless only its beginning is encoded.
  const alone = /^[^&#?=/]*/.exec(whole)[0];
  for (const text of [alone, whole]) {
    const [first] = findCandidates(percentDecoded(text));
    if (first?.start === 0 && /[^/]\/[^/]/.test(first.url)) return { ...first, text, end: start + text.length, start };
  }
  return { text: alone, url: "", marks: "", start, end: start + alone.length }; // skipped
}

function isLabelOf(link, candidate, line) {
  if (candidate.url === link.url) return true;
  return CUT_SHORT.test(line.slice(candidate.end, candidate.end + 3)) && link.url.includes(candidate.text);
}

/** How many _ of _emphasis_ are open after *text*; those within a word or a name do not count. */
function openUnderscores(text, open) {
  if (!text.includes("_")) return open;
  let left = open;
  for (const { 0: run, index } of text.matchAll(/_+/g)) {
    const before = text[index - 1] ?? " ";
    const after = text[index + run.length] ?? "h"; // the link
    const opens = /[^\p{L}\p{N}@]/u.test(before) && /\S/.test(after);
    const closes = /\S/.test(before) && /[^\p{L}\p{N}]/u.test(after);
    if (opens && !closes) left += run.length;
    else if (closes && !opens) left = Math.max(0, left - run.length);
  }
  return left;
}

/** *token* up to the next link attached to it, if *isEnd* accepts what precedes that. */
function untilNext(token, isEnd) {
  for (const { index } of token.matchAll(NEXT)) {
    const before = token.slice(0, index);
    if (index > 0 && isEnd(before)) return before.replace(/\]\($/, "");
  }
  return token;
}

/** Cut off what ends a sentence, or closes a bracket that *token* does not open. */
export function trimEnd(token) {
  if (token.length > MAX_TRIMMED) return token;
  let end = token.length;
  for (; end > 0 && TRAILING.has(token[end - 1]); end -= 1) {
    const opener = CLOSERS[token[end - 1]];
    const kept = token.slice(0, end);
    if (opener && kept.split(opener).length >= kept.split(token[end - 1]).length) break;
  }
  return token.slice(0, end);
}

/** What the sticky *pattern* matches in *text* at *index*. */
function at(pattern, text, index) {
  pattern.lastIndex = index;
  return pattern.exec(text)?.[0] ?? "";
}
