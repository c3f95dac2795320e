// The batches on the page, newest first, painted at most once per frame.

import { ask, Refused } from "./api.js";
import { BatchCard } from "./batch_card.js";
import { FINAL } from "./board.js";
import { arrange, show } from "./dom.js";
import { jobsOf } from "./entries.js";
import { nameOf } from "./job_facts.js";
import { notify, say, sayError, setTitle } from "./notices.js";
import { isOldestFirst, sorted } from "./sorting.js";
import { text } from "./text.js";
import { paintToolbar } from "./toolbar.js";

const PAGE = 20;
const HIDDEN_PAINT_MS = 1000;

const list = document.getElementById("batches");
const none = document.getElementById("batches-none");
const older = document.getElementById("older");

export class BatchesView {
  /** @param {import("./job_actions.js").Page} page */
  constructor(page) {
    this._page = page;
    this._board = page.board;
    this._live = page.live;
    this._cards = new Map();
    this._touched = new Set();
    this._cursor = null;
    this._scheduled = false;
    this._opened = false; // whether the page has opened one; after that the user decides
    this._loading = new Map();
    this._gone = new Set(); // batches that were already deleted when an event named them
    this._busy = new Set(); // batches that had unfinished jobs
    this._lastDone = null;
    this._placeOlder();
    older.addEventListener("click", () => this._loadOlder().catch(sayError));
    setInterval(() => document.hidden || this._cards.forEach((card) => card.tick()), 1000);
  }

  /** Load the newest batches, as many as are shown, and the jobs of those that are unfinished or open. */
  async load() {
    const limit = Math.min(200, Math.max(PAGE, this._board.batches.size));
    const page = await ask("GET", `/api/v1/batches?limit=${limit}`);
    const open = new Set([...this._cards].filter(([, card]) => card.open).map(([id]) => id));
    this._board.clear();
    this._cursor = page.next_cursor;
    page.batches.forEach((batch) => this._board.takeBatch(batch));
    const first = page.batches[0]?.id;
    const wanted = page.batches.filter((batch) => !isSingle(batch) && (this._isAtWork(batch) || open.has(batch.id) || batch.id === first));
    for (const batch of wanted) await this._loadJobs(batch.id);
    await this._loadSingles(page.batches);
    this._arrange();
    if (!this._opened && first) this._cards.get(first).toggle(true);
    this._opened = true;
  }

  /** Show a batch that was just submitted. @param {object} detail */
  add(detail) {
    const { id } = this._board.takeDetail(detail);
    this._arrange();
    this._cards.get(id).toggle(true); // also of one link: it may turn out to be a collection
  }

  /** Load a batch that an event named, unless it is known. @param {string} id */
  async ensureLoaded(id) {
    if (this._board.batches.get(id)?.jobs || this._loading.has(id) || this._gone.has(id)) return;
    this._loading.set(id, true);
    try {
      await this._live.holding(() => this._loadJobs(id));
      this._arrange();
    } catch (error) {
      if (error instanceof Refused && error.status === 404) this._gone.add(id);
      else this._live.restart();
    } finally {
      this._loading.delete(id);
    }
  }

  /** @param {import("./board.js").Job} job */
  touchJob(job) {
    this._cards.get(job.batch_id)?.touch(job);
  }

  /** @param {import("./board.js").Batch} batch */
  touchBatch(batch) {
    this._touched.add(batch.id);
    this._schedule();
  }

  /** @returns {Promise<import("./board.js").Job[]>} all jobs of the batches that are shown */
  async jobs() {
    const shown = () => [...this._board.batches.values()].filter((batch) => this._board.isShown(batch));
    for (const batch of shown()) if (!batch.jobs) await this._live.holding(() => this._loadJobs(batch.id));
    return shown().flatMap((batch) => [...batch.jobs.values()].filter((job) => !this._board.isHidden(job.job_id)));
  }

  /** Put the batches, and the rows of each, into another order. */
  sort() {
    this._placeOlder();
    this._arrange();
    this._cards.forEach((card) => card.paint());
  }

  /** The button for older batches is where these will be. */
  _placeOlder() {
    list[isOldestFirst() ? "before" : "after"](older.parentElement);
  }

  /** Paint every row again: the cooldowns changed. */
  repaint() {
    this._cards.forEach((card) => card.repaint());
  }

  /** A batch is gone. @param {string | null} batchId */
  forget(batchId) {
    if (this._cards.has(batchId)) this._arrange();
    this._schedule();
  }

  async _loadJobs(id) {
    const detail = await ask("GET", `/api/v1/batches/${encodeURIComponent(id)}`);
    const sent = new Set(detail.jobs.map((job) => job.job_id));
    if (numberOf(detail.batch) > sent.size) {
      const all = await jobsOf(`batch=${encodeURIComponent(id)}`);
      detail.jobs.push(...all.filter((job) => !sent.has(job.job_id)));
    }
    this._board.takeDetail(detail);
  }

  /** Load the jobs of batches that have one: many with one request, as the newest jobs, the others one by one. */
  async _loadSingles(batches) {
    const missing = new Map(batches.filter(isSingle).map((batch) => [batch.id, batch]));
    if (missing.size > 1) {
      const { jobs } = await ask("GET", "/api/v1/jobs?limit=200");
      for (const job of jobs) {
        const batch = missing.get(job.batch_id);
        if (batch && missing.delete(batch.id)) this._board.takeDetail({ batch, jobs: [job] });
      }
    }
    await Promise.all([...missing.keys()].map((id) => this._loadJobs(id)));
  }

  async _loadOlder() {
    await this._live.holding(async () => {
      const cursor = encodeURIComponent(this._cursor);
      const page = await ask("GET", `/api/v1/batches?limit=${PAGE}&cursor=${cursor}`);
      this._cursor = page.next_cursor;
      page.batches.forEach((batch) => this._board.takeBatch(batch));
      await this._loadSingles(page.batches);
    });
    this._arrange();
  }

  _schedule() {
    if (this._scheduled) return;
    this._scheduled = true;
    const paint = () => {
      this._scheduled = false;
      this._paint();
    };
    // Hidden tabs get no frames, but their title must be updated.
    if (document.hidden) setTimeout(paint, HIDDEN_PAINT_MS);
    else requestAnimationFrame(paint);
  }

  _arrange() {
    for (const batch of this._board.batches.values()) {
      if (!this._cards.has(batch.id)) {
        this._cards.set(batch.id, new BatchCard(batch, this._page, (id) => this._live.holding(() => this._loadJobs(id))));
      }
    }
    for (const id of this._cards.keys()) if (!this._board.batches.has(id)) this._cards.delete(id);
    const shown = [...this._board.batches.values()].filter((batch) => this._board.isShown(batch));
    const focused = [...list.children].findIndex((element) => element.contains(document.activeElement));
    const cards = sorted(shown.map((batch) => this._cards.get(batch.id)), (card) => card.facts);
    arrange(list, cards.map((card) => card.element));
    if (focused >= 0 && !list.contains(document.activeElement)) {
      const neighbour = list.children[focused] ?? list.lastElementChild;
      const entry = neighbour?.querySelector(neighbour.classList.contains("single") ? ".job" : ".toggle");
      (entry ?? document.getElementById("links")).focus();
    }
    show(none, shown.length === 0);
    show(older, this._cursor !== null);
    this._schedule();
  }

  _paint() {
    for (const id of this._touched) {
      const batch = this._board.batches.get(id);
      this._cards.get(id)?.paint();
      if (batch) this._watch(batch);
    }
    this._touched.clear();
    const shown = [...this._board.batches.values()].filter((batch) => this._board.isShown(batch));
    if (list.childElementCount !== shown.length) this._arrange();
    this._paintTitle();
    paintToolbar(this._board);
  }

  /** Announce a batch that has just finished. */
  _watch(batch) {
    if (this._isAtWork(batch)) {
      this._busy.add(batch.id);
    } else if (this._busy.delete(batch.id)) {
      this._lastDone = batch.id;
      const sentence = this._endOf(batch);
      if (sentence === null) return;
      say(sentence);
      notify(sentence);
    }
  }

  /** @returns {string | null} null: a single job was cancelled, which is said elsewhere */
  _endOf(batch) {
    const { succeeded, failed, cancelled } = this._board.countsOf(batch);
    const [job] = isSingle(batch) ? (batch.jobs?.values() ?? []) : [];
    if (job) return job.state === "succeeded" ? text("single_ended", { title: nameOf(job) }) : job.error;
    const key = cancelled > 0 ? "batch_ended_early" : "batch_ended";
    return text(key, { total: this._board.progressOf(batch).total, succeeded, failed, cancelled });
  }

  _paintTitle() {
    let done = 0;
    let total = 0;
    for (const id of this._busy) {
      const batch = this._board.batches.get(id);
      const progress = batch && this._board.progressOf(batch);
      done += progress?.done ?? 0;
      total += progress?.total ?? 0;
    }
    const last = this._board.batches.get(this._lastDone);
    if (total > 0) setTitle("title_progress", { done, total });
    else if (last?.counts.succeeded > 0) {
      setTitle("title_done", { succeeded: this._board.countsOf(last).succeeded, total: this._board.progressOf(last).total });
    } else setTitle(null);
  }

  _isAtWork({ counts }) {
    return Object.entries(counts).some(([state, count]) => !FINAL.has(state) && count > 0);
  }
}

/** How many jobs it has, which may be more than were sent. */
function numberOf({ counts }) {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function isSingle(batch) {
  return batch.total === 1 && numberOf(batch) <= 1;
}
