// What holds for all downloads: whether the queue is paused, the disk full, a platform resting.

import { ask } from "./api.js";
import { icon, setText } from "./dom.js";
import { banner, say, sayError } from "./notices.js";
import { bytes, duration, text } from "./text.js";

const REFRESH_MS = 60_000; // for what no event tells of: the disk

const button = document.getElementById("pause");

export class QueueView {
  constructor() {
    this._paused = false;
    this._resting = new Map();
    button.addEventListener("click", () => this._toggle().catch(sayError));
    setInterval(() => this._tick(), 1000);
    setInterval(() => document.hidden || this.load().catch(() => {}), REFRESH_MS);
  }

  /** Load how things are. */
  async load() {
    const [queue, { platforms }] = await Promise.all([ask("GET", "/api/v1/queue"), ask("GET", "/api/v1/platforms")]);
    this._paint(queue);
    for (const { platform } of this._resting.values()) banner(platform, null);
    this._resting = new Map(platforms.filter((each) => each.cooling_until).map((each) => [each.platform, each]));
    this._tick();
  }

  _paint({ paused, disk_low: diskLow, free_bytes: free }) {
    this._paused = paused;
    const label = text(paused ? "resume" : "pause");
    button.setAttribute("aria-pressed", String(paused));
    button.setAttribute("aria-label", label);
    button.title = label;
    button.replaceChildren(icon(paused ? "play" : "pause"));
    banner("paused", paused ? text("paused") : null, { label: text("resume"), act: () => this._toggle().catch(sayError) });
    banner("disk", diskLow ? text("disk_low", { free: bytes(free) }) : null);
  }

  async _toggle() {
    this._paint(await ask("POST", `/api/v1/queue/${this._paused ? "resume" : "pause"}`));
  }

  _tick() {
    for (const [name, { label, cooling_until: until }] of this._resting) {
      const seconds = (Date.parse(until) - Date.now()) / 1000;
      if (seconds <= 0) {
        this._resting.delete(name);
        banner(name, null);
        continue;
      }
      banner(name, text("platform_rests", { platform: label, time: duration(seconds) }), {
        label: text("platform_rest_end"),
        act: () => this._endRest(name, label).catch(sayError),
      });
    }
  }

  async _endRest(name, label) {
    await ask("POST", `/api/v1/platforms/${encodeURIComponent(name)}/end-cooldown`);
    say(text("platform_rest_ended", { platform: label }));
    await this.load();
  }
}

/** Show how the page hears of changes. @param {import("./live.js").Connection} connection */
export function paintConnection(connection) {
  const place = document.getElementById("connection");
  place.dataset.state = connection;
  setText(place, text(`connection_${connection}`));
  banner("offline", connection === "offline" ? text("connection_offline_long") : null);
}
