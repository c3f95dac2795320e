// A job on the page: its title, progress and buttons.

import { address, now } from "./api.js";
import { copyOf, element, icon, setText, show } from "./dom.js";
import { parseLink } from "./links.js";
import { bytes, duration, text } from "./text.js";

export class JobRow {
  /** @param {import("./board.js").Job} job */
  constructor(job) {
    this.element = copyOf("job-template");
    this.element.dataset.job = job.job_id;
    const find = (selector) => this.element.querySelector(selector);
    this._title = find(".title");
    this._state = find(".state");
    this._facts = find(".facts");
    this._bar = find("progress");
    this._error = find(".error");
    this._actions = find(".actions");
    this._painted = "";
    find(".platform").append(icon(job.platform));
    find(".platform").title = job.platform;
  }

  /**
   * @param {import("./board.js").Job} job
   * @param {import("./board.js").Progress | undefined} progress while it runs, once known
   */
  paint(job, progress) {
    const name = nameOf(job);
    const key = [job.state, name, job.files.length, job.platform].join("\n");
    if (key !== this._painted) {
      this._painted = key;
      this.element.dataset.state = job.state;
      this._title.replaceChildren(titleOf(job, name));
      this._paintActions(job, name);
      this._bar.setAttribute("aria-label", text("progress_of", { title: name }));
    }
    const running = job.state === "running";
    setText(this._state, text(running && progress ? `phase_${progress.phase}` : `state_${job.state}`));
    setText(this._facts, facts(job, running ? progress : undefined));
    show(this._bar, running);
    if (running) paintBar(this._bar, progress);
    const error = job.state === "succeeded" || job.state === "cancelled" ? null : job.error;
    show(this._error, Boolean(error));
    setText(this._error, error ?? "");
    this._error.title = error && job.detail ? text("details", { detail: job.detail }) : "";
  }

  _paintActions(job, name) {
    const had = this._actions.contains(document.activeElement);
    this._actions.replaceChildren(...actionsOf(job).map((action) => actionButton(action, job, name)));
    // The pressed button is gone: keep the keyboard focus in this row, but not on a button that does something else.
    if (had) this.element.focus();
  }
}

/** @param {import("./board.js").Job} job @returns {string} */
export function nameOf(job) {
  return job.title || job.url;
}

/** @param {string} jobId @param {number} index @param {boolean} download @returns {string} the address of a file */
export function fileAddress(jobId, index, download) {
  const query = [index > 0 && `index=${index}`, download && "download=true"].filter(Boolean).join("&");
  return address(`/api/v1/files/${encodeURIComponent(jobId)}${query && `?${query}`}`);
}

function titleOf(job, name) {
  const link = parseLink(job.url);
  if (link === null) return document.createTextNode(name);
  return element("a", { href: link.url, target: "_blank", rel: "noopener noreferrer", title: text("open_post") }, name);
}

function facts(job, progress) {
  const parts = [];
  if (job.state === "succeeded") {
    if (job.size_bytes !== null) parts.push(bytes(job.size_bytes));
    if (job.duration_seconds) parts.push(duration(job.duration_seconds));
    if (job.files.length > 1) parts.push(text("files", { count: job.files.length }));
    return parts.join(" · ");
  }
  if (progress?.phase === "downloading") {
    const { downloaded_bytes: done, total_bytes: total, speed_bytes_per_second: speed, eta_seconds: left } = progress;
    if (total) parts.push(text("bytes_of", { done: bytes(done), total: bytes(total) }));
    else if (done) parts.push(bytes(done));
    if (speed) parts.push(text("per_second", { bytes: bytes(speed) }));
    if (left !== null && total) parts.push(text("left", { time: duration(left) }));
  }
  if (job.state === "waiting" && job.next_attempt_at) {
    const seconds = (Date.parse(job.next_attempt_at) - now()) / 1000;
    parts.push(seconds > 0 ? text("again_in", { time: duration(seconds) }) : text("again_now"));
  }
  if (job.attempts > 1) parts.push(text("attempt", { count: job.attempts }));
  return parts.join(" · ");
}

/** If the size is unknown, the bar shows activity only. */
function paintBar(bar, progress) {
  const known = progress?.phase === "downloading" && progress.total_bytes;
  if (!known) bar.removeAttribute("value");
  else bar.value = Math.min(1, progress.downloaded_bytes / progress.total_bytes);
}

function actionsOf({ state, platform, files }) {
  // A post that an archive names succeeds without files.
  if (state === "succeeded") return files.length > 0 ? ["play", "save", "copy_path", "delete"] : ["copy_link", "delete"];
  if (state === "failed" || state === "cancelled") {
    return platform === "unknown" ? ["copy_link", "delete"] : ["retry", "copy_link", "delete"];
  }
  return ["cancel"];
}

const ICONS = { copy_path: "copy", copy_link: "link" };

function actionButton(action, job, name) {
  const label = text("action_on", { action: text(action), title: name });
  const symbol = icon(ICONS[action] ?? action);
  if (action === "save") {
    const href = fileAddress(job.job_id, 0, true);
    return element("a", { class: "round", href, download: true, "aria-label": label, title: text(action) }, symbol);
  }
  const attributes = { type: "button", class: "round", "data-action": action, "aria-label": label, title: text(action) };
  return element("button", attributes, symbol);
}
