// @ts-check
// Several runs side by side: the heads of each in one colouring with one scale, and the values of
// the head that is pointed at. Needs view.js, colourings.js and downloads.js.

/** Title of the effects where runs have no metric in common. */
const FIRST_METRICS = "Effect of disabling: each run’s first metric";

/** @typedef {{view: RunView, title: string}} Run */
/** @typedef {{title: string, colourings: (Colouring | undefined)[]}} Choice a colouring per run */

/**
 * @param {HTMLElement[]} sections
 * @param {(index: number) => void} show shows a section
 */
function mountComparison(sections, show) {
  const root = /** @type {HTMLElement | null} */ (document.querySelector(".comparison"));
  if (!root) return;
  /** @param {string} selector @returns {any} */
  const find = (selector) => root.querySelector(selector);
  const views = sections.map((section) => createView(section));
  const runs = views.map((view, i) => ({ view, title: sections[i].dataset.title ?? "" }));
  mountSharedDownloads(runs);

  const choices = sharedColourings(views);
  if (!choices.length) return;
  let choice = choices[0];

  /** The scale that all runs share. */
  function sharedScale() {
    const scales = choice.colourings.flatMap((colouring) => (colouring ? scaleOf(colouring) : []));
    return {
      low: Math.min(...scales.map(({ low }) => low)),
      high: Math.max(...scales.map(({ high }) => high)),
    };
  }

  /**
   * Writes the values of a head in every run.
   * @param {string} name
   */
  function describeHead(name) {
    const values = runs.flatMap(({ title }, i) => {
      const colouring = choice.colourings[i];
      const row = colouring?.rows.get(name);
      if (!colouring || !row) return [];
      const kind = colouring.classColours ? `${row.class} ` : "";
      const value = formatNumber(row[colouring.column], row.unit, colouring.diverging);
      return `${title} ${kind}${value}`;
    });
    find(".readout").textContent = `${name}: ${values.join(" · ")}`;
  }

  /**
   * The heads of a run, layers down and heads across.
   * @param {RunView} view
   * @param {Colouring} colouring
   * @param {Scale} scale
   */
  function renderHeads({ data, isSignificant }, colouring, scale) {
    const cells = headNames(data).map((name) => {
      const row = colouring.rows.get(name);
      const cell = element("td", { "data-head": name });
      cell.style.backgroundColor = cellFill(colouring, row, scale);
      if (colouring.column === "delta" && isSignificant(row)) cell.className = "marked";
      return cell;
    });
    const lines = Array.from({ length: data.layers }, (_, i) =>
      element("tr", {}, ...cells.slice(i * data.heads, (i + 1) * data.heads)),
    );
    return element("tbody", {}, ...lines);
  }

  function render() {
    const scale = sharedScale();
    const figures = runs.map(({ view, title }, i) => {
      const colouring = choice.colourings[i];
      const open = element("button", { type: "button" }, title);
      open.addEventListener("click", () => show(i));
      const caption = element("figcaption", {}, open);
      if (!colouring)
        return element("figure", {}, caption, element("p", { class: "note" }, "not measured"));
      // Where the runs have different metrics, each names its own.
      if (colouring.title !== choice.title) {
        const metric = ` ${colouring.title.replace(/^.*: /, "")}`;
        caption.append(element("span", { class: "note" }, metric));
      }
      const label = `${choice.title}, ${title}: layers down, heads across`;
      const heads = renderHeads(view, colouring, scale);
      return element(
        "figure",
        {},
        caption,
        element("table", { role: "img", "aria-label": label }, heads),
      );
    });
    find(".panels").replaceChildren(...figures);
    const first = choice.colourings.find(Boolean);
    if (first)
      find(".legend").replaceChildren(...legendOf({ ...first, title: choice.title }, scale));
    find(".readout").textContent = "Point at a head to read its value in every run.";
  }

  // ---- files to save

  /** @param {Run} run @param {number} i */
  function gridOfRun({ view, title }, i) {
    const colouring = choice.colourings[i];
    if (!colouring) return [];
    return gridSvg(`${choice.title}, ${title}`, view.data, colouring, () => false);
  }

  /** @param {Run} run @param {number} i @returns {Row[]} */
  function rowsOfRun({ title }, i) {
    const rows = [...(choice.colourings[i]?.rows.values() ?? [])];
    return rows.map((row) => ({ run: title, ...row }));
  }

  root.hidden = false;
  const options = choices.map(({ title }, i) => element("option", { value: String(i) }, title));
  find(".colouring").append(...options);
  find(".colouring").addEventListener("change", () => {
    choice = choices[Number(find(".colouring").value)];
    render();
  });
  for (const kind of ["pointerover", "click"]) {
    find(".panels").addEventListener(kind, (/** @type {Event} */ event) => {
      const name = /** @type {HTMLElement} */ (event.target).dataset?.head;
      if (name) describeHead(name);
    });
  }
  const formats = {
    svg: () => stackedSvg(runs.flatMap(gridOfRun)),
    csv: () => csv(runs.flatMap(rowsOfRun)),
  };
  find(".saving").append(downloadButtons(`side by side ${choice.title}`, formats));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
  render();
}

/**
 * The colourings that at least two runs have, by their titles; first, the effects of disabling.
 * @param {RunView[]} views
 * @returns {Choice[]}
 */
function sharedColourings(views) {
  const titles = new Set(views.flatMap(({ colourings }) => colourings.map(({ title }) => title)));
  const choices = [...titles].map((title) => ({
    title,
    colourings: views.map(({ colourings }) => colourings.find((other) => other.title === title)),
  }));
  const shared = choices.filter(({ colourings }) => colourings.filter(Boolean).length > 1);
  // Runs on different tasks may share no metric: then the first of each stands beside the others'.
  const effects = views.map(({ colourings }) =>
    colourings.find(({ column }) => column === "delta"),
  );
  if (new Set(effects.map((colouring) => colouring?.title)).size > 1)
    shared.unshift({ title: FIRST_METRICS, colourings: effects });
  return shared;
}

/**
 * Download buttons of the figures about all runs: their tables are those of all runs, put together.
 * @param {Run[]} runs
 */
function mountSharedDownloads(runs) {
  const root = /** @type {HTMLElement | null} */ (document.querySelector("main > .figures"));
  if (!root) return;
  const names = new Set(runs.flatMap(({ view }) => Object.keys(view.tables)));
  const tables = /** @type {Record<string, Row[]>} */ ({});
  for (const name of names) {
    tables[name] = runs.flatMap(({ view, title }) =>
      (view.tables[name] ?? []).map((row) => ({ run: title, ...row })),
    );
  }
  mountDownloads({ root, tables });
}

/**
 * SVG files one below the other, as one file.
 * @param {string[]} files
 */
function stackedSvg(files) {
  const sizes = files.map((file) => {
    const [width, height] = [...file.matchAll(/(?:width|height)="(\d+)"/g)].slice(0, 2);
    return { width: Number(width[1]), height: Number(height[1]) };
  });
  let y = 0;
  const placed = files.map((file, i) => {
    const moved = file.replace("<svg ", `<svg y="${y}" `);
    y += sizes[i].height;
    return moved;
  });
  const width = Math.max(...sizes.map((size) => size.width));
  return svgOpening(width, y) + placed.join("") + "</svg>";
}
