// Links on their way to the server. They are kept first and sent then, so that neither a crash nor a tunnel loses any.

import { send } from "./api.js";
import { element, show } from "./dom.js";
import { addToBox } from "./links_form.js";
import { say, sayError } from "./notices.js";
import { deliver, openOutbox } from "./outbox.js";
import { moment, text } from "./text.js";

const panel = document.getElementById("outbox");

/** What goes through at once is not worth showing. */
const SHOW_AFTER_MS = 700;
const AGAIN_MS = 5000;

export class OutboxView {
  /** @param {(detail: object) => void} onSent gets the batch that links became */
  constructor(onSent) {
    this._onSent = onSent;
    this._timer = 0;
    this._opened = openOutbox();
    this._outbox = null;
  }

  /** Open what was kept, and send it. */
  async start() {
    this._outbox = await this._opened;
    this._outbox.onChange(() => this.paint());
    await this.deliver();
    this.paint();
  }

  /**
   * Keep *batches* of links, then send them. They are safe when this resolves.
   * @param {string[][]} batches
   */
  async add(batches) {
    const outbox = await this._opened; // which may take a moment
    for (const urls of batches) await outbox.add(urls);
    if (!outbox.persistent) say(text("not_kept"));
    this.deliver();
    setTimeout(() => this.paint(), SHOW_AFTER_MS);
  }

  /** Send what waits, as far as the server takes it now. */
  async deliver() {
    if (this._outbox === null) return;
    clearTimeout(this._timer);
    try {
      let count = 0;
      await deliver(this._outbox, (entry) => this._post(entry), (entry, body) => {
        count += entry.urls.length;
        this._onSent(body);
      });
      if (count > 0) say(text("queued", { count }));
      const waiting = (await this._outbox.entries()).some((entry) => !entry.refused);
      if (waiting) this._timer = setTimeout(() => this.deliver(), AGAIN_MS);
    } catch (error) {
      sayError(error);
    }
    this.paint();
  }

  async paint() {
    const now = Date.now();
    const entries = (await this._outbox.entries()).filter(
      (entry) => entry.refused || now - Date.parse(entry.createdAt) >= SHOW_AFTER_MS,
    );
    panel.querySelector("ul").replaceChildren(...entries.map((entry) => this._item(entry)));
    show(panel, entries.length > 0);
  }

  _post({ key, urls }) {
    return send("POST", "/api/v1/batches", { urls, retry_failed_once: true }, { "Idempotency-Key": key });
  }

  _item(entry) {
    const { key, urls, createdAt, refused } = entry;
    const again = element("button", { type: "button" }, text("outbox_send"));
    again.addEventListener("click", () => this.deliver());
    const back = element("button", { type: "button" }, text("outbox_back"));
    back.addEventListener("click", async () => {
      addToBox(urls.join("\n"));
      await this._outbox.remove(key);
      say(text("outbox_taken_back", { count: urls.length }));
      document.getElementById("links").focus();
    });
    return element(
      "li",
      {},
      element("p", {}, text("outbox_entry", { count: urls.length, time: moment(createdAt) })),
      element("p", { class: refused ? "error" : "hint" }, refused ?? text("outbox_waiting")),
      element("div", { class: "buttons" }, ...(refused ? [] : [again]), back),
    );
  }
}
