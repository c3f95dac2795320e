// Links to another host that contain the platform's link. The server accepts none of these hosts; the page, which only reads
// text, extracts what they contain. Does not use the document.

import { PLATFORMS } from "./platforms.js";

/** Patterns of hosts with the same paths as a platform's, each with the platform's own host. */
const MIRRORS = Object.values(PLATFORMS).filter(({ mirrors }) => mirrors).map(({ mirrors, hosts }) => [mirrors, hosts[0]]);

/** Hosts that redirect to the link in a parameter, after asking for consent or a login, a warning, or counting. */
const WRAPPERS = [
  String.raw`(?:www\.|accounts\.|consent\.)?google\.(?:com?\.)?[a-z]{2,3}|consent\.youtube\.com|duckduckgo\.com`,
  String.raw`l\.instagram\.com|(?:l|lm|m|www)\.facebook\.com|l\.messenger\.com|l\.threads\.(?:net|com)`,
  String.raw`out\.reddit\.com|(?:m\.)?vk\.com|steamcommunity\.com|t\.umblr\.com|(?:www\.)?linkedin\.com|t\.me`,
  String.raw`slack-redir\.net|[a-z0-9-]{1,20}\.safelinks\.protection\.outlook\.com|getpocket\.com|disq\.us|exit\.sc`,
  String.raw`href\.li|anonym\.to|link\.zhihu\.com|weibo\.cn|deref-(?:gmx\.net|web\.de|mail\.com)`,
];

/** Pattern for all of these hosts. */
export const OTHER_HOSTS = [...MIRRORS.map(([hosts]) => hosts), ...WRAPPERS].join("|");

const MIRROR = MIRRORS.map(([hosts, host]) => [new RegExp(`^(?:${hosts})$`, "i"), host]);
const WRAPPER = new RegExp(`^(?:${WRAPPERS.join("|")})$`, "i");
const PARTS = /^(?:https?:\/\/)?([a-z0-9.-]+)(?::\d{1,5})?(\/[^?#]*)?(?:\?([^#]*))?/i;
const LINK = /^(?:https?:)?\/\/|^(?:[a-z0-9-]{1,63}\.){1,3}[a-z]{2,8}\//i;
const MAX_INSIDE = 5;

/**
 * @param {string} url
 * @returns {string[]} the links inside *url*; none if it is not one of these
 */
export function unwrapped(url) {
  const [, host, path = "", query = ""] = PARTS.exec(url) ?? [];
  if (host === undefined) return [];
  const mirror = MIRROR.find(([hosts]) => hosts.test(host));
  if (mirror) return [`https://${mirror[1]}${path}${query && `?${query}`}`];
  if (!WRAPPER.test(host)) return [];
  // Some have only the link after their question mark.
  const values = [...new URLSearchParams(query)].map(([name, value]) => (value === "" ? name : value));
  if (LINK.test(query)) values.unshift(query);
  return values.filter((value) => LINK.test(value)).slice(0, MAX_INSIDE).map((value) => value.replace(/^(?:(?:https?:)?\/\/)?/i, "https://"));
}
