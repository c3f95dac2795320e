// Texts and numbers for people. All texts come from strings.js.

import { STRINGS } from "./strings.js";

const LANGUAGE = document.documentElement.lang;
const PLURALS = new Intl.PluralRules(LANGUAGE);
const INTEGER = new Intl.NumberFormat(LANGUAGE);
const DECIMAL = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 1 });
const PERCENT = new Intl.NumberFormat(LANGUAGE, { style: "percent", maximumFractionDigits: 0 });
const TIME = new Intl.DateTimeFormat(LANGUAGE, { timeStyle: "short" });
const DAY_AND_TIME = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium" });
const SHORT_DAY = new Intl.DateTimeFormat(LANGUAGE, { month: "short", day: "numeric" });
const UNITS = ["B", "kB", "MB", "GB", "TB"];
const FIXED_SPACE = "\u00a0"; // a number and its unit stay on one line

/**
 * @param {string} key of strings.js
 * @param {Record<string, string | number>} [values] for its {placeholders}; `count` also picks the plural
 * @returns {string}
 */
export function text(key, values = {}) {
  const found = STRINGS[key];
  if (found === undefined) throw new Error(`there is no text ${key}`);
  const pattern = typeof found === "string" ? found : (found[PLURALS.select(Number(values.count))] ?? found.other);
  return pattern.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === "number" ? INTEGER.format(value) : value;
  });
}

/** @param {number} bytes */
export function bytes(count) {
  let unit = 0;
  for (; count >= 999.5 && unit < UNITS.length - 1; unit += 1) count /= 1000;
  return `${unit === 0 ? INTEGER.format(count) : DECIMAL.format(count)}${FIXED_SPACE}${UNITS[unit]}`;
}

/** @param {number} seconds @returns {string} a duration */
export function duration(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole < 60) return text("seconds", { count: whole });
  if (whole < 3600) return text("minutes", { minutes: Math.floor(whole / 60), seconds: whole % 60 });
  return text("hours", { hours: Math.floor(whole / 3600), minutes: Math.floor((whole % 3600) / 60) });
}

/** @param {number} seconds @returns {string} a measured duration, to a tenth if it is short */
export function measured(seconds) {
  return seconds < 10 ? text("seconds", { count: DECIMAL.format(seconds) }) : duration(seconds);
}

/** @param {number} seconds @returns {string} a length, as players show it */
export function clock(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  const two = (count) => String(count).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** @param {number} share from 0 to 1 */
export function percent(share) {
  return PERCENT.format(share);
}

/** @param {string} iso @returns {string} the time of day, with the date unless it is today */
export function moment(iso) {
  const date = new Date(iso);
  return (date.toDateString() === new Date().toDateString() ? TIME : DAY_AND_TIME).format(date);
}

/** @param {string} iso @returns {string} the time of day */
export function timeOf(iso) {
  return TIME.format(new Date(iso));
}

/** @param {string} iso @returns {string} the day, without its year */
export function dayOf(iso) {
  return SHORT_DAY.format(new Date(iso));
}

/** @param {string | Date} iso @returns {string} the date */
export function date(iso) {
  return DAY.format(new Date(iso));
}
