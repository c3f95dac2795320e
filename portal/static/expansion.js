// What to take of a collection, such as a playlist: a choice that appears once one is in the box.

import { show } from "./dom.js";
import { MAX_ENTRIES } from "./platforms.js";

/** @typedef {import("./links.js").Link} Link */
/** @typedef {import("./links.js").Collection} Collection */

const NEWEST = 100;

const place = document.getElementById("expansion");
const inputs = new Map([...place.querySelectorAll("input")].map((input) => [input.value, input]));

let offered = "";

/** @param {() => void} changed called when something else is chosen */
export function startExpansion(changed) {
  place.addEventListener("change", changed);
}

/** Offer what fits what was read. @param {{links: Link[], collections: Collection[]}} read */
export function paintExpansion(read) {
  const beside = besideOf(read);
  const isOffered = read.collections.length > 0 || beside !== null;
  show(place, isOffered);
  show(inputs.get("video").parentElement, beside !== null);
  const first = beside === null ? "newest" : "video"; // who copies a video's link means the video
  if (isOffered && offered !== first) inputs.get(first).checked = true;
  offered = isOffered ? first : "";
}

/**
 * @param {{links: Link[], collections: Collection[]}} read
 * @returns {{urls: string[], isList: boolean, wanted: {expand?: {limit: number}}}} what to send, whether a collection is
 *   among it, and what to say of all
 */
export function expanded(read) {
  const { links, collections } = read;
  const urls = [...links, ...collections].map(({ url }) => url);
  const beside = besideOf(read);
  const isList = collections.length > 0 || (beside !== null && !inputs.get("video").checked);
  const expand = { limit: isList && inputs.get("all").checked ? MAX_ENTRIES : NEWEST };
  // A short link may lead to a profile, which is then taken as its long link would be.
  if (!isList) return { urls, isList, wanted: links.some(({ isShort }) => isShort) ? { expand } : {} };
  if (beside === null) return { urls, isList, wanted: { expand } };
  const others = links.filter((link) => link.beside !== beside);
  return { urls: [beside, ...others.map(({ url }) => url)], isList, wanted: { expand } };
}

/** The one collection that the videos name beside themselves. */
function besideOf({ links, collections }) {
  const named = new Set(links.map(({ beside }) => beside).filter(Boolean));
  return collections.length === 0 && named.size === 1 ? [...named][0] : null;
}
