// Chooses rows, by pointer or keyboard, and does something with all that are chosen: for any list of `.job` rows.

import { copy } from "./clipboard.js";
import { deleteSoon } from "./deletion.js";
import { element, icon, setText, show } from "./dom.js";
import { BY_STATE, FINAL } from "./board.js";
import { cancelJobs, retryJobs } from "./job_actions.js";
import { canRetry, isCollection } from "./job_facts.js";
import { saveAddress, zipAddress } from "./job_row.js";
import { toggleMenu } from "./menu.js";
import { sayError } from "./notices.js";
import { text } from "./text.js";

const MOST_IN_A_ZIP = 200;

/** What has its own meaning for a click. */
const CONTROLS = "a, button, summary, details, select, textarea, input:not(.pick input)";

export class Selection {
  /**
   * @param {HTMLElement} place contains the rows
   * @param {HTMLElement} bar is shown in place of *toolbar* while rows are chosen
   * @param {HTMLElement} toolbar
   * @param {import("./job_actions.js").Page} page
   * @param {() => Promise<import("./board.js").Job[]>} jobs all that can be chosen, also those without a row
   */
  constructor(place, bar, toolbar, page, jobs) {
    this._place = place;
    this._bar = bar;
    this._toolbar = toolbar;
    this._page = page;
    this._jobs = jobs;
    this._ids = new Set();
    this._anchor = null;
    this._scheduled = false;
    this._observer = new MutationObserver(() => this._paintRows());
    this._makeBar();
    place.addEventListener("click", (event) => this._click(event));
    place.addEventListener("mousedown", (event) => {
      if (this.active && event.shiftKey && event.target.closest(".job")) event.preventDefault(); // it would mark text
    });
    addEventListener("keydown", (event) => this._key(event));
  }

  /** Whether rows are being chosen. */
  get active() {
    return !this._bar.hidden;
  }

  /** Begin to choose. */
  start() {
    if (this.active) return;
    show(this._bar, true);
    show(this._toolbar, false);
    this._place.classList.add("selecting");
    this._observer.observe(this._place, { childList: true, subtree: true });
    this._paint();
    this._chooser.focus({ preventScroll: true });
  }

  /** Choose nothing any more. */
  stop() {
    if (!this.active) return;
    const had = this._bar.contains(document.activeElement) || document.activeElement === document.body;
    this._observer.disconnect();
    this._ids.clear();
    this._anchor = null;
    this._paint();
    this._place.classList.remove("selecting");
    show(this._bar, false);
    show(this._toolbar, true);
    if (had) this._toolbar.querySelector("[data-select]")?.focus({ preventScroll: true });
  }

  /** Something about *job* changed. @param {{job_id: string}} job */
  touch({ job_id: id }) {
    if (!this._ids.has(id) || this._scheduled) return;
    this._scheduled = true;
    requestAnimationFrame(() => {
      this._scheduled = false;
      this._paint();
    });
  }

  /** The jobs that are chosen and still there. @returns {import("./board.js").Job[]} */
  get _chosen() {
    const { board } = this._page;
    return [...this._ids].filter((id) => !board.isHidden(id)).map((id) => board.jobs.get(id)).filter(Boolean);
  }

  _makeBar() {
    this._count = element("p", { role: "status" });
    this._chooser = this._button("select", text("select_which"), () => this._choose());
    this._chooser.setAttribute("aria-haspopup", "menu");
    this._actions = {
      save: this._button("save", text("save"), () => this._save()),
      retry: this._button("retry", text("retry"), () => retryJobs(this._page, ids(this._chosen.filter(canRetry)))),
      cancel: this._button("cancel", text("cancel"), () => cancelJobs(this._page, ids(this._chosen.filter(isUnfinished)))),
      copy: this._button("link", text("copy_links"), () => this._copy()),
      remove: this._button("delete", text("remove_or_delete"), () => this._offerDelete()),
    };
    this._actions.remove.setAttribute("aria-haspopup", "menu");
    const close = this._button("clear", text("select_end"), () => this.stop());
    this._bar.append(this._count, this._chooser, ...Object.values(this._actions), close);
  }

  _button(symbol, words, act) {
    const button = element("button", { type: "button", class: "quiet", "aria-label": words, title: words }, icon(symbol), element("span", { class: "label" }, words));
    button.addEventListener("click", async (event) => {
      if (event.detail > 1) return; // a double click counts once
      try {
        await act();
      } catch (error) {
        sayError(error);
      }
    });
    return button;
  }

  _click(event) {
    const row = event.target.closest(".job");
    if (!row || event.target.closest(CONTROLS)) return;
    const isPick = event.target.matches(".pick input");
    if (!this.active) {
      if (!event.ctrlKey && !event.metaKey) return;
      this.start();
    }
    if (event.target.closest(".pick") && !isPick) return; // its label: the click on the box follows
    this._toggle(row, event.shiftKey);
  }

  /** Choose a row, or no longer; with *through*, all rows from the last one to it. */
  _toggle(row, through) {
    const id = row.dataset.job;
    const wanted = !this._ids.has(id);
    const rows = [...this._place.querySelectorAll(".job:not([hidden])")];
    const [from, to] = [rows.findIndex((each) => each.dataset.job === this._anchor), rows.indexOf(row)];
    const range = through && from >= 0 ? rows.slice(Math.min(from, to), Math.max(from, to) + 1) : [row];
    for (const each of range) this._set(each.dataset.job, wanted);
    this._anchor = id;
    this._paint();
  }

  _set(id, wanted) {
    if (wanted) this._ids.add(id);
    else this._ids.delete(id);
  }

  _key(event) {
    const isTyping = event.target.closest("input:not([type=checkbox]), textarea, select, dialog, #menu");
    if (!this.active || isTyping || event.defaultPrevented || this._place.offsetParent === null) return;
    if (event.key === "Escape") this.stop();
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this._add("all").catch(sayError);
    } else if (event.key === "Delete") this._delete(false).catch(sayError);
  }

  async _choose() {
    const jobs = await this._jobs();
    const items = Object.entries(BY_STATE)
      .map(([name, matches]) => [name, jobs.filter(matches).length])
      .filter(([, count]) => count > 0)
      .map(([name, count]) => ({ label: text(`filter_${name}`, { count }), icon: SYMBOLS[name], act: () => this._add(name).catch(sayError) }));
    const none = { label: text("select_none"), icon: "remove", act: () => (this._ids.clear(), this._paint()) };
    toggleMenu(this._chooser, this._ids.size > 0 ? [...items, none] : items);
  }

  async _add(name) {
    const jobs = await this._jobs();
    if (!this.active) return; // it was ended meanwhile
    for (const job of jobs.filter(BY_STATE[name])) this._ids.add(job.job_id);
    this._paint();
  }

  _paint() {
    const chosen = this._chosen;
    const focused = document.activeElement;
    setText(this._count, text("selected", { count: chosen.length }));
    const numbers = {
      save: this._savable(chosen).length,
      retry: chosen.filter(canRetry).length,
      cancel: chosen.filter(isUnfinished).length,
      copy: chosen.length,
      remove: chosen.filter(isFinal).length,
    };
    for (const [name, number] of Object.entries(numbers)) {
      const button = this._actions[name];
      show(button, number > 0);
      const isPart = number < chosen.length;
      setText(button.querySelector(".label"), isPart ? text("action_part", { action: button.title, count: number }) : button.title);
    }
    if (focused.hidden && this._bar.contains(focused)) this._chooser.focus({ preventScroll: true }); // there is no more to do
    this._paintRows();
  }

  _paintRows() {
    for (const row of this._place.querySelectorAll(".job")) {
      const isChosen = this._ids.has(row.dataset.job);
      if (row.classList.contains("chosen") === isChosen) continue;
      row.classList.toggle("chosen", isChosen);
      row.querySelector(".pick input").checked = isChosen;
    }
  }

  /** Those with files; not the entries of what is saved as a whole. */
  _savable(jobs) {
    const { board } = this._page;
    const whole = new Set(ids(jobs.filter(isCollection)));
    const hasFiles = (job) => (isCollection(job) ? board.entriesOf(job).done > 0 : job.files.length > 0);
    return jobs.filter((job) => job.state === "succeeded" && hasFiles(job) && !whole.has(job.parent_id));
  }

  /** One file, or zips of as many jobs as the server takes. */
  _save() {
    const jobs = this._savable(this._chosen);
    const addresses = jobs.length === 1 ? [saveAddress(jobs[0])] : [];
    for (let start = 0; jobs.length > 1 && start < jobs.length; start += MOST_IN_A_ZIP) {
      addresses.push(zipAddress(ids(jobs.slice(start, start + MOST_IN_A_ZIP))));
    }
    for (const href of addresses) {
      const link = element("a", { href, download: true, hidden: true });
      this._bar.append(link);
      link.click();
      setTimeout(() => link.remove(), 60_000); // it is clicked again once the file is known to be there
    }
  }

  async _copy() {
    const chosen = this._chosen;
    await copy(chosen.map((job) => job.url).join("\n"), text("links_copied", { count: chosen.length }));
  }

  _offerDelete() {
    const item = (key, symbol, withFiles, more) => ({ label: text(key), icon: symbol, act: () => this._delete(withFiles).catch(sayError), ...more });
    const hasFiles = this._savable(this._chosen).length > 0;
    toggleMenu(this._actions.remove, [
      item("remove", "remove", false),
      ...(hasFiles ? [item("delete", "delete", true, { danger: true })] : []),
    ]);
  }

  async _delete(withFiles) {
    deleteSoon(this._page.board, this._page.live, ids(this._chosen.filter(isFinal)), { withFiles });
    this._paint();
  }
}

const SYMBOLS = { all: "select", active: "running", done: "succeeded", failed: "failed", cancelled: "cancelled" };

function isFinal(job) {
  return FINAL.has(job.state);
}

function isUnfinished(job) {
  return !FINAL.has(job.state);
}

function ids(jobs) {
  return jobs.map((job) => job.job_id);
}
