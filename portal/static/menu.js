// A menu below a button, worked by pointer or keyboard. There is one on the page, filled each time it opens.

import { element, icon } from "./dom.js";

const GAP = 4;

const menu = document.getElementById("menu");

/** @type {HTMLElement | null} the button that opened it */
let opener = null;
/** @type {HTMLElement | null} what gets the focus if that button is gone when it closes */
let home = null;
/** Where that button was when it opened. */
let around = new DOMRect();

/**
 * @typedef {{label: string, icon?: string, act?: () => void, href?: string, download?: boolean, danger?: boolean,
 *   checked?: boolean}} MenuItem `act` is called when it is chosen; with `href` it is a link; `checked`: whether it is the
 *   one of a choice
 */

/** Set up what closes it. */
export function startMenu() {
  addEventListener("pointerdown", (event) => {
    if (opener && !menu.contains(event.target) && !opener.contains(event.target)) closeMenu();
  });
  addEventListener("scroll", closeIfMoved, { passive: true, capture: true });
  addEventListener("resize", closeMenu);
  addEventListener("hashchange", closeMenu);
  menu.addEventListener("keydown", onKey);
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget) && event.relatedTarget !== opener) closeMenu();
  });
}

/** Open it for *button*, or close it if it is. @param {HTMLElement} button @param {MenuItem[]} items */
export function toggleMenu(button, items) {
  const isOpen = opener === button;
  closeMenu();
  if (isOpen) return;
  opener = button;
  home = button.closest("[tabindex]");
  menu.replaceChildren(...items.map(itemElement));
  menu.hidden = false;
  button.setAttribute("aria-expanded", "true");
  around = button.getBoundingClientRect();
  place();
  menu.firstElementChild?.focus({ preventScroll: true });
}

/** Close it, if it is open. */
export function closeMenu() {
  if (!opener) return;
  opener.setAttribute("aria-expanded", "false");
  if (menu.contains(document.activeElement)) focusBack();
  opener = null;
  menu.hidden = true;
}

/** A browser reports late what scrolled the button into view: that must not close the menu just opened. */
function closeIfMoved() {
  const { top, left } = opener?.getBoundingClientRect() ?? around;
  if (top !== around.top || left !== around.left) closeMenu();
}

function itemElement({ label, icon: symbol = "succeeded", act, href, download, danger, checked }) {
  const isChoice = checked !== undefined;
  const attributes = {
    role: isChoice ? "menuitemradio" : "menuitem", "aria-checked": isChoice ? String(checked) : null, tabindex: "-1", class: danger ? "danger" : null,
  };
  if (href) {
    const link = element("a", { ...attributes, href, download, target: download ? null : "_blank", rel: "noopener noreferrer" }, icon(symbol), label);
    link.addEventListener("click", () => setTimeout(closeMenu)); // once the browser has followed it
    return link;
  }
  const button = element("button", { ...attributes, type: "button" }, icon(symbol), label);
  button.addEventListener("click", (event) => {
    if (event.detail > 1) return; // the second half of a double click on what opened it
    closeMenu();
    act();
  });
  return button;
}

/** Below the button, or above it where there is no room; its right edge at the button's. */
function place() {
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = around.bottom + GAP;
  const top = below + height > innerHeight ? Math.max(GAP, around.top - GAP - height) : below;
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.max(GAP, Math.min(around.right - width, innerWidth - width - GAP))}px`;
}

function focusBack() {
  (opener.isConnected ? opener : home)?.focus({ preventScroll: true });
}

function onKey(event) {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (next !== undefined) items.at(next % items.length).focus();
  else if (event.key === "Escape" || event.key === "Tab") closeMenu();
  else return;
  if (event.key !== "Tab") event.preventDefault();
}
