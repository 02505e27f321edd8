// @ts-check
// The maps of the selected heads on an example, before and after fine-tuning: as matrices or lines,
// between tokens or words, with the text of the example. Needs view.js, map_data.js and
// map_drawing.js.

/**
 * A map on the page.
 * @typedef {object} DrawnMap
 * @property {string} title
 * @property {Float32Array} map [query, key]
 * @property {HighlightFunction} highlight
 */

/** The states of the model that maps are of, by the beginning of their keys. */
const MODEL_STATES = [
  ["before", "Pre-trained"],
  ["after", "Fine-tuned"],
  ["given", "As given"],
  ["off", "Heads switched off"],
];

/**
 * @typedef {object} MapStore
 * @property {(key: string) => boolean} has
 * @property {(key: string, name: string, tokens: number) => Promise<Float32Array | null>} mapOf
 */

/**
 * @param {RunView} view
 * @param {MapStore} store where the maps are
 */
function mountMaps(view, store = createMapStore(view.root)) {
  const { find, data, selection, tables } = view;
  const examples = tables.examples;
  const modelStates = () =>
    MODEL_STATES.filter(([state]) =>
      data.maps.some((/** @type {string} */ key) => key.startsWith(`${state}/`)),
    );
  let drawnMaps = /** @type {DrawnMap[]} */ ([]);
  let units = tokenUnits(examples[0]);
  let renderCount = 0;

  const unitsOfSelection = () =>
    (selection.byWord ? wordUnits : tokenUnits)(examples[selection.example]);

  // ---- the maps

  /**
   * The figure of a head's map in one state of the model, without the drawing of the map.
   * @param {string} name
   * @param {string} modelState
   * @param {Float32Array} map
   */
  function createFigure(name, modelState, map) {
    const file = `map of ${name}, ${modelState}, example ${selection.example + 1}`;
    const figureUnits = units;
    const formats = {
      svg: () => mapSvg(map, figureUnits, file),
      csv: () => csv(mapRows(map, figureUnits)),
    };
    const caption = element("figcaption", {}, `${modelState}, ${name} `);
    caption.append(downloadButtons(file, formats));
    const axes = selection.asLines
      ? "Left attends to right"
      : "Rows attend, columns are attended to";
    const keys = "the arrow keys move over the weights";
    const label = `${modelState} attention of ${name}. ${axes}; ${keys}.`;
    const canvas = element("canvas", { tabindex: "0", role: "img", "aria-label": label });
    const scroller = element("div", { class: "scroll" }, canvas);
    return { figure: element("figure", {}, caption, scroller), canvas };
  }

  async function render() {
    const count = ++renderCount;
    const { example, tokens } = examples[selection.example];
    const recorded = [];
    for (const name of selection.heads) {
      for (const [state, modelState] of modelStates()) {
        const key = `${state}/${example}`;
        const weights = await store.mapOf(key, name, tokens.length);
        // While the map was unpacked the reader may have selected others.
        if (count !== renderCount) return;
        recorded.push({ name, modelState, key, weights });
      }
    }
    units = unitsOfSelection();
    const several = selection.heads.length > 1;
    // The states of a head stand side by side, in a row of their own.
    const rows = new Map(
      selection.heads.map((name) => [name, element("div", { class: "states" })]),
    );
    const toDraw = [];
    for (const { name, modelState, key, weights } of recorded) {
      const row = /** @type {HTMLElement} */ (rows.get(name));
      if (!weights) {
        row.append(emptyFigure(name, modelState, key));
        continue;
      }
      const map = mapOfUnits(weights, units);
      const { figure, canvas } = createFigure(name, modelState, map);
      row.append(figure);
      toDraw.push({ title: several ? `${modelState} ${name}` : modelState, map, canvas });
    }
    find(".sides").replaceChildren(...rows.values());
    find(".sides").classList.toggle("narrow", selection.asLines);
    find(".sides").classList.toggle("alone", modelStates.length === 1);
    // All maps have one scale. They are drawn in the document, where their width is known.
    const maximum = largestWeight(toDraw.map(({ map }) => map));
    const draw = selection.asLines ? drawLines : drawMatrix;
    drawnMaps = toDraw.map(({ title, map, canvas }) => ({
      title,
      map,
      highlight: draw(canvas, map, units, maximum || 1, point),
    }));
    renderLegend(maximum);
    renderTokens();
    point(selection.query, selection.key);
  }

  /**
   * @param {string} name
   * @param {string} modelState
   * @param {string} key
   */
  function emptyFigure(name, modelState, key) {
    const text = store.has(key)
      ? "The recorded map does not fit this example or this head."
      : "No map was recorded.";
    const caption = element("figcaption", {}, `${modelState}, ${name} `);
    return element("figure", {}, caption, element("p", {}, text));
  }

  /** @param {number} maximum */
  function renderLegend(maximum) {
    const lines =
      "Each line is an attention weight; the stronger, the larger. Left: the attending token " +
      "(query); right: the attended token (key).";
    const matrix =
      "Attention weights. Rows: attending tokens (queries); columns: attended tokens (keys). " +
      "Thin lines mark [CLS] and [SEP], a strong line the beginning of the second text.";
    const ends = ["0", formatShare(maximum)];
    const bar = colourBar([colour("--map-low"), colour("--map-high")], ends);
    const text = element("p", {}, selection.asLines ? lines : matrix);
    const content = selection.asLines ? [text] : [...bar, text];
    find(".maps .legend").replaceChildren(...(drawnMaps.length ? content : []));
  }

  // ---- the text of the example, and what is pointed at

  function renderTokens() {
    const tokens = units.names.map((name, i) => {
      const kind = units.special[i] ? "special" : "";
      return element("span", { dir: "auto", "data-at": String(i), class: kind }, visible(name));
    });
    find(".tokens").replaceChildren(...tokens);
  }

  /**
   * Points at a query, a key or both: maps, text and readout follow.
   * @param {number} query
   * @param {number} key
   */
  function point(query, key) {
    Object.assign(selection, { query, key });
    for (const { highlight } of drawnMaps) highlight(query, key);
    const last = drawnMaps[drawnMaps.length - 1];
    const [none, much] = [colour("--none"), colour("--much")];
    const size = units.names.length;
    /**
     * The weight that a token gives or gets in the last map.
     * @param {number} i
     */
    function weightOf(i) {
      if (!last || (query < 0 && key < 0)) return 0;
      return query >= 0 ? last.map[query * size + i] : last.map[i * size + key];
    }
    find(".tokens").childNodes.forEach(
      (/** @type {HTMLElement} */ token, /** @type {number} */ i) => {
        token.classList.toggle("query", i === query);
        token.classList.toggle("key", i === key);
        const weight = weightOf(i);
        token.style.backgroundColor = weight > 0 ? blend(none, much, weight) : "";
      },
    );
    find(".readout").textContent = describePoint(query, key);
  }

  /** @param {number} query @param {number} key */
  function describePoint(query, key) {
    const last = drawnMaps[drawnMaps.length - 1];
    if (!last) return "";
    if (query < 0 && key < 0) return "Point at a map, or at a token, to see where it attends.";
    const kind = selection.byWord && units.wordOfToken ? "Word" : "Token";
    /** @param {number} i */
    const nameOf = (i) => `${i + 1} “${shorten(visible(units.names[i]), 40)}”`;
    const shaded = `the shaded ${kind.toLowerCase()}s above (${last.title.toLowerCase()})`;
    if (query < 0) return `${kind} ${nameOf(key)} is attended to by ${shaded}.`;
    if (key < 0) return `${kind} ${nameOf(query)} attends to ${shaded}.`;
    const weights = drawnMaps.map(({ title, map }) => {
      const weight = map[query * units.names.length + key]?.toFixed(2);
      return `${title[0].toLowerCase()}${title.slice(1)} ${weight}`;
    });
    return `${kind} ${nameOf(query)} attends to ${nameOf(key)}: ${weights.join(", ")}.`;
  }

  // ---- what the reader selects

  /** @param {number} example */
  function selectExample(example) {
    Object.assign(selection, { example, query: -1, key: -1 });
    const { label, prediction, tokens } = examples[example];
    const [gold, predicted] = [label, prediction].map((text) =>
      element("strong", { dir: "auto" }, visible(text)),
    );
    const outcome = ["Label ", gold, ", predicted ", predicted, "."];
    // Texts without labels have neither.
    find(".outcome").replaceChildren(...(label === null ? [] : outcome), unknownNote(tokens));
    units = unitsOfSelection();
    drawnMaps = [];
    renderTokens();
    render();
  }

  /** @param {Event} event */
  function pointAtToken({ target }) {
    const token = /** @type {HTMLElement} */ (target).dataset?.at;
    if (token !== undefined) point(Number(token), -1);
  }

  /** @param {KeyboardEvent} event */
  function movePoint(event) {
    const step = ARROWS[event.key];
    if (!step || !(event.target instanceof HTMLCanvasElement)) return;
    event.preventDefault();
    const last = units.names.length - 1;
    const query = clamp(selection.query + step[0], 0, last);
    // Lines show all keys of a query until one is chosen; a matrix always has a cell.
    if (selection.asLines && !step[1]) point(query, selection.key);
    else point(query, clamp(selection.key + step[1], selection.asLines ? -1 : 0, last));
  }

  /** @param {Event} event */
  function changeForm({ target }) {
    const { name, value } = /** @type {HTMLInputElement} */ (target);
    if (name.startsWith("level"))
      Object.assign(selection, { byWord: value === "words", query: -1, key: -1 });
    else if (name.startsWith("draw")) selection.asLines = value === "lines";
    else return; // the menu of examples, which has a listener of its own
    render();
  }

  find(".levels").hidden = !examples.some((row) => row.words);
  find(".maps").hidden = false;
  const options = examples.map(({ label }, i) => {
    const beginning = shorten(visible(sentencesOf(examples[i])), 60);
    const named = label === null ? "" : `${shorten(visible(label), 20)}: `;
    const text = `${i + 1}. ${named}${beginning}`;
    return element("option", { value: String(i) }, text);
  });
  find(".example").append(...options);
  find(".example").addEventListener("change", () => selectExample(Number(find(".example").value)));
  find(".mapforms").addEventListener("change", changeForm);
  find(".tokens").addEventListener("pointerover", pointAtToken);
  find(".tokens").addEventListener("click", pointAtToken);
  find(".sides").addEventListener("keydown", movePoint);
  view.events.addEventListener("heads", render);
  view.events.addEventListener("scheme", render);
  // The width alone: the height of a phone's page changes with its address bar.
  let width = window.innerWidth;
  const follow = () => {
    if (width !== window.innerWidth) render();
    width = window.innerWidth;
  };
  window.addEventListener("resize", follow, { signal: view.gone });
  selectExample(0);
}
