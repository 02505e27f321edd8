// @ts-check
// Starts the page: mounts the parts of each run when its section is first shown. Several runs have
// tabs. Last in the script.

/**
 * Mounts the parts of a run's section.
 * @param {RunView} view
 */
async function mountRun(view) {
  const { find, data, tables } = view;
  mountSortableTable(view);
  mountDownloads(view);
  if (!data.layers || !data.heads || !(view.colourings.length || data.maps.length)) return;
  find(".atlas").hidden = false;
  find(".card").hidden = false;
  mountAtlas(view);
  mountCard(view);
  const named = headOfAddress(view);
  selectHeads(view, [named ?? costliestHead(view)]);
  if (named) find(".atlas").scrollIntoView();
  view.events.addEventListener("heads", () => writeAddress(view));
  window.addEventListener("hashchange", () => {
    const head = headOfAddress(view);
    if (head && !view.root.hidden) selectHeads(view, [head]);
  });
  if (tables.examples.length && data.maps.length) mountMaps(view);
  if (data.typical) await unpackThumbnails(view);
}

/**
 * The head whose disabling costs most, of significant losses if there are any; the first where
 * nothing was disabled.
 * @param {RunView} view
 */
function costliestHead({ data, colourings, isSignificant }) {
  const rows = [...((testedColouring(colourings) ?? colourings[0])?.rows.values() ?? [])];
  const isLoss = (/** @type {Row} */ row) => Number(row.delta < 0 && isSignificant(row));
  const [costliest] = rows.sort((a, b) => isLoss(b) - isLoss(a) || (a.delta ?? 0) - (b.delta ?? 0));
  // A damaged table may name a head that the model does not have.
  return headName({
    layer: clamp(costliest?.layer ?? 1, 1, data.layers),
    head: clamp(costliest?.head ?? 1, 1, data.heads),
  });
}

/**
 * The head that the address of the page names, as in #L3H10; undefined where it names none of this
 * model's.
 * @param {RunView} view
 */
function headOfAddress({ data }) {
  const [name] = location.hash.toUpperCase().match(/^#L\d+H\d+$/) ?? [];
  return headNames(data).find((head) => `#${head}` === name);
}

/**
 * Writes the selected head into the address, so that it can be passed on.
 * @param {RunView} view
 */
function writeAddress({ selection }) {
  keepInAddress(selection.heads[selection.heads.length - 1]);
}

/**
 * Makes tabs of the sections.
 * @param {HTMLElement[]} sections
 * @param {(section: HTMLElement) => void} open
 * @returns {(index: number) => void} shows a section
 */
function mountTabs(sections, open) {
  const tabs = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[role=tab]")]);

  /** @param {number} index */
  function show(index) {
    sections.forEach((section, i) => (section.hidden = i !== index));
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === index));
      tab.tabIndex = i === index ? 0 : -1;
    });
    open(sections[index]);
  }

  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => show(i));
    tab.addEventListener("keydown", (event) => {
      const step = ARROWS[event.key]?.[1];
      if (!step) return;
      event.preventDefault();
      const next = (i + step + tabs.length) % tabs.length;
      show(next);
      tabs[next].focus();
    });
  });
  document
    .querySelectorAll("[data-run]")
    .forEach((link, i) => link.addEventListener("click", () => show(i)));
  /** @type {HTMLElement} */ (document.querySelector("[role=tablist]")).hidden = false;
  show(0);
  return show;
}

function main() {
  const sections = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("section.run")]);
  const views = /** @type {Map<HTMLElement, RunView>} */ (new Map());
  /** @param {HTMLElement} section */
  function open(section) {
    if (views.has(section)) return;
    const view = createView(section);
    views.set(section, view);
    mountRun(view);
  }

  mountScrollCues();
  if (sections.length > 1) mountComparison(sections, mountTabs(sections, open));
  else sections.forEach(open);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { events } of views.values()) events.dispatchEvent(new Event("scheme"));
  });
}

main();
