// @ts-check
// The card: all that the tables say of the chosen head, or of several side by side.

/** @param {Room} room @param {(row: Row) => boolean} stands */
function card(room, stands) {
  const { find, data, tables, at, label, thumbs } = room;
  const single = tables.disabled.filter((row) => row.layer !== null && row.head !== null);
  const modes = new Set(single.map((row) => row.mode)).size;
  const shares = sharesOf(tables.patterns);
  const rank = room.root.querySelector("h1") ? "h3" : "h4";

  /** @template T @param {(row: Row) => T} act @param {Row[]} rows @returns {Map<string, T[]>} */
  function byHead(rows, act) {
    const found = new Map();
    for (const row of rows) found.set(nameOf(row), [...(found.get(nameOf(row)) ?? []), act(row)]);
    return found;
  }
  const same = (/** @type {Row} */ row) => row;
  const [effects, measures, changes, relations, groups, alike] = [single, tables.heads, tables.change, tables.relations, tables.heterogeneous, tables.alike]
    .map((rows) => byHead(rows, same));

  /** @param {string} name */
  function pattern(name) {
    const rows = [...(shares.get(name) ?? [])].sort((a, b) => b.value - a.value);
    if (!rows.length) return [];
    const parts = rows.map((row) => {
      const part = make("span", { title: `${row.class} ${number(row.value, "", false, 2)}` });
      Object.assign(part.style, { width: `${100 * row.value}%`, backgroundColor: PATTERNS[row.class]?.[0] ?? "" });
      return part;
    });
    const words = rows.filter((row) => row.value > 0).map((row) => `${row.class} ${number(row.value, "", false, 2)} (${number(row.low, "", false, 2)} to ${number(row.high, "", false, 2)})`);
    return [make("div", { class: "stack", "aria-hidden": "true" }, ...parts), make("p", {}, make("strong", {}, "Pattern "), words.join(" · "))];
  }

  /** What a head attends to most, and what it goes to more than a control says. @param {string} name */
  function sentences(name) {
    const own = measures.get(name) ?? [];
    const most = own.filter((row) => /^attention_to_/.test(row.measure) && typeof row.value === "number").sort((a, b) => b.value - a.value).slice(0, 4);
    const beyond = own.filter((row) => /_excess$/.test(row.measure) && row.low > 0).sort((a, b) => b.value - a.value).slice(0, 3);
    const listed = (/** @type {Row[]} */ rows, /** @type {RegExp} */ cut, /** @type {boolean} */ signed) =>
      rows.map((row) => `${label(row.measure).replace(cut, "")} ${number(row.value, row.unit, signed)}`).join(" · ");
    const lines = /** @type {[string, string][]} */ ([["Attends to", listed(most, /^Attention to /, false)], ["More than its control", listed(beyond, / excess$/, true)]]);
    const group = groups.get(name)?.[0];
    if (group) lines.push(["Group", visible(group.name)]);
    return lines.filter(([, text]) => text).map(([what, text]) => make("p", {}, make("strong", {}, `${what} `), text));
  }

  /** Heads with like maps, as buttons. @param {string} name */
  function likes(name) {
    const near = alike.get(name) ?? [];
    if (!near.length) return [];
    const buttons = near.map((row) => {
      const other = `L${row.other_layer}H${row.other_head}`;
      const button = make("button", { type: "button", class: "chip" }, other, make("span", {}, number(row.value, row.unit, false, 2)));
      button.addEventListener("click", () => room.choose([other]));
      return button;
    });
    const note = make("span", { class: "note" }, ` Jensen–Shannon divergence in ${visible(near[0].unit)}: from 0, equal, to 0.69`);
    return [make("p", { class: "alike" }, make("strong", {}, "Alike heads "), ...buttons, note)];
  }

  /** @param {string} name */
  function effect(name) {
    const rows = effects.get(name) ?? [];
    if (!rows.length) return [];
    const lines = rows.map((row) => [
      label(row.metric) + (modes > 1 ? ` (${visible(row.mode)})` : ""), number(row.delta, row.unit, true), interval(row, true),
      make("span", { class: stands(row) ? "strong" : "" }, chance(row.p_corrected)),
      chance(row.p), `${number(row.baseline, row.unit)} → ${number(row.value, row.unit)}`,
    ]);
    const each = (/** @type {string} */ column) => [...new Set(rows.map((row) => row[column]).filter((value) => value !== null))];
    const [sizes, tests, moved] = ["n", "test", "activation_change"].map(each);
    const change = moved.length ? `relative change of the activation ${moved.map((v) => number(v, "")).join(", ")}` : "";
    const notes = [`n = ${sizes.join(", ")}`, tests.join(", "), change];
    return [
      table(`When this head is disabled (${visible(each("unit").join(", "))})`, ["Metric", "Change", "95%", "Corrected p", "p", "Score"], lines),
      make("p", { class: "note" }, visible(notes.filter(Boolean).join("; "))),
    ];
  }

  /** @param {Row} row */
  const named = (row) => label(row.measure) + (row.unit ? `, ${visible(row.unit)}` : "");

  /** @param {string} name */
  function numbers(name) {
    const own = measures.get(name) ?? [];
    const after = new Map((changes.get(name) ?? []).map((row) => [row.measure, row]));
    const only = [...after.values()].filter((row) => !own.some((one) => one.measure === row.measure));
    const cosine = only.filter((row) => row.measure.startsWith("cosine"));
    const change = (/** @type {Row} */ row) => (after.size ? [after.has(row.measure) ? number(after.get(row.measure)?.value, row.unit, true) : ""] : []);
    const lines = [...cosine, ...own].map((row) => [named(row), number(row.value, row.unit), interval(row), ...(row.measure.startsWith("cosine") ? [""].slice(0, Number(after.size > 0)) : change(row))]);
    for (const row of only) if (!row.measure.startsWith("cosine")) lines.push([`Change: ${named(row)}`, number(row.value, row.unit, true), interval(row, true), ""]);
    for (const row of relations.get(name) ?? []) {
      lines.push([`Relation ${relationOf(row, label)}, ${visible(row.unit)}`, number(row.value, row.unit), interval(row), ...(after.size ? [""] : [])]);
    }
    return lines.length ? [table("What this head does", ["Measure", "Value", "95%", ...(after.size ? ["Change"] : [])], lines)] : [];
  }

  /** Several heads: a column each. @param {string[]} names */
  function beside(names) {
    const lines = /** @type {Map<string, string[]>} */ (new Map());
    const put = (/** @type {string} */ what, /** @type {string} */ text, /** @type {number} */ i) =>
      lines.set(what, Object.assign(lines.get(what) ?? names.map(() => "–"), { [i]: text }));
    names.forEach((name, i) => {
      const first = [...(shares.get(name) ?? [])].sort((a, b) => b.value - a.value)[0];
      if (first) put("Pattern", `${PATTERNS[first.class]?.[1] ?? first.class} ${number(first.value, "", false, 2)}`, i);
      for (const row of effects.get(name) ?? []) {
        put(`Disabled: ${label(row.metric)}${modes > 1 ? ` (${visible(row.mode)})` : ""}`, number(row.delta, row.unit, true), i);
        put(`Corrected p: ${label(row.metric)}${modes > 1 ? ` (${visible(row.mode)})` : ""}`, chance(row.p_corrected), i);
      }
      for (const row of changes.get(name) ?? []) if (row.measure.startsWith("cosine")) put(named(row), number(row.value, row.unit), i);
      for (const row of measures.get(name) ?? []) put(named(row), number(row.value, row.unit), i);
    });
    return [table("The chosen heads", ["", ...names], [...lines].map(([what, texts]) => [what, ...texts]))];
  }

  function draw() {
    const [name, others] = [at.heads[at.heads.length - 1], at.heads.length > 1];
    const picture = thumbs.get(name);
    const title = make(rank, {}, others ? at.heads.join(", ") : name);
    const small = picture && !others ? [thumbnail(picture, data.typical.side)] : [];
    const rows = others ? beside(at.heads) : [...effect(name), ...numbers(name)];
    const top = make("div", { class: "portrait" }, make("div", {}, title, ...(others ? [] : [...pattern(name), ...sentences(name), ...likes(name)])), ...small);
    find(".card").replaceChildren(top, ...(rows.length ? rows : [make("p", {}, "No table has a row about this head.")]));
    find(".card").scrollTop = 0;
  }
  room.changed.push(draw);
  room.recoloured.push(draw);
  return draw;
}
