// @ts-check
// The ways to colour the heads: each is a measure, an effect, a change or a pattern, with a row per head.

/** The classes of patterns: a colour that colour-blind readers tell apart, and a short name. @type {Record<string, string[]>} */
const PATTERNS = {
  vertical: ["#0072b2", "V"], diagonal: ["#e69f00", "D"], "vertical+diagonal": ["#56b4e9", "VD"],
  block: ["#009e73", "B"], heterogeneous: ["#999999", "H"],
};
const PATTERN = "pattern";
const RELATIONS = /^(verb_to_subject|subject_to_verb|noun_to_pronoun|pronoun_to_noun|same_word_across)/;
/** @type {[string, RegExp][]} */
const GROUPS = [
  ["Patterns", /^(share_|pattern$)/], ["Change by fine-tuning", /^(cosine_to_pretrained$|change_in_)/], ["Relations", RELATIONS],
  ["Importance", /^gradient_importance/], ["Attention of [CLS]", /^from_cls_/], ["Attention", /^(norm_)?attention_to_/],
];

/** @param {Record<string, Row[]>} tables @param {(name: string) => string} label @returns {View[]} */
function viewsOf(tables, label) {
  const views = /** @type {Map<string, View>} */ (new Map());
  const add = (/** @type {string} */ measure, /** @type {Row} */ row, title = label(measure), group = "", column = "value") => {
    const kind = group || (GROUPS.find(([, names]) => names.test(measure))?.[0] ?? "Other measures");
    const diverging = column === "delta" || /^change_in_|_excess$/.test(measure);
    const view = views.get(title) ?? { title, group: kind, measure, column, rows: new Map(), diverging, unit: row.unit ?? "" };
    view.rows.set(nameOf(row), row);
    views.set(title, view);
  };
  const single = tables.disabled.filter((row) => row.layer !== null && row.head !== null);
  const modes = new Set(single.map((row) => row.mode)).size;
  for (const row of single) {
    const mode = modes > 1 ? ` (${visible(row.mode)})` : "";
    add(row.metric, row, `Effect of disabling: ${label(row.metric)}${mode}`, "Effect of disabling", "delta");
  }
  const shares = sharesOf(tables.patterns);
  for (const [name, rows] of shares) {
    const first = [...rows].sort((a, b) => b.value - a.value)[0];
    add(PATTERN, { ...placed(name), class: first.class, value: first.value, low: first.low, high: first.high, unit: first.unit }, "Most frequent pattern");
  }
  for (const rows of shares.values()) for (const row of rows) add(`share_${row.class}`, row, `Share of maps: ${visible(row.class)}`);
  for (const row of tables.heads) add(row.measure, row);
  for (const row of tables.change) {
    add(row.measure.startsWith("cosine") ? row.measure : `change_in_${row.measure}`, row, row.measure.startsWith("cosine") ? label(row.measure) : `Change: ${label(row.measure)}`);
  }
  for (const row of tables.relations) {
    add(row.measure, row, relationOf(row, label), "Relations");
  }
  return [...views.values()];
}

/** @param {Row} row of the table of relations @param {(name: string) => string} label */
const relationOf = ({ relation, direction }, label) => `${label(relation)}${direction ? ` (${visible(direction.replace("_", " "))})` : ""}`;

/** @param {string} name */
function placed(name) {
  const [layer, head] = placeOf(name);
  return { layer, head };
}

/** Every head's shares of the patterns in the last state that was measured. @param {Row[]} patterns @returns {Map<string, Row[]>} */
function sharesOf(patterns) {
  const own = patterns.filter((row) => row.head !== null && row.measure === "share" && typeof row.value === "number");
  const state = own[own.length - 1]?.state;
  const found = new Map();
  for (const row of own) if (row.state === state) found.set(nameOf(row), [...(found.get(nameOf(row)) ?? []), row]);
  return found;
}

/** @param {View} view the ends of its scale */
function scaleOf({ rows, column, diverging }) {
  const values = [...rows.values()].map((row) => row[column]).filter((value) => typeof value === "number");
  const high = Math.max(...(diverging ? values.map(Math.abs) : values), 0) || 1;
  return { high, low: diverging ? -high : Math.min(...values, 0) };
}

/** The colour of a value. @param {View} view @param {Row | undefined} row @param {{low: number, high: number}} scale */
function fillOf(view, row, { low, high }) {
  const value = row?.[view.column];
  if (!row || typeof value !== "number") return "";
  const none = colour("--none");
  if (view.measure === PATTERN) return blend(none, PATTERNS[row.class]?.[0] ?? none, strength(value));
  if (!view.diverging) return blend(none, colour("--much"), (value - low) / (high - low || 1));
  return blend(none, colour(value < 0 ? "--loss" : "--gain"), Math.abs(value) / high);
}

/** How much of its colour a pattern has, so that text on it can be read on white and on black. @param {number} share */
const strength = (share) => (channels(colour("--none"))[0] > 127 ? 0.2 + 0.5 * share : 0.15 + 0.33 * share);

/** What stands in a cell. @param {View} view @param {Row | undefined} row */
function said(view, row) {
  const value = row?.[view.column];
  if (typeof value !== "number") return "";
  return view.measure === PATTERN ? PATTERNS[row?.class]?.[1] ?? "" : number(value, view.unit, false, view.unit === "points" ? 1 : 2);
}

/** The legend of a view. @param {View} view @param {{low: number, high: number}} scale */
function legendOf(view, { low, high }) {
  const none = colour("--none");
  if (view.measure === PATTERN) {
    const keys = Object.entries(PATTERNS).map(([name, [hex, letter]]) => {
      const box = make("span", { class: "swatch" });
      box.style.backgroundColor = blend(none, hex, strength(1));
      return make("span", { class: "pattern" }, box, ` ${letter} ${name}`);
    });
    return [make("p", {}, "The most frequent pattern of each head’s maps; the paler, the fewer of them: ", ...keys)];
  }
  const unit = visible(view.unit);
  const sides = view.column === "delta" ? "orange: the score falls; blue: it rises" : "orange: below 0; blue: above";
  const about = make("p", {}, `${view.title}${unit ? `, ${unit}` : ""}${view.diverging ? ` (${sides})` : ""}`);
  const colours = view.diverging ? ["--loss", "--none", "--gain"] : ["--none", "--much"];
  const ends = [low, ...(view.diverging ? [0] : []), high].map((value) => (value === 0 ? "0" : number(value, view.unit, view.diverging)));
  return legend(colours.map(colour), ends, about);
}

/** A grid of heads as an SVG file. @param {string} title @param {number} layers @param {number} heads @param {View} view
 * @param {(row: Row) => boolean} marked */
function gridSvg(title, layers, heads, view, marked) {
  const [cell, left, top] = [26, 34, 46];
  const scale = scaleOf(view);
  const parts = [svgOpening(left + heads * cell + 10, top + layers * cell + 10), `<text x="4" y="16" font-size="12" font-weight="bold">${escaped(title)}</text>`];
  const text = (/** @type {number} */ x, /** @type {number} */ y, /** @type {string} */ words) =>
    parts.push(`<text x="${x}" y="${y}" text-anchor="middle">${escaped(words)}</text>`);
  for (let h = 1; h <= heads; h++) text(left + (h - 0.5) * cell, top - 6, `H${h}`);
  for (let l = 1; l <= layers; l++) {
    text(left / 2, top + (l - 0.4) * cell, `L${l}`);
    for (let h = 1; h <= heads; h++) {
      const row = view.rows.get(`L${l}H${h}`);
      const [x, y] = [left + (h - 1) * cell, top + (l - 1) * cell];
      parts.push(`<rect x="${x}" y="${y}" width="${cell}" height="${cell}" stroke="#d0d0d0" fill="${fillOf(view, row, scale) || "#ffffff"}"/>`);
      text(x + cell / 2, y + cell / 2 + 3.5, said(view, row));
      if (row && marked(row)) parts.push(`<circle cx="${x + cell - 4}" cy="${y + 4}" r="2"/>`);
    }
  }
  return parts.join("") + "</svg>";
}
