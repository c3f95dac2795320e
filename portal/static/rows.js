// Paints the table of downloads. Titles, links and errors come from strangers: they enter by textContent alone.

import { platformOf } from "./links.js";

/**
 * @param {string} url
 * @returns {HTMLTableRowElement} a row for a download under way
 */
export function newRow(url) {
  const row = document.createElement("tr");
  row.dataset.url = url;
  row.append(cell(platformOf(url) ?? "unknown"), cell(url), cell());
  paintRunning(row);
  return row;
}

/** @param {HTMLTableRowElement} row */
export function paintRunning(row) {
  row.dataset.state = "running";
  const bar = document.createElement("progress"); // no value: nobody knows how far it is
  bar.setAttribute("aria-label", `Downloading ${row.dataset.url}`);
  row.cells[2].replaceChildren(bar);
}

/**
 * @param {HTMLTableRowElement} row
 * @param {{success: boolean, title: string | null, error: string | null, files: string[], size_bytes: number | null}}
 *   record
 */
export function paintRecord(row, record) {
  row.dataset.state = record.success ? "succeeded" : "failed";
  const [, video, state] = row.cells;
  if (record.title) video.replaceChildren(record.title, small(row.dataset.url));
  const word = document.createElement("span");
  word.className = "state";
  word.textContent = record.success ? "Done" : "Failed";
  const details = record.success ? [...record.files, size(record.size_bytes)] : [record.error ?? ""];
  state.replaceChildren(word, ...details.map(small));
}

/** @param {string} [text] */
function cell(text = "") {
  const td = document.createElement("td");
  td.textContent = text;
  return td;
}

/** @param {string} text */
function small(text) {
  const element = document.createElement("small");
  element.textContent = text;
  return element;
}

/** @param {number | null} bytes */
function size(bytes) {
  return bytes === null ? "" : `${(bytes / 1e6).toFixed(1)} MB`;
}
