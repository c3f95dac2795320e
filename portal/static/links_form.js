// The text box for links: typed, pasted, dropped, from a file, by bookmarklet or shared from a phone.

import { address } from "./api.js";
import { element, icon, setText, show } from "./dom.js";
import { expanded, paintExpansion, startExpansion } from "./expansion.js";
import { readLinks } from "./links.js";
import { offerUndo, say, sayError } from "./notices.js";
import { PLATFORMS } from "./platforms.js";
import { text } from "./text.js";

// Servers below different prefixes of one host share what browsers store.
const DRAFT = `draft-links${address("")}`;
const AT_ONCE = "at-once";
const MOST_PROBLEMS = 20;
const LONG_TEXT = 100_000;
const PAUSE_MS = 400;
const PASSED_OVER = new Set(["advertisement", "unknown"]); // not meant by the user; sent anyway
const LONG_FILE = 1_000_000;
const MAX_FILE_BYTES = 50_000_000;

const maxUrls = Number(document.documentElement.dataset.maxUrls);
const form = document.getElementById("batch-form");
const box = document.getElementById("links");
const found = document.getElementById("links-found");
const problems = document.getElementById("problems");
const asides = document.getElementById("asides");
const download = document.getElementById("download");
const clear = document.getElementById("clear");
const file = document.getElementById("file");
const atOnce = document.getElementById("at-once");
const drop = document.getElementById("drop");
const paste = document.getElementById("paste");
const canPaste = Boolean(navigator.clipboard?.readText); // not over plain http

let timer = 0;

/**
 * Set up the form.
 * @param {(batches: string[][], wanted: {expand?: object}) => Promise<void>} submit takes the links, in batches of the
 *   size that the server accepts; they are stored when it resolves
 */
export function startLinksForm(submit) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(submit);
  });
  box.addEventListener("input", changed);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    if (!event.ctrlKey && !event.metaKey && (event.shiftKey || !holdsOneLink())) return;
    event.preventDefault();
    send(submit);
  });
  box.addEventListener("paste", () => {
    if (atOnce.checked) setTimeout(() => send(submit)); // once the text is in the box
  });
  paste.addEventListener("click", () => pasteAndSend(submit));
  takePastes(submit);
  clear.addEventListener("click", clearBox);
  atOnce.checked = stored(AT_ONCE) === "on";
  atOnce.addEventListener("change", () => store(AT_ONCE, atOnce.checked ? "on" : "off"));
  document.getElementById("open-file").addEventListener("click", () => file.click());
  file.addEventListener("change", async () => {
    await addFiles(file.files);
    file.value = "";
  });
  addEventListener("pagehide", () => store(DRAFT, box.value));
  startExpansion(paint);
  takeDrops();
  box.value = stored(DRAFT) ?? "";
  const isShared = takeAddress();
  paint();
  if (isShared && !download.disabled) download.focus();
}

/** Store and paint the text, soon. */
function changed() {
  clearTimeout(timer);
  // A very long text is read only when typing pauses.
  const pause = box.value.length > LONG_TEXT ? PAUSE_MS : 0;
  timer = setTimeout(() => {
    store(DRAFT, box.value);
    paint();
  }, pause);
}

async function send(submit) {
  const words = box.value;
  const read = readLinks(words);
  const { problems: bad, asides: others } = read;
  const { urls, wanted } = expanded(read);
  if (urls.length === 0) return;
  const batches = [];
  for (let start = 0; start < urls.length; start += maxUrls) batches.push(urls.slice(start, start + maxUrls));
  // Empty the box first: a second click must find nothing, and what is typed from here on must stay. What was not a link
  // may be a typo, and a hashtag on a line of its own was meant: they stay. The draft is overwritten only when the links
  // are stored.
  const left = [...bad, ...others.filter(({ isAlone, destination }) => isAlone && !PASSED_OVER.has(destination))];
  box.value = left.sort((a, b) => a.line - b.line).map((problem) => problem.text).join("\n");
  paint();
  if (!matchMedia("(hover: none) and (pointer: coarse)").matches) box.focus(); // on a phone the keyboard would cover the rows
  try {
    await submit(batches, wanted);
  } catch (error) {
    box.value = [words, box.value].filter(Boolean).join("\n");
    sayError(error);
  }
  changed();
}

/** Enter sends a single link; in longer texts it is a new line. */
function holdsOneLink() {
  if (box.value.trim().includes("\n")) return false;
  const { links, collections } = readLinks(box.value);
  return links.length + collections.length === 1;
}

async function pasteAndSend(submit) {
  try {
    addToBox(await navigator.clipboard.readText());
  } catch {
    say(text("paste_denied"));
    box.focus();
    return;
  }
  await send(submit);
}

/** What is pasted anywhere on the page goes into the box. */
function takePastes(submit) {
  addEventListener("paste", async (event) => {
    if (event.target.closest?.("input, textarea, select, dialog")) return;
    const { files } = event.clipboardData;
    const words = event.clipboardData.getData("text/plain");
    if (!words && files.length === 0) return;
    event.preventDefault();
    goToBox();
    if (words) addToBox(words);
    else await addFiles(files);
    if (atOnce.checked) send(submit);
  });
}

/** Focus the box, in its view. */
function goToBox() {
  box.focus();
  if (document.activeElement === box) return;
  addEventListener("hashchange", () => box.focus(), { once: true }); // now it is shown
  location.hash = "downloads";
}

function clearBox() {
  const words = box.value;
  box.value = "";
  changed();
  box.focus();
  offerUndo(text("links_cleared"), () => addToBox(words));
}

/** Put *links* into the box, below what is in it. @param {string} links */
export function addToBox(links) {
  const before = box.value.trimEnd();
  box.value = before ? `${before}\n${links}` : links;
  box.dispatchEvent(new Event("input"));
}

function paint() {
  const read = readLinks(box.value);
  const { links, duplicates, problems: bad, asides: others } = read;
  paintExpansion(read);
  const { urls, isList } = expanded(read);
  const chips = foundChips(read);
  const hint = (key, values) => chips.push(element("li", { class: "hint" }, text(key, values)));
  const doubts = others.filter(({ destination }) => destination === "unknown").length;
  if (duplicates > 0) hint("links_merged", { count: duplicates });
  if (doubts > 0) hint("links_doubtful", { count: doubts });
  if (urls.length > maxUrls) hint("links_batches", { count: Math.ceil(urls.length / maxUrls), most: maxUrls });
  for (const platform of unlistedProfiles(read)) hint("profile_unlisted", { platform: PLATFORMS[platform].label });
  found.replaceChildren(...chips);
  setText(download, downloadLabel(read, urls, isList));
  download.disabled = urls.length === 0;
  show(clear, box.value !== "");
  show(paste, canPaste && box.value === "");
  paintList(problems, text("problems", { count: bad.length }), bad);
  const summary = others.length === doubts ? "links_doubtful" : "asides";
  const count = others.length === doubts ? doubts : others.length - doubts;
  paintList(asides, text(summary, { count }), others);
}

/** How many posts, and collections of each kind, of each platform. */
function foundChips({ links, collections }) {
  const counts = new Map();
  const add = (symbol, key, platform) => {
    const known = counts.get(key + platform) ?? { symbol, key, platform, count: 0 };
    counts.set(key + platform, { ...known, count: known.count + 1 });
  };
  for (const { platform } of links) add(platform, "links_platform", platform);
  for (const { platform, destination } of collections) add("stack", `links_${destination}`, platform);
  return [...counts.values()].map(({ symbol, key, platform, count }) =>
    element("li", { class: "chip" }, icon(symbol), text(key, { count, platform: PLATFORMS[platform].label })),
  );
}

/** Platforms whose profiles, of which no list can be had, are meant. */
function unlistedProfiles({ links, asides: others }) {
  const meant = others.filter(({ isAlone, collection, destination }) => collection === null && destination === "profile" && (isAlone || links.length === 0));
  return new Set(meant.map(({ platform }) => platform).filter((platform) => platform !== "tiktok"));
}

function downloadLabel({ collections }, urls, isList) {
  if (urls.length === 0) return text("download_nothing");
  if (!isList) return text("download", { count: urls.length });
  if (urls.length === 1) return text(`download_${collections[0]?.destination ?? "playlist"}`);
  return text("download_links", { count: urls.length });
}

/** @param {HTMLElement} details @param {string} summary @param {{text: string, line: number, reason?: string, destination?: string}[]} entries */
function paintList(details, summary, entries) {
  show(details, entries.length > 0);
  if (entries.length === 0) return;
  setText(details.querySelector("summary"), summary);
  const items = entries.slice(0, MOST_PROBLEMS).map(({ text: words, line, reason, destination }) => {
    const why = text("problem_line", { line, reason: text(`problem_${reason ?? destination}`) });
    return element("li", {}, element("span", { dir: "auto" }, words.slice(0, 200)), ` – ${why}`);
  });
  if (entries.length > MOST_PROBLEMS) items.push(element("li", {}, text("problems_more", { count: entries.length - MOST_PROBLEMS })));
  details.querySelector("ul").replaceChildren(...items);
}

/**
 * Take links from the address: `?url=` of a bookmarklet, or shared from a phone. Nothing starts without a click, because
 * any page can link here.
 * @returns {boolean} whether there were any
 */
function takeAddress() {
  const query = new URLSearchParams(location.search);
  const given = ["url", "text", "title"].flatMap((name) => query.getAll(name));
  const having = (...names) => given.filter((value) => names.some((name) => readLinks(value)[name].length > 0));
  const [shared] = [having("links"), having("collections"), having("asides"), having("problems")].filter((values) => values.length > 0);
  if (location.search) history.replaceState(null, "", location.pathname + location.hash); // a reload must not add it twice
  if (shared === undefined) return false;
  addToBox(shared.join("\n"));
  return true;
}

function takeDrops() {
  let depth = 0;
  const takes = (event) => ["Files", "text/plain", "text/uri-list"].some((type) => event.dataTransfer?.types.includes(type));
  const own = (event) => event.target === box && !event.dataTransfer.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (takes(event)) show(drop, (depth += 1) > 0);
  });
  addEventListener("dragleave", (event) => {
    if (takes(event)) show(drop, (depth = Math.max(0, depth - 1)) > 0);
  });
  addEventListener("dragover", (event) => {
    if (takes(event) && !own(event)) event.preventDefault();
  });
  addEventListener("drop", async (event) => {
    depth = 0;
    show(drop, false);
    if (!takes(event) || own(event)) return; // the browser itself inserts text dropped into the box
    event.preventDefault();
    const { files } = event.dataTransfer;
    if (files.length > 0) await addFiles(files);
    else addToBox(event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text/plain"));
    box.focus();
  });
}

/** @param {FileList} files */
async function addFiles(files) {
  for (const each of [...files]) {
    if (each.size > MAX_FILE_BYTES) {
      say(text("file_too_large", { name: each.name }));
      continue;
    }
    try {
      const words = await each.text();
      if (words.includes("\0")) throw new Error("not a text");
      if (words.length > LONG_FILE) addLinksOf(words, each.name);
      else addToBox(words);
    } catch {
      say(text("file_unreadable", { name: each.name }));
    }
  }
}

/** A large export is more than a text box can show: add only its links. */
function addLinksOf(words, name) {
  const { links } = readLinks(words);
  addToBox(links.map((link) => link.url).join("\n"));
  say(text("file_read", { count: links.length, name }));
}

/** What this tab stored; in a new tab, what another one stored. */
function stored(key) {
  try {
    return sessionStorage.getItem(key) ?? localStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key, value) {
  for (const name of ["sessionStorage", "localStorage"]) {
    try {
      window[name].removeItem(key); // the old value is wrong now, even if there is no room for the new one
      window[name].setItem(key, value);
    } catch {
      // full, or no storage in this browser: it is still in the box
    }
  }
}
