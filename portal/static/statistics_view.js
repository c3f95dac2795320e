// Statistics by platform: numbers and charts.

import { ask } from "./api.js";
import { drawing, element, icon, setText } from "./dom.js";
import { sayError } from "./notices.js";
import { bytes, measured, moment, percent, text } from "./text.js";

const view = document.getElementById("view-statistics");
const hours = document.getElementById("statistics-hours");
const place = document.getElementById("statistics-platforms");
const status = document.getElementById("statistics-status");

const WIDTH = 480;
const HEIGHT = 110;
const FOOT = 4;

/** While many downloads finish, reload at most this often. */
const REFRESH_MS = 2000;

let turn = 0;
let timer = 0;

/** Set up the choice of the period. */
export function startStatistics() {
  hours.addEventListener("change", loadStatistics);
}

/** Something changed: reload soon, if they are shown then. */
export function refreshStatistics() {
  if (timer !== 0) return;
  timer = setTimeout(() => {
    timer = 0;
    if (!view.hidden) loadStatistics();
  }, REFRESH_MS);
}

/** Load and draw the statistics. */
export async function loadStatistics() {
  const asked = (turn += 1);
  try {
    const { platforms } = await ask("GET", `/api/v1/statistics?hours=${hours.value}`);
    if (asked !== turn) return; // another period was chosen
    setText(status, "");
    place.replaceChildren(...platforms.filter(({ platform }) => platform !== "unknown").map(panel));
  } catch (error) {
    setText(status, error.message);
    sayError(error);
  }
}

function panel(statistics) {
  const { platform, label, succeeded, failed } = statistics;
  const heading = element("h3", {}, icon(platform), label);
  if (succeeded + failed === 0) {
    const nothing = element("p", { class: "hint" }, text("statistics_none", { platform: label }));
    return element("article", { class: "panel statistics" }, heading, nothing);
  }
  const known = (value, write) => (value === null ? "–" : write(value));
  const facts = [
    ["statistics_success", known(statistics.success_rate, percent)],
    ["statistics_succeeded", String(succeeded)],
    ["statistics_failed", String(failed)],
    ["statistics_bytes", bytes(statistics.bytes)],
    ["statistics_speed", known(statistics.bytes_per_second, (speed) => text("per_second", { bytes: bytes(speed) }))],
    ["statistics_median", known(statistics.median_seconds, measured)],
    ["statistics_p90", known(statistics.p90_seconds, measured)],
  ];
  const errors = statistics.errors.map(({ error_code: code, count }) => element("li", {}, `${count} × ${code}`));
  return element(
    "article",
    { class: "panel statistics" },
    heading,
    element("dl", {}, ...facts.map(([key, value]) => element("div", {}, element("dt", {}, text(key)), element("dd", {}, value)))),
    figure("statistics_downloads_axis", bars(label, statistics)),
    ...(statistics.median_seconds === null ? [] : [figure("statistics_seconds_axis", line(label, statistics))]),
    ...(errors.length > 0 ? [element("h4", {}, text("statistics_errors")), element("ul", { class: "errors" }, ...errors)] : []),
  );
}

function figure(caption, chart) {
  return element("figure", {}, chart, element("figcaption", {}, text(caption)));
}

/** Downloads on top of failed attempts, a bar for each interval. */
function bars(label, { buckets, succeeded, failed }) {
  const most = Math.max(1, ...buckets.map((bucket) => bucket.succeeded + bucket.failed));
  const chart = canvas(text("statistics_chart", { platform: label, succeeded, failed, most }));
  const width = WIDTH / buckets.length;
  buckets.forEach((bucket, index) => {
    const tall = (count) => (count / most) * (HEIGHT - FOOT);
    const bar = (kind, count, from) => {
      if (count === 0) return [];
      const height = tall(count);
      return [drawing("rect", { class: kind, x: index * width + 1, width: Math.max(1, width - 2), y: HEIGHT - tall(from) - height, height, rx: 1 })];
    };
    const { at, succeeded: good, failed: bad } = bucket;
    const what = text("statistics_bar", { time: moment(at), succeeded: good, failed: bad });
    const group = drawing("g", {}, drawing("title", {}, what), ...bar("bad", bad, 0), ...bar("good", good, bad));
    if (good + bad > 0) chart.append(group);
  });
  return chart;
}

/** The median download time; a gap where there were no downloads. */
function line(label, { buckets }) {
  const known = buckets.filter((bucket) => bucket.median_seconds !== null);
  const most = Math.max(...known.map((bucket) => bucket.median_seconds), 0.1);
  const chart = canvas(text("statistics_chart_seconds", { platform: label, most: measured(most) }));
  const width = WIDTH / buckets.length;
  let path = "";
  buckets.forEach(({ at, median_seconds: seconds }, index) => {
    if (seconds === null) return;
    const x = (index + 0.5) * width;
    const y = HEIGHT - FOOT - (seconds / most) * (HEIGHT - 3 * FOOT);
    const connected = index > 0 && buckets[index - 1].median_seconds !== null;
    path += `${connected ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    const what = text("statistics_point", { time: moment(at), seconds: measured(seconds) });
    chart.append(drawing("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: 3.5 }, drawing("title", {}, what)));
  });
  chart.prepend(drawing("path", { d: path, class: "line" }));
  return chart;
}

function canvas(label) {
  return drawing("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
}
