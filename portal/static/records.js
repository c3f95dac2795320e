// Splits a text into records, each about one thing: a line, a table's row over several lines, a JSON object.
// Does not use the document.

import { unescaped } from "./unescape.js";

/**
 * @typedef {object} TextRecord
 * @property {string} text without escapes
 * @property {number} line from 1
 * @property {string} [url] in a table of ids: the link that the row means; "" for the heading
 */
/** @typedef {{isList: boolean, strings: TextRecord[], inner: JsonNode[]}} JsonNode an array or an object, with its own strings */

const JSON_START = /^(\s*(?:(?:(?:var|let|const) )?[\w.$[\]]{1,80} *= *)?)(?:[{[]\s*)*(?:[{[]\s*"|"[^"\n]{1,80}"\s*:\s)/;
const TOKEN = /"([^"\\]*(?:\\[^][^"\\]*)*)(?:"(\s*:)?|$)|([{[])|([}\]])|\n|[^"{}[\]\n]+/g;
const BETWEEN = /^(?:[\s,]|-?\d[\d.eE+-]*|true|false|null)*;?\s*$/;
const MAX_DEPTH = 60;
const MAYBE_LINK = /[/%\\&]/;
const ID_KEY = /^video_?id$/i;

const WATCH = "https://www.youtube.com/watch?v=";
const ID = /^[\w-]{11}$/;
const MAYBE_IDS = /(?:^|[,;\t|])[ "']*[\w-]{11}[ "']*(?:[,;\t|\r]|$)/m;
const WORD = /^(?:.[a-z]*|[A-Z]*|\d*)$/; // as likely a word or a number
const OTHER_IDS = /^(?!.*video).*(?:code|insta|tik.?tok|tweet|user|name)/i;
const ID_HEADING = /\bid\b|video/i;
const TIME = /^\d{4}-\d\d-\d\d/;

/**
 * @param {string} text
 * @returns {TextRecord[]} its lines; a quoted field of a table may continue over several
 */
export function toRecords(text) {
  const records = [];
  let open = null;
  const lines = unescaped(text).split(/\r\n|[\n\r\u2028\u2029]/);
  lines.forEach((content, index) => {
    if (open) open.text += `\n${content}`;
    else records.push({ text: content, line: index + 1 });
    open = leavesOpen(content, open !== null) ? records[records.length - 1] : null;
  });
  if (open !== null) {
    // The quote was never closed, so it did not open a field.
    records.pop();
    open.text.split("\n").forEach((content, index) => records.push({ text: content, line: open.line + index }));
  }
  if (MAYBE_IDS.test(text)) blocksOf(records).forEach(nameIds);
  return records;
}

/** Whether a quoted field, which *isOpen* before *line* or starts in it, continues in the next. */
function leavesOpen(line, isOpen) {
  let inside = isOpen;
  let opening = -1;
  for (let quote = line.indexOf('"'); quote !== -1; quote = line.indexOf('"', quote + 1)) {
    inside = !inside;
    if (inside) opening = quote;
  }
  // Two quotes within a field are one, so the field is still open.
  return inside && (opening === -1 || opening === 0 || ',;\t"'.includes(line[opening - 1]));
}

/** @param {string} text @returns {string} *text* without what is in quotes */
export function unquoted(text) {
  return text.includes('"') ? text.replace(/"(?:[^"]|"")*"/g, "") : text;
}

/**
 * @param {string} text
 * @returns {JsonNode | null} its strings that may contain a link, even if the text is only part of a file; null: not JSON
 */
export function toJson(text) {
  const begin = JSON_START.exec(text);
  if (begin === null) return null;
  const root = nodeOf(true);
  const open = [root];
  let key = "";
  let line = begin[1].split("\n").length;
  for (const [token, string, colon, opens, closes] of text.slice(begin[1].length).matchAll(TOKEN)) {
    const node = open[open.length - 1];
    if (string !== undefined) {
      const value = ID_KEY.test(key) && ID.test(string) ? WATCH + string : string;
      if (MAYBE_LINK.test(value) && (!colon || value.includes("://"))) node.strings.push({ text: unescaped(value), line });
      key = colon ? string : "";
      line += token.split("\n").length - 1;
    } else if (opens) {
      const inner = nodeOf(opens === "[");
      node.inner.push(inner);
      if (open.push(inner) > MAX_DEPTH) return null;
    } else if (closes) {
      if (open.length > 1) open.pop();
      else endPiece(root);
    } else if (token === "\n") line += 1;
    else if (!BETWEEN.test(token)) return null;
  }
  endPiece(root);
  return root;
}

/** @returns {JsonNode} */
function nodeOf(isList) {
  return { isList, strings: [], inner: [] };
}

/** Part of a file ends, or starts, within an object: the strings of *root* are that object's. */
function endPiece(root) {
  if (root.strings.length === 0) return;
  root.inner = [{ isList: false, strings: root.strings, inner: root.inner }];
  root.strings = [];
}

/** Add links to the rows of a table with a column of YouTube ids, which is all that Google Takeout's playlists have. */
function nameIds(rows) {
  for (const separator of [",", ";", "\t", "|", "\n"]) {
    const first = cellsOf(rows[1], separator);
    if (first.length === 1 && separator !== "\n") continue;
    const column = first.findIndex((cell) => ID.test(cell));
    if (column === -1 || rows.some(({ text }) => text.includes("://"))) continue;
    const [heading, ...ids] = rows.map((row) => cellsOf(row, separator)[column] ?? "");
    if (!ids.every((id) => ID.test(id)) || (ID.test(heading) && !WORD.test(heading)) || OTHER_IDS.test(heading)) continue;
    const isNamed = ID_HEADING.test(heading) && first.length > 1;
    const isTimed = first.some((cell) => TIME.test(cell));
    const likely = ids.filter((id) => !WORD.test(id)).length;
    if (!isNamed && (likely * 3 < ids.length * 2 || !(isTimed || ids.length > 1 || ID_HEADING.test(heading)))) continue;
    rows.forEach((row, index) => (row.url = index === 0 ? "" : WATCH + ids[index - 1]));
    return;
  }
}

function cellsOf({ text }, separator) {
  const bare = text.replace(/"((?:[^"]|"")*)"/g, (_, quoted) => quoted.split(separator).join(" "));
  return bare.split(separator).map((cell) => cell.trim());
}

/** @returns {TextRecord[][]} groups of lines between empty lines, if there is more than one line */
function blocksOf(records) {
  const blocks = [[]];
  for (const record of records) {
    if (record.text.trim() !== "") blocks[blocks.length - 1].push(record);
    else if (blocks[blocks.length - 1].length > 0) blocks.push([]);
  }
  return blocks.filter((block) => block.length > 1);
}
