// Deletes jobs: hides them, and sends the request only after the time to undo, so that an undo restores everything and
// a page that crashes before has deleted nothing.

import { ask, Unreachable } from "./api.js";
import { offerUndo, say, sayError } from "./notices.js";
import { text } from "./text.js";

/** The server takes so many ids at once. */
const MOST_IDS = 1000;

/**
 * Hide jobs, and have the server delete them when the time to undo is over.
 * @param {import("./board.js").Board} board @param {import("./live.js").Live} live
 * @param {string[]} ids of the jobs
 * @param {{withFiles: boolean, path?: string}} how `path`: what to DELETE, if it is one job, or the batch of them all
 * @throws {Unreachable}
 */
export function deleteSoon(board, live, ids, { withFiles, path }) {
  if (ids.length === 0) return; // all deleted in another tab
  if (live.offline) throw new Unreachable(text("unreachable")); // now, because the page may be closed when the request is due
  board.hide(ids);
  const undo = () => {
    board.reveal(ids);
    say(text("delete_undone", { count: ids.length }));
  };
  const said = text(withFiles ? "deleted_with_files_now" : "deleted_now", { count: ids.length });
  offerUndo(said, undo, () => deleteNow(board, ids, path ? [["DELETE", path]] : requestsFor(ids, withFiles)));
}

function requestsFor(ids, files) {
  const requests = [];
  for (let start = 0; start < ids.length; start += MOST_IDS) {
    requests.push(["POST", "/api/v1/jobs/delete", { ids: ids.slice(start, start + MOST_IDS), files }]);
  }
  return requests;
}

async function deleteNow(board, ids, requests) {
  let deleted = [];
  try {
    // `keepalive`: also sent while the page is being closed; browsers take three of a thousand ids, but no more.
    const keepalive = requests.length <= 3;
    const answers = await Promise.all(requests.map(([method, path, body]) => ask(method, path, body, { keepalive })));
    deleted = answers.flatMap((answer) => answer.deleted);
  } catch (error) {
    if (error.status === 404) return; // deleted in another tab
    sayError(error);
  }
  // What the server deleted stays hidden until its event comes; the rest still exists.
  const gone = new Set(deleted);
  board.reveal(ids.filter((id) => !gone.has(id)));
}
