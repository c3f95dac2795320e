// A double click is meant for one control: its second half must not press what has come into its place, such as "Pause
// queue" where "Download" was.

const DOUBLE_CLICK_MS = 500; // the usual setting of systems
const SAME_PLACE_PX = 8;

let last = { control: null, time: -Infinity, x: 0, y: 0 };

/** Drop such clicks before anything else sees them. */
export function startDoubleClicks() {
  addEventListener("click", dropSecondHalf, { capture: true });
}

function dropSecondHalf(event) {
  if (event.detail === 0) return; // by keyboard, or by a script
  const pressed = event.target.closest("button, a, summary, label, input, select, textarea, [role]");
  const control = pressed?.closest("label")?.control ?? pressed; // a click on a label is followed by one on its control
  const isSoon = event.timeStamp - last.time < DOUBLE_CLICK_MS;
  const isNear = Math.hypot(event.clientX - last.x, event.clientY - last.y) < SAME_PLACE_PX;
  if (isSoon && isNear && control !== last.control) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  last = { control, time: event.timeStamp, x: event.clientX, y: event.clientY };
}
