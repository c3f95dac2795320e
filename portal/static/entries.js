// Loads the entries of collections: jobs of a batch that were not sent with it, and that no event announces.

import { ask } from "./api.js";

const PAGE = 200; // the most that the server gives

/**
 * @param {string} wanted a query: of which batch or collection
 * @param {(page: object[]) => boolean} isEnough whether older ones are not needed
 * @returns {Promise<object[]>} its jobs, oldest first
 */
export async function jobsOf(wanted, isEnough = () => false) {
  const found = [];
  let cursor = "";
  do {
    const page = await ask("GET", `/api/v1/jobs?${wanted}&limit=${PAGE}&cursor=${encodeURIComponent(cursor)}`);
    found.push(...page.jobs);
    cursor = isEnough(page.jobs) ? null : page.next_cursor;
  } while (cursor);
  return found.reverse();
}

export class Entries {
  /** @param {import("./job_actions.js").Page} page */
  constructor({ board, live }) {
    this._board = board;
    this._live = live;
    this._due = new Set();
    this._busy = false;
  }

  /** Load what a collection has taken since; events that come meanwhile are one more load. @param {string} jobId */
  async follow(jobId) {
    this._due.add(jobId);
    if (this._busy) return;
    this._busy = true;
    try {
      for (const id of this._due) {
        this._due.delete(id);
        await this._live.holding(() => this._load(id));
      }
    } catch {
      this._live.restart();
    } finally {
      this._busy = false;
    }
  }

  async _load(id) {
    const job = this._board.jobs.get(id);
    const known = this._board.batches.get(job?.batch_id)?.jobs;
    if (!known) return; // they come with the batch
    const path = encodeURIComponent(id);
    const jobs = await jobsOf(`parent=${path}`, (page) => page.some((each) => known.has(each.job_id)));
    this._board.takeEntries(job.batch_id, jobs);
    // What is missing of the list is no part of events.
    if (job.state === "succeeded") this._board.takeJobs([(await ask("GET", `/api/v1/jobs/${path}`)).job]);
  }
}
