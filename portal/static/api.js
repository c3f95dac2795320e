// Talks to the server. Every answer is {status, body}; no answer at all is an Unreachable.

import { text } from "./text.js";

// A network that is gone without a word: no answer of the server's takes this long.
const TIMEOUT_MS = 30_000;

const ROOT = document.documentElement.dataset.root;

/** The server cannot be reached. */
export class Unreachable extends Error {}

/** The server answered that it will not; the message is its sentence. */
export class Refused extends Error {
  /** @param {number} status @param {string} sentence */
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** @param {string} path @returns {string} where it is, also when the server is mounted below a prefix */
export function address(path) {
  return ROOT + path;
}

/** @param {string} url that `address` made @returns {string} the path it was made of, with its query */
export function pathOf(url) {
  const { pathname, search } = new URL(url);
  return pathname.slice(ROOT.length) + search;
}

/** The session is over: have it begun anew, and come back. What is in the box is kept by then. */
function logIn() {
  location.assign(address(`/login?next=${encodeURIComponent(location.pathname)}`));
}

let aheadMs = 0;

/** @returns {number} milliseconds since 1970 by the server's clock, which sets the times that are counted down to */
export function now() {
  return Date.now() + aheadMs;
}

/**
 * @param {string} method @param {string} path @param {object | null} [body]
 * @param {Record<string, string>} [headers]
 * @param {RequestInit} [options] more of fetch's
 * @returns {Promise<{status: number, body: any}>}
 * @throws {Unreachable}
 */
export async function send(method, path, body = null, headers = {}, options = {}) {
  let answer;
  try {
    answer = await fetch(address(path), {
      ...options,
      method,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new Unreachable(text("unreachable"));
  }
  if (answer.status === 401) logIn();
  const ahead = Date.parse(answer.headers.get("Date")) - Date.now();
  if (Math.abs(ahead) > 2000 || aheadMs !== 0) aheadMs = ahead || 0; // it is told in whole seconds
  try {
    return { status: answer.status, body: await answer.json() };
  } catch {
    // A proxy's page; or the connection broke in the middle.
    return { status: answer.status, body: null };
  }
}

/**
 * @param {RequestInit} [options] more of fetch's
 * @returns {Promise<any>} the body of a good answer
 * @throws {Unreachable | Refused}
 */
export async function ask(method, path, body = null, options = {}) {
  const answer = await send(method, path, body, {}, options);
  if (answer.status < 400 && answer.body !== null) return answer.body;
  throw new Refused(answer.status, answer.body?.error ?? text("not_json", { status: String(answer.status) }));
}
