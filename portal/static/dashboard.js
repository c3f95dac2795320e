// The page's entry point: creates its parts and connects them.

import { BatchesView } from "./batches_view.js";
import { Board } from "./board.js";
import { startDeletion } from "./deletion.js";
import { refreshStatistics, loadStatistics, startStatistics } from "./statistics_view.js";
import { HistoryView } from "./history_view.js";
import { startJobActions } from "./job_actions.js";
import { startLinksForm } from "./links_form.js";
import { Live } from "./live.js";
import { sayError, startNotices } from "./notices.js";
import { registerShell } from "./offline.js";
import { OutboxView } from "./outbox_view.js";
import { startPlayer } from "./player.js";
import { paintConnection, QueueView } from "./queue_view.js";
import { text } from "./text.js";

const THEMES = ["auto", "light", "dark"];

const board = new Board({
  onJob: (job) => {
    batches.touchJob(job);
    history.touchJob(job);
  },
  onBatch: (batch) => batches.touchBatch(batch),
  onGone: (jobIds, batchId) => {
    batches.forget(batchId);
    jobIds.forEach((id) => history.forget(id));
  },
});
const live = new Live({
  onStart: () => Promise.all([batches.load(), queue.load(), reloadOpened()]),
  onEvent: (event) => {
    board.takeEvent(event);
    if (event.kind === "batch_created" || event.kind === "job_changed") batches.ensureLoaded(event.batch_id);
    if (event.kind === "job_changed") refreshStatistics();
    if (event.kind === "platform_changed" || event.kind === "queue_changed") queue.load().catch(() => {});
  },
  onProgress: (progress) => board.takeProgress(progress),
  onConnection: (connection) => {
    if (paintConnection(connection) && connection !== "offline") outbox.deliver();
  },
});
const batches = new BatchesView(board, live);
const history = new HistoryView(board, live);
const queue = new QueueView();
const outbox = new OutboxView(live, (detail) => batches.add(detail));

let startedBefore = false;

/** History and statistics load when they are opened, and again after events were missed. */
async function reloadOpened() {
  const missed = startedBefore;
  startedBefore = true;
  if (!missed) return;
  refreshStatistics();
  if (location.hash === "#history") await history.load();
}

/** Show the view named in the address. */
function showView() {
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close()); // Back, to another view
  const wanted = location.hash.slice(1);
  const views = [...document.querySelectorAll("[data-view]")];
  const view = views.find((each) => each.dataset.view === wanted)?.dataset.view ?? "downloads";
  views.forEach((each) => (each.hidden = each.dataset.view !== view));
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "history") history.load();
  if (view === "statistics") loadStatistics();
}

function startTheme() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const paint = () => {
    const label = text("theme", { theme: text(`theme_${root.dataset.theme ?? "auto"}`) });
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("theme", next);
    } catch {
      // no storage in this browser
    }
    paint();
  });
  paint();
}

addEventListener("hashchange", showView);
startTheme();
startNotices();
startPlayer();
startDeletion();
startStatistics();
startJobActions(board, live);
startLinksForm((links) => outbox.add(links));
showView();
paintConnection("connecting");
outbox.start().catch(sayError);
live.start();
registerShell(document.documentElement.dataset.root, document.documentElement.dataset.digest);
document.documentElement.dataset.started = ""; // start_check.js looks for it
