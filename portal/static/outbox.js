// Links on their way to the server, stored in the browser's database before they are sent: a closed tab, a dead battery
// or a tunnel loses none. Each entry has an idempotency key, so that sending it twice has the effect of once.

// Servers below different prefixes of one host share the browser's databases, but must not get each other's links.
const ROOT = new URL("../../../", import.meta.url).pathname; // this is <root>/portal/static/<digest>/outbox.js
const DATABASE = `outbox ${ROOT}`;
const STORE = "entries";

// In some browsers opening a database can hang.
const OPENING_MS = 5000;

// Not the links' fault: logged out, or too many requests.
const RETRY_LATER = new Set([401, 403, 408, 425, 429]);

/**
 * @typedef {{key: string, urls: string[], createdAt: string, refused: string | null}} Entry
 *   `createdAt`: ISO 8601; `refused`: the server's sentence, if it refused them
 * @typedef {{sent: number, refused: number, stopped: null | "unreachable" | number}} Delivery
 *   `stopped`: why the others wait: the response's status, or that there was none; null if none wait
 */

/** @returns {Promise<Outbox>} without storage in the browser, one that lasts as long as the page */
export async function openOutbox() {
  try {
    return new Outbox(new DatabaseEntries(await openDatabase()), true);
  } catch {
    return new Outbox(new MemoryEntries(), false);
  }
}

class Outbox {
  constructor(entries, persistent) {
    this.persistent = persistent; // false: it ends with the page
    this._entries = entries;
    this._listeners = [];
    this._channel = persistent && typeof BroadcastChannel === "function" ? new BroadcastChannel(DATABASE) : null;
    if (this._channel) this._channel.onmessage = () => this._tell();
  }

  /**
   * @param {string[]} urls
   * @param {object} [options] stored with them, for the request
   * @returns {Promise<Entry>} when it is on disk
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

  /** Keep an entry, but don't send it again. @param {string} key @param {string} sentence */
  async refuse(key, sentence) {
    await this._entries.change(key, (entry) => ({ ...entry, refused: sentence }));
    this._changed();
  }

  /** @param {() => void} listener called after every change, in other tabs too */
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
 * Send every entry that was not refused, oldest first, until one can't be sent now; entries added in between too.
 * @param {Outbox} outbox
 * @param {(entry: Entry) => Promise<{status: number, body: any}>} send throws if the server can't be reached
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
    // Read each time: some may have been added while the last one was sent.
    const entry = (await outbox.entries()).find((each) => each.refused === null && !passedOver.has(each.key));
    if (!entry) return delivery;
    let response;
    try {
      response = await send(entry);
    } catch {
      return { ...delivery, stopped: "unreachable" };
    }
    const { status, body } = response;
    const accepted = (status === 200 || status === 202) && body?.batch;
    const sentence = status >= 400 && status < 500 && !RETRY_LATER.has(status) ? body?.error : undefined;
    if (accepted) {
      await outbox.remove(entry.key);
      delivery.sent += 1;
      onSent(entry, body);
    } else if (typeof sentence === "string") {
      await outbox.refuse(entry.key, sentence);
      delivery.refused += 1;
    } else {
      // Also a response that is not our server's: a proxy's, a hotel's, an incomplete one. The key makes a retry safe.
      delivery.stopped = status;
      // These statuses hold for the other entries too; another server error may be about this entry only.
      if (RETRY_LATER.has(status) || status === 503) return delivery;
      passedOver.add(entry.key);
    }
  }
}

/**
 * Remove an entry, unless it was sent: one that is being sent is waited for.
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

/** Two tabs sending the same entry would do no harm, because of its key, but one is enough. */
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
class DatabaseEntries {
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

  /** Replace an entry by what *edit* returns; null removes it. A missing one stays missing. */
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
    // Resolve when it is on disk.
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
      // Closed by the browser, such as when the user clears site data.
      if (error.name !== "InvalidStateError") throw error;
      this._database = await openDatabase();
      return this._database.transaction(STORE, mode, options);
    }
  }
}

/** Entries in memory. */
class MemoryEntries {
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

async function openDatabase() {
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

/** Unguessable; crypto.randomUUID would need https. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
