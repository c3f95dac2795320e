// A batch on the page: its progress, its buttons and the visible part of its jobs.

import { address, ask } from "./api.js";
import { FINAL } from "./board.js";
import { arrange, copyOf, element, icon, setText, show } from "./dom.js";
import { askDelete, deleteSoon } from "./deletion.js";
import { copy, retryJobs } from "./job_actions.js";
import { JobRow } from "./job_row.js";
import { say, sayError } from "./notices.js";
import { moment, text } from "./text.js";

/** Rows shown at first, and how many each "Show more" adds. */
const PAGE = 50;
const MORE = 200;

/** A delete button is disabled this long after it appears: a click meant for the button before it must not hit it. */
const SETTLE_MS = 1000;

const FILTERS = {
  all: () => true,
  active: (job) => !FINAL.has(job.state),
  failed: (job) => job.state === "failed",
  cancelled: (job) => job.state === "cancelled",
  done: (job) => job.state === "succeeded",
};

export class BatchCard {
  /**
   * @param {import("./board.js").Batch} batch
   * @param {import("./board.js").Board} board
   * @param {import("./live.js").Live} live
   * @param {(batchId: string) => Promise<void>} load loads its jobs
   */
  constructor(batch, board, live, load) {
    this.element = copyOf("batch-template");
    this.element.dataset.batch = batch.id;
    this._id = batch.id;
    this._path = `/api/v1/batches/${encodeURIComponent(batch.id)}`;
    this._board = board;
    this._live = live;
    this._load = load;
    this._filter = null; // none chosen yet
    this._shown = PAGE;
    this._rows = new Map();
    this._dirty = new Set();
    const find = (selector) => this.element.querySelector(selector);
    this._summary = find(".summary");
    this._secondRound = find(".second-round");
    this._bar = find("progress");
    this._content = find(".content");
    this._list = find(".jobs");
    this._none = find(".none");
    this._more = find(".more");
    this._title = text("batch_title", { count: batch.total, time: moment(batch.created_at) });
    this._heading = find("h3");
    this._bar.setAttribute("aria-label", text("batch_progress", { title: this._title }));
    this._makeHeading();
    this._makeButtons(find(".heading .actions"));
    this._makeFilters(find(".filters"));
    // By a button: rows loaded while scrolling would push away the next batch, which the user is scrolling to.
    this._more.addEventListener("click", () => {
      this._shown += MORE;
      this.paint();
    });
    this.paint();
  }

  get open() {
    return !this._content.hidden;
  }

  /** Show or hide its jobs. */
  async toggle(open = !this.open) {
    show(this._content, open);
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
    this._dirty.add(job.job_id);
  }

  /** Paint what changed. */
  paint() {
    const batch = this._batch;
    if (!batch) return;
    const { done, total, share } = this._board.progressOf(batch);
    const counts = this._board.countsOf(batch);
    const { succeeded, failed, cancelled } = counts;
    this.element.dataset.state = stateOf(counts, done < total);
    this._bar.value = share;
    setText(this._summary, summary(counts, done, total));
    const retried = batch.second_round_jobs ?? 0;
    show(this._secondRound, retried > 0);
    const key = done < total ? "batch_second_round" : "batch_second_round_over";
    if (retried > 0) setText(this._secondRound, text(key, { count: retried }));
    show(this._buttons.zip, succeeded > 0);
    show(this._buttons.retryFailed, failed > 0);
    show(this._buttons.retryCancelled, cancelled > 0 && done === total);
    show(this._buttons.copyFailed, failed > 0);
    show(this._buttons.cancel, done < total);
    this._showDelete(done === total);
    if (this.open && batch.jobs) this._paintJobs(batch, counts);
  }

  /** Paint the rows with a countdown. */
  tick() {
    if (!this.open) return;
    for (const [id, row] of this._rows) {
      const job = this._board.jobs.get(id);
      if (job?.state === "waiting" && row.element.isConnected) row.paint(job, undefined);
    }
  }

  get _batch() {
    return this._board.batches.get(this._id);
  }

  _showDelete(visible) {
    const button = this._buttons.delete;
    if (visible && button.hidden) {
      button.disabled = true;
      setTimeout(() => (button.disabled = false), SETTLE_MS);
    }
    show(button, visible);
  }

  _paintJobs(batch, { succeeded, failed, cancelled, queued, running, waiting }) {
    const active = queued + running + waiting;
    const counts = { all: active + failed + cancelled + succeeded, active, failed, cancelled, done: succeeded };
    // Of more than one page, show first what is still pending.
    const filter = this._filter ?? (counts.all > PAGE && counts.active > 0 ? "active" : "all");
    for (const [name, button] of this._filters) {
      setText(button, text(`filter_${name}`, { count: counts[name] }));
      const pressed = String(name === filter);
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
      if (name === "cancelled") show(button, cancelled > 0 || name === filter);
    }
    const jobs = this._shownJobs(batch).filter(FILTERS[filter]);
    if (filter === "active") jobs.sort((a, b) => (b.state === "running") - (a.state === "running"));
    const matching = jobs.length;
    arrange(this._list, jobs.slice(0, this._shown).map((job) => this._row(job).element));
    for (const id of this._dirty) {
      const job = batch.jobs.get(id);
      if (job) this._rows.get(id)?.paint(job, this._board.progress.get(id));
      else this._rows.delete(id);
    }
    this._dirty.clear();
    show(this._none, matching === 0);
    show(this._more, matching > this._shown);
    setText(this._more, text("show_more", { count: Math.min(MORE, matching - this._shown) }));
  }

  _row(job) {
    let row = this._rows.get(job.job_id);
    if (!row) {
      row = new JobRow(job);
      row.paint(job, this._board.progress.get(job.job_id));
      this._rows.set(job.job_id, row);
    }
    return row;
  }

  _makeHeading() {
    this._toggle = element("button", { type: "button", class: "toggle", "aria-expanded": "false" }, icon("down"), this._title);
    this._toggle.title = text("batch_show");
    this._toggle.addEventListener("click", () => this.toggle());
    this._heading.append(this._toggle);
  }

  _makeFilters(group) {
    this._filters = new Map(
      Object.keys(FILTERS).map((name) => {
        const button = element("button", { type: "button", class: "chip", "aria-pressed": "false" });
        button.addEventListener("click", () => {
          this._filter = name;
          this._shown = PAGE;
          this.paint();
        });
        group.append(button);
        return [name, button];
      }),
    );
  }

  _makeButtons(group) {
    const zip = element("a", { class: "button", href: address(`${this._path}/zip`), download: true }, icon("save"), text("batch_zip"));
    zip.setAttribute("aria-label", text("action_on", { action: text("batch_zip"), title: this._title }));
    this._buttons = {
      zip,
      retryFailed: this._button("retry_failed", "retry", () => this._retry("failed")),
      retryCancelled: this._button("retry_cancelled", "retry", () => this._retry("cancelled")),
      copyFailed: this._button("copy_failed", "link", () => this._copyFailed()),
      cancel: this._button("cancel", "cancel", () => this._cancel()),
      delete: this._button("delete", "delete", () => this._delete()),
    };
    group.append(...Object.values(this._buttons));
  }

  /** @param {string} name @param {string} symbol @param {() => Promise<void>} act */
  _button(name, symbol, act) {
    const label = text("action_on", { action: text(`batch_${name}`), title: this._title });
    const button = element("button", { type: "button", "aria-label": label }, icon(symbol), text(`batch_${name}`));
    button.addEventListener("click", async (event) => {
      if (event.detail > 1 || button.ariaDisabled === "true") return; // a double click counts once
      button.ariaDisabled = "true"; // not `disabled`, which would lose the focus
      try {
        await act();
      } catch (error) {
        sayError(error);
      }
      button.ariaDisabled = null;
      if (document.activeElement !== button || !this.element.isConnected) return;
      this.paint();
      if (button.hidden) this._toggle.focus();
    });
    return button;
  }

  /** @param {string} state of the jobs to retry */
  async _retry(state) {
    await retryJobs(this._board, this._live, retryable(await this._jobsIn(state)));
  }

  async _copyFailed() {
    const failed = await this._jobsIn("failed");
    await copy(failed.map((job) => job.url).join("\n"), text("failed_copied", { count: failed.length }));
  }

  async _cancel() {
    const count = await this._live.holding(async () => {
      const { jobs } = await ask("POST", `${this._path}/cancel`);
      this._board.takeJobs(jobs);
      return jobs.length;
    });
    say(text("cancelled_now", { count }));
  }

  async _delete() {
    const { total } = this._board.progressOf(this._batch);
    const what = await askDelete(text("delete_batch_text", { count: total }));
    if (what === null) return;
    deleteSoon(this._board, this._live, ids(await this._jobs()), `${this._path}?files=${what === "files"}`);
  }

  /** @returns {Promise<import("./board.js").Job[]>} */
  async _jobs() {
    if (this._batch?.jobs === null) await this._load(this._id);
    return this._batch ? this._shownJobs(this._batch) : []; // it may have been deleted in another tab
  }

  /** @returns {Promise<import("./board.js").Job[]>} */
  async _jobsIn(state) {
    return (await this._jobs()).filter((job) => job.state === state);
  }

  _shownJobs(batch) {
    return [...batch.jobs.values()].filter((job) => !this._board.isHidden(job.job_id));
  }
}

/** @returns {"running" | "failed" | "cancelled" | "done"} */
function stateOf({ succeeded, failed, cancelled }, isRunning) {
  if (isRunning) return "running";
  if (failed > 0) return "failed";
  return cancelled > 0 && succeeded === 0 ? "cancelled" : "done";
}

function summary({ succeeded, failed, cancelled }, done, total) {
  if (done < total) return text("batch_state_running", { done, total });
  if (cancelled > 0) return text("batch_state_cancelled", { succeeded, total, failed, cancelled });
  if (failed > 0) return text("batch_state_mixed", { succeeded, total, failed });
  return text("batch_state_done", { count: succeeded });
}

function ids(jobs) {
  return jobs.map((job) => job.job_id);
}

function retryable(jobs) {
  return ids(jobs.filter((job) => job.platform !== "unknown"));
}
