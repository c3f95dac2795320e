// The server's cookies on the page: what there is of each platform, a file to add, and what needed it retried at once.

import { ask } from "./api.js";
import { element, icon } from "./dom.js";
import { retryJobs } from "./job_actions.js";
import { needsCookies } from "./job_facts.js";
import { say, sayError } from "./notices.js";
import { PLATFORMS } from "./platforms.js";
import { moment, text } from "./text.js";

const list = document.getElementById("cookies");
const file = document.getElementById("cookie-file");

export class CookiesView {
  /** @param {import("./job_actions.js").Page} page @param {() => void} onChange called when cookies were added or removed */
  constructor(page, onChange) {
    this._page = page;
    this._onChange = onChange;
    this._platform = null; // whose file is being chosen
    this._failed = null; // the job whose button led here
    file.addEventListener("change", () => this._add(file.files[0]).finally(() => (file.value = "")));
    addEventListener("hashchange", () => {
      if (location.hash !== "#settings") this._failed = null;
    });
    this._takeDrops();
  }

  /** Load what there is. */
  async load() {
    const { cookies } = await ask("GET", "/api/v1/cookies");
    list.replaceChildren(...cookies.map((state) => this._item(state)));
    if (this._failed) this._focus(this._failed.platform);
  }

  /** Show the place for the cookies of a *job* that failed without them. @param {import("./board.js").Job} job */
  async open(job) {
    this._failed = job;
    location.hash = "settings";
    await this.load();
  }

  _focus(platform) {
    list.querySelector(`[data-platform="${CSS.escape(platform)}"] button`)?.focus();
  }

  _item({ platform, condition, sentence, updated_at: at }) {
    const { label } = PLATFORMS[platform];
    const named = (action) => text("action_on", { action: text(action), title: label });
    const choose = element("button", { type: "button", class: "small", "aria-label": named("cookies_choose") }, text("cookies_choose"));
    choose.addEventListener("click", () => {
      this._platform = platform;
      file.click();
    });
    const buttons = [choose];
    if (condition !== "none") {
      const remove = element("button", { type: "button", class: "small quiet", "aria-label": named("cookies_remove") }, text("cookies_remove"));
      remove.addEventListener("click", () => this._remove(platform).catch(sayError));
      buttons.push(remove);
    }
    const since = at && element("span", { class: "hint" }, ` ${text("cookies_since", { time: moment(at) })}`);
    const words = element("p", {}, sentence, ...(since ? [since] : []));
    return element("li", { class: "setting", "data-platform": platform }, icon(platform), words, element("div", { class: "actions" }, ...buttons));
  }

  async _add(chosen) {
    const platform = this._platform;
    if (!chosen || !platform) return;
    try {
      const { report, sentence } = await ask("PUT", `/api/v1/cookies/${platform}`, { cookies: await chosen.text() });
      say(report ?? sentence);
      this._onChange();
      await this.load();
      await this._retry(platform);
    } catch (error) {
      sayError(error);
    }
  }

  /** Retry what led here: the cookies were given for it. */
  async _retry(platform) {
    const job = this._page.board.jobs.get(this._failed?.job_id);
    this._failed = null;
    if (!job || job.platform !== platform || !needsCookies(job)) return;
    await retryJobs(this._page, [job.job_id]);
    location.hash = "downloads";
  }

  async _remove(platform) {
    const { sentence } = await ask("DELETE", `/api/v1/cookies/${platform}`);
    say(sentence);
    this._onChange();
    await this.load();
    this._focus(platform);
  }

  /** A file dropped on a platform's line is for it, not for the text box. */
  _takeDrops() {
    for (const type of ["dragenter", "dragleave", "dragover", "drop"]) {
      list.addEventListener(type, (event) => {
        event.stopPropagation();
        event.preventDefault();
        const item = event.target.closest("[data-platform]");
        if (type !== "drop" || !item) return;
        this._platform = item.dataset.platform;
        this._add(event.dataTransfer.files[0]);
      });
    }
  }
}
