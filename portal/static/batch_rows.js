// The visible part of a batch's jobs, and what filters them.

import { BY_STATE } from "./board.js";
import { arrange, element, setText, show } from "./dom.js";
import { isCollection } from "./job_facts.js";
import { JobRow } from "./job_row.js";
import { sortedJobs } from "./sorting.js";
import { text } from "./text.js";

/** Rows shown at first, and how many each "Show more" adds. */
const PAGE = 50;
const MORE = 200;

/** From so many jobs on there are filters, and rows are lower. */
const MANY = 10;
const LONG = 21;

/** Rows of one list: lists out of sight cost nothing, whatever happens to their rows. In tiles it fills 2 to 6 columns. */
const CHUNK = 60;

export class BatchRows {
  /** @param {HTMLElement} place the batch's content @param {import("./board.js").Board} board */
  constructor(place, board) {
    this._board = board;
    this._filter = null; // none chosen yet
    this._shown = PAGE;
    this._rows = new Map();
    this._dirty = new Set();
    this._place = place.querySelector(".lists");
    this._lists = [];
    this._group = place.querySelector(".filters");
    this._none = place.querySelector(".none");
    this._more = place.querySelector(".more");
    this._last = null;
    this._makeFilters();
    // By a button: rows loaded while scrolling would push away the next batch, which the user is scrolling to.
    this._more.addEventListener("click", () => {
      this._shown += MORE;
      this.paint(...this._last);
    });
  }

  /** Repaint the row of a job next time. @param {string} jobId */
  touch(jobId) {
    this._dirty.add(jobId);
  }

  /** Paint the rows with a countdown. */
  tick() {
    for (const [id, row] of this._rows) {
      const job = this._board.jobs.get(id);
      const counts = job?.state === "waiting" || (job?.state === "queued" && this._board.cooldowns.has(job.platform));
      if (counts && row.element.isConnected) row.paint(job, this._board);
    }
  }

  /** Paint every row again, next time. */
  touchAll() {
    for (const id of this._rows.keys()) this._dirty.add(id);
  }

  /**
   * Paint what changed.
   * @param {import("./board.js").Job[]} jobs all that are not hidden
   * @param {Record<string, number>} states how many of them, without collections, are in each state
   */
  paint(jobs, states) {
    this._last = [jobs, states];
    const { succeeded, failed, cancelled, queued, running, waiting } = states;
    const active = queued + running + waiting;
    const counts = { all: active + failed + cancelled + succeeded, active, failed, cancelled, done: succeeded };
    // Of more than one page, show first what is still pending.
    const filter = this._filter ?? (counts.all > PAGE && active > 0 ? "active" : "all");
    show(this._group, counts.all >= MANY || filter !== "all");
    this._paintFilters(filter, counts);
    this._place.classList.toggle("compact", counts.all >= LONG);
    const posts = jobs.filter((job) => !isCollection(job));
    const matching = sortedJobs(posts.filter(BY_STATE[filter]));
    if (filter === "active") matching.sort((a, b) => (b.state === "running") - (a.state === "running"));
    // Collections first, whatever is filtered: from them more is taken.
    const collections = jobs.filter(isCollection);
    const shown = matching.slice(0, this._shown);
    this._arrange([collections, ...chunks(shown)].filter((list) => list.length > 0));
    for (const id of this._dirty) {
      const job = this._board.jobs.get(id);
      if (job) this._rows.get(id)?.paint(job, this._board);
      else this._rows.delete(id);
    }
    this._dirty.clear();
    show(this._none, shown.length + collections.length === 0);
    show(this._more, matching.length > this._shown);
    setText(this._more, text("show_more", { count: Math.min(MORE, matching.length - this._shown) }));
  }

  /** @param {import("./board.js").Job[][]} lists */
  _arrange(lists) {
    const had = this._place.contains(document.activeElement) ? document.activeElement : null;
    while (this._lists.length < lists.length) this._lists.push(element("ol", { class: "jobs" }));
    arrange(this._place, this._lists.slice(0, lists.length));
    for (const [index, jobs] of lists.entries()) {
      this._lists[index].style.setProperty("--rows", String(jobs.length));
      arrange(this._lists[index], jobs.map((job) => this._row(job).element));
    }
    if (had?.isConnected) had.focus({ preventScroll: true }); // its row was moved to another list
  }

  _paintFilters(filter, counts) {
    for (const [name, button] of this._filters) {
      setText(button, text(`filter_${name}`, { count: counts[name] }));
      const pressed = String(name === filter);
      if (button.getAttribute("aria-pressed") !== pressed) button.setAttribute("aria-pressed", pressed);
      show(button, counts[name] > 0 || name === filter);
    }
  }

  _row(job) {
    let row = this._rows.get(job.job_id);
    if (!row) {
      row = new JobRow(job);
      row.paint(job, this._board);
      this._rows.set(job.job_id, row);
    }
    return row;
  }

  _makeFilters() {
    this._filters = new Map(
      Object.keys(BY_STATE).map((name) => {
        const button = element("button", { type: "button", class: "chip", "aria-pressed": "false" });
        button.addEventListener("click", () => {
          this._filter = name;
          this._shown = PAGE;
          this.paint(...this._last);
        });
        this._group.append(button);
        return [name, button];
      }),
    );
  }
}

function chunks(jobs) {
  return Array.from({ length: Math.ceil(jobs.length / CHUNK) }, (_, index) => jobs.slice(index * CHUNK, (index + 1) * CHUNK));
}
