// @ts-check
// The atlas: all heads as a grid of numbers or of small maps, or as a list. One colouring fills the
// cells; a click or the arrow keys select heads. Needs view.js, colourings.js and downloads.js.

const MAX_SELECTED = 6;
/** Pixels that a row of heads fills, and the least and most that a cell takes of them. */
const [ROW_WIDTH, MIN_CELL, MAX_CELL] = [530, 22, 42];
/** Pixels that a column of heads fills: the atlas is on the first screen. */
const COLUMN_HEIGHT = 400;

/** Order of the groups in the menu; groups that are not listed follow. */
const GROUP_ORDER = [
  "Effect of disabling",
  "Pruning",
  "Patterns",
  "Change by fine-tuning",
  "Relations",
  "Importance",
  "Attention",
  "Attention of [CLS]",
];

/**
 * Stands in where a run has maps and no table with a row per head.
 * @type {Colouring}
 */
const NO_COLOURING = {
  title: "",
  group: "",
  measure: "",
  column: "value",
  rows: new Map(),
  diverging: false,
  unit: "",
};

/** @param {RunView} view */
function mountAtlas(view) {
  const { find, root, data, colourings, selection, tables, thumbnails } = view;
  const tested = testedColouring(colourings);
  const patterns = colourings.find(({ classColours }) => classColours);
  const groups = new Map(tables.heterogeneous.map((row) => [headName(row), visible(row.name)]));
  const allHeads = headNames(data);
  const buttons = /** @type {Map<string, HTMLElement>} */ (new Map());
  const grid = find(".grid");
  let colouring = tested ?? patterns ?? colourings[0] ?? NO_COLOURING;
  let layout = "numbers";
  let order = allHeads;

  // ---- which heads, in which order

  /** The colouring whose test marks cells. */
  const markedBy = () => (colouring.column === "delta" ? colouring : tested);
  /** @param {string} name */
  const isMarked = (name) => view.isSignificant(markedBy()?.rows.get(name));

  /** The heads in the order of the menu; those without a value last. */
  function sortedHeads() {
    const sign = { largest: -1, smallest: 1 }[String(find(".order").value)];
    if (!sign) return allHeads;
    const value = (/** @type {string} */ name) => colouring.rows.get(name)?.[colouring.column];
    const measured = allHeads.filter((name) => typeof value(name) === "number");
    const others = allHeads.filter((name) => typeof value(name) !== "number");
    return [...measured.sort((a, b) => sign * (value(a) - value(b))), ...others];
  }

  /**
   * Whether a head fits the search field; a measure's name alone fits all heads, and colours them.
   * @param {string} name
   */
  function isMatch(name) {
    const query = find(".search").value;
    if (searchedColouring()) return true;
    const { layer, head } = headPosition(name);
    const about = [
      name,
      `L${layer}`,
      `H${head}`,
      patterns?.rows.get(name)?.class ?? "",
      groups.get(name) ?? "",
      isMarked(name) ? "significant" : "",
    ].join(" ");
    return partsOf(query).every((part) => fitsPart(colourings, part, name, about));
  }

  /** The colouring that the search field names, where its words say nothing of heads. */
  function searchedColouring() {
    const query = find(".search").value.trim();
    const isOfHeads = /^[lh]?\d|[<>≤≥,]/i.test(query) || "significant".startsWith(query);
    if (query.length < 3 || isOfHeads) return undefined;
    const kinds = [...(patterns?.rows.values() ?? [])].map((row) => row.class);
    if (
      [...kinds, ...groups.values()].some((kind) =>
        wordsOf(kind).some((word) => word.startsWith(query.toLowerCase())),
      )
    )
      return undefined;
    return colouringNamed(colourings, query);
  }

  /** Follows the search field: colours by a measure that it names, else dims the others. */
  function search() {
    const named = searchedColouring();
    if (named && named !== colouring) {
      colouring = named;
      find(".colouring").value = String(colourings.indexOf(named));
      render();
    } else if (layout === "list") render();
    else updateCells();
  }

  // ---- cells

  /** @param {string} name @param {string[]} content @returns {HTMLElement} */
  function headButton(name, ...content) {
    const attributes = { type: "button", tabindex: "-1", "data-head": name };
    const button = element("button", attributes, ...content);
    buttons.set(name, button);
    return button;
  }

  /** @param {(string | Node)[]} content */
  const gridCell = (...content) =>
    element("td", { role: "gridcell", "aria-selected": "false" }, ...content);

  /** The heads as a grid: a row per layer, or, where they are ranked, rows of as many heads. */
  function renderGrid() {
    const ranked = order !== allHeads;
    const top = Array.from({ length: data.heads }, (_, i) =>
      element("th", { scope: "col" }, ranked ? "" : `H${i + 1}`),
    );
    const rows = [];
    for (let start = 0; start < order.length; start += data.heads) {
      const title = ranked ? String(start + 1) : `L${start / data.heads + 1}`;
      const heads = order.slice(start, start + data.heads);
      const cells = heads.map((name) => gridCell(headButton(name)));
      rows.push(element("tr", {}, element("th", { scope: "row" }, title), ...cells));
    }
    grid.replaceChildren(
      element("thead", {}, element("tr", {}, element("td"), ...top)),
      element("tbody", {}, ...rows),
    );
  }

  /** What the list shows of a head. */
  function listColumns() {
    const { column, diverging } = colouring;
    const rowOf = (/** @type {string} */ name) => colouring.rows.get(name);
    /** @type {{title: string, kind: string, text: (name: string) => string}[]} */
    const columns = [];
    if (patterns) {
      const text = (/** @type {string} */ name) => classText(patterns.rows.get(name));
      columns.push({ title: "Pattern", kind: "", text });
    }
    columns.push({
      title: colouring === patterns ? "Share" : colouring.title,
      kind: "n",
      text: (name) => valueText(colouring, rowOf(name)),
    });
    columns.push({
      title: "95%",
      kind: "n",
      text: (name) => formatInterval(rowOf(name), diverging),
    });
    if (!tested) return columns;
    const effectOf = (/** @type {string} */ name) => tested.rows.get(name);
    if (column !== "delta") {
      columns.push({
        title: tested.title,
        kind: "n",
        text: (name) => formatNumber(effectOf(name)?.delta, effectOf(name)?.unit, true),
      });
    }
    columns.push({
      title: "Adjusted p",
      kind: "n",
      text: (name) => formatP(effectOf(name)?.p_corrected),
    });
    return columns;
  }

  /** The heads as a list: a row per head that the search finds. */
  function renderList() {
    const columns = listColumns();
    const top = columns.map(({ title, kind }) =>
      element("th", { scope: "col", class: kind }, title),
    );
    const rows = order.filter(isMatch).map((name) => {
      const first = gridCell(headButton(name, name), thumbnailOf(name));
      const cells = columns.map(({ kind, text }) => element("td", { class: kind }, text(name)));
      return element("tr", {}, first, ...cells);
    });
    grid.replaceChildren(
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "Head"), ...top)),
      element("tbody", {}, ...rows),
    );
  }

  /** @param {string} name */
  function thumbnailOf(name) {
    const codes = thumbnails.get(name);
    return codes ? drawThumbnail(codes, data.typical.side) : "";
  }

  /** Fills the cells, dims those that the search does not find, and writes the legend. */
  function updateCells() {
    const scale = scaleOf(colouring);
    const ranked = order !== allHeads;
    for (const [name, button] of buttons) {
      const row = colouring.rows.get(name);
      const picture = layout === "maps" ? thumbnailOf(name) : "";
      const content = picture || cellText(colouring, row);
      const title = element("span", {}, name);
      if (layout !== "list" && !ranked) button.replaceChildren(content);
      else if (layout !== "list" && picture) button.replaceChildren(content, title);
      else if (layout !== "list") button.replaceChildren(title, content);
      button.style.backgroundColor = cellFill(colouring, row, scale);
      button.classList.toggle("empty", typeof row?.[colouring.column] !== "number");
      button.classList.toggle("marked", isMarked(name));
      button.classList.toggle("dim", !isMatch(name));
      button.classList.toggle("off", view.off.has(name));
      button.ariaLabel = describe(name);
      button.title = button.ariaLabel;
    }
    const matches = allHeads.filter(isMatch).length;
    const named = searchedColouring();
    const examples = matches ? "" : "; try L3, vertical, significant, entropy < 1";
    find(".count").textContent = named
      ? `coloured by ${named.title}; to find heads by it, add < or > and a number`
      : matches === allHeads.length
        ? ""
        : `${matches} of ${allHeads.length} heads${examples}`;
    renderLegend(scale);
  }

  /**
   * A head's cell in words.
   * @param {string} name
   */
  function describe(name) {
    const { column, unit, words } = colouring;
    const row = colouring.rows.get(name);
    const isOff = view.off.has(name) ? ", switched off" : "";
    const mark = `${isMarked(name) ? `, adjusted p < ${data.significant}` : ""}${isOff}`;
    if (typeof row?.[column] !== "number") return `${name}: no value${mark}`;
    if (words) return `${name}: ${valueText(colouring, row)}${mark}`;
    const kind = row.class ? `${row.class} ` : "";
    const value = `${valueText(colouring, row)} ${visible(unit)}`;
    return `${name}: ${kind}${value}, 95% ${formatInterval(row)}${mark}`;
  }

  /** Which heads are significant, or that none is. */
  function significanceNote() {
    const marked = allHeads.filter(isMarked).length;
    const of = `of ${markedBy()?.rows.size} heads`;
    const test = `${markedBy()?.title}, adjusted p < ${data.significant}`;
    if (!marked)
      return element("p", {}, element("strong", {}, "No head is significant"), ` (${test}).`);
    const text = ` ${marked} ${of} significant (${test}).`;
    return element("p", {}, element("span", { class: "key" }), text);
  }

  /** @param {Scale} scale */
  function renderLegend(scale) {
    const notes = markedBy() ? [significanceNote()] : [];
    if (layout === "maps" && thumbnails.size) {
      const text =
        "Each picture is the head’s typical map: of its maps on the examples below, the one " +
        "nearest to their mean.";
      notes.push(element("p", {}, text));
    }
    find(".atlas .legend").replaceChildren(...notes, ...legendOf(colouring, scale));
  }

  function updateSelection() {
    const last = selection.heads[selection.heads.length - 1];
    // One cell is in the order of the Tab key: the selected one, or the first where that is hidden.
    const focused = buttons.has(last) ? last : [...buttons.keys()][0];
    for (const [name, button] of buttons) {
      button.tabIndex = name === focused ? 0 : -1;
      button.parentElement?.setAttribute("aria-selected", String(selection.heads.includes(name)));
    }
  }

  function render() {
    order = sortedHeads();
    buttons.clear();
    if (layout === "list") renderList();
    else renderGrid();
    const size = clamp(Math.floor(ROW_WIDTH / data.heads), MIN_CELL, MAX_CELL);
    const height = clamp(Math.floor(COLUMN_HEIGHT / data.layers), MIN_CELL, MAX_CELL);
    grid.style.setProperty("--cell", `${size}px`);
    grid.style.setProperty("--cell-height", `${Math.min(size, height)}px`);
    grid.className = `grid as-${layout}${order === allHeads ? "" : " ranked"}`;
    updateCells();
    updateSelection();
  }

  // ---- selecting heads

  /**
   * Selects a head alone; with `extend` it joins the selected ones or leaves them.
   * @param {string} name
   * @param {boolean} extend
   */
  function select(name, extend) {
    const others = selection.heads.filter((other) => other !== name);
    const wasSelected = others.length < selection.heads.length;
    if (!extend) selectHeads(view, [name]);
    else if (wasSelected && others.length) selectHeads(view, others);
    else selectHeads(view, [...others.slice(1 - MAX_SELECTED), name]);
  }

  /** @param {Event} event */
  const headAt = ({ target }) =>
    /** @type {HTMLElement} */ (target).closest("button")?.dataset.head;

  /** @param {KeyboardEvent} event */
  function moveFocus(event) {
    const [step, name] = [ARROWS[event.key], headAt(event)];
    if (!step || !name) return;
    event.preventDefault();
    const heads = [...buttons.keys()];
    const columns = layout === "list" ? 1 : data.heads;
    const [index, lastRow] = [heads.indexOf(name), Math.ceil(heads.length / columns) - 1];
    const row = clamp(Math.floor(index / columns) + step[0], 0, lastRow);
    const column = clamp((index % columns) + step[1], 0, columns - 1);
    const next = heads[row * columns + column];
    select(next, event.shiftKey && next !== name && !selection.heads.includes(next));
    buttons.get(next)?.focus();
  }

  grid.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const name = headAt(event);
    const extend = find(".several").checked || event.ctrlKey || event.metaKey || event.shiftKey;
    if (name) select(name, extend);
  });
  grid.addEventListener("keydown", moveFocus);

  // ---- the tools above the atlas

  /** The menu of colourings, in groups. */
  function fillMenu() {
    const titles = new Set([...GROUP_ORDER, ...colourings.map(({ group }) => group)]);
    for (const group of titles) {
      const options = [...colourings.entries()].filter(([, other]) => other.group === group);
      const items = options.map(([index, { title }]) =>
        element("option", { value: String(index) }, title),
      );
      if (items.length) find(".colouring").append(element("optgroup", { label: group }, ...items));
    }
    find(".colouring").value = String(colourings.indexOf(colouring));
  }

  fillMenu();
  root
    .querySelectorAll(".atlas .tools")
    .forEach((tools) => tools.toggleAttribute("hidden", !colourings.length));
  find('.forms [value="maps"]').parentElement.hidden = !data.typical;
  find(".colouring").addEventListener("change", () => {
    colouring = colourings[Number(find(".colouring").value)];
    render();
  });
  find(".order").addEventListener("change", render);
  find(".search").addEventListener("input", search);
  find(".forms").addEventListener("change", (/** @type {Event} */ event) => {
    layout = /** @type {HTMLInputElement} */ (event.target).value;
    render();
  });
  const rows = () =>
    allHeads.filter(isMatch).flatMap((name) => {
      const row = colouring.rows.get(name);
      return row ? [row] : [];
    });
  find(".atlas .saving").append(
    downloadButtons(`atlas ${colouring.title}`, {
      svg: () => gridSvg(colouring.title, data, colouring, view.isSignificant),
      csv: () => csv(rows()),
    }),
  );

  view.events.addEventListener("heads", updateSelection);
  view.events.addEventListener("scheme", render);
  view.events.addEventListener("off", updateCells);
  view.events.addEventListener("thumbnails", () => {
    if (layout !== "numbers") render();
  });
  render();
}
