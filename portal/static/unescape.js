// Removes the escapes of JSON, HTML, shells and Markdown, applied once or several times. The text keeps its lines.
// Does not use the document.

const MAX_ROUNDS = 8; // more than any real text needs; limits what a hostile one can cost

const WINDOWS_SLASHES = /https?:\\\\[a-z][^\s"'<>]*/gi;
const CODE = /\\{1,16}(?:u([0-9a-f]{4})|u\{([0-9a-f]{1,6})\}|x([0-9a-f]{2}))/gi;
const BLANK = /\\{1,16}[nrt]/g;
const PUNCTUATION = /\\{1,16}([!-/:-@[\]^_`{-~])/g;

const REFERENCE = /&(?:#(\d{1,8})|#x([0-9a-f]{1,7})|([a-z][a-z0-9]{1,30})(?=;));?/gi;
const ASCII = new Map(
  (
    "amp& lt< gt> quot\" apos' sol/ bsol\\ colon: semi; quest? equals= num# percnt% period. comma, lowbar_ underbar_ " +
    "commat@ excl! dollar$ plus+ ast* midast* lpar( rpar) lsqb[ lbrack[ rsqb] rbrack] lcub{ lbrace{ rcub} rbrace} " +
    "verbar| vert| verticalline| hat^ grave`"
  )
    .split(" ")
    .map((named) => [named.slice(0, -1), named.slice(-1)]),
);
// From U+00A0 on, in order: letters of names. No link of the platforms has the other characters that HTML has names for.
const LATIN = new Map(
  (
    "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro " +
    "para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil " +
    "Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave " +
    "Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml " +
    "igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute " +
    "thorn yuml"
  )
    .split(" ")
    .map((name, index) => [name, String.fromCharCode(0xa0 + index)]),
);

const DEFANGED = /\[(\.|:(?:\/\/)?)\]/g; // youtu[.]be, as in warnings about a link

// Invisible marks for breaking long words, which editors and office programs put into links.
const INVISIBLE = /[\u00ad\u2060]+|([:/?=&.%])[\u200b-\u200f\u2066-\u2069\ufeff]+(?=[\w@%])/g;
const HAS_INVISIBLE = /[\u00ad\u200b-\u200f\u2060-\u2069\ufeff]/;

/**
 * @param {string} text
 * @returns {string} *text* without escapes, with the same lines
 */
export function unescaped(text) {
  const plain = untilStable(text, (each) => {
    const bare = each.includes("\\") ? withoutBackslashes(each) : each;
    return bare.includes("&") ? bare.replace(REFERENCE, character) : bare;
  });
  const whole = plain.includes("[") ? plain.replace(DEFANGED, "$1") : plain;
  return HAS_INVISIBLE.test(whole) ? whole.replace(INVISIBLE, "$1") : whole;
}

/**
 * @param {string} text
 * @returns {string} *text* with percent-encoded ASCII decoded, as often as it was encoded
 */
export function percentDecoded(text) {
  return untilStable(text, (each) => each.replace(/%([2-7][0-9a-f])/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16))));
}

function untilStable(text, change) {
  let before = text;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const after = change(before);
    if (after === before) break;
    before = after;
  }
  return before;
}

function withoutBackslashes(text) {
  return text
    .replace(WINDOWS_SLASHES, (link) => link.replace(/\\/g, "/")) // before \\t of https:\\tiktok.com is a tab
    .replace(CODE, (_, unit, point, byte) => coded(parseInt(unit ?? point ?? byte, 16)))
    .replace(BLANK, " ")
    .replace(PUNCTUATION, "$1");
}

function character(whole, decimal, hex, name) {
  if (name !== undefined) return ASCII.get(name.toLowerCase()) ?? LATIN.get(name) ?? whole;
  return coded(decimal === undefined ? parseInt(hex, 16) : Number(decimal));
}

/** Control characters become spaces, as a line end would add a line. Surrogates come one by one. */
function coded(code) {
  if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code === 0x2028 || code === 0x2029) return " ";
  return code > 0x10ffff ? "\ufffd" : String.fromCodePoint(code);
}
