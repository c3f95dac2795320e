// Deletes jobs: hides them, and sends the request only after the time to undo, so that an undo restores everything and
// a page that crashes before has deleted nothing.

import { ask, Unreachable } from "./api.js";
import { offerUndo, say, sayError } from "./notices.js";
import { text } from "./text.js";

/** Fits into a request that is sent while the page is being closed, which may have 64 kB. */
const MOST_IDS = 1000;

/**
 * Hide jobs, and have the server delete them when the time to undo is over.
 * @param {import("./board.js").Board} board @param {import("./live.js").Live} live
 * @param {string[]} ids of the jobs
 * @param {{withFiles: boolean, path?: string}} how `path`: what to DELETE, if that is the job, or a batch of them all
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
  offerUndo(said, undo, () => deleteNow(board, ids, () => (path ? deletePath(path) : deleteMany(ids, withFiles))));
}

async function deleteNow(board, ids, request) {
  let deleted = [];
  try {
    deleted = await request();
  } catch (error) {
    if (error.status === 404) return; // deleted in another tab
    sayError(error);
  }
  // What the server deleted stays hidden until its event comes; the rest still exists.
  const gone = new Set(deleted);
  board.reveal(ids.filter((id) => !gone.has(id)));
}

// `keepalive`: also sent while the page is being closed.

async function deletePath(path) {
  return (await ask("DELETE", path, null, { keepalive: true })).deleted;
}

async function deleteMany(ids, files) {
  const parts = [];
  for (let start = 0; start < ids.length; start += MOST_IDS) parts.push(ids.slice(start, start + MOST_IDS));
  const requests = parts.map((part) => ask("POST", "/api/v1/jobs/delete", { ids: part, files }, { keepalive: parts.length === 1 }));
  return (await Promise.all(requests)).flatMap(({ deleted }) => deleted);
}
