// The page's state: batches, jobs and their progress. No DOM, no network: callers update it, a listener hears of changes.

/**
 * @typedef {{job_id: string, batch_id: string, url: string, platform: string, state: string, attempts: number,
 *   title: string | null, error: string | null, error_code: string | null, detail: string | null, files: string[],
 *   size_bytes: number | null, duration_seconds: number | null, next_attempt_at: string | null, created_at: string,
 *   uploader?: string | null, uploaded_at?: string | null, width?: number | null, height?: number | null,
 *   thumbnail_url?: string | null, kind?: string, preset?: string, reused?: boolean, subtitles?: string[],
 *   subtitles_missing?: string[], parent_id?: string | null, entries?: Entries | null}} Job
 * @typedef {{found: number | null, taken: number, done?: number, failed?: number}} Entries of a collection
 * @typedef {{phase: string, attempt: number, downloaded_bytes: number, total_bytes: number | null,
 *   speed_bytes_per_second: number | null, eta_seconds: number | null}} Progress
 * @typedef {{id: string, created_at: string, total: number, counts: Record<string, number>,
 *   collections: Record<string, number>, title: string | null, worth_retrying: number, second_round_at: string | null, second_round_jobs: number, jobs: Map<string, Job> | null}} Batch
 */

export const FINAL = new Set(["succeeded", "failed", "cancelled"]);

/** Which jobs a choice by state means. */
export const BY_STATE = {
  all: () => true,
  active: (job) => !FINAL.has(job.state),
  failed: (job) => job.state === "failed",
  cancelled: (job) => job.state === "cancelled",
  done: (job) => job.state === "succeeded",
};

const NONE = { queued: 0, running: 0, waiting: 0, succeeded: 0, failed: 0, cancelled: 0 };

export class Board {
  /** @param {{onJob: (job: Job) => void, onBatch: (batch: Batch) => void, onGone: (jobIds: string[], batchId: string | null) => void}} listener */
  constructor(listener) {
    /** @type {Map<string, Batch>} */
    this.batches = new Map();
    /** @type {Map<string, Job>} of the batches and of the history */
    this.jobs = new Map();
    /** @type {Map<string, Progress>} */
    this.progress = new Map();
    /** @type {Map<string, string>} by platform, when its cooldown ends */
    this.cooldowns = new Map();
    /** @type {Set<string>} ids of jobs that are hidden because they are about to be deleted */
    this._hidden = new Set();
    this._listener = listener;
  }

  /**
   * Take a batch from a list of batches.
   * @param {object} record
   * @returns {Batch}
   */
  takeBatch(record) {
    const known = this.batches.get(record.id);
    const batch = { collections: { ...NONE }, ...record, jobs: known?.jobs ?? null };
    if (batch.jobs) {
      batch.counts = known.counts;
      batch.collections = known.collections;
    }
    this.batches.set(batch.id, batch);
    this._listener.onBatch(batch);
    return batch;
  }

  /**
   * Take a batch with all its jobs; entries of its collections may be missing.
   * @param {{batch: object, jobs: Job[]}} detail
   * @returns {Batch}
   */
  takeDetail({ batch: record, jobs }) {
    const batch = { ...record, jobs: new Map() };
    for (const job of jobs) batch.jobs.set(job.job_id, job);
    for (const [id, job] of this.batches.get(record.id)?.jobs ?? []) {
      if (job.parent_id && !batch.jobs.has(id)) batch.jobs.set(id, job);
    }
    this.batches.set(batch.id, batch);
    batch.counts = { ...NONE };
    batch.collections = { ...NONE };
    for (const job of batch.jobs.values()) {
      count(batch, job, 1);
      this.jobs.set(job.job_id, job);
      if (job.state !== "running") this.progress.delete(job.job_id);
      this._listener.onJob(job);
    }
    this._listener.onBatch(batch);
    return batch;
  }

  /**
   * Take entries of a collection, beside those that are known.
   * @param {string} batchId @param {Job[]} jobs
   */
  takeEntries(batchId, jobs) {
    const batch = this.batches.get(batchId);
    if (!batch?.jobs) return;
    for (const job of jobs) {
      if (batch.jobs.has(job.job_id)) {
        this._change(job.job_id, job);
        continue;
      }
      batch.jobs.set(job.job_id, job);
      this.jobs.set(job.job_id, job);
      count(batch, job, 1);
      this._listener.onJob(job);
    }
    this._listener.onBatch(batch);
  }

  /** Take a job whose batch may not be shown. @param {Job} job as it is now */
  see(job) {
    if (this.jobs.has(job.job_id)) this._change(job.job_id, job);
    else this.jobs.set(job.job_id, job);
  }

  /** @param {Job[]} jobs as they are now */
  takeJobs(jobs) {
    for (const job of jobs) this._change(job.job_id, job);
  }

  /**
   * Take an event from the server.
   * @param {{kind: string, batch_id: string | null, job_id: string | null, data: any}} event
   */
  takeEvent({ kind, batch_id: batchId, job_id: jobId, data }) {
    if (kind === "job_changed") this._change(jobId, data);
    if (kind === "job_deleted") this._forget(jobId, data.batch_deleted ? batchId : null);
    if (kind === "batch_changed" && this.batches.has(batchId)) {
      const batch = { ...this.batches.get(batchId), ...data };
      this.batches.set(batchId, batch);
      this._listener.onBatch(batch);
    }
  }

  /** @param {Progress & {job_id: string}} progress */
  takeProgress(progress) {
    const job = this.jobs.get(progress.job_id);
    if (job?.state !== "running") return; // reported after the job's end
    this.progress.set(progress.job_id, progress);
    this._listener.onJob(job);
    const batch = this.batches.get(job.batch_id);
    if (batch) this._listener.onBatch(batch);
  }

  /** @param {Job} job @returns {number | null} from 0 to 1; null if unknown */
  share(job) {
    if (FINAL.has(job.state)) return 1;
    const progress = this.progress.get(job.job_id);
    if (job.state !== "running" || !progress?.total_bytes) return null;
    return Math.min(1, progress.downloaded_bytes / progress.total_bytes);
  }

  /** Hide jobs; their changes are still tracked. @param {string[]} ids */
  hide(ids) {
    ids.forEach((id) => this._hidden.add(id));
    this._notify(ids);
  }

  /** Show jobs again. @param {string[]} ids */
  reveal(ids) {
    ids.forEach((id) => this._hidden.delete(id));
    this._notify(ids);
  }

  /** @param {string} jobId */
  isHidden(jobId) {
    return this._hidden.has(jobId);
  }

  /** @param {Batch} batch @returns {Record<string, number>} how many of its shown posts are in each state */
  countsOf(batch) {
    const { all, collections } = this._shownOf(batch);
    for (const state of Object.keys(all)) all[state] -= collections[state];
    return all;
  }

  /** @param {Batch} batch @returns {boolean} whether any of its jobs is shown */
  isShown(batch) {
    return Object.values(this._shownOf(batch).all).some((number) => number > 0);
  }

  /** @param {Batch} batch @returns {boolean} whether one of its collections is still being read */
  isReading({ collections: { queued, running, waiting } }) {
    return queued + running + waiting > 0;
  }

  /** @param {Job} collection @returns {{done: number, failed: number, ended: number, total: number}} its entries */
  entriesOf({ job_id: id, batch_id: batchId, entries }) {
    const jobs = this.batches.get(batchId)?.jobs;
    const { taken = 0, done = 0, failed = 0 } = entries ?? {};
    if (!jobs) return { done, failed, ended: done + failed, total: taken };
    const found = { done: 0, failed: 0, ended: 0, total: 0 };
    for (const job of jobs.values()) {
      if (job.parent_id !== id || this._hidden.has(job.job_id)) continue;
      found.total += 1;
      if (FINAL.has(job.state)) found.ended += 1;
      if (job.state === "succeeded") found.done += 1;
      if (job.state === "failed") found.failed += 1;
    }
    return found;
  }

  _shownOf(batch) {
    const shown = { all: { ...batch.counts }, collections: { ...batch.collections } };
    for (const id of this._hidden) {
      const job = this.jobs.get(id);
      if (job?.batch_id !== batch.id) continue;
      shown.all[job.state] -= 1;
      if (job.kind === "collection") shown.collections[job.state] -= 1;
    }
    return shown;
  }

  /** @param {Batch} batch @returns {{done: number, total: number, share: number}} of its posts; `share` from 0 to 1 */
  progressOf(batch) {
    const { succeeded, failed, cancelled, queued, running, waiting } = this.countsOf(batch);
    const done = succeeded + failed + cancelled;
    const total = done + queued + running + waiting;
    let parts = done;
    for (const id of this.progress.keys()) {
      const job = this.jobs.get(id);
      if (job?.batch_id === batch.id) parts += this.share(job) ?? 0;
    }
    return { done, total, share: total === 0 ? 1 : parts / total };
  }

  _change(jobId, changes) {
    const before = this.jobs.get(jobId);
    if (!before) return;
    const job = { ...before, ...changes, job_id: jobId, batch_id: before.batch_id };
    if (changes.url === undefined || before.url) job.url = before.url; // as it was sent with its batch
    if (before.entries && changes.entries) job.entries = { ...before.entries, ...changes.entries };
    this.jobs.set(jobId, job);
    if (job.state !== "running") this.progress.delete(jobId);
    const batch = this.batches.get(job.batch_id);
    if (batch?.jobs) {
      batch.jobs.set(jobId, job);
      count(batch, before, -1);
      count(batch, job, 1);
    }
    this._listener.onJob(job, before);
    if (batch) this._listener.onBatch(batch);
  }

  _forget(jobId, batchId) {
    const job = this.jobs.get(jobId);
    this.jobs.delete(jobId);
    this._hidden.delete(jobId);
    this.progress.delete(jobId);
    const batch = this.batches.get(job?.batch_id);
    // A batch whose jobs are not loaded has its counts from the list of batches.
    if (batch && (batch.jobs === null || batch.jobs.delete(jobId))) count(batch, job, -1);
    if (batchId) this.batches.delete(batchId);
    this._listener.onGone([jobId], batchId);
    if (batch && !batchId) this._listener.onBatch(batch);
  }

  _notify(ids) {
    const jobs = ids.map((id) => this.jobs.get(id)).filter(Boolean);
    jobs.forEach((job) => this._listener.onJob(job));
    const batches = new Set(jobs.map((job) => this.batches.get(job.batch_id)).filter(Boolean));
    batches.forEach((batch) => this._listener.onBatch(batch));
  }

  /** Forget every batch before a new list is taken. Jobs stay, for the history. */
  clear() {
    this.batches.clear();
    this.progress.clear();
  }
}

function count(batch, { state, kind }, by) {
  batch.counts[state] += by;
  if (kind === "collection") batch.collections[state] += by;
}
