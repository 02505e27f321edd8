// @ts-check
// Numbers, names of heads and texts of data sets as the page shows them.

/**
 * Text in which every character that is invisible or changes the direction is named by its code.
 * @param {unknown} text
 */
function visible(text) {
  return String(text ?? "–").replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}

/**
 * Text cut to at most `length` characters, with an ellipsis.
 * @param {string} text
 * @param {number} length
 */
function shorten(text, length) {
  // Split into code points, so that no surrogate pair is cut; of a long text only the beginning.
  const characters = [...text.slice(0, 2 * length + 2)];
  return characters.length > length ? characters.slice(0, length - 1).join("") + "…" : text;
}

/**
 * A number with two decimals in points, else with three, and a true minus sign.
 * @param {any} value
 * @param {string} unit
 */
function formatNumber(value, unit, signed = false, digits = unit === "points" ? 2 : 3) {
  if (typeof value !== "number") return "–";
  const text = value.toFixed(digits);
  if (Number(text) === 0) return text.replace("-", "");
  return (signed && value > 0 ? "+" : "") + text.replace("-", "−");
}

/** @param {any} value */
const formatShare = (value) => formatNumber(value, "", false, 2);

/**
 * A pattern class with its share of the maps.
 * @param {Row | undefined} row
 */
const classText = (row) => (row ? `${row.class} ${formatShare(row.value)}` : "–");

/** @param {any} p */
function formatP(p) {
  if (typeof p !== "number") return "–";
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}

/** @param {Row | undefined} row */
function formatInterval(row, signed = false) {
  if (typeof row?.low !== "number" || typeof row.high !== "number") return "–";
  const { low, high, unit } = row;
  return `${formatNumber(low, unit, signed)} to ${formatNumber(high, unit, signed)}`;
}

/**
 * Name of a head, as in L3H10.
 * @param {Row} row
 */
const headName = ({ layer, head }) => `L${layer}H${head}`;

/**
 * Layer and head of a name, counted from 1.
 * @param {string} name
 */
function headPosition(name) {
  const [layer, head] = name.slice(1).split("H").map(Number);
  return { layer, head };
}

/**
 * Names of all heads, layer by layer.
 * @param {{layers: number, heads: number}} size
 */
const headNames = ({ layers, heads }) =>
  Array.from({ length: layers * heads }, (_, i) =>
    headName({ layer: Math.floor(i / heads) + 1, head: (i % heads) + 1 }),
  );

/**
 * The rows of every head, by its name.
 * @param {Row[]} rows
 * @returns {Map<string, Row[]>}
 */
function groupByHead(rows) {
  const groups = new Map();
  for (const row of rows) {
    const name = headName(row);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  return groups;
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/**
 * Rows down and columns right of an arrow key.
 * @type {Record<string, number[]>}
 */
const ARROWS = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};
