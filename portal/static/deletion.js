// Deletes jobs: asks first, takes them off the page at once, and tells the server only when the time to undo is over, so
// that an undo brings back everything. A page that crashes meanwhile has deleted nothing.

import { ask, Unreachable } from "./api.js";
import { offerUndo, say, sayError } from "./notices.js";
import { text } from "./text.js";

const DELETES = new Set(["record", "files"]);

const dialog = document.getElementById("delete");
const question = document.getElementById("delete-text");

/** The value of the button that was pressed. What closes a dialog leaves in its `returnValue` differs between browsers. */
let pressed = null;

/** Let the dialog's buttons work. */
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
 * Ask whether something is to be deleted. Escape, Back and a click beside the dialog mean no.
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
 * Take jobs off the page, and have the server delete them when that can no longer be undone.
 * @param {import("./board.js").Board} board @param {import("./live.js").Live} live
 * @param {string[]} ids of the jobs
 * @param {string} path what to DELETE: the job, or the batch of them all
 * @throws {Unreachable}
 */
export function deleteSoon(board, live, ids, path) {
  if (ids.length === 0) return; // all deleted elsewhere while the dialog was open
  if (live.offline) throw new Unreachable(text("unreachable")); // rather now than when the page may be gone
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
    // A page that goes away sends this as its last word.
    ({ deleted } = await ask("DELETE", path, null, { keepalive: true }));
  } catch (error) {
    if (error.status === 404) return; // somebody else was quicker
    sayError(error);
  }
  // What the server deleted stays hidden until its event comes; the rest is still there.
  const gone = new Set(deleted);
  board.reveal(ids.filter((id) => !gone.has(id)));
}
