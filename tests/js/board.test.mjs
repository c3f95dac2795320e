// The page's state.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Board } from "../../portal/static/board.js";

const NONE = { queued: 0, running: 0, waiting: 0, succeeded: 0, failed: 0, cancelled: 0 };

let told;
let board;

beforeEach(() => {
  told = { jobs: [], batches: [], gone: [] };
  board = new Board({
    onJob: (job) => told.jobs.push(job.job_id),
    onBatch: (batch) => told.batches.push(batch.id),
    onGone: (ids, batchId) => told.gone.push([ids, batchId]),
  });
});

const job = (id, state = "queued", more = {}) => ({
  job_id: id,
  batch_id: "b",
  url: `https://youtu.be/${id}`,
  platform: "youtube",
  state,
  attempts: 0,
  files: [],
  ...more,
});

const batch = (jobs) => ({ batch: { id: "b", created_at: "2026-01-01T00:00:00Z", total: jobs.length, counts: NONE }, jobs });

const change = (id, data) => board.takeEvent({ kind: "job_changed", batch_id: "b", job_id: id, data });

test("counts follow the jobs", () => {
  board.takeDetail(batch([job("1"), job("2"), job("2"), job("3", "failed")]));
  change("1", { state: "running" });
  change("1", { state: "succeeded", title: "A" });
  assert.deepEqual(board.batches.get("b").counts, { ...NONE, queued: 1, succeeded: 1, failed: 1 });
  assert.equal(board.jobs.get("1").title, "A");
  assert.equal(board.jobs.get("1").url, "https://youtu.be/1");
});

test("unknown jobs are ignored", () => {
  change("9", { state: "running" });
  board.takeProgress({ job_id: "9", phase: "downloading", downloaded_bytes: 1, total_bytes: 2 });
  assert.deepEqual(told, { jobs: [], batches: [], gone: [] });
});

test("progress counts in parts, and ends with its job", () => {
  board.takeDetail(batch([job("1", "running"), job("2")]));
  board.takeProgress({ job_id: "1", phase: "downloading", downloaded_bytes: 50, total_bytes: 100 });
  assert.deepEqual(board.progressOf(board.batches.get("b")), { done: 0, total: 2, share: 0.25 });
  change("1", { state: "succeeded" });
  board.takeProgress({ job_id: "1", phase: "downloading", downloaded_bytes: 60, total_bytes: 100 }); // late
  assert.deepEqual(board.progressOf(board.batches.get("b")), { done: 1, total: 2, share: 0.5 });
});

test("without a known size there is no share", () => {
  board.takeDetail(batch([job("1", "running")]));
  board.takeProgress({ job_id: "1", phase: "downloading", downloaded_bytes: 50, total_bytes: null });
  assert.equal(board.share(board.jobs.get("1")), null);
});

test("more bytes than announced count as all", () => {
  board.takeDetail(batch([job("1", "running")]));
  board.takeProgress({ job_id: "1", phase: "downloading", downloaded_bytes: 150, total_bytes: 100 });
  assert.equal(board.share(board.jobs.get("1")), 1);
});

test("a list of batches leaves known jobs alone", () => {
  board.takeDetail(batch([job("1", "running")]));
  board.takeBatch({ id: "b", created_at: "", total: 1, counts: { ...NONE, queued: 1 } });
  assert.equal(board.batches.get("b").counts.running, 1);
  assert.equal(board.batches.get("b").jobs.size, 1);
});

test("deleted jobs are forgotten, and their batch with the last", () => {
  board.takeDetail(batch([job("1", "failed"), job("2", "failed")]));
  board.takeEvent({ kind: "job_deleted", batch_id: "b", job_id: "1", data: { batch_deleted: false } });
  assert.equal(board.batches.get("b").counts.failed, 1);
  board.takeEvent({ kind: "job_deleted", batch_id: "b", job_id: "2", data: { batch_deleted: true } });
  assert.equal(board.batches.size, 0);
  assert.deepEqual(told.gone, [[["1"], null], [["2"], "b"]]);
});

test("what is hidden is not counted, and is there again when it is revealed", () => {
  board.takeDetail(batch([job("1", "failed"), job("2", "succeeded"), job("3")]));
  board.hide(["1", "3"]);
  assert.deepEqual(told.jobs.slice(-2), ["1", "3"]);
  assert.deepEqual(board.countsOf(board.batches.get("b")), { ...NONE, succeeded: 1 });
  assert.deepEqual(board.progressOf(board.batches.get("b")), { done: 1, total: 1, share: 1 });
  board.takeDetail(batch([job("1", "failed"), job("2", "succeeded"), job("3")])); // loaded again
  change("3", { state: "running" });
  assert.ok(board.isHidden("3") && !board.isHidden("2"));
  assert.deepEqual(board.countsOf(board.batches.get("b")), { ...NONE, succeeded: 1 });
  board.reveal(["1", "3"]);
  assert.deepEqual(board.countsOf(board.batches.get("b")), { ...NONE, failed: 1, succeeded: 1, running: 1 });
});

test("a batch is shown as long as anything of it is", () => {
  board.takeDetail(batch([job("1", "failed"), job("2", "failed")]));
  board.hide(["1"]);
  assert.ok(board.isShown(board.batches.get("b")));
  board.hide(["2"]);
  assert.ok(!board.isShown(board.batches.get("b")));
});

test("a batch whose jobs are not loaded counts what is deleted of it", () => {
  board.takeBatch({ id: "b", created_at: "", total: 2, counts: { ...NONE, failed: 2 } });
  board.see(job("1", "failed"));
  board.hide(["1"]);
  assert.equal(board.countsOf(board.batches.get("b")).failed, 1);
  board.takeEvent({ kind: "job_deleted", batch_id: "b", job_id: "1", data: { batch_deleted: false } });
  assert.equal(board.countsOf(board.batches.get("b")).failed, 1);
});

test("an event updates its batch", () => {
  board.takeDetail(batch([job("1", "failed")]));
  const data = { second_round_at: "2026-01-01T00:01:00Z", second_round_jobs: 1 };
  board.takeEvent({ kind: "batch_changed", batch_id: "b", job_id: null, data });
  assert.equal(board.batches.get("b").second_round_jobs, 1);
  assert.equal(board.batches.get("b").jobs.size, 1);
});

// Collections

const list = (more = {}) => job("list", "running", { kind: "collection", entries: { found: 240, taken: 2, done: 0, failed: 0 }, ...more });
const entry = (id, state) => job(id, state, { parent_id: "list" });

test("entries join their batch, and a collection counts them", () => {
  const shown = board.takeDetail(batch([list()]));
  board.takeEntries("b", [entry("1", "succeeded"), entry("2"), entry("1", "failed")]);
  assert.deepEqual(board.countsOf(shown), { ...NONE, queued: 1, failed: 1 }); // without the collection
  assert.deepEqual(board.progressOf(shown), { done: 1, total: 2, share: 0.5 });
  assert.ok(board.isReading(shown));
  assert.deepEqual(board.entriesOf(list()), { done: 0, failed: 1, ended: 1, total: 2 });
  change("list", { state: "succeeded", entries: { found: 240, taken: 3 } });
  assert.deepEqual(board.jobs.get("list").entries, { found: 240, taken: 3, done: 0, failed: 0 });
  assert.ok(!board.isReading(shown));
});

test("an older answer drops no entries", () => {
  board.takeDetail(batch([list()]));
  board.takeEntries("b", [entry("1")]);
  assert.deepEqual(board.countsOf(board.takeDetail(batch([list()]))), { ...NONE, queued: 1 });
});

test("a batch is shown as long as its collection is", () => {
  const shown = board.takeDetail(batch([list({ state: "succeeded" })]));
  board.takeEntries("b", [entry("1", "succeeded")]);
  board.hide(["1"]);
  assert.ok(board.isShown(shown));
  assert.deepEqual(board.entriesOf(list()), { done: 0, failed: 0, ended: 0, total: 0 });
  board.hide(["list"]);
  assert.ok(!board.isShown(shown));
});
