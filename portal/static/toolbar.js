// The buttons above the batches: for what is finished, for what failed, for choosing rows, for the layout.

import { deleteSoon } from "./deletion.js";
import { setText, show } from "./dom.js";
import { jobsOf } from "./entries.js";
import { retryJobs } from "./job_actions.js";
import { canRetry } from "./job_facts.js";
import { say, sayError } from "./notices.js";
import { bytes, text } from "./text.js";

const LAYOUT = "layout";

/** So many are cleared at once. */
const MOST = 5000;

const clear = document.getElementById("clear-finished");
const retry = document.getElementById("retry-failed");
const select = document.getElementById("select");
const layout = document.getElementById("layout");
const sort = document.getElementById("sort");
const queueState = document.getElementById("queue-state");

/**
 * @param {import("./job_actions.js").Page} page
 * @param {import("./batches_view.js").BatchesView} batches
 * @param {import("./selection.js").Selection} selection
 */
export function startToolbar(page, batches, selection) {
  const does = (button, act) => button.addEventListener("click", (event) => event.detail > 1 || act().catch(sayError));
  does(clear, () => clearFinished(page));
  does(retry, async () => retryJobs(page, (await batches.jobs()).filter(isHopeful).map((job) => job.job_id)));
  select.addEventListener("click", () => selection.start());
  paintLayout(stored());
  layout.addEventListener("click", () => {
    const wanted = document.documentElement.dataset.layout === "grid" ? "list" : "grid";
    store(wanted);
    paintLayout(wanted);
  });
}

/** Show what there is to do. @param {import("./board.js").Board} board */
export function paintToolbar(board) {
  let [finished, failed, shown, running, pending] = [0, 0, 0, 0, 0];
  for (const batch of board.batches.values()) {
    const counts = board.countsOf(batch);
    finished += counts.succeeded + counts.cancelled;
    running += counts.running;
    pending += counts.queued + counts.waiting;
    shown += board.isShown(batch) ? 1 : 0;
    if (counts.failed > 0) failed += batch.jobs ? hopeful(board, batch) : Math.min(counts.failed, batch.worth_retrying);
  }
  show(clear, finished > 0);
  show(retry, failed > 0);
  setText(retry.querySelector(".count"), String(failed));
  setText(retry.lastElementChild, text("retry_failed", { count: failed }));
  retry.setAttribute("aria-label", retry.lastElementChild.textContent);
  show(select, shown > 0);
  show(layout, shown > 0);
  show(sort, shown > 1);
  setText(queueState, running + pending > 0 ? stateOf(running, pending, speedOf(board)) : "");
}

/** What there is to do, and how fast it gets less. */
function stateOf(running, pending, speed) {
  const parts = [running > 0 && text("queue_running", { count: running }), pending > 0 && text("queue_pending", { count: pending })];
  return [...parts, speed > 0 && text("per_second", { bytes: bytes(speed) })].filter(Boolean).join(" · ");
}

function speedOf(board) {
  let sum = 0;
  for (const { phase, speed_bytes_per_second: speed } of board.progress.values()) if (phase === "downloading") sum += speed ?? 0;
  return sum;
}

function hopeful(board, batch) {
  let count = 0;
  for (const job of batch.jobs.values()) if (isHopeful(job) && !board.isHidden(job.job_id)) count += 1;
  return count;
}

function isHopeful(job) {
  return job.state === "failed" && canRetry(job);
}

/** Remove from the list what is done or was cancelled; what failed stays, and so do collections with entries to come. */
async function clearFinished({ board, live }) {
  let count = 0;
  const found = await jobsOf("state=succeeded,cancelled", (page) => (count += page.length) >= MOST);
  const over = found.filter(({ entries, job_id: id }) => !board.isHidden(id) && !(entries && entries.done + entries.failed < entries.taken));
  if (over.length === 0) say(text("nothing_finished"));
  deleteSoon(board, live, over.map((job) => job.job_id), { withFiles: false });
}

function paintLayout(wanted) {
  document.documentElement.dataset.layout = wanted;
  const other = text(wanted === "grid" ? "layout_list" : "layout_grid");
  layout.querySelector("use").setAttribute("href", wanted === "grid" ? "#i-list" : "#i-grid");
  layout.setAttribute("aria-label", other);
  layout.title = other;
}

function stored() {
  try {
    return localStorage.getItem(LAYOUT) === "grid" ? "grid" : "list";
  } catch {
    return "list";
  }
}

function store(wanted) {
  try {
    localStorage.setItem(LAYOUT, wanted);
  } catch {
    // no storage in this browser: it stays as long as the page
  }
}
