// Follows changes on the server: by its event stream, or by polling if that fails or the tab is hidden.

import { address, send, Unreachable } from "./api.js";

const POLL_INTERVAL_MS = 2000;
// A hidden tab holds no connection: browsers allow only six to one server.
const HIDDEN_POLL_INTERVAL_MS = 5000;
const LONGEST_PAUSE_MS = 15_000;
// A stream that ends sooner was blocked or cut off on the way: poll for a while before the next.
const SHORT_STREAM_MS = 5000;
const STREAM_RETRY_MS = 30_000;
// The server sends a heartbeat every 15 seconds.
const LONGEST_SILENCE_MS = 40_000;
const KINDS = ["batch_created", "batch_changed", "job_changed", "job_deleted", "platform_changed", "queue_changed"];

/**
 * @typedef {"connecting" | "live" | "polling" | "offline"} Connection
 * @typedef {{onStart: () => Promise<void>, onEvent: (event: object) => void, onProgress: (progress: object) => void,
 *   onConnection: (connection: Connection) => void}} Follower
 */

export class Live {
  /** @param {Follower} follower `onStart`: load what is shown, as there are no events of before; new ones are held back until it resolves */
  constructor(follower) {
    this._follower = follower;
    this.offline = false;
    this._lastId = null;
    this._started = false; // whether everything up to `_lastId` is loaded
    this._lastMessageAt = 0;
    this._source = null;
    this._timer = 0;
    this._failures = 0;
    this._nextStreamAt = 0;
    this._holds = 0;
    this._held = [];
    this._turn = 0; // counts connections, so that a late response to an old one is dropped
    document.addEventListener("visibilitychange", () => this.start());
    setInterval(() => this._checkSilence(), POLL_INTERVAL_MS);
    addEventListener("online", () => this.start());
    addEventListener("offline", () => this._lost());
  }

  /** Follow by stream or by polling, whichever fits now. */
  start() {
    this._stop();
    if (document.hidden || Date.now() < this._nextStreamAt) this._poll();
    else this._stream();
  }

  /**
   * Hold events back while something is loaded: it may be older than an event that arrives before it.
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

  /** Load everything again: events were missed. */
  restart() {
    this._started = false;
    this.start();
  }

  /** A connection can die silently: the network changed, the machine slept. */
  _checkSilence() {
    if (this._source && Date.now() - this._lastMessageAt > LONGEST_SILENCE_MS) this.start();
  }

  get _since() {
    return this._started ? `?since=${this._lastId}` : "";
  }

  _stop() {
    this._turn += 1;
    clearTimeout(this._timer);
    this._source?.close();
    this._source = null;
  }

  _deliver(call) {
    if (this._holds > 0) this._held.push(call);
    else call();
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
    this._timer = setTimeout(() => this._poll(), pause);
  }

  async _loadAll() {
    this._started = false;
    const turn = this._turn;
    try {
      await this.holding(() => this._follower.onStart());
    } catch {
      return false;
    }
    // Else another connection was opened while this one loaded.
    this._started = turn === this._turn;
    return true;
  }

  _stream() {
    const source = (this._source = new EventSource(address(`/api/v1/events${this._since}`)));
    const turn = this._turn;
    const openedAt = (this._lastMessageAt = Date.now());
    source.addEventListener("open", () => this._connected("live"));
    for (const kind of ["heartbeat", "hello", "progress", ...KINDS]) {
      source.addEventListener(kind, () => (this._lastMessageAt = Date.now()));
    }
    source.addEventListener("hello", async (message) => {
      const hello = JSON.parse(message.data);
      this._lastId = hello.last_id;
      if (!(await this._loadAll()) && turn === this._turn) this._lost();
      hello.progress.forEach((progress) => this._deliver(() => this._follower.onProgress(progress)));
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => {
        const event = JSON.parse(message.data);
        this._lastId = event.id;
        this._deliver(() => this._follower.onEvent(event));
      });
    }
    source.addEventListener("progress", (message) => {
      const progress = JSON.parse(message.data);
      this._deliver(() => this._follower.onProgress(progress));
    });
    source.addEventListener("error", () => {
      if (turn !== this._turn) return;
      // The browser reconnects after a lost connection, but not after a refusal; a poll tells which it was.
      const wasLong = source.readyState !== EventSource.CLOSED && Date.now() - openedAt > SHORT_STREAM_MS;
      this._nextStreamAt = Date.now() + (wasLong ? 0 : STREAM_RETRY_MS);
      this._stop();
      this._poll();
    });
  }

  async _poll() {
    const turn = this._turn;
    let pause = document.hidden ? HIDDEN_POLL_INTERVAL_MS : POLL_INTERVAL_MS;
    try {
      const { status, body } = await send("GET", `/api/v1/events${this._since}`);
      if (turn !== this._turn) return;
      if (status !== 200 || body === null) throw new Unreachable();
      this._lastId = body.last_id;
      if (body.reset && !(await this._loadAll())) throw new Unreachable();
      if (turn !== this._turn) return;
      body.events.forEach((event) => this._deliver(() => this._follower.onEvent(event)));
      body.progress.forEach((progress) => this._deliver(() => this._follower.onProgress(progress)));
      this._connected("polling");
      if (body.events.length >= 500) pause = 0; // a full page: there is more
    } catch {
      if (turn === this._turn) this._lost();
      return;
    }
    if (!document.hidden && Date.now() >= this._nextStreamAt) this.start();
    else this._timer = setTimeout(() => this._poll(), pause);
  }
}
