// All downloads, with search.

import { ask } from "./api.js";
import { element, setText, show } from "./dom.js";
import { JobRow } from "./job_row.js";
import { sayError } from "./notices.js";
import { PLATFORMS } from "./platforms.js";
import { text } from "./text.js";

const PAGE = 50;
const TYPING_MS = 250;
const STATES = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"];

const form = document.getElementById("history-form");
const search = document.getElementById("history-text");
const platform = document.getElementById("history-platform");
const state = document.getElementById("history-state");
const list = document.getElementById("history-jobs");
const more = document.getElementById("history-more");
const status = document.getElementById("history-status");

export class HistoryView {
  /** @param {import("./board.js").Board} board @param {import("./live.js").Live} live */
  constructor(board, live) {
    this._board = board;
    this._live = live;
    this._rows = new Map();
    this._cursor = null;
    this._turn = 0;
    this._timer = 0;
    for (const [name, { label }] of Object.entries(PLATFORMS)) platform.append(element("option", { value: name }, label));
    for (const name of STATES) state.append(element("option", { value: name }, text(`state_${name}`)));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      clearTimeout(this._timer);
      this._timer = setTimeout(() => this.load(), TYPING_MS);
    });
    more.addEventListener("click", () => this._page());
  }

  /** Load the first page of what is searched for. */
  async load() {
    this._rows.clear();
    this._cursor = null;
    list.replaceChildren();
    await this._page();
  }

  /** @param {import("./board.js").Job} job that changed */
  touchJob(job) {
    const row = this._rows.get(job.job_id);
    if (!row) return;
    row.paint(job, this._board);
    const hidden = this._board.isHidden(job.job_id);
    if (row.element.hidden === hidden) return;
    row.element.hidden = hidden;
    this._paintCount();
  }

  /** @param {string} jobId of a deleted job */
  forget(jobId) {
    this._rows.get(jobId)?.element.remove();
    if (this._rows.delete(jobId)) this._paintCount();
  }

  async _page() {
    const turn = (this._turn += 1);
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (search.value.trim()) query.set("text", search.value.trim());
    if (platform.value) query.set("platform", platform.value);
    if (state.value) query.set("state", state.value);
    if (this._cursor) query.set("cursor", this._cursor);
    try {
      await this._live.holding(async () => {
        const page = await ask("GET", `/api/v1/jobs?${query}`);
        if (turn !== this._turn) return; // a newer search was started
        this._cursor = page.next_cursor;
        for (const job of page.jobs) this._add(job);
        this._paintCount();
      });
    } catch (error) {
      if (turn === this._turn) setText(status, error.message);
      sayError(error);
    }
  }

  _paintCount() {
    const count = [...this._rows.values()].filter((row) => !row.element.hidden).length;
    const isFiltered = Boolean(search.value.trim() || platform.value || state.value);
    const none = text(isFiltered ? "history_none" : "history_empty");
    setText(status, count === 0 ? none : text("history_count", { count }));
    show(list, count > 0);
    show(more, this._cursor !== null);
  }

  _add(job) {
    if (this._rows.has(job.job_id)) return; // it moved to this page while the previous one was read
    this._board.see(job);
    const row = new JobRow(job);
    row.paint(this._board.jobs.get(job.job_id), this._board);
    row.element.hidden = this._board.isHidden(job.job_id);
    this._rows.set(job.job_id, row);
    list.append(row.element);
  }
}
