// @ts-check
// The section of one run as a RunView: a function `mount…(view)` mounts each part of it once, and
// the part renders anew when an event of the view says so. Needs data.js, text.js, colourings.js.

/** @typedef {Record<string, any>} Row a row of a table, by column */

/**
 * A way to colour the heads: a value per head.
 * @typedef {object} Colouring
 * @property {string} title
 * @property {string} group heading under which the menu lists it
 * @property {string} measure
 * @property {string} column of the rows, which holds the value
 * @property {Map<string, Row>} rows by the name of the head
 * @property {boolean} diverging whether the scale has its midpoint at 0
 * @property {string} unit
 * @property {Map<string, string>} [classColours] by class, where the value is the share of a class
 * @property {Map<number, string>} [words] what a value means, where it is no quantity
 */

/**
 * What the reader has selected.
 * @typedef {object} SelectionState
 * @property {string[]} heads never empty; the last one has the keyboard focus
 * @property {number} example index into the table of examples
 * @property {number} query index of a token or word; -1 for none
 * @property {number} key
 * @property {boolean} byWord whether maps are between words or between tokens
 * @property {boolean} asLines whether maps are drawn as lines or as a matrix
 */

/**
 * The section of one run. `events` dispatches "heads" when other heads are selected, "thumbnails"
 * when the small maps are unpacked, "off" when other heads are switched off, and "scheme" when the
 * page turns dark or light.
 * @typedef {object} RunView
 * @property {HTMLElement} root
 * @property {(selector: string) => any} find the first such element of the section
 * @property {any} data as payload.py writes it
 * @property {Record<string, Row[]>} tables
 * @property {(name: string) => string} label of a measure or metric
 * @property {(row: Row | undefined) => boolean} isSignificant
 * @property {Map<string, string>} classColours colour of every pattern class
 * @property {Colouring[]} colourings
 * @property {Map<string, Uint8Array>} thumbnails by the name of the head; empty until unpacked
 * @property {SelectionState} selection
 * @property {Set<string>} off the heads that are switched off, on the live page
 * @property {AbortSignal | undefined} gone aborts when another view stands in its place
 * @property {EventTarget} events
 */

/** Tables that the parts read whether a run has them or not. */
const TABLES = [
  "scores",
  "heads",
  "change",
  "disabled",
  "patterns",
  "heterogeneous",
  "relations",
  "kept_heads",
  "alike",
  "examples",
];

/**
 * The view of a section, with the data that lie in it.
 * @param {HTMLElement} root
 * @param {AbortSignal} [gone] aborts when another view stands in its place
 * @returns {RunView}
 */
function createView(root, gone) {
  /** @param {string} selector @returns {any} */
  const find = (selector) => root.querySelector(selector);
  const data = JSON.parse(find("script.data").textContent);
  const names = new Set([...TABLES, ...Object.keys(data.tables)]);
  const tables = Object.fromEntries(
    [...names].map((name) => [name, unpackTable(data.tables[name])]),
  );
  const label = (/** @type {string} */ name) => visible(data.labels[name] ?? name);
  const classColours = /** @type {Map<string, string>} */ (
    new Map(Object.entries(data.pattern_colours))
  );
  return {
    root,
    find,
    data,
    tables,
    label,
    isSignificant: (row) =>
      typeof row?.p_corrected === "number" && row.p_corrected < data.significant,
    classColours,
    colourings: colouringsOf(tables, label, classColours),
    thumbnails: new Map(),
    selection: {
      heads: ["L1H1"],
      example: 0,
      query: -1,
      key: -1,
      byWord: false,
      asLines: false,
    },
    off: new Set(),
    gone,
    events: new EventTarget(),
  };
}

/**
 * @param {RunView} view
 * @param {string[]} heads
 */
function selectHeads(view, heads) {
  view.selection.heads = heads;
  view.events.dispatchEvent(new Event("heads"));
}

/** @param {RunView} view */
async function unpackThumbnails({ data, thumbnails, events }) {
  const names = headNames(data);
  const size = data.typical.side ** 2;
  const codes = unpackHalfBytes(await inflate(data.typical.data), names.length * size);
  names.forEach((name, i) => thumbnails.set(name, codes.subarray(i * size, (i + 1) * size)));
  events.dispatchEvent(new Event("thumbnails"));
}

/**
 * Keeps something in the address behind its #, so that it can be passed on. A page in a frame of a
 * notebook has no address of its own.
 * @param {string} kept
 */
function keepInAddress(kept) {
  if (location.protocol !== "about:") history.replaceState(null, "", `#${kept}`);
}
