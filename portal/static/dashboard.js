// The page's entry point: creates its parts and connects them.

import { startBanners } from "./banners.js";
import { BatchesView } from "./batches_view.js";
import { Board } from "./board.js";
import { CookiesView } from "./cookies_view.js";
import { refreshStatistics, loadStatistics, startStatistics } from "./statistics_view.js";
import { startDoubleClicks } from "./double_click.js";
import { HistoryView } from "./history_view.js";
import { startJobActions } from "./job_actions.js";
import { startLinksForm } from "./links_form.js";
import { Live } from "./live.js";
import { startMenu } from "./menu.js";
import { sayError, startNotices } from "./notices.js";
import { registerShell } from "./offline.js";
import { OutboxView } from "./outbox_view.js";
import { startPlayer } from "./player.js";
import { loadPresets, presetChosen, startPresets } from "./presets.js";
import { paintConnection, QueueView } from "./queue_view.js";

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
  onStart: () => Promise.all([loadPresets(), batches.load(), queue.load(), reloadOpened()]),
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
const page = { board, live, openCookies: (job) => cookies.open(job) };
const batches = new BatchesView(page);
const history = new HistoryView(board, live);
const queue = new QueueView(board, () => batches.repaint());
const cookies = new CookiesView(page, () => queue.load().catch(() => {}));
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
  if (view === "settings") cookies.load().catch(sayError);
}

function startTheme() {
  const choice = document.getElementById("theme");
  const root = document.documentElement;
  choice.value = root.dataset.theme ?? "auto";
  choice.addEventListener("change", () => {
    if (choice.value === "auto") delete root.dataset.theme;
    else root.dataset.theme = choice.value;
    try {
      localStorage.setItem("theme", choice.value);
    } catch {
      // no storage in this browser
    }
  });
}

addEventListener("hashchange", showView);
startDoubleClicks();
startTheme();
startBanners();
startNotices();
startPlayer();
startStatistics();
startMenu();
startJobActions(page);
startPresets();
startLinksForm((links) => outbox.add(links, presetChosen()));
showView();
paintConnection("connecting");
outbox.start().catch(sayError);
live.start();
registerShell(document.documentElement.dataset.root, document.documentElement.dataset.digest);
document.documentElement.dataset.started = ""; // start_check.js looks for it
