// The page's entry point: creates its parts and connects them.

import { startBanners } from "./banners.js";
import { BatchesView } from "./batches_view.js";
import { Board } from "./board.js";
import { CookiesView } from "./cookies_view.js";
import { Entries } from "./entries.js";
import { refreshStatistics, loadStatistics, startStatistics } from "./statistics_view.js";
import { loadSettings } from "./settings_view.js";
import { startDoubleClicks } from "./double_click.js";
import { HistoryView } from "./history_view.js";
import { startJobActions } from "./job_actions.js";
import { startLinksForm } from "./links_form.js";
import { Live } from "./live.js";
import { startMenu } from "./menu.js";
import { sayError, startNotices } from "./notices.js";
import { registerShell } from "./offline.js";
import { startOptions, takeOptions } from "./options.js";
import { OutboxView } from "./outbox_view.js";
import { startPlayer } from "./player.js";
import { loadPresets, presetChosen, startPresets } from "./presets.js";
import { paintConnection, QueueView } from "./queue_view.js";
import { Selection } from "./selection.js";
import { startSorting } from "./sorting.js";
import { startToolbar } from "./toolbar.js";

const board = new Board({
  onJob: (job) => {
    batches.touchJob(job);
    selection.touch(job);
    history.touchJob(job);
  },
  onBatch: (batch) => batches.touchBatch(batch),
  onGone: (jobIds, batchId) => {
    batches.forget(batchId);
    jobIds.forEach((id) => selection.touch({ job_id: id }));
    jobIds.forEach((id) => history.forget(id));
  },
});
const live = new Live({
  onStart: () => Promise.all([loadPresets(), batches.load(), queue.load(), reloadOpened()]),
  onEvent: (event) => {
    board.takeEvent(event);
    if (event.kind === "batch_created" || event.kind === "job_changed") batches.ensureLoaded(event.batch_id);
    if (event.kind === "job_changed") refreshStatistics();
    if (event.data?.entries) entries.follow(event.job_id);
    if (event.kind === "platform_changed" || event.kind === "queue_changed") queue.load().catch(() => {});
  },
  onProgress: (progress) => board.takeProgress(progress),
  onConnection: (connection) => {
    if (paintConnection(connection) && connection !== "offline") outbox.deliver();
  },
});
const page = { board, live, openCookies: (job) => cookies.open(job) };
const batches = new BatchesView(page);
const entries = new Entries(page);
const history = new HistoryView(page);
const [list, bar, toolbar] = ["batches", "selection", "toolbar"].map((id) => document.getElementById(id));
const selection = new Selection(list, bar, toolbar, page, () => batches.jobs());
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
  if (view === "settings") Promise.all([cookies.load(), loadSettings()]).catch(sayError);
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
startToolbar(page, batches, selection);
startSorting(() => batches.sort());
startPresets();
startOptions();
startLinksForm((links, wanted) => outbox.add(links, { ...presetChosen(), ...takeOptions(), ...wanted }));
showView();
paintConnection("connecting");
outbox.start().catch(sayError);
live.start();
registerShell(document.documentElement.dataset.root, document.documentElement.dataset.digest);
document.documentElement.dataset.started = ""; // start_check.js looks for it
