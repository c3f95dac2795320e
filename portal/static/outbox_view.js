// The outbox on the page: links that wait to be sent.

import { send } from "./api.js";
import { banner } from "./banners.js";
import { arrange, element, setText, show } from "./dom.js";
import { addToBox } from "./links_form.js";
import { say, sayError } from "./notices.js";
import { refuseOption } from "./options.js";
import { deliver, openOutbox, takeBack } from "./outbox.js";
import { moment, text } from "./text.js";

const panel = document.getElementById("outbox");

/** What is sent at once is not worth showing. */
const SHOW_AFTER_MS = 700;
const RETRY_MS = 5000;

export class OutboxView {
  /**
   * @param {import("./live.js").Live} live
   * @param {(detail: object) => void} onSent gets the batch that links became
   */
  constructor(live, onSent) {
    this._live = live;
    this._onSent = onSent;
    this._timer = 0;
    this._opened = openOutbox();
    this._outbox = null;
    this._stopped = null;
    this._items = new Map();
    this._added = new Set(); // keys of what was added since the page was opened
  }

  /** Open what was stored, and send it. */
  async start() {
    this._outbox = await this._opened;
    banner("not-kept", this._outbox.persistent ? null : text("not_kept"));
    this._outbox.onChange(() => this.paint());
    await this.deliver();
  }

  /**
   * Store *batches* of links, then send them. They are stored when this resolves.
   * @param {string[][]} batches @param {object} wanted of each of their posts, as a request says it
   */
  async add(batches, wanted) {
    const outbox = await this._opened; // this may take a moment
    for (const urls of batches) this._added.add((await outbox.add(urls, wanted)).key);
    this.deliver();
    setTimeout(() => this.paint(), SHOW_AFTER_MS);
  }

  /** Send what waits, as far as the server accepts it now. */
  async deliver() {
    if (this._outbox === null) return;
    clearTimeout(this._timer);
    try {
      let count = 0;
      const delivery = await deliver(
        this._outbox,
        (entry) => this._post(entry),
        (entry) => (count += entry.urls.length),
      );
      this._stopped = delivery.stopped;
      if (count > 0) say(text("queued", { count }));
      if (delivery.refused > 0) await this._giveBack();
      if (delivery.stopped !== null) this._timer = setTimeout(() => this.deliver(), RETRY_MS);
    } catch (error) {
      sayError(error);
    }
    await this.paint();
  }

  /** What was refused because of an option goes back into the box, and the reason to the option. */
  async _giveBack() {
    for (const { key, urls, refused } of await this._outbox.entries()) {
      if (!refused || !this._added.has(key) || !refuseOption(refused)) continue;
      if (await takeBack(this._outbox, key)) addToBox(urls.join("\n"));
    }
  }

  async paint() {
    if (this._outbox === null) return;
    let entries = [];
    try {
      entries = await this._outbox.entries();
    } catch (error) {
      console.error(error); // the browser's database broke; what the page shows of it stays
      return;
    }
    const now = Date.now();
    const shown = entries.filter((entry) => entry.refused || now - Date.parse(entry.createdAt) >= SHOW_AFTER_MS);
    const keys = new Set(shown.map((entry) => entry.key));
    for (const key of this._items.keys()) if (!keys.has(key)) this._items.delete(key);
    arrange(panel.querySelector("ul"), shown.map((entry) => this._item(entry)));
    show(panel, shown.length > 0);
  }

  /** Events are held back, because the response may be older than they are. */
  _post({ key, urls, createdAt, refused, ...wanted }) {
    return this._live.holding(async () => {
      const response = await send("POST", "/api/v1/batches", { urls, ...wanted, retry_failed_once: true }, { "Idempotency-Key": key });
      if (response.body?.batch) this._onSent(response.body);
      return response;
    });
  }

  _item(entry) {
    const item = this._items.get(entry.key) ?? this._newItem(entry);
    this._items.set(entry.key, item);
    const [, reason] = item.children;
    reason.className = entry.refused ? "error" : "hint";
    const status = typeof this._stopped === "number" ? String(this._stopped) : null;
    setText(reason, entry.refused ?? (status ? text("outbox_not_now", { status }) : text("outbox_waiting")));
    show(item.querySelector("button"), !entry.refused);
    return item;
  }

  _newItem({ key, urls, createdAt }) {
    const again = element("button", { type: "button" }, text("outbox_send"));
    again.addEventListener("click", () => this.deliver());
    const back = element("button", { type: "button" }, text("outbox_back"));
    back.addEventListener("click", async () => {
      const there = await takeBack(this._outbox, key);
      if (there) addToBox(urls.join("\n"));
      say(there ? text("outbox_taken_back", { count: urls.length }) : text("outbox_sent_already"));
      document.getElementById("links").focus();
    });
    return element(
      "li",
      {},
      element("p", {}, text("outbox_entry", { count: urls.length, time: moment(createdAt) })),
      element("p", {}),
      element("div", { class: "buttons" }, again, back),
    );
  }
}
