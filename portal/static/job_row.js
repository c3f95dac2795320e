// A job on the page: its picture, title, facts, progress and buttons.

import { address } from "./api.js";
import { copyOf, element, icon, setText, show } from "./dom.js";
import { canRetry, entriesNow, factsOf, hasRest, isCollection, labelOf, nameOf, needsCookies, nowOf, opening, restLabel, shortLink, stateOf } from "./job_facts.js";
import { parseLink } from "./links.js";
import { clock, text } from "./text.js";

const OPENING_ICONS = { play: "play", view: "pictures" };
const KIND_ICONS = { audio: "sound", photos: "pictures", collection: "stack" };

export class JobRow {
  /** @param {import("./board.js").Job} job */
  constructor(job) {
    this.element = copyOf("job-template");
    this.element.dataset.job = job.job_id;
    const find = (selector) => this.element.querySelector(selector);
    this._symbol = find(".thumb use");
    this._picture = find("img");
    this._length = find(".length");
    this._thumb = find(".thumb");
    this._title = find(".title");
    this._facts = find(".facts");
    this._stateIcon = find(".state use");
    this._state = find(".state span");
    this._now = find(".now");
    this._link = find(".link");
    this._bar = find("progress");
    this._trouble = find(".trouble");
    this._error = find(".error");
    this._actions = find(".actions");
    this._pick = find(".pick input");
    this._painted = "";
    // A picture that can't be loaded leaves the platform's icon.
    this._picture.addEventListener("error", () => show(this._picture, false));
  }

  /** @param {import("./board.js").Job} job @param {import("./board.js").Board} board */
  paint(job, board) {
    const progress = job.state === "running" ? board.progress.get(job.job_id) : undefined;
    const name = nameOf(job);
    const entries = isCollection(job) ? board.entriesOf(job) : null;
    const files = entries ? entries.done : job.files.length;
    // A list that was read is not done before its entries are.
    const state = entries && job.state === "succeeded" && entries.ended < entries.total ? "running" : job.state;
    const { platform, error_code: code, kind, thumbnail_url: thumbnail } = job;
    const { found, taken } = job.entries ?? {};
    const key = [state, job.state, name, files, platform, code, job.error, kind, thumbnail, found, taken, entries && job.detail].join("\n");
    if (key !== this._painted) {
      this._painted = key;
      this._paintOnce(job, name, state, files);
    }
    show(this._length, Boolean(job.duration_seconds));
    if (job.duration_seconds) setText(this._length, clock(job.duration_seconds));
    setText(this._facts, factsOf(job));
    setText(this._state, stateOf(job, progress, state));
    setText(this._now, [entries && entriesNow(entries), nowOf(job, progress, board.cooldowns.get(platform))].filter(Boolean).join(" · "));
    show(this._bar, state === "running");
    if (state === "running") paintBar(this._bar, entries ? { done: entries.ended, total: entries.total } : bytesOf(progress));
  }

  /** Paint what changes rarely. */
  _paintOnce(job, name, state, files) {
    const link = parseLink(job.url)?.url ?? null;
    this.element.dataset.state = state;
    this.element.classList.toggle("collection", isCollection(job));
    this._title.replaceChildren(link ? postLink(link, name) : name);
    this._title.classList.toggle("untitled", !job.title);
    this._symbol.setAttribute("href", `#i-${KIND_ICONS[job.kind] ?? job.platform}`);
    this._thumb.title = labelOf(job.platform);
    this._paintPicture(job.thumbnail_url ? address(`/api/v1/jobs/${encodeURIComponent(job.job_id)}/thumbnail`) : null);
    this._paintPlay(job, name);
    this._stateIcon.setAttribute("href", `#i-${state}`);
    show(this._link, Boolean(link && job.title));
    if (link && job.title) {
      this._link.href = link;
      setText(this._link, shortLink(link));
    }
    this._paintTrouble(job, name);
    this._paintActions(job, name, files);
    this._bar.setAttribute("aria-label", text("progress_of", { title: name }));
    this._pick.setAttribute("aria-label", text("action_on", { action: text("select"), title: name }));
  }

  _paintPicture(path) {
    show(this._picture, path !== null);
    if (path !== null && this._picture.getAttribute("src") !== path) this._picture.src = path;
  }

  _paintPlay(job, name) {
    const there = this._thumb.querySelector("button");
    const action = opening(job);
    if (there?.dataset.action === action) there.setAttribute("aria-label", text("action_on", { action: text(action), title: name }));
    else {
      there?.remove();
      if (action) this._thumb.append(roundButton(action, name, OPENING_ICONS[action]));
    }
  }

  _paintTrouble(job, name) {
    const isFine = job.state === "succeeded" || job.state === "cancelled";
    const error = isFine ? null : job.error;
    const missing = isCollection(job) && job.state === "succeeded" ? job.detail : null;
    setText(this._error, error ?? missing ?? "");
    show(this._error, this._error.textContent !== "");
    this._error.className = error ? "error" : "hint";
    const cures = [];
    if (hasRest(job)) {
      const label = restLabel(job);
      cures.push(element("button", { type: "button", class: "small", "data-action": "take_rest", "aria-label": text("action_on", { action: label, title: name }) }, icon("stack"), label));
    }
    if (needsCookies(job)) {
      const label = text("add_cookies");
      cures.push(element("button", { type: "button", class: "small", "data-action": "cookies", "aria-label": text("action_on", { action: label, title: name }) }, icon("key"), label));
    }
    // Its text is loaded when it is opened (job_actions.js): few want it.
    if (job.state === "failed" && job.platform !== "unknown") {
      cures.push(element("details", { class: "detail" }, element("summary", {}, text("details")), element("p", { dir: "auto" })));
    }
    const had = this._trouble.contains(document.activeElement);
    this._trouble.replaceChildren(this._error, ...cures);
    if (had) this.element.focus();
    show(this._trouble, Boolean(error ?? missing) || cures.length > 0);
  }

  _paintActions(job, name, files) {
    const had = this._actions.contains(document.activeElement);
    this._actions.replaceChildren(...buttonsOf(job, name, files));
    // The pressed button is gone: keep the keyboard focus in this row, but not on a button that does something else.
    if (had) this.element.focus();
  }
}

/** @param {string} jobId @param {number} index @param {boolean} download @returns {string} the address of a file */
export function fileAddress(jobId, index, download) {
  const query = [index > 0 && `index=${index}`, download && "download=true"].filter(Boolean).join("&");
  return address(`/api/v1/files/${encodeURIComponent(jobId)}${query && `?${query}`}`);
}

/** @param {import("./board.js").Job} job @returns {string} what to save of it: its file, or all of them as a zip */
export function saveAddress(job) {
  if (job.files.length === 1 && !isCollection(job)) return fileAddress(job.job_id, 0, true);
  return zipAddress([job.job_id]);
}

/** @param {string[]} ids of jobs @returns {string} */
export function zipAddress(ids) {
  return address(`/api/v1/jobs/zip?ids=${ids.map(encodeURIComponent).join(",")}`);
}

function postLink(href, name) {
  return element("a", { href, target: "_blank", rel: "noopener noreferrer", title: text("open_post") }, name);
}

function bytesOf(progress) {
  if (progress?.phase !== "downloading") return { done: 0, total: 0 };
  return { done: progress.downloaded_bytes, total: progress.total_bytes ?? 0 };
}

/** If the total is unknown, the bar shows activity only. */
function paintBar(bar, { done, total }) {
  if (total === 0) bar.removeAttribute("value");
  else bar.value = Math.min(1, done / total);
}

/** The one action that a row's state suggests, and a menu with the others. */
function buttonsOf(job, name, files) {
  const buttons = [];
  if (job.state === "succeeded" && files > 0) buttons.push(saveLink(job, name, files));
  else if (canRetry(job)) buttons.push(roundButton("retry", name));
  else if (!["succeeded", "failed", "cancelled"].includes(job.state)) buttons.push(roundButton("cancel", name));
  const label = text("action_on", { action: text("more"), title: name });
  buttons.push(element("button", { type: "button", class: "round", "data-menu": "job", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": label, title: text("more") }, icon("more")));
  return buttons;
}

function saveLink(job, name, files) {
  const what = files > 1 ? text("save_files", { count: files }) : text("save");
  const attributes = { class: "round", href: saveAddress(job), download: true, title: what };
  return element("a", { ...attributes, "aria-label": text("action_on", { action: what, title: name }) }, icon("save"));
}

function roundButton(action, name, symbol = action) {
  const label = text("action_on", { action: text(action), title: name });
  return element("button", { type: "button", class: "round", "data-action": action, "aria-label": label, title: text(action) }, icon(symbol));
}
