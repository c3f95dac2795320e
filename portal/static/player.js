// The video player: plays a job's files in the page.

import { pathOf, send } from "./api.js";
import { element, setText, show } from "./dom.js";
import { nameOf } from "./job_facts.js";
import { fileAddress } from "./job_row.js";
import { text } from "./text.js";

const dialog = document.getElementById("player");
const video = dialog.querySelector("video");
const files = document.getElementById("player-files");
const error = document.getElementById("player-error");

let playing = null;
let index = 0;

/** @param {import("./board.js").Job} job one that succeeded */
export function play(job) {
  playing = job;
  index = 0;
  setText(document.getElementById("player-title"), nameOf(job));
  show(files, job.files.length > 1);
  load();
  dialog.showModal();
}

/** Set up the dialog. */
export function startPlayer() {
  document.getElementById("player-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
  dialog.addEventListener("close", () => {
    video.removeAttribute("src");
    video.load(); // else it keeps loading
  });
  video.addEventListener("error", explain);
  files.querySelector("button").addEventListener("click", () => {
    index = (index + 1) % playing.files.length;
    load();
  });
}

/** Show whether the file is missing or the browser can't play it. */
async function explain() {
  if (!video.hasAttribute("src")) return; // the dialog was closed
  let sentence = text("player_failed");
  try {
    const { status, body } = await send("GET", pathOf(video.src), null, { Range: "bytes=0-0" });
    if (status >= 400 && body?.error) sentence = body.error;
  } catch (unreachable) {
    sentence = unreachable.message;
  }
  setText(error, sentence);
  show(error, true);
}

function load() {
  show(error, false);
  video.src = fileAddress(playing.job_id, index, false);
  video.play().catch(() => {}); // autoplay is blocked: the user presses play
  const save = element("a", { href: fileAddress(playing.job_id, index, true), download: true }, text("save"));
  files.querySelector("span").replaceChildren(
    text("player_file", { number: index + 1, count: playing.files.length }),
    " · ",
    save,
  );
}
