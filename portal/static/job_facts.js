// What a job's row says, in words.

import { now } from "./api.js";
import { PLATFORMS } from "./platforms.js";
import { bytes, date, duration, text } from "./text.js";

const SEPARATOR = " · ";

/** Errors after which the same link fails again, whatever the server's owner does. */
const HOPELESS = new Set(["invalid_url", "unsupported_platform", "removed", "no_video", "no_audio", "blocked_address"]);

/** Errors that cookies of a logged-in account may cure. */
const CURED_BY_COOKIES = new Set(["login_required", "private", "age_restricted", "bot_check", "ip_blocked"]);

/** @typedef {import("./board.js").Job} Job */

/** @param {Job} job @returns {string} its title, or else its link without what all links have */
export function nameOf(job) {
  return job.title || shortLink(job.url);
}

/** @param {string} url @returns {string} */
export function shortLink(url) {
  return url.replace(/^https?:\/\/(?:www\.)?/i, "").replace(/\/$/, "");
}

/** @param {string} platform @returns {string} */
export function labelOf(platform) {
  return PLATFORMS[platform]?.label ?? "";
}

/** Whether there is something to play: of pictures alone there is not. @param {Job} job */
export function canPlay({ state, files, kind }) {
  return state === "succeeded" && files.length > 0 && kind !== "photos";
}

/** Whether a retry may help. @param {Job} job */
export function canRetry({ state, platform, error_code: code }) {
  if (platform === "unknown") return false;
  return state === "cancelled" || (state === "failed" && !HOPELESS.has(code));
}

/** Whether cookies may help. @param {Job} job */
export function needsCookies({ state, platform, error_code: code }) {
  return state === "failed" && platform !== "unknown" && CURED_BY_COOKIES.has(code);
}

/** @param {Job} job @returns {string} whose it is and what it is, as far as it is known */
export function factsOf(job) {
  const { uploader, platform, uploaded_at: at, state, size_bytes: size, width, height } = job;
  const parts = [uploader, labelOf(platform)];
  if (at) parts.push(date(at));
  if (state === "succeeded") {
    if (typeof size === "number") parts.push(bytes(size));
    if (job.kind === "audio") parts.push(text("kind_audio"));
    else if (width && height) parts.push(text("resolution", { pixels: String(Math.min(width, height)) }));
    if (job.files.length > 1) parts.push(text("files", { count: job.files.length }));
    if (job.subtitles?.length) parts.push(text("subtitles_of", { languages: job.subtitles.join(", ") }));
    if (job.subtitles_missing?.length) parts.push(text("subtitles_missing_of", { languages: job.subtitles_missing.join(", ") }));
    if (job.reused) parts.push(text("reused"));
  }
  return parts.filter(Boolean).join(SEPARATOR);
}

/**
 * @param {Job} job
 * @param {import("./board.js").Progress | undefined} progress while it runs, once known
 * @param {string | undefined} cooldown when its platform's cooldown ends
 * @returns {string} what is going on
 */
export function nowOf(job, progress, cooldown) {
  const parts = [];
  if (progress?.phase === "downloading") {
    const { downloaded_bytes: done, total_bytes: total, speed_bytes_per_second: speed, eta_seconds: left } = progress;
    if (total) parts.push(text("bytes_of", { done: bytes(done), total: bytes(total) }));
    else if (done) parts.push(bytes(done));
    if (speed) parts.push(text("per_second", { bytes: bytes(speed) }));
    if (left !== null && total) parts.push(text("left", { time: duration(left) }));
  }
  if (job.state === "waiting" && job.next_attempt_at) {
    const seconds = secondsUntil(job.next_attempt_at);
    parts.push(seconds > 0 ? text("again_in", { time: duration(seconds) }) : text("again_now"));
  } else if (job.state === "queued" && cooldown) {
    const seconds = secondsUntil(cooldown);
    if (seconds > 0) parts.push(text("queued_cooldown", { platform: labelOf(job.platform), time: duration(seconds) }));
  }
  if (job.attempts > 1 && job.state !== "succeeded") parts.push(text("attempt", { count: job.attempts }));
  return parts.join(SEPARATOR);
}

/** @param {Job} job @param {import("./board.js").Progress | undefined} progress @returns {string} */
export function stateOf(job, progress) {
  return text(job.state === "running" && progress ? `phase_${progress.phase}` : `state_${job.state}`);
}

/** @param {string} iso @returns {number} by the server's clock */
export function secondsUntil(iso) {
  return (Date.parse(iso) - now()) / 1000;
}
