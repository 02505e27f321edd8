// @ts-check
// The search field of the atlas: places, patterns, groups, significance, and measures, as in
// "L3, vertical, entropy < 1". Needs text.js and colourings.js.

/** A measure by words of its title, compared with a number. */
const COMPARISON = /^(.+?)\s*(<=|>=|<|>|≤|≥)\s*([-−+]?\d*\.?\d+)$/;

/** @type {Record<string, (a: number, b: number) => boolean>} */
const COMPARED = {
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
  "≤": (a, b) => a <= b,
  "≥": (a, b) => a >= b,
};

/** @param {string} text */
const wordsOf = (text) =>
  text
    .toLowerCase()
    .split(/[\s+:[\]()]+/)
    .filter(Boolean);

/**
 * The first colouring whose title has words that begin with all words of a text.
 * @param {Colouring[]} colourings
 * @param {string} text
 */
function colouringNamed(colourings, text) {
  const wanted = wordsOf(text);
  if (!wanted.length) return undefined;
  return colourings.find(({ title }) => {
    const words = wordsOf(title);
    return wanted.every((want) => words.some((word) => word.startsWith(want)));
  });
}

/**
 * Whether a head fits a part of a query: a comparison with a measure, or words about it, of which
 * a place such as L3 must be whole.
 * @param {Colouring[]} colourings
 * @param {string} part
 * @param {string} name of the head
 * @param {string} about what is known of the head, in words
 */
function fitsPart(colourings, part, name, about) {
  const compared = part.match(COMPARISON);
  if (compared) {
    const [, measure, sign, number] = compared;
    const colouring = colouringNamed(colourings, measure);
    const value = colouring?.rows.get(name)?.[colouring.column];
    return typeof value === "number" && COMPARED[sign](value, Number(number.replace("−", "-")));
  }
  const words = wordsOf(about);
  return wordsOf(part).every((term) =>
    /^[lh]?\d|h\d/.test(term) ? words.includes(term) : words.some((word) => word.startsWith(term)),
  );
}

/**
 * The parts of a query, between commas.
 * @param {string} query
 */
const partsOf = (query) =>
  query
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);
