// Statistics by platform: numbers and charts.

import { ask } from "./api.js";
import { barChart, lineChart } from "./chart.js";
import { element, icon, setText } from "./dom.js";
import { sayError } from "./notices.js";
import { bytes, dayOf, measured, moment, percent, text, timeOf } from "./text.js";

const view = document.getElementById("view-statistics");
const hours = document.getElementById("statistics-hours");
const place = document.getElementById("statistics-platforms");
const status = document.getElementById("statistics-status");

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
    const open = new Set([...place.querySelectorAll("details[open]")].map((table) => table.dataset.platform));
    place.replaceChildren(...platforms.filter(({ platform }) => platform !== "unknown").map(panel));
    for (const table of place.querySelectorAll("details")) table.open = open.has(table.dataset.platform);
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
  return element(
    "article",
    { class: "panel statistics" },
    heading,
    element("dl", {}, ...facts.map(([key, value]) => element("div", {}, element("dt", {}, text(key)), element("dd", {}, value)))),
    element("div", { class: "charts" }, ...charts(statistics)),
    ...reasons(statistics.errors),
    table(statistics),
  );
}

/** From so many milliseconds on, the times below a chart are days. */
const LONG_MS = 36 * 3600 * 1000;

function charts({ label, buckets, succeeded, failed, median_seconds: median }) {
  const isLong = Date.parse(buckets[buckets.length - 1].at) - Date.parse(buckets[0].at) > LONG_MS;
  const most = Math.max(...buckets.map((bucket) => bucket.succeeded + bucket.failed));
  const counts = [
    { kind: "good", name: text("statistics_succeeded"), values: buckets.map((bucket) => bucket.succeeded) },
    { kind: "bad", name: text("statistics_failed"), values: buckets.map((bucket) => bucket.failed) },
  ];
  const slots = buckets.map((bucket) => ({
    start: isLong ? dayOf(bucket.at) : timeOf(bucket.at),
    title: text("statistics_bar", { time: moment(bucket.at), succeeded: bucket.succeeded, failed: bucket.failed }),
  }));
  const bars = barChart(text("statistics_chart", { platform: label, succeeded, failed, most }), text("statistics_downloads_axis"), counts, slots);
  if (median === null) return [bars];
  const times = buckets.map((bucket) => bucket.median_seconds);
  const longest = measured(Math.max(...times.filter((time) => time !== null)));
  const timed = slots.map(({ start }, index) => {
    const time = moment(buckets[index].at);
    return { start, title: times[index] === null ? time : text("statistics_point", { time, seconds: measured(times[index]) }) };
  });
  const name = text("statistics_chart_seconds", { platform: label, most: longest });
  return [bars, lineChart(name, text("statistics_seconds_axis"), times, measured, timed)];
}

/** Why attempts failed, in words, the most frequent first. */
function reasons(errors) {
  if (errors.length === 0) return [];
  const lines = errors.map(({ error_code: code, count }) => {
    return element("li", {}, element("span", {}, text(`reason_${code}`)), element("strong", {}, text("times", { count })));
  });
  return [element("h4", {}, text("statistics_errors")), element("ul", { class: "errors" }, ...lines)];
}

/** What the charts show, as a table. */
function table({ platform, label, buckets }) {
  const heads = ["statistics_time", "statistics_succeeded", "statistics_failed", "statistics_median"];
  const rows = buckets
    .filter(({ succeeded, failed }) => succeeded + failed > 0)
    .map(({ at, succeeded, failed, median_seconds: seconds }) => {
      const cells = [String(succeeded), String(failed), seconds === null ? "–" : measured(seconds)];
      return element("tr", {}, element("th", { scope: "row" }, moment(at)), ...cells.map((cell) => element("td", {}, cell)));
    });
  return element(
    "details",
    { "data-platform": platform },
    element("summary", {}, text("statistics_table"), element("span", { class: "visually-hidden" }, `: ${label}`)),
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...heads.map((key) => element("th", { scope: "col" }, text(key))))),
      element("tbody", {}, ...rows),
    ),
  );
}
