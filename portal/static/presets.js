// What to get of each post: a choice beside the button, which the browser remembers.

import { ask } from "./api.js";
import { element, show } from "./dom.js";

const CHOSEN = "preset";
const SOUND = "audio";

const choice = document.getElementById("preset");
const soundOnly = document.getElementById("sound-only");

let usual = null; // of the server
let before = null; // what the button for sound goes back to

/** Show what was chosen last, also while the server can't be reached. */
export function startPresets() {
  const chosen = stored();
  if (chosen) paint([chosen], chosen.name);
  choice.addEventListener("change", chosenNow);
  soundOnly.addEventListener("click", () => {
    const isOn = choice.value === SOUND;
    if (!isOn) before = choice.value;
    choice.value = isOn ? (before ?? usual) : SOUND;
    chosenNow();
  });
}

/** Show what the server offers. */
export async function loadPresets() {
  const { presets, default: byDefault } = await ask("GET", "/api/v1/presets");
  usual = byDefault;
  const chosen = stored()?.name;
  paint(presets, presets.some(({ name }) => name === chosen) ? chosen : usual);
}

/** @returns {{preset?: string}} what a request says of it; nothing as long as nothing is known */
export function presetChosen() {
  return choice.value ? { preset: choice.value } : {};
}

function chosenNow() {
  store({ name: choice.value, label: choice.selectedOptions[0].text });
  paintButton();
}

/** It needs both presets to choose between. */
function paintButton() {
  soundOnly.setAttribute("aria-pressed", String(choice.value === SOUND));
  show(soundOnly, choice.length > 1 && usual !== SOUND);
}

function paint(presets, chosen) {
  choice.replaceChildren(...presets.map(({ name, label, description }) => element("option", { value: name, title: description }, label)));
  choice.value = chosen;
  show(choice, true);
  paintButton();
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
