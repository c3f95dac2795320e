// A job on the page: its picture, title, facts, progress and buttons.

import { address } from "./api.js";
import { copyOf, element, icon, setText, show } from "./dom.js";
import { canPlay, canRetry, factsOf, labelOf, nameOf, needsCookies, nowOf, shortLink, stateOf } from "./job_facts.js";
import { parseLink } from "./links.js";
import { clock, text } from "./text.js";

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
    this._painted = "";
    // A picture that can't be loaded leaves the platform's icon.
    this._picture.addEventListener("error", () => show(this._picture, false));
  }

  /** @param {import("./board.js").Job} job @param {import("./board.js").Board} board */
  paint(job, board) {
    const progress = job.state === "running" ? board.progress.get(job.job_id) : undefined;
    const name = nameOf(job);
    const { state, files, platform, error_code: code, kind, thumbnail_url: thumbnail } = job;
    const key = [state, name, files.length, platform, code, job.error, kind, thumbnail].join("\n");
    if (key !== this._painted) {
      this._painted = key;
      this._paintOnce(job, name);
    }
    show(this._length, Boolean(job.duration_seconds));
    if (job.duration_seconds) setText(this._length, clock(job.duration_seconds));
    setText(this._facts, factsOf(job));
    setText(this._state, stateOf(job, progress));
    setText(this._now, nowOf(job, progress, board.cooldowns.get(platform)));
    show(this._bar, state === "running");
    if (state === "running") paintBar(this._bar, progress);
  }

  /** Paint what changes rarely. */
  _paintOnce(job, name) {
    const link = parseLink(job.url)?.url ?? null;
    this.element.dataset.state = job.state;
    this._title.replaceChildren(link ? postLink(link, name) : name);
    this._title.classList.toggle("untitled", !job.title);
    this._symbol.setAttribute("href", `#i-${KIND_ICONS[job.kind] ?? job.platform}`);
    this._thumb.title = labelOf(job.platform);
    this._paintPicture(job.thumbnail_url ? address(`/api/v1/jobs/${encodeURIComponent(job.job_id)}/thumbnail`) : null);
    this._paintPlay(job, name);
    this._stateIcon.setAttribute("href", `#i-${job.state}`);
    show(this._link, Boolean(link && job.title));
    if (link && job.title) {
      this._link.href = link;
      setText(this._link, shortLink(link));
    }
    this._paintTrouble(job, name);
    this._paintActions(job, name);
    this._bar.setAttribute("aria-label", text("progress_of", { title: name }));
  }

  _paintPicture(path) {
    show(this._picture, path !== null);
    if (path !== null && this._picture.getAttribute("src") !== path) this._picture.src = path;
  }

  _paintPlay(job, name) {
    const there = this._thumb.querySelector("button");
    if (!canPlay(job)) there?.remove();
    else if (!there) this._thumb.append(roundButton("play", name));
    else there.setAttribute("aria-label", text("action_on", { action: text("play"), title: name }));
  }

  _paintTrouble(job, name) {
    const error = job.state === "succeeded" || job.state === "cancelled" ? null : job.error;
    show(this._trouble, Boolean(error));
    setText(this._error, error ?? "");
    const cures = [];
    if (needsCookies(job)) {
      const label = text("add_cookies");
      cures.push(element("button", { type: "button", class: "small", "data-action": "cookies", "aria-label": text("action_on", { action: label, title: name }) }, icon("key"), label));
    }
    // Its text is loaded when it is opened (job_actions.js): few want it.
    if (job.state === "failed" && job.platform !== "unknown") {
      cures.push(element("details", { class: "detail" }, element("summary", {}, text("details")), element("p", { dir: "auto" })));
    }
    this._trouble.replaceChildren(this._error, ...cures);
  }

  _paintActions(job, name) {
    const had = this._actions.contains(document.activeElement);
    this._actions.replaceChildren(...buttonsOf(job, name));
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
  if (job.files.length === 1) return fileAddress(job.job_id, 0, true);
  return zipAddress([job.job_id]);
}

/** @param {string[]} ids of jobs @returns {string} */
export function zipAddress(ids) {
  return address(`/api/v1/jobs/zip?ids=${ids.map(encodeURIComponent).join(",")}`);
}

function postLink(href, name) {
  return element("a", { href, target: "_blank", rel: "noopener noreferrer", title: text("open_post") }, name);
}

/** If the size is unknown, the bar shows activity only. */
function paintBar(bar, progress) {
  const known = progress?.phase === "downloading" && progress.total_bytes;
  if (!known) bar.removeAttribute("value");
  else bar.value = Math.min(1, progress.downloaded_bytes / progress.total_bytes);
}

/** The one action that a row's state suggests, and a menu with the others. */
function buttonsOf(job, name) {
  const buttons = [];
  if (job.state === "succeeded" && job.files.length > 0) buttons.push(saveLink(job, name));
  else if (canRetry(job)) buttons.push(roundButton("retry", name));
  else if (!["succeeded", "failed", "cancelled"].includes(job.state)) buttons.push(roundButton("cancel", name));
  const label = text("action_on", { action: text("more"), title: name });
  buttons.push(element("button", { type: "button", class: "round", "data-menu": "job", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": label, title: text("more") }, icon("more")));
  return buttons;
}

function saveLink(job, name) {
  const what = job.files.length > 1 ? text("save_files", { count: job.files.length }) : text("save");
  const attributes = { class: "round", href: saveAddress(job), download: true, title: what };
  return element("a", { ...attributes, "aria-label": text("action_on", { action: what, title: name }) }, icon("save"));
}

function roundButton(action, name) {
  const label = text("action_on", { action: text(action), title: name });
  return element("button", { type: "button", class: "round", "data-action": action, "aria-label": label, title: text(action) }, icon(action));
}
