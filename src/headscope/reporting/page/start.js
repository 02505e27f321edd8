// @ts-check
// Each run's part of the page is made when it is first shown; several runs have tabs.

/** @param {HTMLElement} root @returns {Room} */
function roomOf(root) {
  /** @param {string} selector @returns {any} */
  const find = (selector) => root.querySelector(selector);
  const data = JSON.parse(find("script.data").textContent);
  const names = ["scores", "heads", "change", "disabled", "patterns", "heterogeneous", "relations", "alike", "examples"];
  const tables = Object.fromEntries([...new Set([...names, ...Object.keys(data.tables)])].map((name) => [name, rowsOf(data.tables[name])]));
  const label = (/** @type {string} */ name) => visible(data.labels[name] ?? name);
  const at = { heads: ["L1H1"], example: 0, query: -1, key: -1, words: false, lines: false };
  const room = {
    root, find, data, tables, at, label, views: viewsOf(tables, label), thumbs: new Map(), changed: [], recoloured: [],
    choose: (/** @type {string[]} */ heads) => {
      at.heads = heads;
      for (const act of /** @type {(() => void)[]} */ (room.changed)) act();
    },
  };
  return room;
}

/** @param {Room} room */
async function furnish(room) {
  const { find, data, tables, views, thumbs } = room;
  const stands = (/** @type {Row} */ row) => typeof row.p_corrected === "number" && row.p_corrected < data.significant;
  sortable(room);
  charts(room);
  if (!data.layers || !data.heads) return;
  find(".atlas").hidden = false;
  const redraw = atlas(room, stands);
  card(room, stands);
  const first = tables.examples.length && data.maps.length ? maps(room) : () => {};
  const tested = views.find((view) => [...view.rows.values()].some((row) => typeof row.p_corrected === "number")) ?? views[0];
  const least = [...(tested?.rows.values() ?? [])].sort((a, b) => (a.delta ?? 0) - (b.delta ?? 0))[0];
  room.choose([nameOf({ layer: clamp(least?.layer ?? 1, 1, data.layers), head: clamp(least?.head ?? 1, 1, data.heads) })]);
  first();
  if (!data.typical) return;
  const { side } = data.typical;
  const codes = nibbles(await inflated(data.typical.data), data.layers * data.heads * side * side);
  for (let i = 0; i < data.layers * data.heads; i++) {
    thumbs.set(`L${Math.floor(i / data.heads) + 1}H${(i % data.heads) + 1}`, codes.subarray(i * side * side, (i + 1) * side * side));
  }
  redraw();
  for (const act of room.changed.slice(1, 2)) act(); // the card has a picture now
}

function start() {
  const roots = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("section.run")]);
  const rooms = /** @type {Map<HTMLElement, Room>} */ (new Map());
  const open = (/** @type {HTMLElement} */ root) => {
    if (rooms.has(root)) return;
    const room = roomOf(root);
    rooms.set(root, room);
    furnish(room);
  };
  const tabs = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[role=tab]")]);
  const show = (/** @type {number} */ index, focus = false) => {
    roots.forEach((root, i) => (root.hidden = i !== index));
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === index));
      tab.tabIndex = i === index ? 0 : -1;
    });
    open(roots[index]);
    if (focus) tabs[index].focus();
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => show(i));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show((i + step + tabs.length) % tabs.length, true);
    });
  });
  document.querySelectorAll("[data-run]").forEach((link, i) => link.addEventListener("click", () => show(i)));
  if (tabs.length) {
    /** @type {HTMLElement} */ (document.querySelector("[role=tablist]")).hidden = false;
    show(0);
    besides(roots, show);
  } else roots.forEach(open);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const room of rooms.values()) for (const act of room.recoloured) act();
  });
}

start();
