// The page's state: batches, jobs and their progress. No DOM, no network: callers update it, a listener hears of changes.

/**
 * @typedef {{job_id: string, batch_id: string, url: string, platform: string, state: string, attempts: number,
 *   title: string | null, error: string | null, error_code: string | null, detail: string | null, files: string[],
 *   size_bytes: number | null, duration_seconds: number | null, next_attempt_at: string | null, created_at: string,
 *   uploader?: string | null, uploaded_at?: string | null, width?: number | null, height?: number | null,
 *   thumbnail_url?: string | null, kind?: string, preset?: string, reused?: boolean, subtitles?: string[],
 *   subtitles_missing?: string[]}} Job
 * @typedef {{phase: string, attempt: number, downloaded_bytes: number, total_bytes: number | null,
 *   speed_bytes_per_second: number | null, eta_seconds: number | null}} Progress
 * @typedef {{id: string, created_at: string, total: number, counts: Record<string, number>,
 *   second_round_at: string | null, second_round_jobs: number, jobs: Map<string, Job> | null}} Batch
 */

export const FINAL = new Set(["succeeded", "failed", "cancelled"]);

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
    const batch = { ...record, jobs: known?.jobs ?? null };
    if (batch.jobs) batch.counts = known.counts;
    this.batches.set(batch.id, batch);
    this._listener.onBatch(batch);
    return batch;
  }

  /**
   * Take a batch with all its jobs.
   * @param {{batch: object, jobs: Job[]}} detail
   * @returns {Batch}
   */
  takeDetail({ batch: record, jobs }) {
    const batch = { ...record, jobs: new Map() };
    for (const job of jobs) batch.jobs.set(job.job_id, job);
    this.batches.set(batch.id, batch);
    batch.counts = { ...NONE };
    for (const job of batch.jobs.values()) {
      batch.counts[job.state] += 1;
      this.jobs.set(job.job_id, job);
      if (job.state !== "running") this.progress.delete(job.job_id);
      this._listener.onJob(job);
    }
    this._listener.onBatch(batch);
    return batch;
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

  /** @param {Batch} batch @returns {Record<string, number>} how many of its shown jobs are in each state */
  countsOf(batch) {
    const counts = { ...batch.counts };
    for (const id of this._hidden) {
      const job = this.jobs.get(id);
      if (job?.batch_id === batch.id) counts[job.state] -= 1;
    }
    return counts;
  }

  /** @param {Batch} batch @returns {boolean} whether any of its jobs is shown */
  isShown(batch) {
    return Object.values(this.countsOf(batch)).some((count) => count > 0);
  }

  /** @param {Batch} batch @returns {{done: number, total: number, share: number}} `share` from 0 to 1 */
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
    this.jobs.set(jobId, job);
    if (job.state !== "running") this.progress.delete(jobId);
    const batch = this.batches.get(job.batch_id);
    if (batch?.jobs) {
      batch.jobs.set(jobId, job);
      batch.counts[before.state] -= 1;
      batch.counts[job.state] += 1;
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
    if (batch && (batch.jobs === null || batch.jobs.delete(jobId))) batch.counts[job.state] -= 1;
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
