// Lines above the views: what holds for the whole server, and what to do about it.

import { element, icon, setText, show } from "./dom.js";
import { text } from "./text.js";

const CLOSED = "closed-banners";

const banners = document.getElementById("banners");

/** Set up the lines that came with the page. */
export function startBanners() {
  for (const found of banners.querySelectorAll("[data-closable]")) {
    addCloser(found);
    show(found, !isClosed(found));
  }
}

/**
 * Show a line.
 * @param {string} id @param {string | null} sentence null: remove it
 * @param {{icon?: string, label?: string, act?: () => void, closable?: boolean}} [more] a button; `closable`: it
 *   has another one that closes it, in this browser, as long as its sentence stays the same
 */
export function banner(id, sentence, { icon: symbol = "info", label, act, closable = false } = {}) {
  let found = banners.querySelector(`[data-id="${CSS.escape(id)}"]`);
  if (!sentence) {
    found?.remove();
    return;
  }
  if (!found) {
    found = element("div", { class: "banner", "data-id": id }, icon(symbol), element("p"));
    if (act) found.append(actionButton(label, act));
    if (closable) addCloser(found);
    banners.append(found);
  }
  setText(found.querySelector("p"), sentence);
  if (closable) show(found, !isClosed(found));
}

function actionButton(label, act) {
  const button = element("button", { type: "button", class: "small" }, label);
  button.addEventListener("click", act);
  return button;
}

function addCloser(found) {
  const label = text("close");
  const button = element("button", { type: "button", class: "round", "aria-label": label, title: label }, icon("cancel"));
  button.addEventListener("click", () => {
    store({ ...closedOnes(), [found.dataset.id]: sentenceOf(found) });
    show(found, false);
    document.querySelector("nav [aria-current]").focus(); // in a text box, a phone would open its keyboard
  });
  found.append(button);
}

function isClosed(found) {
  return closedOnes()[found.dataset.id] === sentenceOf(found);
}

function sentenceOf(found) {
  return found.querySelector("p").textContent.trim();
}

let kept = {}; // where the browser has no storage

function closedOnes() {
  try {
    return JSON.parse(localStorage.getItem(CLOSED)) ?? {};
  } catch {
    return kept;
  }
}

function store(value) {
  kept = value;
  try {
    localStorage.setItem(CLOSED, JSON.stringify(value));
  } catch {
    // no storage in this browser: they stay closed as long as the page
  }
}
