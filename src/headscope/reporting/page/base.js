// @ts-check
// What every part of the page uses: elements, numbers, colours, downloads. The parts are put together into one script,
// in the order that build.py gives. All data lie in the page; text of a data set becomes text nodes only.

/** @typedef {Record<string, any>} Row a row of a table, by column */
/** @typedef {{title: string, group: string, measure: string, column: string, rows: Map<string, Row>, diverging: boolean, unit: string}} View
 * a way to colour the heads; a row per head, by its name */
/** @typedef {{heads: string[], example: number, query: number, key: number, words: boolean, lines: boolean}} At
 * what is chosen; `heads` is never empty, the last one is where the keyboard is */
/** @typedef {{root: HTMLElement, find: (selector: string) => any, data: any, tables: Record<string, Row[]>, at: At, views: View[],
 * thumbs: Map<string, Uint8Array>, label: (name: string) => string, choose: (heads: string[]) => void,
 * changed: (() => void)[], recoloured: (() => void)[]}} Room one run's part of the page */

/** @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, string>} attributes @param {(string | Node)[]} children */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Characters that would be unseen or turn the direction of the text, by their code. @param {unknown} text */
function visible(text) {
  return String(text ?? "–").replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}

/** @param {string} text @param {number} most */
function short(text, most) {
  const start = [...text.slice(0, 2 * most + 2)];
  return start.length > most ? start.slice(0, most - 1).join("") + "…" : text;
}

/** Points to a hundredth, others to a thousandth. @param {any} value @param {string} unit */
function number(value, unit, signed = false, digits = unit === "points" ? 2 : 3) {
  if (typeof value !== "number") return "–";
  const text = value.toFixed(digits);
  if (Number(text) === 0) return text.replace("-", "");
  return (signed && value > 0 ? "+" : "") + text.replace("-", "−");
}

/** @param {number} value @param {number} low @param {number} high */
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
/** @param {any} p */
const chance = (p) => (typeof p !== "number" ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));
/** @param {Row} row */
const interval = (row, signed = false) =>
  row.low === null || row.high === null ? "–" : `${number(row.low, row.unit, signed)} to ${number(row.high, row.unit, signed)}`;

/** @param {Row} row */
const nameOf = (row) => `L${row.layer}H${row.head}`;
/** @param {string} name */
const placeOf = (name) => name.slice(1).split("H").map(Number);

/** A table as the page holds it: columns of values, of codes into a list of words, or of one value. @param {any} packed @returns {Row[]} */
function rowsOf(packed) {
  if (!packed) return [];
  const full = (/** @type {any} */ column) =>
    Array.isArray(column) ? column
    : "same" in column ? Array(packed.height).fill(column.same)
    : column.codes.map((/** @type {number} */ code) => column.words[code] ?? null);
  const columns = Object.entries(packed.columns).map(([name, column]) => [name, full(column)]);
  return Array.from({ length: packed.height }, (_, i) => Object.fromEntries(columns.map(([name, values]) => [name, values[i]])));
}

/** @param {string} variable a colour of style.css */
const colour = (variable) => getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
/** @param {string} hex */
const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
/** @param {string} low @param {string} high @param {number} share */
function blend(low, high, share) {
  const [from, to] = [channels(low), channels(high)];
  return "#" + from.map((v, i) => Math.round(v + (to[i] - v) * share).toString(16).padStart(2, "0")).join("");
}

/** The step of an arrow key over rows and columns. @type {Record<string, number[]>} */
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** @param {string[]} colours from left to right @param {string[]} ends @param {Node[]} notes */
function legend(colours, ends, ...notes) {
  const bar = make("div", { class: "bar" });
  bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
  return [bar, make("div", { class: "ends" }, ...ends.map((end) => make("span", {}, end))), ...notes];
}

/** @param {string} caption @param {string[]} names @param {(string | Node)[][]} lines their first cell is the row's header */
function table(caption, names, lines) {
  const top = names.map((text, i) => make("th", { scope: "col", class: i ? "n" : "" }, text));
  const values = (/** @type {(string | Node)[]} */ line) => line.slice(1).map((cell) => make("td", { class: "n" }, cell));
  const rows = lines.map((line) => make("tr", {}, make("th", { scope: "row" }, line[0]), ...values(line)));
  const whole = make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...top)), make("tbody", {}, ...rows));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, whole);
}

/** Picture of a small map: 16 levels of weight. @param {Uint8Array} codes @param {number} side */
function thumbnail(codes, side) {
  const canvas = make("canvas", { width: String(side), height: String(side), "aria-hidden": "true", class: "thumb" });
  const ends = ["--map-low", "--map-high"].map((name) => channels(colour(name)));
  const image = new ImageData(side, side);
  codes.forEach((code, i) => image.data.set([...ends[0].map((v, c) => v + ((ends[1][c] - v) * code) / 15), 255], 4 * i));
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/** @param {string} text base64 of deflated bytes */
async function inflated(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Two codes a byte, the lower half first. @param {Uint8Array} bytes @param {number} size */
function nibbles(bytes, size) {
  const out = new Uint8Array(size);
  for (let i = 0; i < size; i++) out[i] = i % 2 ? bytes[i >> 1] >> 4 : bytes[i >> 1] & 15;
  return out;
}

// ---- files to keep

/** @param {string} text */
const escaped = (text) => visible(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** @param {string} name @param {string} text @param {string} type */
function download(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = make("a", { href: address, download: name.replace(/[^\w.-]+/g, "_").slice(0, 100) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Rows as CSV (RFC 4180). A text that a spreadsheet would run as a formula gets an apostrophe. @param {Row[]} rows */
function csv(rows) {
  const names = Object.keys(rows[0] ?? {});
  const cell = (/** @type {any} */ value) => {
    const text = typeof value === "string" ? value.replace(/^[=+\-@\t\r]/, "'$&") : value === null ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Buttons that save files. @param {string} what @param {Record<string, () => string>} kinds what makes the text, by the suffix */
function savers(what, kinds) {
  const types = /** @type {Record<string, string>} */ ({ svg: "image/svg+xml", csv: "text/csv" });
  const buttons = Object.entries(kinds).map(([suffix, text]) => {
    const button = make("button", { type: "button", "aria-label": `Save ${what} as ${suffix.toUpperCase()}` }, suffix.toUpperCase());
    button.addEventListener("click", () => download(`${what}.${suffix}`, text(), types[suffix]));
    return button;
  });
  return make("span", { class: "savers" }, ...buttons);
}

/** The opening of an SVG file. @param {number} width @param {number} height */
const svgOpening = (width, height) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
  'font-family="Liberation Sans, Arial, Helvetica, sans-serif" font-size="10" fill="#111111">' +
  `<rect width="${width}" height="${height}" fill="#ffffff"/>`;
