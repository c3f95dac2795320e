// What a job's row says, in words.

import { now } from "./api.js";
import { MAX_ENTRIES, PLATFORMS } from "./platforms.js";
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

/** @param {Job} job @returns {"play" | "view" | null} what can be done with its files in the page */
export function opening({ state, files, kind }) {
  if (state !== "succeeded" || files.length === 0 || kind === "collection") return null;
  return kind === "photos" ? "view" : "play";
}

/** Whether it is a playlist, a channel or a profile. @param {Job} job */
export function isCollection({ kind }) {
  return kind === "collection";
}

/** Whether more of a collection can be taken. @param {Job} job */
export function hasRest({ state, entries }) {
  if (!entries || !["succeeded", "failed", "cancelled"].includes(state)) return false;
  const { found, taken } = entries;
  if (taken === 0 && state !== "succeeded") return false; // a retry does that
  return taken < MAX_ENTRIES && (found === null || found > taken);
}

/** @param {Job} job a collection with a rest @returns {string} what takes it, with its number if that is known */
export function restLabel({ entries: { found, taken } }) {
  if (found === null) return text("take_rest");
  return text("take_rest_of", { count: Math.min(found, MAX_ENTRIES) - taken });
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
  if (job.entries) parts.push(entriesText(job.entries));
  if (state === "succeeded" && !isCollection(job)) {
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

function entriesText({ found, taken }) {
  if (found === null) return taken > 0 && text("entries_taken", { taken });
  return found === taken ? text("entries_all", { count: found }) : text("entries_of", { found, taken });
}

/** @param {{done: number, failed: number, total: number}} entries of a collection @returns {string} how far they are */
export function entriesNow({ done, failed, total }) {
  if (total === 0) return "";
  return text(failed > 0 ? "entries_failed" : "entries_done", { done, failed, total });
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

/** @param {Job} job @param {import("./board.js").Progress | undefined} progress @param {string} state as shown @returns {string} */
export function stateOf(job, progress, state) {
  if (isCollection(job) && state === "running") return text(job.state === "running" ? "state_reading" : "phase_downloading");
  return text(job.state === "running" && progress ? `phase_${progress.phase}` : `state_${job.state}`);
}

/** @param {string} iso @returns {number} by the server's clock */
export function secondsUntil(iso) {
  return (Date.parse(iso) - now()) / 1000;
}
