// @ts-check
// The ways to colour the heads: an effect, a pattern, a change, a relation or a measure, each with
// a row per head; their scales, fills and legends. Needs text.js, heatmap.js and downloads.js.

/** Letters of the pattern classes in a cell. */
const PATTERN_LETTERS = new Map([
  ["vertical", "V"],
  ["diagonal", "D"],
  ["vertical+diagonal", "VD"],
  ["block", "B"],
  ["heterogeneous", "H"],
]);
const RELATIONS =
  /^(verb_to_subject|subject_to_verb|noun_to_pronoun|pronoun_to_noun|same_word_across)/;
/**
 * Groups of the menu, by the names of their measures; the first that fits counts.
 * @type {[string, RegExp][]}
 */
const GROUPS = [
  ["Patterns", /^(share_|pattern$)/],
  ["Change by fine-tuning", /^(cosine_to_pretrained$|change_in_)/],
  ["Relations", RELATIONS],
  ["Importance", /^gradient_importance/],
  ["Attention of [CLS]", /^from_cls_/],
  ["Attention", /^(norm_)?attention_to_/],
];

/** Whether a head is in a recommended set of heads to keep. */
const STAYS = new Map([
  [1, "kept"],
  [0, "removed"],
]);

/** @param {string} measure */
const groupOf = (measure) =>
  GROUPS.find(([, names]) => names.test(measure))?.[0] ?? "Other measures";

/**
 * Every colouring that the tables of a run give, in the order of the tables.
 * @param {Record<string, Row[]>} tables
 * @param {(name: string) => string} label
 * @param {Map<string, string>} classColours
 * @returns {Colouring[]}
 */
function colouringsOf(tables, label, classColours) {
  const colourings = /** @type {Map<string, Colouring>} */ (new Map());
  /**
   * Adds a row to the colouring of this title.
   * @param {string} title
   * @param {string} measure
   * @param {Row} row
   * @param {Partial<Colouring>} more
   */
  function add(title, measure, row, more = {}) {
    if (!colourings.has(title)) {
      colourings.set(title, {
        title,
        group: groupOf(measure),
        measure,
        column: "value",
        rows: new Map(),
        diverging: /^change_in_|_excess$/.test(measure),
        unit: row.unit ?? "",
        ...more,
      });
    }
    colourings.get(title)?.rows.set(headName(row), row);
  }

  const effects = effectsOfHeads(tables.disabled);
  for (const row of effects.rows) {
    const group = "Effect of disabling";
    const title = `${group}: ${label(row.metric)}${effects.mode(row)}`;
    add(title, row.metric, row, { group, column: "delta", diverging: true });
  }
  for (const row of tables.kept_heads.filter(({ stays }) => typeof stays === "number")) {
    const more = { group: "Pruning", column: "stays", words: STAYS };
    add(recommendedTitle(row), "stays", row, more);
  }
  for (const row of tables.kept_heads)
    add("Share of sizes at which a head is kept", "kept", row, { group: "Pruning" });
  const shares = [...sharesByHead(tables.patterns)];
  for (const [name, rows] of shares) {
    const [{ class: most, value, low, high, unit }] = byValue(rows);
    const row = { ...headPosition(name), class: most, value, low, high, unit };
    add("Most frequent pattern", "pattern", row, { classColours });
  }
  for (const row of shares.flatMap(([, rows]) => rows))
    add(`Share of maps: ${visible(row.class)}`, `share_${row.class}`, row);
  for (const row of tables.heads) add(label(row.measure), row.measure, row);
  for (const row of tables.change) {
    if (isCosine(row)) add(label(row.measure), row.measure, row);
    else add(`Change: ${label(row.measure)}`, `change_in_${row.measure}`, row);
  }
  for (const row of tables.relations)
    add(relationLabel(row, label), row.measure, row, { group: "Relations" });
  return [...colourings.values()];
}

/**
 * The effects of disabling a head alone, and the mode to name where a table has several.
 * @param {Row[]} disabled
 */
function effectsOfHeads(disabled) {
  const rows = disabled.filter((row) => row.layer !== null && row.head !== null);
  const several = new Set(rows.map((row) => row.mode)).size > 1;
  return { rows, mode: (/** @type {Row} */ row) => (several ? ` (${visible(row.mode)})` : "") };
}

/** @param {Row} row of the table of kept heads */
const keptCount = ({ kept }) => `${kept} ${kept === 1 ? "head" : "heads"}`;

/** @param {Row} row of the table of kept heads */
const recommendedTitle = (row) => `Recommended set (${keptCount(row)} kept)`;

/**
 * A similarity of maps before and after fine-tuning, not a difference of a measure.
 * @param {Row} row
 */
const isCosine = (row) => row.measure.startsWith("cosine");

/**
 * The largest value first.
 * @param {Row[]} rows
 */
const byValue = (rows) => [...rows].sort((a, b) => b.value - a.value);

/**
 * @param {Row} row of the table of relations
 * @param {(name: string) => string} label
 */
const relationLabel = ({ relation, direction }, label) =>
  `${label(relation)}${direction ? ` (${visible(direction.replace("_", " "))})` : ""}`;

/**
 * Every head's shares of the pattern classes, in the last state that was measured.
 * @param {Row[]} patterns
 */
function sharesByHead(patterns) {
  const rows = patterns.filter(
    (row) => row.head !== null && row.measure === "share" && typeof row.value === "number",
  );
  const state = rows[rows.length - 1]?.state;
  return groupByHead(rows.filter((row) => row.state === state));
}

/**
 * The colouring by an effect with a test, by which cells of the others are marked as significant.
 * @param {Colouring[]} colourings
 */
const testedColouring = (colourings) =>
  colourings.find(({ rows }) =>
    [...rows.values()].some((row) => typeof row.p_corrected === "number"),
  );

/** @typedef {{low: number, high: number}} Scale the values at its ends */

/**
 * The scale of a colouring. That of effects reaches to the farthest end of any interval: so an
 * effect that is small beside what chance does is pale.
 * @param {Colouring} colouring
 * @returns {Scale}
 */
function scaleOf({ rows, column, diverging }) {
  const columns = column === "delta" ? [column, "low", "high"] : [column];
  const values = [...rows.values()]
    .flatMap((row) => columns.map((name) => row[name]))
    .filter((value) => typeof value === "number");
  const high = Math.max(...(diverging ? values.map(Math.abs) : values), 0) || 1;
  return { high, low: diverging ? -high : Math.min(...values, 0) };
}

/**
 * The colour of a head's cell; empty where it has no value.
 * @param {Colouring} colouring
 * @param {Row | undefined} row
 * @param {Scale} scale
 */
function cellFill({ column, diverging, classColours }, row, { low, high }, style = SCREEN) {
  const value = row?.[column];
  if (typeof value !== "number") return "";
  const none = colour("--none", style);
  if (classColours)
    return blend(none, classColours.get(row?.class) ?? none, classStrength(value, none));
  if (!diverging) return blend(none, colour("--much", style), (value - low) / (high - low || 1));
  return blend(none, colour(value < 0 ? "--loss" : "--gain", style), Math.abs(value) / high);
}

/**
 * How much of a class's colour a cell takes, so that its text has contrast on white and on black.
 * @param {number} share
 * @param {string} none
 */
const classStrength = (share, none) =>
  channels(none)[0] > 127 ? 0.2 + 0.5 * share : 0.15 + 0.33 * share;

/**
 * The text in a head's cell.
 * @param {Colouring} colouring
 * @param {Row | undefined} row
 */
function cellText({ column, unit, classColours, words }, row) {
  const value = row?.[column];
  if (typeof value !== "number") return "";
  if (words) return value ? "●" : "";
  if (classColours) return PATTERN_LETTERS.get(row?.class) ?? "";
  return formatNumber(value, unit, false, unit === "points" ? 1 : 2);
}

/**
 * The value of a head: a number, or what it means.
 * @param {Colouring} colouring
 * @param {Row | undefined} row
 */
function valueText({ column, unit, diverging, words }, row) {
  const value = row?.[column];
  return words?.get(value) ?? formatNumber(value, unit, diverging);
}

/**
 * A bar from colour to colour, what is at its ends, and notes.
 * @param {string[]} colours from left to right
 * @param {string[]} ends
 * @param {Node[]} notes
 */
function colourBar(colours, ends, ...notes) {
  const bar = element("div", { class: "bar" });
  bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
  const texts = ends.map((end) => element("span", {}, end));
  return [bar, element("div", { class: "ends" }, ...texts), ...notes];
}

/**
 * @param {Colouring} colouring
 * @param {Scale} scale
 */
function legendOf(colouring, { low, high }) {
  const { title, column, diverging, classColours, words } = colouring;
  if (classColours) return [classLegend(classColours)];
  if (words) {
    const text = `${title}: filled cells are kept, the other heads are removed together.`;
    return [element("p", {}, text)];
  }
  const unit = visible(colouring.unit);
  const sides =
    column === "delta" ? "orange: the score falls; blue: it rises" : "orange: below 0; blue: above";
  const reach =
    column === "delta" ? "; the scale ends at the farthest end of any head’s 95% interval" : "";
  const note = `${title}${unit ? `, ${unit}` : ""}${diverging ? ` (${sides}${reach})` : ""}.`;
  const colours = diverging ? ["--loss", "--none", "--gain"] : ["--none", "--much"];
  const ends = (diverging ? [low, 0, high] : [low, high]).map((value) =>
    value === 0 ? "0" : formatNumber(value, colouring.unit, diverging),
  );
  return colourBar(
    colours.map((name) => colour(name)),
    ends,
    element("p", {}, note),
  );
}

/** @param {Map<string, string>} classColours */
function classLegend(classColours) {
  const none = colour("--none");
  const keys = [...classColours].map(([name, hex]) => {
    const swatch = element("span", { class: "swatch" });
    swatch.style.backgroundColor = blend(none, hex, classStrength(1, none));
    return element("span", { class: "pattern" }, swatch, ` ${PATTERN_LETTERS.get(name)} ${name}`);
  });
  const text = "The most frequent pattern of each head’s maps, paler where fewer maps have it: ";
  return element("p", {}, text, ...keys);
}

/**
 * The grid of heads as an SVG file.
 * @param {string} title
 * @param {{layers: number, heads: number}} size
 * @param {Colouring} colouring
 * @param {(row: Row | undefined) => boolean} isMarked
 */
function gridSvg(title, { layers, heads }, colouring, isMarked) {
  const [cell, left, top] = [26, 34, 46];
  const scale = scaleOf(colouring);
  const lines = [
    svgOpening(left + heads * cell + 10, top + layers * cell + 10),
    `<text x="4" y="16" font-size="12" font-weight="bold">${escapeXml(title)}</text>`,
  ];
  /** @param {number} x @param {number} y @param {string} text */
  const write = (x, y, text) =>
    lines.push(`<text x="${x}" y="${y}" text-anchor="middle">${escapeXml(text)}</text>`);
  const [line, page] = [colour("--line", PAPER), colour("--page", PAPER)];
  for (let head = 1; head <= heads; head++) write(left + (head - 0.5) * cell, top - 6, `H${head}`);
  for (let layer = 1; layer <= layers; layer++)
    write(left / 2, top + (layer - 0.4) * cell, `L${layer}`);
  for (const name of headNames({ layers, heads })) {
    const { layer, head } = headPosition(name);
    const row = colouring.rows.get(name);
    const [x, y] = [left + (head - 1) * cell, top + (layer - 1) * cell];
    const fill = cellFill(colouring, row, scale, PAPER) || page;
    lines.push(
      `<rect x="${x}" y="${y}" width="${cell}" height="${cell}" stroke="${line}" fill="${fill}"/>`,
    );
    write(x + cell / 2, y + cell / 2 + 3.5, cellText(colouring, row));
    if (isMarked(row)) lines.push(`<circle cx="${x + cell - 4}" cy="${y + 4}" r="2"/>`);
  }
  return lines.join("") + "</svg>";
}
