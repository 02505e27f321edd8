// @ts-check
// The card: what the tables hold about the selected head, or about several side by side. Needs
// view.js, colourings.js and heatmap.js.

/** @param {RunView} view */
function mountCard(view) {
  const { find, data, tables, selection, label, thumbnails, classColours } = view;
  const effects = effectsOfHeads(tables.disabled);
  const effectsByHead = groupByHead(effects.rows);
  const sharesOfHeads = sharesByHead(tables.patterns);
  const [kept, measures, changes, relations, groups, similar] = [
    tables.kept_heads,
    tables.heads,
    tables.change,
    tables.relations,
    tables.heterogeneous,
    tables.alike,
  ].map(groupByHead);
  // Several runs each have a heading of their own above.
  const heading = view.root.querySelector("h1") ? "h3" : "h4";

  /** @param {Row} row */
  const measureName = (row) => label(row.measure) + (row.unit ? `, ${visible(row.unit)}` : "");
  /** @param {Row} row */
  const effectName = (row) => label(row.metric) + effects.mode(row);
  /** @param {Row} row */
  const formatValue = (row) => formatNumber(row.value, row.unit);

  /**
   * The shares of the pattern classes, as a bar and in words.
   * @param {string} name
   */
  function renderPatterns(name) {
    const rows = byValue(sharesOfHeads.get(name) ?? []);
    if (!rows.length) return [];
    const segments = rows.map((row) => {
      const segment = element("span", { title: classText(row) });
      segment.style.width = `${100 * row.value}%`;
      segment.style.backgroundColor = classColours.get(row.class) ?? "";
      return segment;
    });
    const texts = rows.filter((row) => row.value > 0).map(shareText);
    return [
      element("div", { class: "stack", "aria-hidden": "true" }, ...segments),
      element("p", {}, element("strong", {}, "Pattern "), texts.join(" · ")),
    ];
  }

  /**
   * A pattern's share, with its interval where it has one.
   * @param {Row} row
   */
  function shareText(row) {
    const { low, high } = row;
    if (typeof low !== "number" || typeof high !== "number") return classText(row);
    return `${classText(row)} (${formatShare(low)} to ${formatShare(high)})`;
  }

  /**
   * What a head attends to most, where it exceeds its control, and its group of heads.
   * @param {string} name
   */
  function renderSummary(name) {
    const rows = byValue(measures.get(name) ?? []);
    const largest = rows
      .filter(({ measure, value }) => /^attention_to_/.test(measure) && typeof value === "number")
      .slice(0, 4)
      .map((row) => `${label(row.measure).replace(/^Attention to /, "")} ${formatValue(row)}`);
    const excess = rows
      .filter(({ measure, low }) => /_excess$/.test(measure) && low > 0)
      .slice(0, 3)
      .map((row) => {
        const target = label(row.measure).replace(/ excess$/, "");
        return `${target} ${formatNumber(row.value, row.unit, true)}`;
      });
    const group = groups.get(name)?.[0];
    const lines = [
      ["When heads are removed together", prunedText(kept.get(name) ?? [])],
      ["Attends to", largest.join(" · ")],
      ["Above its control", excess.join(" · ")],
      ["Group", group ? visible(group.name) : ""],
    ];
    return lines
      .filter(([, text]) => text)
      .map(([title, text]) => element("p", {}, element("strong", {}, `${title} `), text));
  }

  /**
   * Whether a head is in the recommended sets, and how often it is kept.
   * @param {Row[]} rows a row per set
   */
  function prunedText(rows) {
    if (!rows.length) return "";
    const sets = rows
      .filter(({ stays }) => typeof stays === "number")
      .map((row) => `${STAYS.get(row.stays)} in the recommended set of ${keptCount(row)}`);
    const [{ value, of }] = rows;
    return [...sets, `kept at ${Math.round(value * of)} of ${of} sizes`].join(" · ");
  }

  /**
   * The heads with the most similar maps, as buttons that select them.
   * @param {string} name
   */
  function renderSimilar(name) {
    const rows = similar.get(name) ?? [];
    if (!rows.length) return [];
    const chips = rows.map((row) => {
      const other = headName({ layer: row.other_layer, head: row.other_head });
      const divergence = element("span", {}, formatNumber(row.value, row.unit, false, 2));
      const chip = element("button", { type: "button", class: "chip" }, other, divergence);
      chip.addEventListener("click", () => selectHeads(view, [other]));
      return chip;
    });
    const unit = visible(rows[0].unit);
    const note = ` Jensen–Shannon divergence in ${unit} (0: identical, 0.69: disjoint)`;
    const title = element("strong", {}, "Similar heads ");
    return [
      element("p", { class: "similar" }, title, ...chips, element("span", { class: "note" }, note)),
    ];
  }

  /**
   * The effect of disabling a head, a row per metric and mode.
   * @param {string} name
   */
  function renderEffects(name) {
    const rows = effectsByHead.get(name) ?? [];
    if (!rows.length) return [];
    const lines = rows.map((row) => {
      const kind = view.isSignificant(row) ? "strong" : "";
      return [
        effectName(row),
        formatNumber(row.delta, row.unit, true),
        formatInterval(row, true),
        element("span", { class: kind }, formatP(row.p_corrected)),
        formatP(row.p),
        `${formatNumber(row.baseline, row.unit)} → ${formatValue(row)}`,
      ];
    });
    /** @param {string} column */
    const distinct = (column) => [
      ...new Set(rows.map((row) => row[column]).filter((value) => value !== null)),
    ];
    const title = `Effect of disabling this head (${visible(distinct("unit").join(", "))})`;
    const changes = distinct("activation_change").map((value) => formatNumber(value, ""));
    const notes = [
      `n = ${distinct("n").join(", ")}`,
      distinct("test").join(", "),
      changes.length ? `relative change of the activation ${changes.join(", ")}` : "",
    ];
    return [
      headTable(title, ["Metric", "Change", "95%", "Adjusted p", "p", "Score"], lines),
      element("p", { class: "note" }, visible(notes.filter(Boolean).join("; "))),
    ];
  }

  /**
   * Every measure of a head, with its change by fine-tuning where that was measured.
   * @param {string} name
   */
  function renderMeasures(name) {
    const rows = measures.get(name) ?? [];
    const changed = new Map((changes.get(name) ?? []).map((row) => [row.measure, row]));
    const withChange = changed.size > 0;
    // The last column is there only beside changes.
    const cells = (/** @type {string} */ change) => (withChange ? [change] : []);
    const alone = [...changed.values()].filter(
      (row) => !rows.some(({ measure }) => measure === row.measure),
    );
    const lines = [];
    for (const row of [...alone.filter(isCosine), ...rows]) {
      const change = isCosine(row) ? undefined : changed.get(row.measure);
      const text = change ? formatNumber(change.value, row.unit, true) : "";
      lines.push([measureName(row), formatValue(row), formatInterval(row), ...cells(text)]);
    }
    for (const row of alone.filter((other) => !isCosine(other))) {
      const change = formatNumber(row.value, row.unit, true);
      lines.push([`Change: ${measureName(row)}`, change, formatInterval(row), ""]);
    }
    for (const row of relations.get(name) ?? []) {
      const title = `Relation ${relationLabel(row, label)}, ${visible(row.unit)}`;
      lines.push([title, formatValue(row), formatInterval(row), ...cells("")]);
    }
    if (!lines.length) return [];
    return [
      headTable("Measures of this head", ["Measure", "Value", "95%", ...cells("Change")], lines),
    ];
  }

  /**
   * Several heads: a column each.
   * @param {string[]} names
   */
  function renderComparison(names) {
    const lines = /** @type {Map<string, string[]>} */ (new Map());
    names.forEach((name, i) => {
      /** @param {string} title @param {string} text */
      function put(title, text) {
        if (!lines.has(title)) lines.set(title, Array(names.length).fill("–"));
        /** @type {string[]} */ (lines.get(title))[i] = text;
      }
      const [most] = byValue(sharesOfHeads.get(name) ?? []);
      if (most) {
        const letter = PATTERN_LETTERS.get(most.class) ?? most.class;
        put("Pattern", `${letter} ${formatShare(most.value)}`);
      }
      for (const row of kept.get(name) ?? []) {
        put("Share of sizes at which it is kept", formatShare(row.value));
        if (STAYS.has(row.stays)) put(recommendedTitle(row), STAYS.get(row.stays) ?? "");
      }
      for (const row of effectsByHead.get(name) ?? []) {
        put(`Disabled: ${effectName(row)}`, formatNumber(row.delta, row.unit, true));
        put(`Adjusted p: ${effectName(row)}`, formatP(row.p_corrected));
      }
      const cosines = (changes.get(name) ?? []).filter(isCosine);
      for (const row of [...cosines, ...(measures.get(name) ?? [])])
        put(measureName(row), formatValue(row));
    });
    const rows = [...lines].map(([title, texts]) => [title, ...texts]);
    return [headTable("The selected heads", ["", ...names], rows)];
  }

  /** @param {string} name */
  function renderOne(name) {
    const codes = thumbnails.get(name);
    const portrait = element(
      "div",
      { class: "portrait" },
      element(
        "div",
        {},
        element(heading, {}, name),
        ...renderPatterns(name),
        ...renderSummary(name),
        ...renderSimilar(name),
      ),
      codes ? drawThumbnail(codes, data.typical.side) : "",
    );
    const values = [...renderEffects(name), ...renderMeasures(name)];
    const nothing = element("p", {}, "The run has no measurement of this head.");
    return [portrait, ...(values.length || kept.has(name) ? values : [nothing])];
  }

  /** @param {string[]} names */
  function renderSeveral(names) {
    const title = element(heading, {}, names.join(", "));
    const portrait = element("div", { class: "portrait" }, element("div", {}, title));
    return [portrait, ...renderComparison(names)];
  }

  function render() {
    const { heads } = selection;
    const content = heads.length > 1 ? renderSeveral(heads) : renderOne(heads[0]);
    find(".card").replaceChildren(...content);
    find(".card").scrollTop = 0;
  }
  for (const event of ["heads", "thumbnails", "scheme"])
    view.events.addEventListener(event, render);
}

/**
 * A table that scrolls by itself.
 * @param {string} caption
 * @param {string[]} columns
 * @param {(string | Node)[][]} lines the first cell of each is its heading
 */
function headTable(caption, columns, lines) {
  const top = columns.map((title, i) =>
    element("th", { scope: "col", class: i ? "n" : "" }, title),
  );
  const rows = lines.map(([title, ...cells]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, title),
      ...cells.map((cell) => element("td", { class: "n" }, cell)),
    ),
  );
  const table = element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...top)),
    element("tbody", {}, ...rows),
  );
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": caption };
  return element("div", region, table);
}
