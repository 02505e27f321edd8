// @ts-check
// Several runs side by side: one measure of all heads in each, with one scale, and the values of the head pointed at.

/** @param {HTMLElement[]} roots @param {(index: number) => void} show */
function besides(roots, show) {
  const part = /** @type {HTMLElement | null} */ (document.querySelector(".together"));
  if (!part) return;
  /** @param {string} selector @returns {any} */
  const find = (selector) => part.querySelector(selector);
  const rooms = roots.map(roomOf).map((room, i) => ({ ...room, title: roots[i].dataset.title ?? "" }));
  const names = [...new Set(rooms.flatMap((room) => Object.keys(room.tables)))];
  const all = names.map((name) => [name, rooms.flatMap((room) => (room.tables[name] ?? []).map((row) => ({ run: room.title, ...row })))]);
  const figures = /** @type {HTMLElement | null} */ (document.querySelector("main > .figures"));
  if (figures) charts({ root: figures, tables: Object.fromEntries(all) });
  const titles = [...new Set(rooms.flatMap((room) => room.views.map((view) => view.title)))];
  const shared = titles.map((title) => ({ title, views: rooms.map((room) => room.views.find((view) => view.title === title)) }))
    .filter(({ views }) => views.filter(Boolean).length > 1);
  const first = rooms.map((room) => room.views.find((view) => view.column === "delta"));
  if (new Set(first.map((view) => view?.title)).size > 1) shared.unshift({ title: "Effect of disabling: each run’s first metric", views: first });
  if (!shared.length) return;
  let chosen = shared[0];

  /** The scale that all runs share. */
  const together = () => {
    const scales = chosen.views.flatMap((view) => (view ? [scaleOf(view)] : []));
    return { low: Math.min(...scales.map(({ low }) => low)), high: Math.max(...scales.map(({ high }) => high)) };
  };

  /** @param {string} name */
  function tell(name) {
    const values = chosen.views.map((view, i) => {
      const row = view?.rows.get(name);
      return row ? `${rooms[i].title} ${view?.measure === PATTERN ? `${row.class} ` : ""}${number(row[view?.column ?? ""], row.unit, view?.diverging)}` : "";
    });
    find(".readout").textContent = `${name}: ${values.filter(Boolean).join(" · ")}`;
  }

  function draw() {
    const scale = together();
    find(".panels").replaceChildren(...rooms.map((room, i) => {
      const view = chosen.views[i];
      const body = make("tbody");
      for (let layer = 1; layer <= room.data.layers; layer++) {
        body.append(make("tr", {}, ...Array.from({ length: room.data.heads }, (_, h) => {
          const cell = make("td", { "data-head": `L${layer}H${h + 1}` });
          const row = view?.rows.get(`L${layer}H${h + 1}`);
          if (view) cell.style.backgroundColor = fillOf(view, row, scale);
          if (view?.column === "delta" && typeof row?.p_corrected === "number" && row.p_corrected < room.data.significant) cell.className = "marked";
          return cell;
        })));
      }
      const open = make("button", { type: "button" }, room.title);
      open.addEventListener("click", () => show(i));
      const grid = make("table", { role: "img", "aria-label": `${chosen.title}, ${room.title}: layers down, heads across` }, body);
      const metric = view && view.title !== chosen.title ? make("span", { class: "note" }, ` ${view.title.replace(/^.*: /, "")}`) : "";
      return make("figure", {}, make("figcaption", {}, open, metric), view ? grid : make("p", { class: "note" }, "not measured"));
    }));
    const any = chosen.views.find(Boolean);
    if (any) find(".legend").replaceChildren(...legendOf({ ...any, title: chosen.title }, scale));
    find(".readout").textContent = "Point at a head to read its value in every run.";
  }

  part.hidden = false;
  find(".colouring").append(...shared.map(({ title }, i) => make("option", { value: String(i) }, title)));
  find(".colouring").addEventListener("change", () => {
    chosen = shared[Number(find(".colouring").value)];
    draw();
  });
  for (const kind of ["pointerover", "click"]) find(".panels").addEventListener(kind, (/** @type {Event} */ event) => {
    const name = /** @type {HTMLElement} */ (event.target).dataset?.head;
    if (name) tell(name);
  });
  const rows = () => rooms.flatMap((room, i) => [...(chosen.views[i]?.rows.values() ?? [])].map((row) => ({ run: room.title, ...row })));
  const picture = () => stacked(rooms.flatMap((room, i) => {
    const view = chosen.views[i];
    return view ? [gridSvg(`${chosen.title}, ${room.title}`, room.data.layers, room.data.heads, view, () => false)] : [];
  }));
  find(".saving").append(savers(`side by side ${chosen.title}`, { svg: picture, csv: () => csv(rows()) }));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

/** Pictures one below the other. @param {string[]} pictures */
function stacked(pictures) {
  const sizes = pictures.map((text) => [...text.matchAll(/(?:width|height)="(\d+)"/g)].slice(0, 2).map((match) => Number(match[1])));
  const height = sizes.reduce((sum, [, own]) => sum + own, 0);
  let y = 0;
  const parts = pictures.map((text, i) => {
    const placed = text.replace("<svg ", `<svg y="${y}" `);
    y += sizes[i][1];
    return placed;
  });
  return svgOpening(Math.max(...sizes.map(([width]) => width)), height) + parts.join("") + "</svg>";
}
