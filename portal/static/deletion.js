// Deletes jobs: asks, hides them, and sends the request only after the time to undo, so that an undo restores everything
// and a page that crashes before has deleted nothing.

import { ask, Unreachable } from "./api.js";
import { offerUndo, say, sayError } from "./notices.js";
import { text } from "./text.js";

const DELETES = new Set(["record", "files"]);

const dialog = document.getElementById("delete");
const question = document.getElementById("delete-text");

/** The value of the pressed button. Not the dialog's `returnValue`, which differs between browsers after Escape. */
let pressed = null;

/** Set up the dialog. */
export function startDeletion() {
  for (const button of dialog.querySelectorAll("button")) {
    button.addEventListener("click", (event) => {
      // The second half of a double click on what opened the dialog.
      if (event.detail > 1) event.preventDefault();
      else pressed = button.value;
    });
  }
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
}

/**
 * Ask before deleting. Escape, Back and a click beside the dialog mean no.
 * @param {string} sentence
 * @returns {Promise<"record" | "files" | null>} null: delete nothing
 */
export function askDelete(sentence) {
  question.textContent = sentence;
  pressed = null;
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(DELETES.has(pressed) ? pressed : null), { once: true });
  });
}

/**
 * Hide jobs, and have the server delete them when the time to undo is over.
 * @param {import("./board.js").Board} board @param {import("./live.js").Live} live
 * @param {string[]} ids of the jobs
 * @param {string} path what to DELETE: the job, or the batch of them all
 * @throws {Unreachable}
 */
export function deleteSoon(board, live, ids, path) {
  if (ids.length === 0) return; // all deleted in another tab while the dialog was open
  if (live.offline) throw new Unreachable(text("unreachable")); // now, because the page may be closed when the request is due
  board.hide(ids);
  const undo = () => {
    board.reveal(ids);
    say(text("delete_undone", { count: ids.length }));
  };
  offerUndo(text("deleted_now", { count: ids.length }), undo, () => deleteNow(board, ids, path));
}

async function deleteNow(board, ids, path) {
  let deleted = [];
  try {
    // `keepalive`: also sent while the page is being closed.
    ({ deleted } = await ask("DELETE", path, null, { keepalive: true }));
  } catch (error) {
    if (error.status === 404) return; // deleted in another tab
    sayError(error);
  }
  // What the server deleted stays hidden until its event comes; the rest still exists.
  const gone = new Set(deleted);
  board.reveal(ids.filter((id) => !gone.has(id)));
}
