// All downloads by day, with search, filters, a choice of their order, and of many at once.

import { ask } from "./api.js";
import { element, setText, show } from "./dom.js";
import { jobsOf } from "./entries.js";
import { JobRow } from "./job_row.js";
import { sayError } from "./notices.js";
import { PLATFORMS } from "./platforms.js";
import { Selection } from "./selection.js";
import { date, text, timeOf } from "./text.js";

const PAGE = 50;

/** So many can be chosen at once. */
const MOST = 5000;

const TYPING_MS = 250;
const STATES = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"];
const KINDS = ["video", "audio", "photos", "collection"];
const WIDE = matchMedia("(min-width: 40.01rem)");

const form = document.getElementById("history-form");
const filters = document.getElementById("history-filters");
const list = document.getElementById("history-jobs");
const more = document.getElementById("history-more");
const status = document.getElementById("history-status");
const reset = document.getElementById("history-reset");
const select = document.getElementById("history-select");
const selectionBar = document.getElementById("history-selection");
const toolbar = document.getElementById("history-tools");

export class HistoryView {
  /** @param {import("./job_actions.js").Page} page */
  constructor(page) {
    this._board = page.board;
    this._live = page.live;
    this._rows = new Map();
    this._found = new Set(); // ids of those with a row, and of those that were chosen without one
    this._cursor = null;
    this._total = 0;
    this._turn = 0;
    this._timer = 0;
    this._isDue = false;
    this._selection = new Selection(list, selectionBar, toolbar, page, () => this._all());
    select.addEventListener("click", () => this._selection.start());
    this._fillChoices();
    filters.open = WIDE.matches;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      this._selection.stop(); // what is chosen would be out of sight
      clearTimeout(this._timer);
      this._timer = setTimeout(() => this.load(), TYPING_MS);
    });
    form.addEventListener("reset", () => setTimeout(() => this.load())); // once the form is empty
    more.addEventListener("click", () => this._page());
    addEventListener("keydown", (event) => {
      if (location.hash === "#history" && isTyped(event)) form.elements.text.focus(); // the key goes there
    });
  }

  /** Load the first page of what is searched for. */
  async load() {
    this._rows.clear();
    this._found.clear();
    this._cursor = null;
    list.replaceChildren();
    await this._page();
  }

  /** @param {import("./board.js").Job} job that changed */
  touchJob(job) {
    if (!this._found.has(job.job_id)) return;
    this._selection.touch(job);
    const row = this._rows.get(job.job_id);
    row?.paint(job, this._board);
    if (row) row.element.hidden = this._board.isHidden(job.job_id);
    this._paintCountSoon();
  }

  /** @param {string} jobId of a deleted job */
  forget(jobId) {
    if (!this._found.delete(jobId)) return;
    this._rows.get(jobId)?.element.remove();
    this._rows.delete(jobId);
    this._total -= 1;
    this._selection.touch({ job_id: jobId });
    this._paintCountSoon();
  }

  _fillChoices() {
    const fill = (name, values, label) => form.elements[name].append(...values.map((value) => element("option", { value }, label(value))));
    fill("platform", Object.keys(PLATFORMS), (name) => PLATFORMS[name].label);
    fill("state", STATES, (name) => text(`state_${name}`));
    fill("kind", KINDS, (name) => text(`kinds_${name}`));
    ask("GET", "/api/v1/presets").then(
      ({ presets }) => form.elements.preset.append(...presets.map(({ name, label }) => element("option", { value: name }, label))),
      () => {}, // the others do without it
    );
  }

  /** What is chosen, without what is not. @returns {Record<string, string>} */
  _wanted() {
    const { text: words, sort, days, ...others } = Object.fromEntries(new FormData(form));
    const wanted = { text: words.trim(), ...others, since: days && midnight(Number(days) - 1) };
    return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value));
  }

  async _page() {
    const turn = (this._turn += 1);
    const sort = form.elements.sort.value;
    const query = new URLSearchParams({ limit: String(PAGE), sort, ...this._wanted() });
    if (this._cursor) query.set("cursor", this._cursor);
    try {
      await this._live.holding(async () => {
        const page = await ask("GET", `/api/v1/jobs?${query}`);
        if (turn !== this._turn) return; // a newer search was started
        this._cursor = page.next_cursor;
        this._total = page.total;
        for (const job of page.jobs) this._add(job, sort === "newest" || sort === "oldest");
        this._paintCount();
      });
    } catch (error) {
      if (turn === this._turn) setText(status, error.message);
      sayError(error);
    }
  }

  /** @returns {Promise<import("./board.js").Job[]>} all that match, also those without a row */
  async _all() {
    if (this._cursor !== null && this._found.size < Math.min(this._total, MOST)) {
      let count = 0;
      const query = new URLSearchParams(this._wanted());
      await this._live.holding(async () => {
        const jobs = await jobsOf(query, (page) => (count += page.length) >= MOST);
        for (const job of jobs) this._see(job);
      });
    }
    return [...this._found].filter((id) => !this._board.isHidden(id)).map((id) => this._board.jobs.get(id));
  }

  _see(job) {
    this._board.see(job);
    this._found.add(job.job_id);
  }

  /** Once, however many jobs change at once. */
  _paintCountSoon() {
    if (this._isDue) return;
    this._isDue = true;
    requestAnimationFrame(() => {
      this._isDue = false;
      this._paintCount();
    });
  }

  _paintCount() {
    const rows = [...this._rows.values()];
    const shown = rows.filter((row) => !row.element.hidden).length;
    const count = this._total - [...this._found].filter((id) => this._board.isHidden(id)).length;
    const isFiltered = Object.keys(this._wanted()).length > 0;
    if (count === 0) setText(status, text(isFiltered ? "history_none" : "history_empty"));
    else setText(status, text(shown < count ? "history_shown" : "history_count", { count, shown }));
    show(reset, isFiltered);
    show(select, count > 0);
    show(list, shown > 0);
    show(more, this._cursor !== null && shown < count);
    for (const day of list.children) show(day, day.querySelector(".job:not([hidden])") !== null);
  }

  _add(job, byDay) {
    if (this._rows.has(job.job_id)) return; // it moved to this page while the previous one was read
    this._see(job);
    const row = new JobRow(job);
    row.paint(this._board.jobs.get(job.job_id), this._board);
    row.element.hidden = this._board.isHidden(job.job_id);
    const { created_at: at } = job;
    row.element.querySelector(".line").append(element("time", { datetime: at }, byDay ? timeOf(at) : date(at)));
    this._rows.set(job.job_id, row);
    this._listOf(byDay ? date(at) : null).append(row.element);
  }

  /** The list of a day, or the only one if *day* is null; in their order the last is the one that is filled. */
  _listOf(day) {
    let last = list.lastElementChild;
    if (!last || (last.dataset.day ?? null) !== day) {
      const heading = day === null ? [] : [element("h2", {}, day === date(new Date()) ? text("today") : day)];
      last = element("section", { "data-day": day, "aria-label": day }, ...heading, element("ol", { class: "jobs" }));
      list.append(last);
    }
    return last.querySelector("ol");
  }
}

/** Whether a key writes, where nothing else takes it. @param {KeyboardEvent} event */
function isTyped({ key, ctrlKey, metaKey, altKey, target }) {
  return key.length === 1 && key !== " " && !ctrlKey && !metaKey && !altKey && !target.closest("input, textarea, select, dialog, #menu");
}

/** @param {number} days @returns {string} when that day before today began, here */
function midnight(days) {
  const start = new Date();
  start.setHours(0, 0, 0, 0);
  start.setDate(start.getDate() - days);
  return start.toISOString();
}
