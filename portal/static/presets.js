// What to get of each post: a choice beside the button, which the browser remembers.

import { ask } from "./api.js";
import { element, show } from "./dom.js";

const CHOSEN = "preset";

const choice = document.getElementById("preset");

/** Show what was chosen last, also while the server can't be reached. */
export function startPresets() {
  const chosen = stored();
  if (chosen) paint([chosen], chosen.name);
  choice.addEventListener("change", () => store({ name: choice.value, label: choice.selectedOptions[0].text }));
}

/** Show what the server offers. */
export async function loadPresets() {
  const { presets, default: usual } = await ask("GET", "/api/v1/presets");
  const chosen = stored()?.name;
  paint(presets, presets.some(({ name }) => name === chosen) ? chosen : usual);
}

/** @returns {{preset?: string}} what a request says of it; nothing as long as nothing is known */
export function presetChosen() {
  return choice.value ? { preset: choice.value } : {};
}

function paint(presets, chosen) {
  choice.replaceChildren(...presets.map(({ name, label, description }) => element("option", { value: name, title: description }, label)));
  choice.value = chosen;
  show(choice, true);
}

function stored() {
  try {
    return JSON.parse(localStorage.getItem(CHOSEN));
  } catch {
    return null;
  }
}

function store(preset) {
  try {
    localStorage.setItem(CHOSEN, JSON.stringify(preset));
  } catch {
    // no storage in this browser: it stays as long as the page
  }
}
