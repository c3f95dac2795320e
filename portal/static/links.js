// Finds links in whatever people paste. The server decides what it will fetch; this only tells them beforehand.

const LINK = /\b(?:https?:\/\/|(?=(?:[a-z0-9-]+\.)*(?:tiktok|instagram|twitter|x|youtube|youtu)\.[a-z]{2,3}\/))[^\s<>"'`]+/gi;
const CLOSING = /[.,;:!?)\]}>'"]+$/;

const HOSTS = [
  ["TikTok", /^(?:(?:www|m|vm|vt)\.)?tiktok\.com$|^www\.tiktokv\.com$/],
  ["Instagram", /^(?:(?:www|m)\.)?instagram\.com$|^(?:www\.)?instagr\.am$/],
  ["Twitter/X", /^(?:(?:www|m|mobile)\.)?(?:twitter|x)\.com$/],
  ["YouTube", /^(?:(?:www|m|music)\.)?youtube\.com$|^(?:www\.)?youtube-nocookie\.com$|^(?:www\.)?youtu\.be$/],
];

/**
 * @param {string} link
 * @returns {string | null} the label of the platform that owns it
 */
export function platformOf(link) {
  try {
    const { host } = new URL(link.includes("://") ? link : `https://${link}`);
    return HOSTS.find(([, pattern]) => pattern.test(host))?.[0] ?? null;
  } catch {
    return null;
  }
}

/**
 * @param {string} text
 * @returns {{links: string[], duplicates: number, unsupported: number}} each link once, in the order of the text
 */
export function findLinks(text) {
  const found = (text.match(LINK) ?? []).map((link) => link.replace(CLOSING, ""));
  const links = [...new Set(found)];
  return {
    links,
    duplicates: found.length - links.length,
    unsupported: links.filter((link) => platformOf(link) === null).length,
  };
}

/**
 * @param {{links: string[], duplicates: number, unsupported: number}} found
 * @returns {string} what was found, in a sentence
 */
export function describe({ links, duplicates, unsupported }) {
  if (links.length === 0) return "Nothing to download yet.";
  const counts = new Map();
  for (const link of links) {
    const platform = platformOf(link);
    if (platform !== null) counts.set(platform, (counts.get(platform) ?? 0) + 1);
  }
  const parts = [...counts].map(([platform, count]) => `${count} × ${platform}`);
  if (unsupported > 0) parts.push(`${unsupported} from elsewhere, which will be refused`);
  if (duplicates > 0) parts.push(`${duplicates} repeated, taken once`);
  return `${links.length} ${links.length === 1 ? "link" : "links"}: ${parts.join(", ")}.`;
}
