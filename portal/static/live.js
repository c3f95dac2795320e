// Follows what changes on the server: by its event stream; where that fails, or nobody looks, by asking every so often.

import { address, send, Unreachable } from "./api.js";

const ASK_EVERY_MS = 2000;
// A hidden tab holds no connection: browsers allow six to one server, and somebody has seven tabs.
const ASK_HIDDEN_EVERY_MS = 5000;
const LONGEST_PAUSE_MS = 15_000;
const STREAM_AGAIN_MS = 30_000;
// A stream that ends sooner is held up or cut off by something on the way: leave it for a while.
const SOUND_STREAM_MS = 5000;
// The server says something every 15 seconds.
const LONGEST_SILENCE_MS = 40_000;
const KINDS = ["batch_created", "batch_changed", "job_changed", "job_deleted", "platform_changed", "queue_changed"];

/**
 * @typedef {"connecting" | "live" | "polling" | "offline"} Connection
 * @typedef {{onBegin: () => Promise<void>, onEvent: (event: object) => void, onProgress: (progress: object) => void,
 *   onConnection: (connection: Connection) => void}} Follower
 */

export class Live {
  /** @param {Follower} follower `onBegin`: what was before is not told, so load what is shown; events wait meanwhile */
  constructor(follower) {
    this._follower = follower;
    this.offline = false;
    this._lastId = null;
    this._begun = false; // whether all that was before `_lastId` is loaded
    this._heardAt = 0;
    this._source = null;
    this._timer = 0;
    this._failures = 0;
    this._streamAgainAt = 0;
    this._holds = 0;
    this._held = [];
    this._turn = 0; // counts the ways of following, so that a late answer to an old one is dropped
    document.addEventListener("visibilitychange", () => this.start());
    setInterval(() => this._listen(), ASK_EVERY_MS);
    addEventListener("online", () => this.start());
    addEventListener("offline", () => this._lost());
  }

  /** Follow, by whatever way fits now. */
  start() {
    this._stop();
    if (document.hidden || Date.now() < this._streamAgainAt) this._ask();
    else this._stream();
  }

  /**
   * Have events wait while something is loaded: what was loaded may be older than an event that came meanwhile.
   * @template T @param {() => Promise<T>} load @returns {Promise<T>}
   */
  async holding(load) {
    this._holds += 1;
    try {
      return await load();
    } finally {
      this._holds -= 1;
      while (this._holds === 0 && this._held.length > 0) this._held.shift()();
    }
  }

  /** Load everything anew: something was missed. */
  beginAnew() {
    this._begun = false;
    this.start();
  }

  /** A connection can end without a word: the network was changed, the machine slept. */
  _listen() {
    if (this._source && Date.now() - this._heardAt > LONGEST_SILENCE_MS) this.start();
  }

  get _since() {
    return this._begun ? `?since=${this._lastId}` : "";
  }

  _stop() {
    this._turn += 1;
    clearTimeout(this._timer);
    this._source?.close();
    this._source = null;
  }

  _tell(how) {
    if (this._holds > 0) this._held.push(how);
    else how();
  }

  _connected(connection) {
    this._failures = 0;
    this.offline = false;
    this._follower.onConnection(connection);
  }

  _lost() {
    this.offline = true;
    this._follower.onConnection("offline");
    this._failures += 1;
    const pause = Math.min(LONGEST_PAUSE_MS, 500 * 2 ** Math.min(this._failures, 10));
    this._stop();
    this._timer = setTimeout(() => this._ask(), pause);
  }

  async _begin() {
    this._begun = false;
    const turn = this._turn;
    try {
      await this.holding(() => this._follower.onBegin());
    } catch {
      return false;
    }
    // Else it was begun anew meanwhile, in another way.
    this._begun = turn === this._turn;
    return true;
  }

  _stream() {
    const source = (this._source = new EventSource(address(`/api/v1/events${this._since}`)));
    const turn = this._turn;
    const begunAt = (this._heardAt = Date.now());
    source.addEventListener("open", () => this._connected("live"));
    for (const kind of ["heartbeat", "hello", "progress", ...KINDS]) {
      source.addEventListener(kind, () => (this._heardAt = Date.now()));
    }
    source.addEventListener("hello", async (message) => {
      const hello = JSON.parse(message.data);
      this._lastId = hello.last_id;
      if (!(await this._begin()) && turn === this._turn) this._lost();
      hello.progress.forEach((progress) => this._tell(() => this._follower.onProgress(progress)));
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => {
        const event = JSON.parse(message.data);
        this._lastId = event.id;
        this._tell(() => this._follower.onEvent(event));
      });
    }
    source.addEventListener("progress", (message) => {
      const progress = JSON.parse(message.data);
      this._tell(() => this._follower.onProgress(progress));
    });
    source.addEventListener("error", () => {
      if (turn !== this._turn) return;
      // The browser would come back by itself after a broken connection, but not after a refusal; asking finds out.
      const sound = source.readyState !== EventSource.CLOSED && Date.now() - begunAt > SOUND_STREAM_MS;
      this._streamAgainAt = Date.now() + (sound ? 0 : STREAM_AGAIN_MS);
      this._stop();
      this._ask();
    });
  }

  async _ask() {
    const turn = this._turn;
    let pause = document.hidden ? ASK_HIDDEN_EVERY_MS : ASK_EVERY_MS;
    try {
      const { status, body } = await send("GET", `/api/v1/events${this._since}`);
      if (turn !== this._turn) return;
      if (status !== 200 || body === null) throw new Unreachable();
      this._lastId = body.last_id;
      if (body.reset && !(await this._begin())) throw new Unreachable();
      if (turn !== this._turn) return;
      body.events.forEach((event) => this._tell(() => this._follower.onEvent(event)));
      body.progress.forEach((progress) => this._tell(() => this._follower.onProgress(progress)));
      this._connected("polling");
      if (body.events.length >= 500) pause = 0; // a page, and there is more
    } catch {
      if (turn === this._turn) this._lost();
      return;
    }
    if (!document.hidden && Date.now() >= this._streamAgainAt) this.start();
    else this._timer = setTimeout(() => this._ask(), pause);
  }
}
