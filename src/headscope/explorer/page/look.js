// @ts-check
// The page: texts are typed, every model has a section with its answers, its heads and their maps.
// The address holds texts, head and switches, so that a link shows the same. Last in the script.

const OF_MAPS = "the map of a head that is off is what it would attend to";
/** Milliseconds after the last key until the text is read. */
const PAUSE = 500;

/**
 * Shows the texts of the address, or those that the page begins with.
 * @param {any} start as pages.py writes it
 */
function mountLook(start) {
  /** @param {string} selector @returns {any} */
  const find = (selector) => document.querySelector(selector);
  const source = start.saved ? savedSource(start.saved) : liveSource(start.token);
  const views = /** @type {RunView[]} */ ([]);
  const [first, second] = [find(".first"), find(".second")];
  let mounted = new AbortController();
  let shown = { first: "", second: "" };
  let counts = { shown: 0, switched: 0 };
  let pause = 0;

  const presets = start.presets.map((/** @type {any} */ { title, heads }) => ({
    title,
    heads: () => heads,
  }));
  const switches = mountSwitches(find(".switches"), () => views, presets, () => switchOff());

  /** @returns {Asked} */
  const asked = () => ({
    ...shown,
    heads: sortedHeads(switches.off).join(","),
    mode: switches.mode(),
  });

  /** @param {unknown} error */
  function fail(error) {
    find(".failure").textContent = error ? /** @type {Error} */ (error).message : "";
    find(".failure").hidden = !error;
  }

  // ---- the address

  function keepAddress() {
    const { first, second, heads, mode } = asked();
    const [head] = views[0]?.selection.heads ?? [];
    const kept = { model: start.models.join(" "), first, second, head, heads, mode };
    const values = Object.entries(kept).filter(([, value]) => value);
    keepInAddress(String(new URLSearchParams(values)));
  }

  /** What the address says; the page's own beginning where it says nothing. */
  function readAddress() {
    const values = new URLSearchParams(location.hash.slice(1));
    const own = values.get("first") !== null;
    first.value = (own && source.isLive ? values.get("first") : start.first) ?? "";
    second.value = (own && source.isLive ? values.get("second") : start.second) ?? "";
    const heads = (own ? values.get("heads") : start.heads) ?? "";
    switches.set(heads.split(",").filter(Boolean), values.get("mode") ?? start.mode);
    const isOfOthers = own && values.get("model") !== start.models.join(" ");
    const head = (own && values.get("head")) || start.head;
    return { head, isOfOthers, model: values.get("model") };
  }

  // ---- the sections

  /**
   * Puts a section in the place of the last one, with what the reader had chosen there.
   * @param {number} model
   * @param {any} answer
   * @param {string} wantedHead
   */
  async function mountModel(model, answer, wantedHead) {
    const section = find("#model").content.firstElementChild.cloneNode(true);
    const json = element("script", { type: "application/json", class: "data" });
    json.textContent = JSON.stringify(answer.payload);
    section.append(json);
    // Radio buttons of several sections must not be of one group.
    for (const input of section.querySelectorAll("input[type=radio]")) input.name += `-${model}`;
    const chosen = choicesOf(views[model]);
    const old = find(".models").children[model];
    if (old) old.replaceWith(section);
    else find(".models").append(section);
    const view = createView(section, mounted.signal);
    views[model] = view;
    view.off = switches.off;
    view.find(".name").textContent = visible(answer.model);
    view.find(".notes").replaceChildren(
      ...[...start.notes[model], ...answer.notes].map((note) => element("li", {}, visible(note))),
    );
    renderAnswers(view.find(".answers"), answer.answers, view.tables.examples[0].tokens, false);
    view.find(".maps h2").textContent = "The map of the selected head";
    view.find(".atlas").hidden = false;
    view.find(".card").hidden = false;
    mountAtlas(view);
    mountCard(view);
    switches.mountGrid(view.find(".grid"));
    const names = headNames(view.data);
    selectHeads(view, [names.includes(wantedHead) ? wantedHead : names[0]]);
    mountMaps(view, source.storeOf(model, view, asked));
    if (view.data.typical) await unpackThumbnails(view);
    restoreChoices(view, chosen);
    view.events.addEventListener("heads", () => {
      for (const other of views) {
        const same = view.selection.heads.filter((name) => headNames(other.data).includes(name));
        const isOther = String(other.selection.heads) !== String(same);
        if (other !== view && same.length && isOther) selectHeads(other, same);
      }
      keepAddress();
    });
  }

  /** Reads the texts, and shows what every model makes of them. */
  async function show(wantedHead = views[0]?.selection.heads[0] ?? "") {
    const count = ++counts.shown;
    const texts = { first: first.value, second: second.value };
    find(".busy").textContent = "reading …";
    try {
      const models = start.models.map((/** @type {string} */ _, /** @type {number} */ i) => i);
      const answers = await Promise.all(
        models.map((/** @type {number} */ i) => source.show(i, { ...asked(), ...texts })),
      );
      // Meanwhile another text may have been typed.
      if (count !== counts.shown) return;
      // Until now the sections are of the texts before, and so is what is asked of their heads.
      shown = texts;
      fail(null);
      mounted.abort();
      mounted = new AbortController();
      for (const model of models) await mountModel(model, answers[model], wantedHead);
      find(".models").classList.toggle("two", models.length > 1);
      find("main").classList.toggle("wide", models.length > 1);
      find(".switches").hidden = false;
      switches.fillPresets();
      await switchOff();
    } catch (error) {
      if (count === counts.shown) fail(error);
    } finally {
      if (count === counts.shown) find(".busy").textContent = "";
    }
  }

  /** Shows what every model says with the chosen heads off. */
  async function switchOff() {
    const count = ++counts.switched;
    switches.render();
    keepAddress();
    try {
      const wanted = asked();
      const answers = await Promise.all(views.map((_, model) => source.switchOff(model, wanted)));
      if (count !== counts.switched) return;
      fail(null);
      views.forEach((view, model) => {
        const { answers: said, heads, notes } = answers[model];
        const { tokens } = view.tables.examples[0];
        renderAnswers(view.find(".answers"), said, tokens, Boolean(heads));
        const items = [...start.notes[model], ...notes, ...(heads ? [OF_MAPS] : [])];
        view.find(".notes").replaceChildren(
          ...items.map((note) => element("li", {}, visible(note))),
        );
        showMapsWithout(view, Boolean(heads));
      });
    } catch (error) {
      if (count === counts.switched) fail(error);
    }
  }

  /**
   * The maps of the model with heads off beside those of the whole model.
   * @param {RunView} view
   * @param {boolean} isOff
   */
  function showMapsWithout(view, isOff) {
    const { data } = view;
    const had = data.maps.length;
    data.maps = data.maps.filter((/** @type {string} */ key) => key.startsWith("given/"));
    if (isOff && source.isLive)
      data.maps.push(...data.maps.map((/** @type {string} */ key) => key.replace("given", "off")));
    if (had !== data.maps.length || isOff) view.events.dispatchEvent(new Event("scheme"));
  }

  find(".texts").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    show();
  });
  find(".texts").addEventListener("input", () => {
    clearTimeout(pause);
    if (source.isLive) pause = window.setTimeout(show, PAUSE);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { events } of views) events.dispatchEvent(new Event("scheme"));
  });
  const { head, isOfOthers, model } = readAddress();
  if (isOfOthers)
    fail(new Error(`the link is of ${model}: start headscope look with it to see the same`));
  else if (first.value.trim()) show(head);
}

/**
 * What was chosen in a section.
 * @param {RunView | undefined} view
 */
function choicesOf(view) {
  if (!view) return { colouring: "", checked: ["maps"], order: "place", search: "" };
  const menu = view.find(".colouring");
  const buttons = [...view.root.querySelectorAll("input[type=radio]:checked")];
  return {
    colouring: menu.selectedOptions[0]?.textContent ?? "",
    checked: buttons.map((button) => /** @type {HTMLInputElement} */ (button).value),
    order: view.find(".order").value,
    search: view.find(".search").value,
  };
}

/**
 * Chooses the same in a new section.
 * @param {RunView} view
 * @param {ReturnType<typeof choicesOf>} chosen
 */
function restoreChoices(view, { colouring, checked, order, search }) {
  /** @param {HTMLElement} control @param {string} kind */
  const tell = (control, kind) => control.dispatchEvent(new Event(kind, { bubbles: true }));
  const menu = view.find(".colouring");
  const option = [...menu.options].find(({ textContent }) => textContent === colouring);
  if (option) menu.value = option.value;
  tell(menu, "change");
  for (const value of checked) {
    const button = view.find(`input[type=radio][value="${value}"]`);
    if (!button || button.checked) continue;
    button.checked = true;
    tell(button, "change");
  }
  view.find(".order").value = order;
  tell(view.find(".order"), "change");
  view.find(".search").value = search;
  tell(view.find(".search"), "input");
}

mountLook(JSON.parse(document.getElementById("start")?.textContent ?? ""));
