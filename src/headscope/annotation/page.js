// @ts-check
// The annotation page: shows one map after the other and labels it by a key per class. The server
// keeps all labels. Needs dom.js and heatmap.js, which the server puts before this file.

/**
 * A map as the server describes it.
 * @typedef {object} MapToLabel
 * @property {number} index
 * @property {number} tokens
 * @property {boolean[]} special
 * @property {number[]} segments
 * @property {boolean} pair
 * @property {string} map base64 of a byte per weight [query, key], the square root in 255ths
 * @property {string[]} labels of the passes that differ, when differences are settled
 */

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const start = JSON.parse(byId("start").textContent);
const PASSES = ["", "first pass", "second pass", "settling differences"];
/** Pixels above the matrix for bars and marks, and left of it for marks. */
const [TOP, LEFT] = [60, 14];
/** Pixels from the matrix to the marks of special tokens and to the bars; thickness of a mark. */
const [MARK_GAP, BAR_GAP, MARK_SIZE] = [8, 10, 5];
/** Height of a bar that would have all mass. */
const BAR_HEIGHT = TOP - 14;

/** The annotator and the pass of all requests. @type {{annotator: string, round: number}} */
let who;
/** The map on the page; null while there is none. @type {MapToLabel | null} */
let shown = null;
let busy = false;

// ---- requests

/** @param {string} path @param {Record<string, any>} query */
const get = (path, query = {}) =>
  send(`${path}?${new URLSearchParams(/** @type {any} */ ({ ...who, ...query }))}`, {});
/** @param {string} path @param {Record<string, any>} body */
const post = (path, body = {}) =>
  send(path, { method: "POST", body: JSON.stringify({ ...who, ...body }) });

/** @param {string} path @param {RequestInit} request */
async function send(path, request) {
  const headers = { "X-Token": start.token };
  const response = await fetch(path, { ...request, headers }).catch(() => {
    throw new Error("headscope annotate does not answer: is it still running?");
  });
  const value = await response.json();
  if (!response.ok) throw new Error(value.error);
  return value;
}

/**
 * Runs one action at a time: a key pressed while a label is on its way must not label the next map.
 * @param {() => Promise<void>} action
 */
async function exclusively(action) {
  if (busy) return;
  busy = true;
  try {
    await action();
    byId("error").hidden = true;
  } catch (problem) {
    byId("error").textContent = `Not done: ${/** @type {Error} */ (problem).message}`;
    byId("error").hidden = false;
  } finally {
    busy = false;
  }
}

// ---- labelling

/**
 * Shows how far the pass is, and its next map.
 * @param {{classes: string[], total: number, done: number, next: number | null}} state
 */
async function show({ classes, total, done, next }) {
  const pass = `${who.annotator}, ${PASSES[who.round]}`;
  byId("progress").textContent = `${done} of ${total} labelled by ${pass}`;
  byId("bar").max = Math.max(total, 1);
  byId("bar").value = done;
  byId("work").hidden = next === null;
  byId("finished").hidden = next !== null;
  shown = null;
  if (next === null) return;
  if (!byId("choices").children.length) byId("choices").append(...classes.map(choiceButton));
  const map = await get("/map", { index: next });
  const texts = map.pair ? "A pair of texts" : "One text";
  const labels = map.labels.length ? ` Labelled ${map.labels.join(" and ")}.` : "";
  byId("about").textContent = `${texts}, ${map.tokens} tokens.${labels}`;
  byId("note-line").hidden = who.round !== 3;
  byId("note").value = "";
  drawMap(byId("linear"), map, (share) => share);
  drawMap(byId("root"), map, Math.sqrt);
  shown = map;
}

/** @param {string} name @param {number} index */
function choiceButton(name, index) {
  const button = element("button", { type: "button" }, `${index + 1} ${name}`);
  button.addEventListener("click", () => label(name));
  return button;
}

/** @param {string} name */
function label(name) {
  if (!shown) return;
  const { index } = shown;
  const note = who.round === 3 ? byId("note").value : "";
  exclusively(async () => show(await post("/label", { index, label: name, note })));
}

function undo() {
  exclusively(async () => show(await post("/undo")));
}

function begin() {
  const { annotator, round } = byId("who").elements;
  exclusively(async () => {
    // Not while a label is on its way: its next map belongs to the pass before.
    who = { annotator: annotator.value.trim(), round: Number(round.value) };
    shown = null;
    byId("work").hidden = true;
    await show(await get("/state"));
  });
}

// ---- the map

/**
 * Draws a map with its marks: [CLS] and [SEP] beside their rows and columns, each column's share of
 * the mass as a bar, a dashed line where the second text begins.
 * @param {HTMLCanvasElement} canvas
 * @param {MapToLabel} map
 * @param {(share: number) => number} scale from a share of the largest weight to one of black
 */
function drawMap(canvas, { tokens, special, segments, map }, scale) {
  const roots = Uint8Array.from(atob(map), (c) => c.charCodeAt(0));
  const weights = Float32Array.from(roots, (root) => (root / 255) ** 2);
  const maximum = weights.reduce((a, b) => Math.max(a, b), 1e-6);
  const shades = Array.from(weights, (weight) => scale(weight / maximum));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const size = canvas.width - LEFT;
  const cell = size / tokens;
  const [low, high] = [colour("--annotate-low"), colour("--annotate-high")];
  context.fillStyle = low;
  context.fillRect(0, 0, canvas.width, canvas.height);
  drawHeatmap(context, heatmapPixels(shades, tokens, 1, low, high), LEFT, TOP, size);

  context.fillStyle = colour("--annotate-special");
  special.forEach((isSpecial, i) => {
    if (!isSpecial) return;
    context.fillRect(LEFT + i * cell, TOP - MARK_GAP, cell, MARK_SIZE);
    context.fillRect(LEFT - MARK_GAP, TOP + i * cell, MARK_SIZE, cell);
  });
  context.fillStyle = colour("--annotate-guide");
  for (const share of [0.25, 0.5])
    context.fillRect(LEFT, TOP - BAR_GAP - share * BAR_HEIGHT, size, 1);
  context.fillStyle = colour("--annotate-mass");
  columnShares(weights, tokens).forEach((share, column) => {
    const height = share * BAR_HEIGHT;
    const width = Math.max(cell - 0.5, 0.5);
    context.fillRect(LEFT + column * cell, TOP - BAR_GAP - height, width, height);
  });
  const border = secondText(segments);
  if (border > 0) drawBorder(context, border * cell, size);
}

/**
 * The share of all mass that each column gets.
 * @param {Float32Array} weights [query, key], row by row
 * @param {number} tokens
 */
function columnShares(weights, tokens) {
  const columns = Array(tokens).fill(0);
  weights.forEach((weight, i) => (columns[i % tokens] += weight));
  const total = weights.reduce((a, b) => a + b, 0);
  return columns.map((mass) => mass / total);
}

/**
 * A dashed line down and one across, `offset` pixels from the corner of the matrix.
 * @param {CanvasRenderingContext2D} context
 * @param {number} offset
 * @param {number} size
 */
function drawBorder(context, offset, size) {
  context.strokeStyle = colour("--annotate-border");
  context.setLineDash([4, 5]);
  context.beginPath();
  context.moveTo(LEFT + offset, TOP);
  context.lineTo(LEFT + offset, TOP + size);
  context.moveTo(LEFT, TOP + offset);
  context.lineTo(LEFT + size, TOP + offset);
  context.stroke();
  context.setLineDash([]);
}

// ---- agreement

/** Shows how far every two passes agree. */
async function showAgreement() {
  const pairs = await get("/agreement");
  if (!pairs.length) {
    byId("agreement").textContent = "No map has been labelled in two passes yet.";
    return;
  }
  const titles = ["passes", "maps", "agreement", "Cohen's kappa (95%)", "disagreements"];
  const lines = pairs.map((/** @type {any} */ pair) => {
    const { first, second, n, raw, kappa, low, high } = pair;
    const ends = low === null ? "no interval" : `${low.toFixed(2)} to ${high.toFixed(2)}`;
    const differing = pair.differing.map(
      (/** @type {any[]} */ [a, b, count]) => `${a} / ${b}: ${count}`,
    );
    return [
      `${first} and ${second}`,
      String(n),
      `${(100 * raw).toFixed(1)}%`,
      `${kappa.toFixed(2)} (${ends})`,
      differing.join("; "),
    ];
  });
  /** @param {"th" | "td"} kind @param {string[]} texts */
  const tableRow = (kind, texts) =>
    element("tr", {}, ...texts.map((text) => element(kind, {}, text)));
  const rows = lines.map((/** @type {string[]} */ texts) => tableRow("td", texts));
  byId("agreement").replaceChildren(element("table", {}, tableRow("th", titles), ...rows));
}

// ---- events

byId("who").elements.annotator.value = start.annotator;
byId("who").elements.round.value = String(start.round);
byId("who").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  // A key is a label from now on, not a letter of the name.
  /** @type {HTMLElement} */ (document.activeElement).blur();
  begin();
});
byId("who").addEventListener("change", begin);
byId("undo").addEventListener("click", undo);
byId("show-agreement").addEventListener("click", () => exclusively(showAgreement));
document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.repeat) return; // A key held down is one label.
  const choice = shown && byId("choices").children[Number(event.key) - 1];
  if (choice) choice.click();
  else if (event.key === "Backspace" || event.key === "u") undo();
  else return;
  event.preventDefault();
});
begin();
