// Copies to the clipboard.

import { say } from "./notices.js";
import { text } from "./text.js";

/** Copy *words* to the clipboard, also over plain http, where browsers offer no clipboard API. */
export async function copy(words, said = text("copied")) {
  say((await copied(words)) ? said : text("copy_failed", { text: words }));
}

async function copied(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    // no clipboard API, or no permission
  }
  const box = document.createElement("textarea");
  box.value = words;
  box.className = "visually-hidden";
  const before = document.activeElement;
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  before?.focus();
  return done;
}
