// What else to ask of each post: subtitles, a folder, a new download of what is there. The browser remembers the first two.

import { setText } from "./dom.js";
import { text } from "./text.js";

const CHOSEN = "options";

const place = document.getElementById("options");
const again = document.getElementById("again");
const fields = { subtitles: document.getElementById("subtitles"), folder: document.getElementById("folder") };

/** Show what was chosen last. */
export function startOptions() {
  const chosen = stored();
  for (const [name, field] of Object.entries(fields)) {
    field.value = chosen[name] ?? "";
    field.addEventListener("input", () => {
      complain(field, "");
      store();
      paint();
    });
    field.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault()); // it would send the form
  }
  again.addEventListener("change", paint);
  paint();
}

/** @returns {{subtitles?: string[], folder?: string, again?: true}} what a request says; `again` is for one request */
export function takeOptions() {
  const subtitles = languages();
  const folder = fields.folder.value.trim();
  const taken = { ...(subtitles.length > 0 && { subtitles }), ...(folder && { folder }), ...(again.checked && { again: true }) };
  again.checked = false;
  paint();
  return taken;
}

/**
 * Show at its field why the server refused a request.
 * @param {string} sentence of the server
 * @returns {boolean} whether it was about one of these fields
 */
export function refuseOption(sentence) {
  const name = Object.keys(fields).find((each) => fields[each].value.trim() && new RegExp(`\\b${each}\\b`).test(sentence));
  if (!name) return false;
  place.open = true;
  complain(fields[name], sentence);
  fields[name].focus();
  return true;
}

function complain(field, sentence) {
  setText(document.getElementById(field.getAttribute("aria-describedby")), sentence);
  field.setAttribute("aria-invalid", String(sentence !== ""));
}

function languages() {
  return fields.subtitles.value.split(/[\s,;]+/).filter(Boolean);
}

/** The summary tells what is chosen while the options are folded. */
function paint() {
  const chosen = [languages().join(", "), fields.folder.value.trim(), again.checked && text("again_short")].filter(Boolean);
  place.classList.toggle("chosen", chosen.length > 0);
  setText(place.querySelector("summary span"), chosen.length > 0 ? text("options_chosen", { chosen: chosen.join(" · ") }) : text("options"));
}

function stored() {
  try {
    return JSON.parse(localStorage.getItem(CHOSEN)) ?? {};
  } catch {
    return {};
  }
}

function store() {
  try {
    localStorage.setItem(CHOSEN, JSON.stringify({ subtitles: fields.subtitles.value, folder: fields.folder.value }));
  } catch {
    // no storage in this browser: they stay as long as the page
  }
}
