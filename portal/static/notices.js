// Messages to the user: on the page, in the tab's title and as system notifications.

import { element } from "./dom.js";
import { text } from "./text.js";

const KEY = "notify";
const SHOWN_MS = 8000;
const UNDO_MS = 10_000;
const UNDO_HELD_MS = 1000;
const NAME = document.title;

const status = document.getElementById("status");
const undoBar = document.getElementById("undo");
const button = document.getElementById("notify");

let timer = 0;
/** @type {{undo: () => void, settle: () => void, timer: number} | null} */
let offer = null;
/** What had the focus before the undo bar. @type {HTMLElement | null} */
let focusedBefore = null;

/** Show *sentence* for a while, in every view; screen readers announce it. */
export function say(sentence) {
  status.textContent = sentence;
  clearTimeout(timer);
  timer = setTimeout(() => (status.textContent = ""), SHOWN_MS + 50 * sentence.length);
}

/**
 * Show *sentence* with an Undo button for some seconds. There is one offer at a time: the next one settles it.
 * @param {string} sentence
 * @param {() => void} undo
 * @param {() => void} [settle] called when the time is over or the page is closed: it can't be undone any more
 */
export function offerUndo(sentence, undo, settle = () => {}) {
  endOffer("settle");
  const press = element("button", { type: "button" }, text("undo"));
  press.addEventListener("click", () => endOffer("undo"));
  undoBar.replaceChildren(element("p", {}, sentence), press);
  offer = { undo, settle, timer: setTimeout(settleUnlessHeld, UNDO_MS) };
}

/** @param {unknown} error one of ours, whose message is a sentence; anything else is a bug in the page */
export function sayError(error) {
  if (error instanceof Error && error.name === "Error") say(error.message);
  else if (error instanceof DOMException && error.name === "QuotaExceededError") say(text("storage_full"));
  else {
    console.error(error);
    say(text("went_wrong"));
  }
}

/** @param {string | null} key of the tab's title; null: only the page's name */
export function setTitle(key, values) {
  const title = key === null ? NAME : text(key, { ...values, name: NAME });
  if (document.title !== title) document.title = title;
}

/** Show a system notification, if the user wants them. */
export async function notify(sentence) {
  if (!wanted() || Notification.permission !== "granted") return;
  const options = { body: sentence, icon: document.querySelector("link[rel=icon]").href, tag: sentence };
  try {
    const worker = await navigator.serviceWorker?.getRegistration();
    // On phones only a service worker may show one.
    if (worker) await worker.showNotification(NAME, options);
    else new Notification(NAME, options);
  } catch (error) {
    console.info(error); // a browser without notifications: the page shows the message anyway
  }
}

/** Set up the notification button and undo. */
export function startNotices() {
  // Also if the page goes into the back/forward cache: it may never come back.
  addEventListener("pagehide", () => endOffer("settle"));
  undoBar.addEventListener("focusin", (event) => (focusedBefore = event.relatedTarget));
  addEventListener("keydown", (event) => {
    const undoes = event.key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
    if (!offer || !undoes || event.target.closest("input, textarea")) return; // typing has its own undo
    event.preventDefault();
    endOffer("undo");
  });
  paintBell();
  button.addEventListener("click", async () => {
    if (wanted()) {
      store("off");
      say(text("notify_off"));
    } else if (typeof Notification === "undefined" || !isSecureContext) {
      say(text("notify_insecure"));
    } else if ((await Notification.requestPermission()) === "granted") {
      store("on");
      say(text("notify_on"));
    } else {
      say(text("notify_denied"));
    }
    paintBell();
  });
}

/** Wait while the pointer or the focus is on the Undo button. */
function settleUnlessHeld() {
  if (undoBar.matches(":hover, :focus-within")) offer.timer = setTimeout(settleUnlessHeld, UNDO_HELD_MS);
  else endOffer("settle");
}

/** @param {"undo" | "settle"} how */
function endOffer(how) {
  if (!offer) return;
  const ended = offer;
  offer = null;
  clearTimeout(ended.timer);
  if (undoBar.contains(document.activeElement)) focusedBefore?.focus();
  undoBar.replaceChildren();
  ended[how]();
}

function paintBell() {
  button.setAttribute("aria-pressed", String(wanted()));
  button.textContent = text(wanted() ? "on" : "off");
}

function wanted() {
  try {
    return localStorage.getItem(KEY) === "on" && typeof Notification !== "undefined";
  } catch {
    return false;
  }
}

function store(value) {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // no storage in this browser: the choice lasts as long as the page
  }
}
