// What the buttons beside a job do.

import { ask } from "./api.js";
import { say, sayError } from "./notices.js";
import { nameOf } from "./job_row.js";
import { play } from "./player.js";
import { text } from "./text.js";

const dialog = document.getElementById("delete");

/** @param {import("./board.js").Board} board whose jobs have buttons with `data-action`, anywhere on the page */
export function startJobActions(board) {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-action]");
    const job = board.jobs.get(button?.closest("[data-job]")?.dataset.job);
    if (!job) return;
    try {
      await ACTIONS[button.dataset.action](job, board);
    } catch (error) {
      sayError(error);
    }
  });
}

/** @param {import("./board.js").Board} board @param {string[]} ids */
export async function cancelJobs(board, ids) {
  const jobs = await inParts("cancel", ids);
  board.takeJobs(jobs);
  say(text("cancelled_now", { count: jobs.length }));
}

/** @param {import("./board.js").Board} board @param {string[]} ids */
export async function retryJobs(board, ids) {
  const jobs = await inParts("retry", ids);
  board.takeJobs(jobs);
  say(text("retried_now", { count: jobs.length }));
}

/** Put *words* on the clipboard, also where the browser has none for pages that came over plain http. */
export async function copy(words, said = text("copied")) {
  say((await copied(words)) ? said : text("copy_failed", { text: words }));
}

/**
 * Ask whether something is to be deleted.
 * @param {string} question
 * @returns {Promise<"keep" | "record" | "files">}
 */
export function askDelete(question) {
  document.getElementById("delete-text").textContent = question;
  dialog.returnValue = "keep"; // what Escape comes to
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

const ACTIONS = {
  play: async (job) => play(job),
  copy_path: (job) => copy(job.files.join("\n")),
  copy_link: (job) => copy(job.url),
  cancel: (job, board) => cancelJobs(board, [job.job_id]),
  retry: (job, board) => retryJobs(board, [job.job_id]),
  delete: async (job, board) => {
    const what = await askDelete(text("delete_job_text", { title: nameOf(job) }));
    if (what === "keep") return;
    const { deleted } = await ask("POST", "/api/v1/jobs/delete", { ids: [job.job_id], files: what === "files" });
    deleted.forEach((id) => board.takeEvent({ kind: "job_deleted", batch_id: null, job_id: id, data: {} }));
    say(text("deleted_now", { count: deleted.length }));
  },
};

/** The server takes a thousand ids at once. */
async function inParts(action, ids) {
  const jobs = [];
  for (let start = 0; start < ids.length; start += 1000) {
    const part = await ask("POST", `/api/v1/jobs/${action}`, { ids: ids.slice(start, start + 1000) });
    jobs.push(...part.jobs);
  }
  return jobs;
}

async function copied(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    // no clipboard, or no leave to use it
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
