// What the server is set to, what it offers and what it uses; read-only, because all of it is the environment's.

import { ask } from "./api.js";
import { element, setText, show } from "./dom.js";
import { bytes, duration, moment, text } from "./text.js";

const storagePlace = document.getElementById("storage");
const machinesPlace = document.getElementById("machines");
const toolsPlace = document.getElementById("tools");
const presetsPlace = document.getElementById("presets");
const settingsPlace = document.getElementById("server-settings");

/** Load and show them. */
export async function loadSettings() {
  const [{ settings, storage }, { machines }, tools, offered] = await Promise.all(
    ["settings", "machines", "tools", "presets"].map((what) => ask("GET", `/api/v1/${what}`)),
  );
  paintStorage(storage);
  machinesPlace.replaceChildren(...machines.map(machineOf));
  show(document.getElementById("machines-panel"), machines.length > 0);
  toolsPlace.replaceChildren(...toolsOf(tools));
  presetsPlace.replaceChildren(
    ...offered.presets.map(({ name, label, description }) => {
      const marks = name === offered.default ? [badge(text("default"))] : [];
      return element("div", {}, element("dt", {}, label, ...marks), element("dd", {}, description, " ", element("code", {}, name)));
    }),
  );
  paintGroups(settings);
}

function paintStorage({ folder, used_bytes: used, free_bytes: free, max_bytes: most }) {
  const parts = [
    used !== null && text("storage_used", { bytes: bytes(used) }),
    text("storage_free", { bytes: bytes(free) }),
    most !== null && text("storage_limit", { bytes: bytes(most) }),
  ];
  const words = parts.filter(Boolean).join(" · ");
  const all = Math.max(1, Math.min(most ?? Infinity, (used ?? 0) + free));
  const share = Math.min(used ?? 0, all) / all;
  storagePlace.replaceChildren(
    element("p", {}, words),
    element("meter", { min: 0, max: 1, high: 0.9, value: share, "aria-label": words }),
    element("p", { class: "hint" }, element("code", {}, folder)),
  );
}

function machineOf({ name, egress, places, busy, is_alive: isAlive, is_draining: isDraining, heard_at: heardAt, version, fault }) {
  const state = isDraining ? text("machine_draining", { busy }) : text("machine_busy", { busy, places });
  const words = [isAlive ? state : text("machine_silent", { time: moment(heardAt) }), egress, text("version", { version })];
  return fact(name, words.filter(Boolean).join(" · "), ...(fault ? [element("p", { class: "hint" }, fault)] : []));
}

function toolsOf({ ytdlp, ffmpeg, javascript }) {
  const age = ytdlp.age_days === null ? [] : [` · ${text("days_old", { count: ytdlp.age_days })}`];
  const advice = ytdlp.advice ? [element("p", { class: "hint" }, ytdlp.advice)] : [];
  return [
    fact("yt-dlp", ytdlp.version ?? text("unknown_version"), ...age, ...advice),
    fact("ffmpeg", ffmpeg ? (ffmpeg.version ?? text("installed")) : text("ffmpeg_missing")),
    fact(text("javascript"), javascript ? [javascript.name, javascript.version].filter(Boolean).join(" ") : text("javascript_missing")),
  ];
}

function fact(name, ...value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, ...value));
}

/** A folded list for each group; those that are open stay so. */
function paintGroups(settings) {
  const groups = new Map();
  for (const setting of settings) groups.set(setting.group, [...(groups.get(setting.group) ?? []), setting]);
  for (const [name, members] of groups) {
    let place = settingsPlace.querySelector(`[data-group="${CSS.escape(name)}"]`);
    if (!place) {
      place = element("details", { "data-group": name }, element("summary"), element("dl", { class: "list" }));
      settingsPlace.append(place);
    }
    const set = members.filter(({ source }) => source === "environment").length;
    setText(place.querySelector("summary"), text("settings_group", { group: text(name === "server" ? "settings_network" : `settings_${name}`), count: set }));
    place.querySelector("dl").replaceChildren(...members.map(settingOf));
  }
}

function settingOf({ name, value, source, description }) {
  const key = element("dt", {}, description, element("code", {}, name));
  return element("div", {}, key, element("dd", {}, valueOf(name, value), ...(source === "environment" ? [badge(text("source_environment"))] : [])));
}

/** @returns {string} a setting's value for people */
function valueOf(name, value) {
  if (value === null || (Array.isArray(value) && value.length === 0)) return text("not_set");
  if (name === "DOWNLOADER_API_KEY") return text("keys", { count: value });
  if (typeof value === "boolean") return text(value ? "on" : "off");
  if (name.endsWith("_BYTES")) return bytes(value);
  if (name.endsWith("_SECONDS")) return duration(value);
  return Array.isArray(value) ? value.join(", ") : String(value);
}

function badge(words) {
  return element("span", { class: "badge" }, words);
}
