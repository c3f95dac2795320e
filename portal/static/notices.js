// Tells people what happened: on the page, in the tab's title, and by the system where they want that.

import { element, icon, setText } from "./dom.js";
import { text } from "./text.js";

const KEY = "notify";
const SHOWN_MS = 8000;
const NAME = document.title;

const status = document.getElementById("status");
const button = document.getElementById("notify");

let timer = 0;

/** Say *sentence* for a while, in whatever view; screen readers read it out. */
export function say(sentence) {
  status.textContent = sentence;
  clearTimeout(timer);
  timer = setTimeout(() => (status.textContent = ""), SHOWN_MS + 50 * sentence.length);
}

/** @param {unknown} error of ours, whose message is a sentence; anything else is a fault of the page */
export function sayError(error) {
  if (error instanceof Error && error.name === "Error") say(error.message);
  else if (error instanceof DOMException && error.name === "QuotaExceededError") say(text("storage_full"));
  else {
    console.error(error);
    say(text("went_wrong"));
  }
}

/** @param {string} progress what goes before the page's name in the tab's title; "" for nothing */
export function setTitle(key, values) {
  const title = key === null ? NAME : text(key, { ...values, name: NAME });
  if (document.title !== title) document.title = title;
}

/** Tell the system's notification area, if that is wanted. */
export async function notify(sentence) {
  if (!wanted() || Notification.permission !== "granted") return;
  const options = { body: sentence, icon: document.querySelector("link[rel=icon]").href, tag: sentence };
  try {
    const worker = await navigator.serviceWorker?.getRegistration();
    // On phones only the service worker may; elsewhere both can.
    if (worker) await worker.showNotification(NAME, options);
    else new Notification(NAME, options);
  } catch (error) {
    console.info(error); // a browser without them: the page says it anyway
  }
}

/** Let the bell be rung, or not. */
export function startNotices() {
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

/**
 * Show what holds for everything, above all else.
 * @param {string} id @param {string | null} sentence null: it is over
 * @param {{label: string, act: () => void}} [action]
 */
export function banner(id, sentence, action) {
  const banners = document.getElementById("banners");
  let found = banners.querySelector(`[data-id="${CSS.escape(id)}"]`);
  if (sentence === null) {
    found?.remove();
    return;
  }
  if (!found) {
    found = element("div", { class: "banner", "data-id": id }, icon("pause"), element("p"));
    if (action) {
      const act = element("button", { type: "button" }, action.label);
      act.addEventListener("click", action.act);
      found.append(act);
    }
    banners.append(found);
  }
  setText(found.querySelector("p"), sentence);
}

function paintBell() {
  button.setAttribute("aria-pressed", String(wanted()));
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
    // a browser that keeps nothing: it is asked again next time
  }
}
