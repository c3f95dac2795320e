// How each platform fared of late, as figures and drawn.

import { ask } from "./api.js";
import { drawing, element, icon, setText } from "./dom.js";
import { sayError } from "./notices.js";
import { bytes, measured, moment, percent, text } from "./text.js";

const view = document.getElementById("view-figures");
const hours = document.getElementById("figures-hours");
const place = document.getElementById("figures-platforms");
const status = document.getElementById("figures-status");

const WIDTH = 480;
const HEIGHT = 110;
const FOOT = 4;

/** While many downloads end, what is looked at is loaded anew only so often. */
const AGAIN_MS = 2000;

let turn = 0;
let again = 0;

/** Let another span of time be chosen. */
export function startFigures() {
  hours.addEventListener("change", loadFigures);
}

/** Something changed that they tell of: load them soon, if they are looked at then. */
export function hearOfFigures() {
  if (again !== 0) return;
  again = setTimeout(() => {
    again = 0;
    if (!view.hidden) loadFigures();
  }, AGAIN_MS);
}

/** Load the figures and draw them. */
export async function loadFigures() {
  const asked = (turn += 1);
  try {
    const { platforms } = await ask("GET", `/api/v1/statistics?hours=${hours.value}`);
    if (asked !== turn) return; // another span was chosen meanwhile
    setText(status, "");
    place.replaceChildren(...platforms.filter(({ platform }) => platform !== "unknown").map(panel));
  } catch (error) {
    setText(status, error.message);
    sayError(error);
  }
}

function panel(figures) {
  const { platform, label, succeeded, failed } = figures;
  const heading = element("h3", {}, icon(platform), label);
  if (succeeded + failed === 0) {
    const nothing = element("p", { class: "hint" }, text("figures_none", { platform: label }));
    return element("article", { class: "panel figures" }, heading, nothing);
  }
  const known = (value, write) => (value === null ? "–" : write(value));
  const facts = [
    ["figures_success", known(figures.success_rate, percent)],
    ["figures_succeeded", String(succeeded)],
    ["figures_failed", String(failed)],
    ["figures_bytes", bytes(figures.bytes)],
    ["figures_speed", known(figures.bytes_per_second, (speed) => text("per_second", { bytes: bytes(speed) }))],
    ["figures_median", known(figures.median_seconds, measured)],
    ["figures_p90", known(figures.p90_seconds, measured)],
  ];
  const errors = figures.errors.map(({ error_code: code, count }) => element("li", {}, `${count} × ${code}`));
  return element(
    "article",
    { class: "panel figures" },
    heading,
    element("dl", {}, ...facts.map(([key, value]) => element("div", {}, element("dt", {}, text(key)), element("dd", {}, value)))),
    figure("figures_downloads_axis", bars(label, figures)),
    ...(figures.median_seconds === null ? [] : [figure("figures_seconds_axis", line(label, figures))]),
    ...(errors.length > 0 ? [element("h4", {}, text("figures_errors")), element("ul", { class: "errors" }, ...errors)] : []),
  );
}

function figure(caption, chart) {
  return element("figure", {}, chart, element("figcaption", {}, text(caption)));
}

/** Downloads on top of failed tries, a bar for each span of time. */
function bars(label, { buckets, succeeded, failed }) {
  const most = Math.max(1, ...buckets.map((bucket) => bucket.succeeded + bucket.failed));
  const chart = canvas(text("figures_chart", { platform: label, succeeded, failed, most }));
  const width = WIDTH / buckets.length;
  buckets.forEach((bucket, index) => {
    const tall = (count) => (count / most) * (HEIGHT - FOOT);
    const bar = (kind, count, from) => {
      if (count === 0) return [];
      const height = tall(count);
      return [drawing("rect", { class: kind, x: index * width + 1, width: Math.max(1, width - 2), y: HEIGHT - tall(from) - height, height, rx: 1 })];
    };
    const { at, succeeded: good, failed: bad } = bucket;
    const what = text("figures_bar", { time: moment(at), succeeded: good, failed: bad });
    const group = drawing("g", {}, drawing("title", {}, what), ...bar("bad", bad, 0), ...bar("good", good, bad));
    if (good + bad > 0) chart.append(group);
  });
  return chart;
}

/** How long downloads took; a gap where there was none. */
function line(label, { buckets }) {
  const known = buckets.filter((bucket) => bucket.median_seconds !== null);
  const most = Math.max(...known.map((bucket) => bucket.median_seconds), 0.1);
  const chart = canvas(text("figures_chart_seconds", { platform: label, most: measured(most) }));
  const width = WIDTH / buckets.length;
  let path = "";
  buckets.forEach(({ at, median_seconds: seconds }, index) => {
    if (seconds === null) return;
    const x = (index + 0.5) * width;
    const y = HEIGHT - FOOT - (seconds / most) * (HEIGHT - 3 * FOOT);
    const connected = index > 0 && buckets[index - 1].median_seconds !== null;
    path += `${connected ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    const what = text("figures_point", { time: moment(at), seconds: measured(seconds) });
    chart.append(drawing("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: 3.5 }, drawing("title", {}, what)));
  });
  chart.prepend(drawing("path", { d: path, class: "line" }));
  return chart;
}

function canvas(label) {
  return drawing("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
}
