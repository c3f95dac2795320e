// Requests to the server. A response is {status, body}; none is an Unreachable.

import { text } from "./text.js";

// A network can go silent; no response of the server takes this long.
const TIMEOUT_MS = 30_000;

const ROOT = document.documentElement.dataset.root;

/** The server can't be reached. */
export class Unreachable extends Error {}

/** The server refused; the message is its sentence. */
export class Refused extends Error {
  /** @param {number} status @param {string} sentence */
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** @param {string} path @returns {string} its address, also when the server is mounted below a prefix */
export function address(path) {
  return ROOT + path;
}

/** The reverse of `address`. @param {string} url @returns {string} the path, with its query */
export function pathOf(url) {
  const { pathname, search } = new URL(url);
  return pathname.slice(ROOT.length) + search;
}

/** The session is over: log in and come back. The draft in the text box is stored by then. */
function logIn() {
  location.assign(address(`/login?next=${encodeURIComponent(location.pathname)}`));
}

let clockAheadMs = 0;

/** @returns {number} milliseconds since 1970 by the server's clock, which countdowns need */
export function now() {
  return Date.now() + clockAheadMs;
}

/** The oldest browsers have no signal of that kind. @returns {AbortSignal} */
function timeLimit() {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), TIMEOUT_MS);
  return controller.signal;
}

/**
 * @param {string} method @param {string} path @param {object | null} [body]
 * @param {Record<string, string>} [headers]
 * @param {RequestInit} [options] more of fetch's
 * @returns {Promise<{status: number, body: any}>}
 * @throws {Unreachable}
 */
export async function send(method, path, body = null, headers = {}, options = {}) {
  let response;
  try {
    response = await fetch(address(path), {
      ...options,
      method,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
      cache: "no-store",
      signal: timeLimit(),
    });
  } catch {
    throw new Unreachable(text("unreachable"));
  }
  if (response.status === 401) logIn();
  const ahead = Date.parse(response.headers.get("Date")) - Date.now();
  if (Math.abs(ahead) > 2000 || clockAheadMs !== 0) clockAheadMs = ahead || 0; // the header has whole seconds
  try {
    return { status: response.status, body: await response.json() };
  } catch {
    // A proxy's page, or the connection was lost halfway.
    return { status: response.status, body: null };
  }
}

/**
 * @param {RequestInit} [options] more of fetch's
 * @returns {Promise<any>} the body of a successful response
 * @throws {Unreachable | Refused}
 */
export async function ask(method, path, body = null, options = {}) {
  const { status, body: found } = await send(method, path, body, {}, options);
  if (status < 400 && found !== null) return found;
  throw new Refused(status, found?.error ?? text("not_json", { status: String(status) }));
}
