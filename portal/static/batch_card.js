// A batch on the page: of several links a heading with progress and buttons, which folds; of one link its row alone.

import { address, ask } from "./api.js";
import { BatchRows } from "./batch_rows.js";
import { copy } from "./clipboard.js";
import { copyOf, element, icon, setText, show } from "./dom.js";
import { deleteSoon } from "./deletion.js";
import { offerRestart, retryJobs } from "./job_actions.js";
import { canRetry, isCollection, nameOf } from "./job_facts.js";
import { toggleMenu } from "./menu.js";
import { sayError } from "./notices.js";
import { moment, percent, text } from "./text.js";

/** Batches of fewer links are called by the first of their titles. */
const FEW = 10;

export class BatchCard {
  /**
   * @param {import("./board.js").Batch} batch
   * @param {import("./job_actions.js").Page} page
   * @param {(batchId: string) => Promise<void>} load loads its jobs
   */
  constructor(batch, page, load) {
    this.element = copyOf("batch-template");
    this.element.dataset.batch = batch.id;
    this._id = batch.id;
    this._path = `/api/v1/batches/${encodeURIComponent(batch.id)}`;
    this._page = page;
    this._board = page.board;
    this._load = load;
    this._open = false;
    const find = (selector) => this.element.querySelector(selector);
    this._heading = find(".heading");
    this._secondRound = find(".second-round");
    this._symbol = find(".summary use");
    this._said = find(".summary span");
    this._bar = find(".bar");
    this._content = find(".content");
    this._rows = new BatchRows(this._content, this._board);
    this._makeToggle(find("h3"));
    this._makeButtons(find(".actions"));
    this.paint();
  }

  /** Whether it shows its jobs. */
  get open() {
    return this._open || this._isSingle;
  }

  /** What it is sorted by. @returns {{time: string, name: string, state: string}} */
  get facts() {
    const [job] = this._isSingle ? (this._batch.jobs?.values() ?? []) : [];
    const { created_at: time } = this._batch;
    return { time, name: job ? nameOf(job) : calledOf(this._batch), state: job?.state ?? SYMBOLS[this._state] };
  }

  /** Show or hide its jobs. */
  async toggle(open = !this._open) {
    this._open = open;
    this._toggle.setAttribute("aria-expanded", String(open));
    this._toggle.title = text(open ? "batch_hide" : "batch_show");
    try {
      if (open && this._batch?.jobs === null) await this._load(this._id);
    } catch (error) {
      sayError(error);
    }
    this.paint();
  }

  /** Repaint the row of *job* next time. */
  touch(job) {
    this._rows.touch(job.job_id);
    if (job.parent_id) this._rows.touch(job.parent_id); // which counts it
  }

  /** Paint what changed. */
  paint() {
    const batch = this._batch;
    if (!batch) return;
    const counts = this._board.countsOf(batch);
    show(this._heading, !this._isSingle);
    show(this._content, this.open && batch.jobs !== null);
    this.element.classList.toggle("single", this._isSingle);
    if (!this._isSingle) this._paintHeading(batch, counts);
    if (this.open && batch.jobs) this._rows.paint(this._shownJobs(batch), counts);
  }

  /** Paint the rows with a countdown. */
  tick() {
    if (this.open) this._rows.tick();
  }

  /** Paint every row again: the cooldowns changed. */
  repaint() {
    this._rows.touchAll();
    this.paint();
  }

  get _batch() {
    return this._board.batches.get(this._id);
  }

  /** How it is, as a whole. @returns {keyof SYMBOLS} */
  get _state() {
    const { done, total } = this._board.progressOf(this._batch);
    return stateOf(this._board.countsOf(this._batch), done < total || this._board.isReading(this._batch));
  }

  get _isSingle() {
    const { total = 1, counts = {}, collections = {} } = this._batch ?? {};
    return total === 1 && sum(collections) === 0 && sum(counts) <= 1;
  }

  _paintHeading(batch, counts) {
    const { done, total, share } = this._board.progressOf(batch);
    const reading = this._board.isReading(batch);
    const running = done < total || reading;
    const state = stateOf(counts, running);
    this._paintTitle(batch);
    this.element.dataset.state = state;
    this._symbol.setAttribute("href", `#i-${SYMBOLS[state]}`);
    setText(this._said, summary(counts, done, total, running));
    this._paintBar(counts, total, share, running);
    const retried = batch.second_round_jobs ?? 0;
    show(this._secondRound, retried > 0);
    if (retried > 0) setText(this._secondRound, text(running ? "batch_second_round" : "batch_second_round_over", { count: retried }));
    const { zip, retry, cancel } = this._buttons;
    show(zip, counts.succeeded > 0 && !running);
    const again = this._countRetries(batch, counts);
    show(retry, again > 0 && !running);
    if (again > 0) setText(retry.lastElementChild, this._retryLabel(counts, again));
    show(cancel, running);
  }

  /** A part for each way in which jobs end, as long as some have not. */
  _paintBar({ succeeded, failed, cancelled }, total, share, running) {
    show(this._bar, running && total > 0);
    if (this._bar.hidden) return;
    const ended = { succeeded, failed, cancelled };
    for (const [name, count] of Object.entries(ended)) this._bar.querySelector(`.${name}`).style.flexGrow = String(count);
    const parts = share * total - succeeded - failed - cancelled; // of those that run
    this._bar.querySelector(".succeeded").style.flexGrow = String(succeeded + Math.max(0, parts));
    this._bar.querySelector(".rest").style.flexGrow = String(Math.max(0, total * (1 - share)));
    this._bar.setAttribute("aria-valuenow", String(Math.floor(share * 100)));
    this._bar.setAttribute("aria-valuetext", `${this._said.textContent} (${percent(share)})`);
  }

  /** How many a retry may help; as long as the jobs are not loaded, the server says it. */
  _countRetries(batch, { failed, cancelled }) {
    if (!batch.jobs) return batch.worth_retrying;
    return failed + cancelled + sum(batch.collections) === 0 ? 0 : this._shownJobs(batch).filter(canRetry).length;
  }

  _retryLabel({ failed, cancelled }, again) {
    const count = failed + cancelled;
    return again >= count ? text("batch_retry", { count: again }) : text("batch_retry_some", { again, count });
  }

  _makeToggle(heading) {
    this._name = element("span", { class: "called", dir: "auto" });
    const when = element("span", { class: "when" }, ` · ${moment(this._batch.created_at)}`);
    this._toggle = element("button", { type: "button", class: "toggle", "aria-expanded": "false" }, icon("down"), element("span", {}, this._name, when));
    this._toggle.title = text("batch_show");
    this._toggle.addEventListener("click", () => this.toggle());
    heading.append(this._toggle);
  }

  /** What it is called becomes known while it runs. */
  _paintTitle(batch) {
    const name = calledOf(batch);
    if (name === this._name.textContent) return;
    setText(this._name, name);
    const title = text("batch_title", { name, time: moment(batch.created_at) });
    this._bar.setAttribute("aria-label", text("batch_progress", { title }));
    const { zip, cancel, more } = this._buttons;
    for (const [button, action] of [[zip, "batch_zip"], [cancel, "batch_cancel"], [more, "more"]]) {
      button.setAttribute("aria-label", text("action_on", { action: text(action), title }));
    }
  }

  _makeButtons(group) {
    const zip = element("a", { class: "button", href: address(`${this._path}/zip`), download: true }, icon("save"), label(text("batch_zip")));
    const more = element("button", { type: "button", class: "round", "aria-haspopup": "menu", "aria-expanded": "false", title: text("more") }, icon("more"));
    more.addEventListener("click", (event) => event.detail > 1 || toggleMenu(more, this._menu()));
    this._buttons = {
      zip,
      retry: this._button("retry", text("batch_retry", { count: 0 }), () => this._retry()),
      cancel: this._button("cancel", text("batch_cancel"), () => this._cancel()),
      more,
    };
    group.append(...Object.values(this._buttons));
  }

  _button(symbol, words, act) {
    const button = element("button", { type: "button" }, icon(symbol), label(words));
    button.addEventListener("click", async (event) => {
      if (event.detail > 1 || button.ariaDisabled === "true") return; // a double click counts once
      button.ariaDisabled = "true"; // not `disabled`, which would lose the focus
      await this._try(act);
      button.ariaDisabled = null;
      if (document.activeElement !== button || !this.element.isConnected) return;
      this.paint();
      if (button.hidden) this._toggle.focus();
    });
    return button;
  }

  /** @returns {import("./menu.js").MenuItem[]} */
  _menu() {
    const { done, total } = this._board.progressOf(this._batch);
    const isOver = done === total && !this._board.isReading(this._batch);
    const { succeeded, failed } = this._board.countsOf(this._batch);
    const item = (key, symbol, act, more = {}) => ({ label: text(key), icon: symbol, act: () => this._try(act), ...more });
    const zip = { label: text("batch_zip"), icon: "save", href: this._buttons.zip.getAttribute("href"), download: true };
    return [
      succeeded > 0 && zip,
      item("copy_links", "link", () => this._copy(() => true)),
      failed > 0 && item("copy_failed_links", "link", () => this._copy((job) => job.state === "failed")),
      isOver && item("remove", "remove", () => this._delete(false)),
      isOver && succeeded > 0 && item("delete", "delete", () => this._delete(true), { danger: true }),
    ].filter(Boolean);
  }

  async _try(act) {
    try {
      await act();
    } catch (error) {
      sayError(error);
    }
  }

  async _retry() {
    await retryJobs(this._page, ids((await this._jobs()).filter(canRetry)));
  }

  async _copy(wanted) {
    const jobs = (await this._jobs()).filter(wanted);
    await copy(jobs.map((job) => job.url).join("\n"), text("links_copied", { count: jobs.length }));
  }

  async _cancel() {
    const cancelled = await this._page.live.holding(async () => {
      const { jobs } = await ask("POST", `${this._path}/cancel`);
      this._board.takeJobs(jobs);
      return ids(jobs);
    });
    offerRestart(this._page, cancelled);
  }

  async _delete(withFiles) {
    deleteSoon(this._board, this._page.live, ids(await this._jobs()), { withFiles, path: `${this._path}?files=${withFiles}` });
  }

  /** @returns {Promise<import("./board.js").Job[]>} */
  async _jobs() {
    if (this._batch?.jobs === null) await this._load(this._id);
    return this._batch ? this._shownJobs(this._batch) : []; // it may have been deleted in another tab
  }

  _shownJobs(batch) {
    return [...batch.jobs.values()].filter((job) => !this._board.isHidden(job.job_id));
  }
}

const SYMBOLS = { running: "running", done: "succeeded", failed: "failed", cancelled: "cancelled", partly: "partly" };

/** @returns {keyof SYMBOLS} one colour and one symbol each */
function stateOf({ succeeded, failed, cancelled }, isRunning) {
  if (isRunning) return "running";
  if (failed + cancelled === 0) return "done";
  if (succeeded > 0) return "partly";
  return failed > 0 ? "failed" : "cancelled";
}

function summary({ succeeded, failed, cancelled }, done, total, isRunning) {
  if (isRunning) return total === 0 ? text("batch_state_reading") : text("batch_state_running", { done, total });
  if (total === 0) return text("batch_state_empty");
  if (failed + cancelled === 0) return text("batch_state_done", { count: succeeded });
  const parts = [text("batch_state_succeeded", { succeeded, total })];
  if (failed > 0) parts.push(text("batch_state_failed", { failed }));
  if (cancelled > 0) parts.push(text("batch_state_cancelled", { cancelled }));
  return parts.join(", ");
}

/** @param {import("./board.js").Batch} batch @returns {string} its collection, its first title, or how many links it has */
function calledOf({ total: count, title, jobs, collections }) {
  const all = [...(jobs?.values() ?? [])];
  const list = sum(collections) > 0 && all.find(isCollection);
  const first = list ? nameOf(list) : count < FEW || sum(collections) > 0 ? (all.find((job) => job.title)?.title ?? title) : null;
  if (!first) return text("batch_name", { count });
  return count > 1 ? text("batch_name_first", { title: first, count: count - 1 }) : first;
}

function sum(counts) {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}

/** Words that a narrow screen has no room for. */
function label(words) {
  return element("span", { class: "label" }, words);
}

function ids(jobs) {
  return jobs.map((job) => job.job_id);
}
