// The actions of a job's buttons, and of the menu beside them.

import { ask, pathOf, send } from "./api.js";
import { copy } from "./clipboard.js";
import { deleteSoon } from "./deletion.js";
import { canRetry, hasRest, isCollection, opening, restLabel } from "./job_facts.js";
import { saveAddress } from "./job_row.js";
import { parseLink } from "./links.js";
import { toggleMenu } from "./menu.js";
import { offerUndo, say, sayError } from "./notices.js";
import { play } from "./player.js";
import { text } from "./text.js";

/** The server takes so many ids at once. */
const MOST_IDS = 1000;

/**
 * @typedef {{board: import("./board.js").Board, live: import("./live.js").Live,
 *   openCookies: (job: import("./board.js").Job) => Promise<void>}} Page
 */

/** @param {Page} page whose jobs have buttons with `data-action` or `data-menu`, anywhere in it */
export function startJobActions(page) {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-action], button[data-menu=job]");
    const job = page.board.jobs.get(button?.closest("[data-job]")?.dataset.job);
    // The second half of a double click would hit the button that replaced this one.
    if (!job || event.detail > 1) return;
    if (button.dataset.menu) toggleMenu(button, menuOf(job, page, button));
    else await act(button.dataset.action, job, page, button);
  });
  document.addEventListener("click", saveIfThere);
  document.addEventListener("toggle", showDetail, true); // it does not bubble
}

/** @param {Page} page @param {string[]} ids */
export async function cancelJobs(page, ids) {
  const cancelled = await change(page, "cancel", ids);
  offerRestart(page, cancelled);
}

/** Say that jobs were cancelled; undo queues them again. @param {Page} page @param {string[]} ids */
export function offerRestart(page, ids) {
  const undo = () => retryJobs(page, ids).catch(sayError);
  if (ids.length > 0) offerUndo(text("cancelled_now", { count: ids.length }), undo);
}

/** @param {Page} page @param {string[]} ids */
export async function retryJobs(page, ids) {
  const { length: count } = await change(page, "retry", ids);
  say(text("retried_now", { count }));
}

async function takeRest({ board, live }, id) {
  await live.holding(async () => {
    const { job } = await ask("POST", `/api/v1/jobs/${encodeURIComponent(id)}/expand`, {});
    board.takeJobs([job]);
  });
  say(text("rest_wanted"));
}

const ACTIONS = {
  play: async (job) => play(job),
  view: async (job) => play(job),
  copy_path: (job) => copy(job.files.join("\n")),
  copy_link: (job) => copy(job.url),
  cancel: (job, page) => cancelJobs(page, [job.job_id]),
  retry: (job, page) => retryJobs(page, [job.job_id]),
  take_rest: (job, page) => takeRest(page, job.job_id),
  cookies: async (job, page) => page.openCookies(job),
  remove: async (job, page, button) => remove(job, page, button, false),
  delete: async (job, page, button) => remove(job, page, button, true),
};

async function act(action, job, page, button) {
  try {
    await ACTIONS[action](job, page, button);
  } catch (error) {
    sayError(error);
  }
}

function remove(job, { board, live }, button, withFiles) {
  if (!board.jobs.has(job.job_id)) return; // deleted in another tab
  const row = button.closest(".job") ?? document.activeElement.closest(".job");
  if (row) leave(row);
  const path = `/api/v1/jobs/${encodeURIComponent(job.job_id)}?files=${withFiles}`;
  deleteSoon(board, live, [job.job_id], { withFiles, path });
}

/** Move the focus out of a row that goes away, to one beside it. @param {HTMLElement} row */
function leave(row) {
  if (!row.contains(document.activeElement)) return;
  const neighbour = shownBeside(row, "nextElementSibling") ?? shownBeside(row, "previousElementSibling");
  const batch = row.closest(".batch");
  const beside = batch && (shownBeside(batch, "nextElementSibling") ?? shownBeside(batch, "previousElementSibling"));
  const entry = batch?.querySelector(".toggle") ?? beside?.querySelector(".toggle, .job");
  (neighbour ?? entry ?? document.getElementById(batch ? "links" : "history-text")).focus();
}

/** @param {Element} row @param {"nextElementSibling" | "previousElementSibling"} next @returns {Element | null} */
function shownBeside(row, next) {
  let beside = row[next];
  while (beside && (beside.hidden || !beside.matches(".job, .batch"))) beside = beside[next];
  return beside;
}

/** What can be done with a job beside what its buttons offer. @returns {import("./menu.js").MenuItem[]} */
function menuOf(job, page, button) {
  const item = (action, symbol, more = {}) => ({
    label: text(action),
    icon: symbol,
    act: () => act(action, page.board.jobs.get(job.job_id) ?? job, page, button),
    ...more,
  });
  const link = parseLink(job.url)?.url;
  const list = isCollection(job);
  const hasFiles = job.state === "succeeded" && !list && job.files.length > 0;
  const isSavable = hasFiles || (list && page.board.entriesOf(job).done > 0);
  const isFinal = ["succeeded", "failed", "cancelled"].includes(job.state);
  return [
    opening(job) && item(opening(job), opening(job) === "view" ? "pictures" : "play"),
    isSavable && { label: text("save"), icon: "save", href: saveAddress(job), download: true },
    hasRest(job) && { ...item("take_rest", "stack"), label: restLabel(job) },
    canRetry(job) && item("retry", "retry"),
    item("copy_link", "link"),
    hasFiles && item("copy_path", "copy"),
    link && { label: text("open_post"), icon: "open", href: link },
    !isFinal && item("cancel", "cancel"),
    isFinal && item("remove", "remove"),
    hasFiles && item("delete", "delete", { danger: true }),
  ].filter(Boolean);
}

/**
 * Events are held back, because the response may be older than they are.
 * @returns {Promise<string[]>} ids of the jobs that changed
 */
function change({ board, live }, action, ids) {
  return live.holding(async () => {
    const changed = [];
    for (let start = 0; start < ids.length; start += MOST_IDS) {
      const { jobs } = await ask("POST", `/api/v1/jobs/${action}`, { ids: ids.slice(start, start + MOST_IDS) });
      board.takeJobs(jobs);
      changed.push(...jobs.map((job) => job.job_id));
    }
    return changed;
  });
}

/** Show yt-dlp's own words about a failure, which events don't have. */
async function showDetail({ target }) {
  const id = target.closest("[data-job]")?.dataset.job;
  if (!id || !target.matches("details[open]")) return;
  try {
    const { job } = await ask("GET", `/api/v1/jobs/${encodeURIComponent(id)}`);
    target.querySelector("p").textContent = job.detail ?? text("details_none");
  } catch (error) {
    sayError(error);
  }
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
