// The state of the whole queue: paused, disk full, platforms cooling down.

import { ask, now } from "./api.js";
import { banner } from "./banners.js";
import { element, icon, setText } from "./dom.js";
import { say, sayError } from "./notices.js";
import { bytes, duration, text } from "./text.js";

const REFRESH_MS = 60_000; // for what has no events: the disk

const button = document.getElementById("pause");

export class QueueView {
  /** @param {import("./board.js").Board} board @param {() => void} onCooldowns called when they changed */
  constructor(board, onCooldowns) {
    this._board = board;
    this._onCooldowns = onCooldowns;
    this._paused = false;
    this._coolingDown = new Map();
    this._turn = 0;
    button.addEventListener("click", () => this._toggle().catch(sayError));
    setInterval(() => this._tick(), 1000);
    setInterval(() => document.hidden || this.load().catch(() => {}), REFRESH_MS);
    ask("GET", "/api/v1/tools").then(warnOfTools, () => {});
  }

  /** Load the current state. */
  async load() {
    const turn = (this._turn += 1);
    const [queue, { platforms }, { cookies }] = await Promise.all(
      ["queue", "platforms", "cookies"].map((what) => ask("GET", `/api/v1/${what}`)),
    );
    if (turn !== this._turn) return; // a newer request was sent
    this._paint(queue);
    // Warn of expiring cookies before a batch needs them.
    for (const { platform, condition, sentence } of cookies) {
      banner(`cookies-${platform}`, condition === "none" || condition === "good" ? null : sentence, { icon: "key", closable: true });
    }
    const coolingDown = new Map(platforms.filter((each) => each.cooling_until).map((each) => [each.platform, each]));
    for (const name of this._coolingDown.keys()) if (!coolingDown.has(name)) banner(name, null);
    this._coolingDown = coolingDown;
    this._tick();
    this._tellCooldowns();
  }

  _tellCooldowns() {
    const ends = new Map([...this._coolingDown].map(([name, { cooling_until: until }]) => [name, until]));
    const before = this._board.cooldowns;
    this._board.cooldowns = ends;
    if (ends.size !== before.size || [...ends].some(([name, until]) => before.get(name) !== until)) this._onCooldowns();
  }

  _paint({ paused, disk_low: diskLow, storage_full: storageFull, storage_error: storageError, machines_error: machinesError, free_bytes: free }) {
    this._paused = paused;
    const label = text(paused ? "resume" : "pause");
    button.replaceChildren(icon(paused ? "play" : "pause"), element("span", { class: "label" }, label));
    button.setAttribute("aria-label", label); // where there is no room for it
    button.title = label;
    banner("paused", paused ? text("paused") : null, { icon: "pause", label: text("paused_end"), act: () => this._toggle().catch(sayError) });
    banner("storage-error", storageError);
    banner("machines-error", machinesError);
    banner("storage", storageFull ? text("server_full") : null, { closable: true });
    banner("disk", diskLow ? text("disk_low", { free: bytes(free) }) : null, { closable: true });
  }

  async _toggle() {
    await ask("POST", `/api/v1/queue/${this._paused ? "resume" : "pause"}`);
    await this.load();
    say(text(this._paused ? "paused" : "resumed"));
  }

  _tick() {
    for (const [name, { label, cooling_until: until }] of this._coolingDown) {
      const seconds = (Date.parse(until) - now()) / 1000;
      if (seconds <= 0) {
        this._coolingDown.delete(name);
        banner(name, null);
        this._tellCooldowns();
        continue;
      }
      banner(name, text("platform_cooldown", { platform: label, time: duration(seconds) }), {
        icon: "waiting",
        label: text("cooldown_end"),
        act: () => this._endCooldown(name, label).catch(sayError),
      });
    }
  }

  async _endCooldown(name, label) {
    await ask("POST", `/api/v1/platforms/${encodeURIComponent(name)}/end-cooldown`);
    say(text("cooldown_ended", { platform: label }));
    await this.load();
  }
}

function warnOfTools({ ytdlp, ffmpeg, javascript }) {
  banner("ytdlp", ytdlp.advice, { closable: true });
  banner("ffmpeg", ffmpeg ? null : text("banner_ffmpeg"), { closable: true });
  banner("javascript", javascript ? null : text("banner_javascript"), { closable: true });
}

/**
 * Show the connection's state.
 * @param {import("./live.js").Connection} connection
 * @returns {boolean} whether it changed
 */
export function paintConnection(connection) {
  const place = document.getElementById("connection");
  const before = place.dataset.state;
  if (before === connection && connection !== "connecting") return false;
  place.dataset.state = connection;
  setText(place, text(`connection_${connection}`));
  banner("offline", connection === "offline" ? text("connection_offline_long") : null);
  if (connection === "offline") say(text("connection_offline"));
  else if (before === "offline") say(text("connection_back"));
  return true;
}
