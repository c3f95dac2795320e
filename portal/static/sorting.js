// The order of the downloads: a choice that the browser remembers.

import { element, icon } from "./dom.js";
import { nameOf } from "./job_facts.js";
import { toggleMenu } from "./menu.js";
import { text } from "./text.js";

const KEY = "order";
const ORDERS = ["newest", "oldest", "title", "state"];
const TITLES = new Intl.Collator(document.documentElement.lang, { numeric: true });

/** What is at work first, then what may need someone. */
const STATES = ["running", "waiting", "queued", "failed", "partly", "cancelled", "succeeded"];

const button = document.getElementById("sort");

let order = stored();

/** @param {() => void} changed called when another order is chosen */
export function startSorting(changed) {
  paint();
  button.addEventListener("click", (event) => {
    if (event.detail > 1) return;
    toggleMenu(button, ORDERS.map((name) => ({ label: text(`sort_${name}`), checked: name === order, act: () => choose(name) })));
  });
  const choose = (name) => {
    order = name;
    store(name);
    paint();
    changed();
  };
}

/** Whether what is loaded later comes first. */
export function isOldestFirst() {
  return order === "oldest";
}

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => {time: string, name: string, state: string}} factsOf
 * @returns {T[]} in the order that was chosen; equal ones newest first
 */
export function sorted(items, factsOf) {
  const known = new Map(items.map((item) => [item, factsOf(item)]));
  const compare = (a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0);
  const compared = {
    newest: () => 0,
    oldest: (a, b) => compare(b, a),
    title: (a, b) => TITLES.compare(a.name, b.name),
    state: (a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state),
  }[order];
  return [...items].sort((a, b) => compared(known.get(a), known.get(b)) || compare(known.get(a), known.get(b)));
}

/** @param {import("./board.js").Job[]} jobs of one batch @returns {import("./board.js").Job[]} as sent, unless it is by title or state */
export function sortedJobs(jobs) {
  if (order === "newest" || order === "oldest") return jobs;
  return sorted(jobs, (job) => ({ time: "", name: nameOf(job), state: job.state }));
}

function paint() {
  const label = text(`sort_${order}`);
  button.replaceChildren(icon("sort"), element("span", { class: "label" }, label));
  button.setAttribute("aria-label", text("action_on", { action: text("sort"), title: label }));
  button.title = button.getAttribute("aria-label");
}

function stored() {
  try {
    const name = localStorage.getItem(KEY);
    return ORDERS.includes(name) ? name : ORDERS[0];
  } catch {
    return ORDERS[0];
  }
}

function store(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // no storage in this browser: it stays as long as the page
  }
}
