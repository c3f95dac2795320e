// The actions of a job's buttons.

import { ask, pathOf, send } from "./api.js";
import { askDelete, deleteSoon } from "./deletion.js";
import { say, sayError } from "./notices.js";
import { nameOf } from "./job_row.js";
import { play } from "./player.js";
import { text } from "./text.js";

/**
 * @param {import("./board.js").Board} board whose jobs have buttons with `data-action`, anywhere on the page
 * @param {import("./live.js").Live} live
 */
export function startJobActions(board, live) {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-action]");
    const job = board.jobs.get(button?.closest("[data-job]")?.dataset.job);
    // The second half of a double click would hit the button that replaced this one.
    if (!job || event.detail > 1) return;
    try {
      await ACTIONS[button.dataset.action](job, board, live, button);
    } catch (error) {
      sayError(error);
    }
  });
  document.addEventListener("click", saveIfThere);
}

/** @param {import("./board.js").Board} board @param {import("./live.js").Live} live @param {string[]} ids */
export async function cancelJobs(board, live, ids) {
  say(text("cancelled_now", { count: await change(board, live, "cancel", ids) }));
}

/** @param {import("./board.js").Board} board @param {import("./live.js").Live} live @param {string[]} ids */
export async function retryJobs(board, live, ids) {
  say(text("retried_now", { count: await change(board, live, "retry", ids) }));
}

/** Copy *words* to the clipboard, also over plain http, where browsers offer no clipboard API. */
export async function copy(words, said = text("copied")) {
  say((await copied(words)) ? said : text("copy_failed", { text: words }));
}

const ACTIONS = {
  play: async (job) => play(job),
  copy_path: (job) => copy(job.files.join("\n")),
  copy_link: (job) => copy(job.url),
  cancel: (job, board, live) => cancelJobs(board, live, [job.job_id]),
  retry: (job, board, live) => retryJobs(board, live, [job.job_id]),
  delete: async (job, board, live, button) => {
    const row = button.closest(".job"); // now: the button may be replaced while the dialog is open
    const what = await askDelete(text("delete_job_text", { title: nameOf(job) }));
    if (what === null) return;
    const neighbour = shownBeside(row, "nextElementSibling") ?? shownBeside(row, "previousElementSibling");
    const refuge = neighbour ?? row.closest(".batch")?.querySelector(".toggle") ?? document.getElementById("history-text");
    if (row.contains(document.activeElement)) refuge.focus();
    deleteSoon(board, live, [job.job_id], `/api/v1/jobs/${encodeURIComponent(job.job_id)}?files=${what === "files"}`);
  },
};

/** @param {Element} row @param {"nextElementSibling" | "previousElementSibling"} next @returns {Element | null} */
function shownBeside(row, next) {
  let beside = row[next];
  while (beside?.hidden) beside = beside[next];
  return beside;
}

/** Events are held back, because the response may be older than they are. The server takes a thousand ids at once. */
function change(board, live, action, ids) {
  return live.holding(async () => {
    let count = 0;
    for (let start = 0; start < ids.length; start += 1000) {
      const { jobs } = await ask("POST", `/api/v1/jobs/${action}`, { ids: ids.slice(start, start + 1000) });
      board.takeJobs(jobs);
      count += jobs.length;
    }
    return count;
  });
}

/** Without this check, the link to a missing file would save the server's error as a file. */
async function saveIfThere(event) {
  const link = event.target.closest("a[download]");
  if (!link || link.dataset.there) return;
  event.preventDefault();
  try {
    const path = pathOf(link.href);
    const { status } = await send("HEAD", path);
    if (status >= 400) await ask("GET", path); // for its error
    link.dataset.there = "yes";
    link.click();
  } catch (error) {
    sayError(error);
  }
  delete link.dataset.there;
}

async function copied(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    // no clipboard API, or no permission
  }
  const box = document.createElement("textarea");
  box.value = words;
  box.className = "visually-hidden";
  const before = document.activeElement;
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  before?.focus();
  return done;
}
