// Charts of counts and times over some hours, with a scale and the times below.

import { drawing, element } from "./dom.js";
import { text } from "./text.js";

const WIDTH = 480;
const HEIGHT = 120;
const STEPS = [1, 2, 4, 6, 8, 10];

/** @typedef {{start: string, title: string}} Slot a stretch of time: when it began, and what to say of it */

/**
 * @param {string} label says what the chart shows
 * @param {string} caption
 * @param {{kind: string, name: string, values: number[]}[]} series that lie on each other, the first at the bottom
 * @param {Slot[]} slots
 */
export function barChart(label, caption, series, slots) {
  const sums = slots.map((_, index) => series.reduce((sum, { values }) => sum + values[index], 0));
  const top = topOf(Math.max(1, ...sums));
  const svg = canvas(label, slots);
  const width = WIDTH / slots.length;
  slots.forEach((_, index) => {
    let y = HEIGHT;
    for (const { kind, values } of series) {
      const height = (values[index] / top) * HEIGHT;
      y -= height;
      if (height > 0) svg.append(drawing("rect", { class: kind, x: index * width + 1, width: width - 2, y, height }));
    }
  });
  const names = series.map(({ kind, name }) => element("span", { class: `key ${kind}` }, name));
  return figure(caption, names, svg, top, String, slots);
}

/**
 * @param {(number | null)[]} values null: a gap
 * @param {(value: number) => string} write
 * @param {Slot[]} slots
 */
export function lineChart(label, caption, values, write, slots) {
  const top = topOf(Math.max(...values.filter((value) => value !== null), 0.2)); // half of it can be written too
  const svg = canvas(label, slots);
  let path = "";
  const dots = values.flatMap((value, index) => {
    if (value === null) return [];
    const [x, y] = [(index + 0.5) * (WIDTH / slots.length), HEIGHT - (value / top) * HEIGHT].map((place) => place.toFixed(1));
    path += `${index > 0 && values[index - 1] !== null ? "L" : "M"}${x} ${y}`;
    return [drawing("circle", { cx: x, cy: y, r: 3.5 })];
  });
  svg.append(drawing("path", { d: path, class: "line" }), ...dots);
  return figure(caption, [], svg, top, write, slots);
}

/** The least round number that is not below *most*. */
function topOf(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = STEPS.find((each) => each * power >= most * 0.999_999);
  return Number((step * power).toPrecision(2));
}

/** An empty chart: a column for each slot, which says what happened then, and lines at the numbers of the scale. */
function canvas(label, slots) {
  const svg = drawing("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  const width = WIDTH / slots.length;
  slots.forEach(({ title }, index) => {
    svg.append(drawing("rect", { class: "slot", x: index * width, width, y: 0, height: HEIGHT }, drawing("title", {}, title)));
  });
  for (const y of [0, HEIGHT / 2, HEIGHT]) svg.append(drawing("path", { class: "rule", d: `M0 ${y}H${WIDTH}` }));
  return svg;
}

function figure(caption, names, svg, top, write, slots) {
  const scale = [top, top / 2, 0].map((value) => element("span", {}, top === 1 && value === 0.5 ? "" : write(value)));
  const middle = slots[Math.floor(slots.length / 2)];
  const times = [slots[0].start, middle.start, text("now")].map((time) => element("span", {}, time));
  return element(
    "figure",
    {},
    element("figcaption", {}, caption, ...names),
    element(
      "div",
      { class: "plot" },
      element("div", { class: "scale", "aria-hidden": "true" }, ...scale),
      svg,
      element("div", { class: "times", "aria-hidden": "true" }, ...times),
    ),
  );
}
