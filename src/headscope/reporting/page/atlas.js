// @ts-check
// The atlas: the heads as a grid of numbers, of small maps, or as a list; coloured, ordered, searched and chosen.

const MOST_CHOSEN = 6;

/** @param {Room} room @param {(row: Row) => boolean} stands */
function atlas(room, stands) {
  const { find, data, views, at, tables, thumbs } = room;
  const tested = views.find((view) => [...view.rows.values()].some((row) => typeof row.p_corrected === "number"));
  const patterns = views.find((view) => view.measure === PATTERN);
  const groups = new Map(tables.heterogeneous.map((row) => [nameOf(row), visible(row.name)]));
  const places = Array.from({ length: data.layers * data.heads }, (_, i) => `L${Math.floor(i / data.heads) + 1}H${(i % data.heads) + 1}`);
  const cells = /** @type {Map<string, HTMLElement>} */ (new Map());
  let [view, form, names] = [tested ?? patterns ?? views[0], "numbers", places];

  /** @param {string} name */
  const marked = (name) => stands((view.column === "delta" ? view : tested)?.rows.get(name) ?? { p_corrected: null });

  /** The heads in the order that is asked for; those without a value last. */
  function ordered() {
    const sign = { largest: -1, smallest: 1 }[String(find(".order").value)] ?? 0;
    const value = (/** @type {string} */ name) => view?.rows.get(name)?.[view.column];
    if (!sign) return places;
    const [there, none] = [true, false].map((is) => places.filter((name) => (typeof value(name) === "number") === is));
    return [...there.sort((a, b) => sign * (value(a) - value(b))), ...none];
  }

  /** @param {string} name */
  function found(name) {
    const [layer, head] = placeOf(name);
    const words = [name, `L${layer}`, `H${head}`, patterns?.rows.get(name)?.class ?? "", groups.get(name) ?? "", marked(name) ? "significant" : ""];
    const there = words.join(" ").toLowerCase().split(/[\s+]+/);
    const asked = find(".search").value.toLowerCase().split(/\s+/).filter(Boolean);
    return asked.every((/** @type {string} */ word) => there.some((one) => (/^[lh]?\d|h\d/.test(word) ? one === word : one.startsWith(word))));
  }

  function draw() {
    names = ordered();
    cells.clear();
    const ranked = names !== places;
    if (form === "list") list();
    else {
      const body = make("tbody");
      for (let start = 0; start < names.length; start += data.heads) {
        const line = names.slice(start, start + data.heads).map((name) => {
          const button = make("button", { type: "button", tabindex: "-1", "data-head": name });
          cells.set(name, button);
          return make("td", { role: "gridcell", "aria-selected": "false" }, button);
        });
        body.append(make("tr", {}, make("th", { scope: "row" }, ranked ? String(start + 1) : `L${start / data.heads + 1}`), ...line));
      }
      const top = Array.from({ length: data.heads }, (_, i) => make("th", { scope: "col" }, ranked ? "" : `H${i + 1}`));
      find(".grid").replaceChildren(make("thead", {}, make("tr", {}, make("td"), ...top)), body);
    }
    find(".grid").style.setProperty("--cell", `${clamp(Math.floor(530 / data.heads), 22, 42)}px`);
    find(".grid").className = `grid as-${form}${ranked ? " ranked" : ""}`;
    paint();
    mark();
  }

  /** The heads as the rows of a table. */
  function list() {
    const own = view.column === "delta" ? undefined : tested;
    const columns = ["Head", patterns ? "Pattern" : "", view === patterns ? "Share" : view.title, "95%", own ? own.title : "", tested ? "Corrected p" : ""];
    const top = columns.map((text, i) => (text || !i ? make("th", { scope: "col", class: i > 1 ? "n" : "" }, text) : ""));
    const lines = names.filter(found).map((name) => {
      const button = make("button", { type: "button", tabindex: "-1", "data-head": name }, name);
      cells.set(name, button);
      const [row, kind, effect] = [view.rows.get(name), patterns?.rows.get(name), own?.rows.get(name)];
      const texts = [
        patterns ? make("td", {}, kind ? `${kind.class} ${number(kind.value, "", false, 2)}` : "–") : "",
        make("td", { class: "n" }, number(row?.[view.column], view.unit, view.diverging)), make("td", { class: "n" }, row ? interval(row, view.diverging) : "–"),
        own ? make("td", { class: "n" }, number(effect?.delta, effect?.unit, true)) : "",
        tested ? make("td", { class: "n" }, chance(tested.rows.get(name)?.p_corrected)) : "",
      ];
      const picture = thumbs.get(name);
      return make("tr", {}, make("td", { role: "gridcell", "aria-selected": "false" }, button, picture && data.typical ? thumbnail(picture, data.typical.side) : ""), ...texts);
    });
    find(".grid").replaceChildren(make("thead", {}, make("tr", {}, ...top)), make("tbody", {}, ...lines));
  }

  function paint() {
    if (!view) return;
    const scale = scaleOf(view);
    const ranked = names !== places;
    let count = 0;
    for (const name of places) {
      const [button, row] = [cells.get(name), view.rows.get(name)];
      const value = row?.[view.column] ?? null;
      const there = found(name);
      count += Number(there);
      if (!button) continue;
      const text = said(view, row);
      const mine = form === "maps" ? thumbs.get(name) : undefined;
      button.style.backgroundColor = fillOf(view, row, scale);
      if (mine) button.replaceChildren(thumbnail(mine, data.typical.side), ranked ? make("span", {}, name) : "");
      else if (form !== "list") button.replaceChildren(...(ranked ? [make("span", {}, name), text] : [text]));
      button.classList.toggle("empty", value === null);
      button.classList.toggle("marked", marked(name));
      button.classList.toggle("dim", !there);
      const words = row && value !== null ? `${row.class ? `${row.class} ` : ""}${number(value, view.unit, view.diverging)} ${visible(view.unit)}, 95% ${interval(row)}` : "no value";
      button.ariaLabel = `${name}: ${words}${marked(name) ? `, corrected p < ${data.significant}` : ""}`;
      button.title = button.ariaLabel;
    }
    const key = make("p", {}, make("span", { class: "key" }), ` ${(view.column === "delta" ? view : tested)?.title}, corrected p < ${data.significant}`);
    const pictures = make("p", {}, "Each picture is the head’s typical map, drawn small: of the examples below the one that is nearest to their mean.");
    find(".atlas .legend").replaceChildren(...legendOf(view, scale), ...(places.some(marked) ? [key] : []), ...(form === "maps" && thumbs.size ? [pictures] : []));
    find(".count").textContent = count === places.length ? "" : `${count} of ${places.length} heads`;
  }

  /** Show what is chosen. */
  function mark() {
    const last = at.heads[at.heads.length - 1];
    for (const [name, button] of cells) {
      button.tabIndex = name === last ? 0 : -1;
      button.parentElement?.setAttribute("aria-selected", String(at.heads.includes(name)));
    }
    if (!cells.has(last)) [...cells.values()].slice(0, 1).forEach((button) => (button.tabIndex = 0));
  }

  /** @param {string} name @param {boolean} more whether the others stay chosen */
  function pick(name, more) {
    const others = at.heads.filter((other) => other !== name);
    if (!more) room.choose([name]);
    else if (others.length < at.heads.length && others.length) room.choose(others);
    else room.choose([...others.slice(1 - MOST_CHOSEN), name]);
  }

  const several = find(".several");
  find(".grid").addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const name = /** @type {HTMLElement} */ (event.target).closest("button")?.dataset.head;
    if (name) pick(name, several.checked || event.ctrlKey || event.metaKey || event.shiftKey);
  });
  find(".grid").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const [step, here] = [STEPS[event.key], /** @type {HTMLElement} */ (event.target).closest("button")?.dataset.head];
    if (!step || !here) return;
    event.preventDefault();
    const order = form === "list" ? names.filter((name) => cells.has(name)) : names;
    const columns = form === "list" ? 1 : data.heads;
    const [i, rows] = [order.indexOf(here), Math.ceil(order.length / columns)];
    const row = clamp(Math.floor(i / columns) + step[0], 0, rows - 1);
    const next = order[row * columns + clamp((i % columns) + step[1], 0, columns - 1)];
    if (event.shiftKey && next !== here && !at.heads.includes(next)) pick(next, true);
    else pick(next, false);
    cells.get(next)?.focus();
  });

  if (!views.length) {
    view = { title: "", group: "", measure: "", column: "value", rows: new Map(), diverging: false, unit: "" };
    find(".tools").hidden = true;
  }
  const order = ["Effect of disabling", "Patterns", "Change by fine-tuning", "Relations", "Importance", "Attention", "Attention of [CLS]"];
  const kinds = [...new Set([...order, ...views.map((one) => one.group)])].filter((kind) => views.some((one) => one.group === kind));
  find(".colouring").append(...kinds.map((kind) => make("optgroup", { label: kind }, ...views.flatMap((one, i) =>
    (one.group === kind ? [make("option", { value: String(i), ...(one === view ? { selected: "" } : {}) }, one.title)] : [])))));
  find(".colouring").addEventListener("change", () => {
    view = views[Number(find(".colouring").value)];
    draw();
  });
  find(".order").addEventListener("change", draw);
  find(".search").addEventListener("input", () => (form === "list" ? draw() : paint()));
  find(".forms").addEventListener("change", (/** @type {Event} */ event) => {
    form = /** @type {HTMLInputElement} */ (event.target).value;
    draw();
  });
  find('.forms [value="maps"]').parentElement.hidden = !data.typical;
  const rows = () => places.filter(found).flatMap((name) => (view.rows.get(name) ? [{ ...view.rows.get(name) }] : []));
  find(".atlas .saving").append(savers(`atlas ${view.title}`, { svg: () => gridSvg(view.title, data.layers, data.heads, view, stands), csv: () => csv(rows()) }));
  room.changed.push(mark);
  room.recoloured.push(draw);
  draw();
  return () => (form === "numbers" ? undefined : draw());
}
