// Links on their way to the server, kept in the browser's database before anything is sent: a closed tab, a dead battery
// or a tunnel loses none. Each entry has a key by which the server knows it again, so that sending twice comes to once.

// Servers below different prefixes of one host share the browser's database, but must not get each other's links.
const ROOT = new URL("../../../", import.meta.url).pathname; // this is <root>/portal/static/<digest>/outbox.js
const DATABASE = `outbox ${ROOT}`;
const STORE = "entries";

// There are browsers in which opening never ends.
const OPENING_MS = 5000;

// Not the links' fault: signed out, or too much at once.
const LATER = new Set([401, 403, 408, 425, 429]);

/**
 * @typedef {{key: string, urls: string[], createdAt: string, refused: string | null}} Entry
 *   `createdAt`: ISO 8601; `refused`: the server's sentence, where it will not take them
 * @typedef {{sent: number, refused: number, stopped: null | "unreachable" | number}} Delivery
 *   `stopped`: why the rest waits: the status of the answer, or that there was none; null where nothing waits
 */

/** @returns {Promise<Outbox>} where the browser keeps nothing, one that lasts as long as the page */
export async function openOutbox() {
  try {
    return new Outbox(new Kept(await opened()), true);
  } catch {
    return new Outbox(new Remembered(), false);
  }
}

class Outbox {
  constructor(entries, persistent) {
    this.persistent = persistent; //: false: it ends with the page
    this._entries = entries;
    this._listeners = [];
    this._channel = persistent && typeof BroadcastChannel === "function" ? new BroadcastChannel(DATABASE) : null;
    if (this._channel) this._channel.onmessage = () => this._tell();
  }

  /**
   * @param {string[]} urls
   * @param {object} [options] kept with them, for whoever sends them
   * @returns {Promise<Entry>} once it is on disk
   */
  async add(urls, options = {}) {
    const entry = { ...options, key: newKey(), urls, createdAt: new Date().toISOString(), refused: null };
    await this._entries.add(entry);
    this._changed();
    return entry;
  }

  /** @returns {Promise<Entry[]>} oldest first */
  entries() {
    return this._entries.all();
  }

  /** @param {string} key */
  async remove(key) {
    await this._entries.change(key, () => null);
    this._changed();
  }

  /** Keep an entry, but send it no more. @param {string} key @param {string} sentence */
  async refuse(key, sentence) {
    await this._entries.change(key, (entry) => ({ ...entry, refused: sentence }));
    this._changed();
  }

  /** @param {() => void} listener hears of every change, another tab's too */
  onChange(listener) {
    this._listeners.push(listener);
  }

  _changed() {
    this._channel?.postMessage(null);
    this._tell();
  }

  _tell() {
    this._listeners.forEach((listener) => listener());
  }
}

/**
 * Send every entry that is not refused, oldest first, until one cannot be sent now. Those added meanwhile are sent too.
 * @param {Outbox} outbox
 * @param {(entry: Entry) => Promise<{status: number, body: any}>} send throws where the server cannot be reached
 * @param {(entry: Entry, body: any) => void} [onSent]
 * @returns {Promise<Delivery>}
 */
export function deliver(outbox, send, onSent = () => {}) {
  return oneAtATime(() => deliverAll(outbox, send, onSent));
}

async function deliverAll(outbox, send, onSent) {
  const delivery = { sent: 0, refused: 0, stopped: null };
  const passedOver = new Set();
  for (;;) {
    // Read anew each time: some may have been added while the last one was under way.
    const entry = (await outbox.entries()).find((each) => each.refused === null && !passedOver.has(each.key));
    if (!entry) return delivery;
    let answer;
    try {
      answer = await send(entry);
    } catch {
      return { ...delivery, stopped: "unreachable" };
    }
    const { status, body } = answer;
    const taken = (status === 200 || status === 202) && body?.batch;
    const sentence = status >= 400 && status < 500 && !LATER.has(status) ? body?.error : undefined;
    if (taken) {
      await outbox.remove(entry.key);
      delivery.sent += 1;
      onSent(entry, body);
    } else if (typeof sentence === "string") {
      await outbox.refuse(entry.key, sentence);
      delivery.refused += 1;
    } else {
      // Also an answer that is not our server's: a proxy's, a hotel's, one that broke off. The key makes it safe to ask again.
      delivery.stopped = status;
      // What the server says of everybody holds for the others too; a fault of its own may be about these links alone.
      if (LATER.has(status) || status === 503) return delivery;
      passedOver.add(entry.key);
    }
  }
}

/**
 * Take an entry out again, unless it was sent meanwhile: one that is under way is waited for.
 * @param {Outbox} outbox @param {string} key
 * @returns {Promise<boolean>} whether it was still there
 */
export function takeBack(outbox, key) {
  return oneAtATime(async () => {
    const there = (await outbox.entries()).some((entry) => entry.key === key);
    if (there) await outbox.remove(key);
    return there;
  });
}

let turn = Promise.resolve();

/** Two tabs that send the same would do no harm, because of the keys; but one of them is enough. */
function oneAtATime(work) {
  if (navigator.locks) return navigator.locks.request(DATABASE, work);
  const mine = turn.then(work);
  turn = mine.then(
    () => {},
    () => {},
  );
  return mine;
}

/** Entries in the browser's database. */
class Kept {
  constructor(database) {
    this._database = database;
  }

  async all() {
    const transaction = await this._transaction("readonly");
    const rows = await done(transaction.objectStore(STORE).getAll());
    return rows.map(({ order, ...entry }) => entry);
  }

  add(entry) {
    return this._write((store) => store.add(entry));
  }

  /** Put what *edit* makes of an entry in its place; null removes it. One that is gone stays gone. */
  change(key, edit) {
    return this._write((store) => {
      const request = store.index("key").openCursor(IDBKeyRange.only(key));
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) return;
        const next = edit(cursor.value);
        if (next === null) cursor.delete();
        else cursor.update(next);
      };
    });
  }

  async _write(change) {
    // On disk when it is done, not when the system finds the time.
    const transaction = await this._transaction("readwrite", { durability: "strict" });
    change(transaction.objectStore(STORE));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }

  async _transaction(mode, options) {
    try {
      return this._database.transaction(STORE, mode, options);
    } catch (error) {
      // Closed by the browser, such as when somebody has it forget what sites keep.
      if (error.name !== "InvalidStateError") throw error;
      this._database = await opened();
      return this._database.transaction(STORE, mode, options);
    }
  }
}

/** Entries that the page remembers. */
class Remembered {
  constructor() {
    this._entries = new Map();
  }

  async all() {
    return [...this._entries.values()];
  }

  async add(entry) {
    this._entries.set(entry.key, entry);
  }

  async change(key, edit) {
    if (!this._entries.has(key)) return;
    const next = edit(this._entries.get(key));
    if (next === null) this._entries.delete(key);
    else this._entries.set(key, next);
  }
}

async function opened() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => {
    const store = request.result.createObjectStore(STORE, { keyPath: "order", autoIncrement: true });
    store.createIndex("key", "key", { unique: true });
  };
  const database = await done(request, OPENING_MS);
  database.onversionchange = () => database.close(); // a newer page wants to change it
  return database;
}

function done(request, timeoutMs = 0) {
  return new Promise((resolve, reject) => {
    const timer = timeoutMs && setTimeout(() => reject(new Error("the browser's database does not open")), timeoutMs);
    request.onsuccess = () => {
      clearTimeout(timer);
      resolve(request.result);
    };
    request.onerror = () => {
      clearTimeout(timer);
      reject(request.error);
    };
  });
}

/** Nobody can guess it; crypto.randomUUID would need https. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
