// The player: plays and shows a job's files in the page, one after the other.

import { pathOf, send } from "./api.js";
import { element, setText, show } from "./dom.js";
import { nameOf } from "./job_facts.js";
import { fileAddress, saveAddress } from "./job_row.js";
import { text } from "./text.js";

const PICTURE = /\.(?:jpe?g|png|webp|gif|avif|heic)$/i;
const NOT_SHOWN = /\.srt$/i;
const SWIPE_PX = 50;

const dialog = document.getElementById("player");
const video = dialog.querySelector("video");
const picture = dialog.querySelector("img");
const bar = document.getElementById("player-files");
const error = document.getElementById("player-error");
const [previous, next] = bar.querySelectorAll("button");

let job = null;
/** @type {{index: number, isPicture: boolean}[]} what is shown of its files */
let shown = [];
let at = 0;

/** @param {import("./board.js").Job} opened one that succeeded */
export function play(opened) {
  job = opened;
  shown = job.files
    .map((path, index) => ({ index, isPicture: PICTURE.test(path), isShown: !NOT_SHOWN.test(path) }))
    .filter(({ isShown }) => isShown);
  at = 0;
  setText(document.getElementById("player-title"), nameOf(job));
  for (const button of [previous, next]) show(button, shown.length > 1);
  load();
  dialog.showModal();
}

/** Set up the dialog. */
export function startPlayer() {
  document.getElementById("player-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
  dialog.addEventListener("close", unload);
  video.addEventListener("error", () => video.hasAttribute("src") && explain(video.src));
  picture.addEventListener("error", () => picture.hasAttribute("src") && explain(picture.src));
  previous.addEventListener("click", () => step(-1));
  next.addEventListener("click", () => step(1));
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && event.target !== video) step(by); // there they seek
  });
  takeSwipes();
}

function takeSwipes() {
  let start = 0;
  picture.addEventListener("touchstart", (event) => (start = event.changedTouches[0].clientX), { passive: true });
  picture.addEventListener("touchend", (event) => {
    const moved = event.changedTouches[0].clientX - start;
    if (Math.abs(moved) > SWIPE_PX) step(moved < 0 ? 1 : -1);
  });
}

function step(by) {
  at = (at + by + shown.length) % shown.length;
  load();
}

/** Show whether the file is missing or the browser can't show it. */
async function explain(address) {
  let sentence = text("player_failed");
  try {
    const { status, body } = await send("GET", pathOf(address), null, { Range: "bytes=0-0" });
    if (status >= 400 && body?.error) sentence = body.error;
  } catch (unreachable) {
    sentence = unreachable.message;
  }
  setText(error, sentence);
  show(error, true);
}

function load() {
  const { index, isPicture } = shown[at] ?? { index: 0, isPicture: false };
  show(error, false);
  unload();
  show(video, !isPicture);
  show(picture, isPicture);
  const where = text("player_file", { number: at + 1, count: shown.length });
  if (isPicture) {
    picture.alt = `${where}: ${nameOf(job)}`;
    picture.src = fileAddress(job.job_id, index, false);
  } else {
    video.src = fileAddress(job.job_id, index, false);
    video.play().catch(() => {}); // autoplay is blocked: the user presses play
  }
  setText(bar.querySelector("[role=status]"), shown.length > 1 ? where : "");
  const saves = [element("a", { class: "button", href: fileAddress(job.job_id, index, true), download: true }, text("save"))];
  if (job.files.length > 1) {
    saves.push(element("a", { class: "button", href: saveAddress(job), download: true }, text("save_files", { count: job.files.length })));
  }
  bar.querySelector(".saves").replaceChildren(...saves);
}

function unload() {
  picture.removeAttribute("src");
  video.removeAttribute("src");
  video.load(); // else it keeps loading
}
