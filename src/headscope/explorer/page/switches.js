// @ts-check
// Which heads are switched off: by buttons, by clicks and drags in the grid, by ready sets. Needs
// text.js and view.js.

/**
 * A ready set of heads.
 * @typedef {object} Preset
 * @property {string} title
 * @property {() => string[]} heads
 */

/**
 * The heads that are switched off, in the order of the layers.
 * @param {Iterable<string>} names
 */
const sortedHeads = (names) =>
  [...names].sort((a, b) => {
    const [first, second] = [headPosition(a), headPosition(b)];
    return first.layer - second.layer || first.head - second.head;
  });

/**
 * Mounts the bar of switches.
 * @param {HTMLElement} bar
 * @param {() => RunView[]} views of the models, the first of which says what is selected
 * @param {Preset[]} given sets that runs have found
 * @param {() => void} onChange
 */
function mountSwitches(bar, views, given, onChange) {
  /** @param {string} selector @returns {any} */
  const find = (selector) => bar.querySelector(selector);
  const off = /** @type {Set<string>} */ (new Set());
  let presets = /** @type {Preset[]} */ ([]);
  let isSwitchingOn = false;
  let isDragging = false;

  const mode = () => find("[name=mode]:checked").value;

  /** Shows what is switched off, here and in the grids. */
  function render() {
    const names = sortedHeads(off);
    const chips = names.map((name) => {
      const attributes = { type: "button", class: "button chip", "aria-label": `Switch ${name} on` };
      const chip = element("button", attributes, `${name} ×`);
      chip.addEventListener("click", () => toggle([name], true));
      return chip;
    });
    const count = names.length > 1 ? [` ${names.length} heads`] : [];
    find(".chips").replaceChildren(...(names.length ? [...chips, ...count] : ["no head"]));
    for (const view of views()) {
      view.off = off;
      view.events.dispatchEvent(new Event("off"));
    }
  }

  /**
   * Switches heads off, or on.
   * @param {string[]} names
   * @param {boolean} isOn
   */
  function toggle(names, isOn) {
    for (const name of names) {
      if (isOn) off.delete(name);
      else off.add(name);
    }
    render();
    onChange();
  }

  /** The ready sets of the heads and patterns at hand. */
  function fillPresets() {
    const [view] = views();
    const { layers, heads } = view.data;
    const all = headNames(view.data);
    const ofLayer = (/** @type {number} */ layer) => all.slice((layer - 1) * heads, layer * heads);
    const byLayer = Array.from({ length: layers }, (_, i) => ({
      title: `all of layer ${i + 1}`,
      heads: () => ofLayer(i + 1),
    }));
    const shares = sharesByHead(view.tables.patterns);
    const byPattern = [...view.classColours.keys()].map((name) => ({
      title: `all whose pattern is ${name}`,
      heads: () => all.filter((head) => byValue(shares.get(head) ?? [])[0]?.class === name),
    }));
    const random = {
      title: "in place of these, as many at random",
      heads() {
        const count = off.size;
        off.clear();
        const left = [...all];
        return Array.from({ length: Math.min(count, all.length) }, () =>
          String(left.splice(Math.floor(Math.random() * left.length), 1)),
        );
      },
    };
    presets = [...given, ...byLayer, ...byPattern.filter((set) => set.heads().length), random];
    const options = presets.map(({ title }, i) => element("option", { value: String(i) }, title));
    find(".presets").replaceChildren(find(".presets").options[0], ...options);
    find(".presets").value = "";
  }

  /** @param {Event} event */
  const headAt = ({ target }) =>
    /** @type {HTMLElement} */ (target).closest?.(".grid button")?.getAttribute("data-head");

  /**
   * While the box is ticked a press in a grid switches its head, and a drag those that it meets,
   * all to what the first one gets.
   * @param {HTMLElement} grid
   */
  function mountGrid(grid) {
    grid.addEventListener("pointerdown", (event) => {
      const name = headAt(event);
      if (!name || !find(".click-switches").checked) return;
      isSwitchingOn = off.has(name);
      isDragging = true;
      event.preventDefault();
      toggle([name], isSwitchingOn);
    });
    grid.addEventListener("pointerover", (event) => {
      const name = headAt(event);
      if (name && isDragging && off.has(name) === isSwitchingOn) toggle([name], isSwitchingOn);
    });
    grid.addEventListener("dblclick", (event) => {
      const name = headAt(event);
      if (name && !find(".click-switches").checked) toggle([name], off.has(name));
    });
    grid.addEventListener("keydown", (event) => {
      const name = headAt(event);
      if (event.key.toLowerCase() === "o" && name) toggle([name], off.has(name));
    });
  }
  window.addEventListener("pointerup", () => (isDragging = false));
  find(".switch-selected").addEventListener("click", () => {
    const { heads } = views()[0].selection;
    toggle(heads, heads.every((/** @type {string} */ name) => off.has(name)));
  });
  find(".presets").addEventListener("change", () => {
    const preset = presets[Number(find(".presets").value)];
    find(".presets").value = "";
    if (preset) toggle(preset.heads(), false);
  });
  find(".all-on").addEventListener("click", () => toggle([...off], true));
  find(".modes").addEventListener("change", onChange);
  return {
    off,
    mode,
    render,
    fillPresets,
    mountGrid,
    /** @param {string[]} names @param {string} newMode */
    set(names, newMode) {
      off.clear();
      for (const name of names) off.add(name);
      const button = [...bar.querySelectorAll("[name=mode]")].find(
        (input) => /** @type {HTMLInputElement} */ (input).value === newMode,
      );
      if (button) /** @type {HTMLInputElement} */ (button).checked = true;
    },
  };
}
