// The page: reads links from the box, sends them as a batch, shows each one's record.

import { describe, findLinks } from "./links.js";
import { newRow, paintRecord, paintRunning } from "./rows.js";

const DRAFT = "draft-links";

const form = document.querySelector("#batch-form");
const box = document.querySelector("#links");
const hint = document.querySelector("#links-found");
const download = document.querySelector("#download");
const retry = document.querySelector("#retry-failed");
const status = document.querySelector("#status");
const table = document.querySelector("#jobs");
const body = table.tBodies[0];

/** Show what is in the box, and keep it in case the page is reloaded. */
function readBox() {
  const found = findLinks(box.value);
  const most = Number(form.dataset.maxUrls);
  const tooMany = found.links.length > most;
  hint.textContent = describe(found) + (tooMany ? ` A batch holds at most ${most}: send it in parts.` : "");
  download.disabled = found.links.length === 0 || tooMany;
  localStorage.setItem(DRAFT, box.value);
}

/**
 * Have the server download what *rows* stand for, and paint what it answers.
 * @param {HTMLTableRowElement[]} rows
 */
async function send(rows) {
  rows.forEach(paintRunning);
  table.hidden = false;
  retry.hidden = true;
  status.textContent = `Downloading ${rows.length} …`;
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ urls: rows.map((row) => row.dataset.url) }),
    });
    const reply = await answer.json();
    if (!answer.ok) throw new Error(reply.error);
    rows.forEach((row, index) => paintRecord(row, reply.downloads[index]));
    const done = reply.downloads.filter((record) => record.success).length;
    status.textContent = `${done} of ${rows.length} downloaded.`;
  } catch (error) {
    const sentence =
      error instanceof TypeError ? "The server cannot be reached: start it, then retry." : error.message;
    rows.forEach((row) => paintRecord(row, { success: false, error: sentence, title: null, files: [] }));
    status.textContent = sentence;
  }
  retry.hidden = failedRows().length === 0;
}

function failedRows() {
  return [...body.rows].filter((row) => row.dataset.state === "failed");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const rows = findLinks(box.value).links.map(newRow);
  body.prepend(...rows);
  box.value = "";
  readBox();
  send(rows);
});
retry.addEventListener("click", () => send(failedRows()));
box.addEventListener("input", readBox);

box.value = localStorage.getItem(DRAFT) ?? "";
readBox();
