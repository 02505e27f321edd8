// @ts-check
// What moves in the report: the atlas of heads, the card of a head, the maps of examples, the table of disabled sets.
// All data lie in the page. Text of a data set becomes text nodes only.

/** @typedef {Record<string, any>} Row a row of a table, by column */
/** @typedef {{name: string, column: string, rows: Row[], diverging: boolean, unit: string}} View a way to colour the atlas */
/** @typedef {{shape: number[], levels: number[], codes: Uint8Array}} Weights codes are [layer, head, key, query] */
/** @typedef {{title: string, map: Float32Array, canvas: HTMLCanvasElement, draw: () => void}} Shown */

(() => {
  "use strict";

  /** @template {keyof HTMLElementTagNameMap} T
   * @param {T} tag @param {Record<string, string>} attributes @param {(string | Node)[]} children */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  /** Characters that would be unseen or turn the direction of the text, by their code. @param {unknown} text */
  function visible(text) {
    return String(text ?? "–").replace(
      /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
      (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
    );
  }

  /** @param {string} text @param {number} most */
  function short(text, most) {
    const start = [...text.slice(0, 2 * most + 2)];
    return start.length > most ? start.slice(0, most - 1).join("") + "…" : text;
  }

  /** Points to a hundredth, others to a thousandth. @param {any} value @param {string} unit */
  function number(value, unit, signed = false, digits = unit === "points" ? 2 : 3) {
    if (typeof value !== "number") return "–";
    const text = value.toFixed(digits);
    if (Number(text) === 0) return text.replace("-", "");
    return (signed && value > 0 ? "+" : "") + text.replace("-", "−");
  }

  /** @param {number} value @param {number} low @param {number} high */
  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
  /** @param {any} p */
  const chance = (p) => (typeof p !== "number" ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));
  /** @param {Row} row */
  const interval = (row, signed = false) =>
    row.low === null || row.high === null ? "–" : `${number(row.low, row.unit, signed)} to ${number(row.high, row.unit, signed)}`;

  /** @param {Record<string, any[]> | undefined} columns @returns {Row[]} */
  function rowsOf(columns = {}) {
    const names = Object.keys(columns);
    return (columns[names[0]] ?? []).map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
  }

  /** @param {string} name */
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  /** @param {string} variable @param {number} share */
  const mixed = (variable, share) => `color-mix(in oklab, var(${variable}) ${100 * share}%, var(--none))`;
  /** The step of an arrow key over rows and columns. @type {Record<string, number[]>} */
  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  /** @param {string} gradient @param {string[]} ends @param {Node[]} notes */
  function legend(gradient, ends, ...notes) {
    const bar = make("div", { class: "bar" });
    bar.style.background = `linear-gradient(to right ${gradient})`;
    return [bar, make("div", { class: "ends" }, ...ends.map((end) => make("span", {}, end))), ...notes];
  }

  /** @param {Element} section */
  function setup(section) {
    /** @param {string} selector @returns {any} */
    const find = (selector) => section.querySelector(selector);
    const data = JSON.parse(find("script.data").textContent);
    const effects = rowsOf(data.tables.disabled);
    const single = effects.filter((row) => row.layer !== null && row.head !== null);
    const measures = rowsOf(data.tables.heads);
    const examples = rowsOf(data.tables.examples), at = { layer: 1, head: 1, example: 0, query: -1, key: -1 };
    const label = (/** @type {string} */ name) => visible(data.labels[name] ?? name);
    const name = (/** @type {Row} */ row) => `L${row.layer}H${row.head}`;
    const stands = (/** @type {Row} */ row) => row.p_corrected !== null && row.p_corrected < data.significant;

    const byName = /** @type {Map<string, View>} */ (new Map());
    const modes = new Set(single.map((row) => row.mode)).size;
    for (const row of [...single, ...measures]) {
      const effect = "metric" in row;
      const diverging = effect || /^change_in_|_excess$/.test(row.measure);
      const mode = modes > 1 ? ` (${visible(row.mode)})` : "";
      const title = effect ? `Effect of disabling: ${label(row.metric)}${mode}` : label(row.measure);
      const rows = byName.get(title)?.rows ?? [];
      byName.set(title, { name: title, column: effect ? "delta" : "value", rows: [...rows, row], diverging, unit: row.unit ?? "" });
    }
    const views = [...byName.values()];
    const tested = views.find((view) => view.rows.some((row) => Number.isFinite(row.p_corrected)));
    const cells = /** @type {HTMLButtonElement[][]} */ ([]);

    function drawGrid() {
      const body = make("tbody");
      for (let layer = 1; layer <= data.layers; layer++) {
        const line = Array.from({ length: data.heads }, () => make("button", { type: "button", tabindex: "-1" }));
        line.forEach((button, i) => button.addEventListener("click", () => choose(layer, i + 1)));
        cells.push(line);
        const wrapped = line.map((button) => make("td", { role: "gridcell", "aria-selected": "false" }, button));
        body.append(make("tr", {}, make("th", { scope: "row" }, `L${layer}`), ...wrapped));
      }
      const heads = cells[0].map((_, i) => make("th", { scope: "col" }, `H${i + 1}`));
      find(".grid").append(make("thead", {}, make("tr", {}, make("td"), ...heads)), body);
      find(".grid").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        const step = STEPS[event.key];
        if (!step) return;
        event.preventDefault();
        choose(clamp(at.layer + step[0], 1, data.layers), clamp(at.head + step[1], 1, data.heads));
        cells[at.layer - 1][at.head - 1].focus();
      });
    }

    /** @param {View} view */
    function paint({ name: title, column, rows, diverging, unit }) {
      const values = rows.map((row) => row[column]).filter((value) => value !== null);
      const high = Math.max(...(diverging ? values.map(Math.abs) : values), 0) || 1;
      const low = diverging ? -high : Math.min(...values, 0);
      const marks = (column === "delta" ? rows : (tested?.rows ?? [])).filter(stands).map(name);
      const byHead = new Map(rows.map((row) => [name(row), row]));
      cells.forEach((line, l) => line.forEach((button, h) => {
        const head = name({ layer: l + 1, head: h + 1 });
        const row = byHead.get(head);
        const value = row?.[column] ?? null;
        const [marked, end] = [marks.includes(head), !diverging ? "--much" : value < 0 ? "--loss" : "--gain"];
        const share = diverging ? Math.abs(value) / high : (value - low) / (high - low);
        button.style.backgroundColor = value === null ? "" : mixed(end, share);
        button.textContent = value === null ? "" : number(value, unit, false, unit === "points" ? 1 : 2);
        button.classList.toggle("empty", value === null);
        button.classList.toggle("marked", marked);
        const said = row && value !== null ? `${number(value, unit, diverging)} ${visible(unit)}, 95% ${interval(row)}` : "no value";
        button.ariaLabel = `${head}: ${said}${marked ? `, corrected p < ${data.significant}` : ""}`;
      }));
      const ends = [low, ...(diverging ? [0] : []), high].map((value) => (value === 0 ? "0" : number(value, unit, diverging)));
      const about = make("p", {}, `${title}, ${visible(unit)}${diverging ? ` (orange: ${column === "delta" ? "the score falls" : "below 0"}; blue: ${column === "delta" ? "it rises" : "above"})` : ""}`);
      const key = make("p", {}, make("span", { class: "key" }), ` ${column === "delta" ? title : tested?.name}, corrected p < ${data.significant}`);
      const gradient = diverging ? "in oklab, var(--loss), var(--none), var(--gain)" : "in oklab, var(--none), var(--much)";
      find(".atlas .legend").replaceChildren(...legend(gradient, ends, about, ...(marks.length ? [key] : [])));
    }

    /** @param {number} layer @param {number} head */
    function choose(layer, head) {
      for (const chosen of [false, true]) {
        if (chosen) Object.assign(at, { layer, head });
        cells[at.layer - 1][at.head - 1].tabIndex = chosen ? 0 : -1;
        cells[at.layer - 1][at.head - 1].parentElement?.setAttribute("aria-selected", String(chosen));
      }
      card();
      showMaps();
    }

    /** @param {string} caption @param {string[]} names @param {(string | Node)[][]} lines their first cell is the row's header */
    function table(caption, names, lines) {
      const top = names.map((text, i) => make("th", { scope: "col", class: i ? "n" : "" }, text));
      const values = (/** @type {(string | Node)[]} */ line) => line.slice(1).map((cell) => make("td", { class: "n" }, cell));
      const rows = lines.map((line) => make("tr", {}, make("th", { scope: "row" }, line[0]), ...values(line)));
      const head = make("thead", {}, make("tr", {}, ...top));
      const whole = make("table", {}, make("caption", {}, caption), head, make("tbody", {}, ...rows));
      return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, whole);
    }

    function card() {
      const here = (/** @type {Row} */ row) => row.layer === at.layer && row.head === at.head;
      const [rows, own] = [single.filter(here), measures.filter(here)];
      const parts = [/** @type {HTMLElement} */ (make(find("h1") ? "h3" : "h4", {}, name(at)))];
      if (rows.length) {
        const lines = rows.map((row) => [
          label(row.metric) + (modes > 1 ? ` (${visible(row.mode)})` : ""), number(row.delta, row.unit, true), interval(row, true),
          make("span", { class: stands(row) ? "strong" : "" }, chance(row.p_corrected)),
          chance(row.p), `${number(row.baseline, row.unit)} → ${number(row.value, row.unit)}`,
        ]);
        const each = (/** @type {string} */ column) => [...new Set(rows.map((row) => row[column]).filter((value) => value !== null))];
        const [sizes, tests, moved] = ["n", "test", "activation_change"].map(each);
        const change = moved.length ? `relative change of the activation ${moved.map((v) => number(v, "")).join(", ")}` : "";
        const notes = [`n = ${sizes.join(", ")}`, tests.join(", "), change];
        parts.push(
          table(`When this head is disabled (${visible(each("unit").join(", "))})`, ["Metric", "Change", "95%", "Corrected p", "p", "Score"], lines),
          make("p", { class: "note" }, visible(notes.filter(Boolean).join("; "))),
        );
      }
      const named = (/** @type {Row} */ row) => label(row.measure) + (row.unit ? `, ${visible(row.unit)}` : "");
      const after = new Map(own.filter((row) => /^change_in_/.test(row.measure)).map((row) => [row.measure.slice(10), row.value]));
      const change = (/** @type {Row} */ row) => (after.size ? [after.has(row.measure) ? number(after.get(row.measure), row.unit, true) : ""] : []);
      const does = own.filter((row) => !/^change_in_/.test(row.measure)).map((row) => [named(row), number(row.value, row.unit), interval(row), ...change(row)]);
      if (own.length) parts.push(table("What this head does", ["Measure", "Value", "95%", ...(after.size ? ["Change"] : [])], does));
      if (parts.length === 1) parts.push(make("p", {}, "No table has a row about this head."));
      find(".card").replaceChildren(...parts);
    }

    // ---- the maps of an example
    const decoded = /** @type {Map<string, Promise<Weights>>} */ (new Map());
    const sources = new Map([...section.querySelectorAll("script.map")].map((e) => [/** @type {HTMLElement} */ (e).dataset.key ?? "", e]));
    let [shown, turn] = [/** @type {Shown[]} */ ([]), 0];

    /** @param {string} key @returns {Promise<Weights>} */
    function weights(key) {
      const promise = decoded.get(key) ?? decode(JSON.parse(sources.get(key)?.textContent ?? ""));
      decoded.set(key, promise);
      return promise;
    }

    /** @param {any} packed as `packed` in build.py writes it */
    async function decode({ shape, levels, minus, data: text }) {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      const flat = new Uint8Array(await new Response(stream).arrayBuffer());
      const size = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
      const nibble = (/** @type {number} */ i) => (i % 2 ? flat[i >> 1] >> 4 : flat[i >> 1] & 15);
      const codes = levels.length > 16 ? flat : Uint8Array.from({ length: size }, (_, i) => nibble(i));
      const base = minus === null ? null : (await weights(minus)).codes;
      return { shape, levels, codes: base ? codes.map((code, i) => (code + base[i]) % levels.length) : codes };
    }

    async function showMaps() {
      if (find(".maps").hidden) return;
      const [mine, example] = [++turn, examples[at.example]];
      const n = example.tokens.length;
      const next = /** @type {Shown[]} */ ([]);
      const figures = [];
      for (const [side, title] of [["before", "Pre-trained"], ["after", "Fine-tuned"]]) {
        const figure = make("figure", {}, make("figcaption", {}, `${title}, ${name(at)}`));
        figures.push(figure);
        const there = sources.has(`${side}/${example.example}`);
        const kept = there ? await weights(`${side}/${example.example}`).catch(() => null) : null;
        if (mine !== turn) return;
        const [layers, heads, ...sizes] = kept?.shape ?? [0, 0];
        if (!kept || at.layer > layers || at.head > heads || sizes.some((size) => size !== n)) {
          figure.append(make("p", {}, there ? "The recorded map does not fit this example or this head." : "No map is recorded."));
          continue;
        }
        const start = ((at.layer - 1) * heads + at.head - 1) * n * n;
        const map = Float32Array.from({ length: n * n }, (_, i) => kept.levels[kept.codes[start + (i % n) * n + Math.floor(i / n)]] / 255);
        const said = `${title} attention of ${name(at)}. Rows attend, columns are attended to; the arrow keys move over the weights.`;
        const canvas = make("canvas", { tabindex: "0", role: "img", "aria-label": said });
        figure.append(make("div", { class: "scroll" }, canvas));
        next.push({ title, map, canvas, draw: () => {} });
      }
      shown = next;
      find(".sides").replaceChildren(...figures);
      const most = Math.max(...shown.map(({ map }) => map.reduce((a, b) => Math.max(a, b), 0)), 0) || 1;
      for (const one of shown) one.draw = matrix(one, example, most);
      const about = "Attention weight. Rows: the token that attends (query); columns: the token attended to (key). " +
        "Lines mark [CLS], [SEP] and, stronger, where the second text begins.";
      const parts = legend(", var(--map-low), var(--map-high)", ["0", number(most, "", false, 2)], make("p", {}, about));
      find(".maps .legend").replaceChildren(...(shown.length ? parts : []));
      point(at.query, at.key);
    }

    /** Makes a canvas ready for one map; returns what draws it. @param {Shown} one @param {Row} example @param {number} most */
    function matrix({ canvas, map }, { tokens, special, segments }, most) {
      const n = tokens.length;
      const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
      const font = (/** @type {number} */ size) => `${size}px system-ui, "Liberation Sans", Arial, sans-serif`;
      pen.font = font(12);
      const names = tokens.map((/** @type {string} */ token) => short(visible(token), 14));
      const margin = 8 + Math.ceil(Math.min(110, Math.max(...names.map((/** @type {string} */ text) => pen.measureText(text).width))));
      const cell = clamp(Math.floor(((canvas.parentElement?.clientWidth ?? 600) - margin - 2) / n), 11, 26);
      const [span, size, scale] = [n * cell, margin + n * cell + 1, window.devicePixelRatio || 1];
      canvas.width = canvas.height = Math.round(size * scale);
      canvas.style.width = canvas.style.height = `${size}px`;
      const places = Array.from({ length: n }, (_, i) => i).slice(1);
      const edges = places.filter((i) => special?.[i] || special?.[i - 1]);
      const second = places.filter((i) => segments && segments[i] !== segments[i - 1]).slice(0, 1);
      const moved = (/** @type {PointerEvent} */ event) => {
        const box = canvas.getBoundingClientRect();
        const [q, k] = [event.clientY - box.top, event.clientX - box.left].map((v) => Math.floor((v - margin) / cell));
        if (q >= 0 && q < n && k < n) point(q, Math.max(k, -1));
      };
      for (const kind of /** @type {const} */ (["pointermove", "pointerdown"])) canvas.addEventListener(kind, moved);
      canvas.addEventListener("keydown", (event) => {
        const step = STEPS[event.key];
        if (!step) return;
        event.preventDefault();
        point(clamp(at.query + step[0], 0, n - 1), clamp(at.key + step[1], 0, n - 1));
      });

      const pixels = make("canvas", { width: String(n), height: String(n) });
      let painted = "";      return () => {
        const ends = ["--map-low", "--map-high"].map(colour);
        if (painted !== ends.join()) {
          painted = ends.join();
          const [low, high] = ends.map((end) => [1, 3, 5].map((i) => parseInt(end.slice(i, i + 2), 16)));
          const image = new ImageData(n, n);
          map.forEach((weight, i) => image.data.set([...low.map((v, c) => v + ((high[c] - v) * weight) / most), 255], 4 * i));
          pixels.getContext("2d")?.putImageData(image, 0, 0);
        }
        pen.setTransform(scale, 0, 0, scale, 0, 0);
        pen.clearRect(0, 0, size, size);
        pen.imageSmoothingEnabled = false;
        pen.drawImage(pixels, margin, margin, span, span);
        Object.assign(pen, { strokeStyle: colour("--soft"), lineWidth: 1, textBaseline: "middle" });
        pen.strokeRect(margin - 0.5, margin - 0.5, span + 1, span + 1);
        for (const [lines, strength] of /** @type {[number[], number][]} */ ([[edges, 0.35], [second, 1]])) {
          pen.globalAlpha = strength;
          for (const i of lines) pen.strokeRect(margin + i * cell - 0.5, margin, 0, span);
          for (const i of lines) pen.strokeRect(margin, margin + i * cell - 0.5, span, 0);
        }
        const [ink, marked] = [colour("--text"), colour("--special")];
        names.forEach((/** @type {string} */ text, /** @type {number} */ i) => [at.query, at.key].forEach((chosen, down) => {
          const middle = margin + (i + 0.5) * cell;
          pen.save();
          pen.translate(...(down ? /** @type {const} */ ([middle, margin - 4]) : /** @type {const} */ ([margin - 4, middle])));
          if (down) pen.rotate(-Math.PI / 2);
          Object.assign(pen, { fillStyle: special?.[i] ? marked : ink, textAlign: down ? "left" : "right" });
          pen.font = (i === chosen ? "bold " : "") + font(Math.min(12, cell));
          pen.fillText(text, 0, 0, margin - 5);
          pen.restore();
        }));
        Object.assign(pen, { strokeStyle: colour("--loss"), lineWidth: 2 });
        if (at.query >= 0) pen.strokeRect(margin, margin + at.query * cell, span, cell);
        if (at.key >= 0) pen.strokeRect(margin + at.key * cell, margin, cell, span);
      };
    }

    /** Shows one weight: tokens, maps and sentence follow the chosen query and key. @param {number} query @param {number} key */
    function point(query, key) {
      Object.assign(at, { query, key });
      for (const one of shown) one.draw();
      const [{ tokens }, last] = [examples[at.example], shown[shown.length - 1]];
      find(".tokens").childNodes.forEach((/** @type {HTMLElement} */ token, /** @type {number} */ i) => {
        token.classList.toggle("query", i === query);
        token.style.backgroundColor = query < 0 || !last ? "" : mixed("--much", last.map[query * tokens.length + i]);
      });
      const told = (/** @type {number} */ i) => `${i + 1} “${short(visible(tokens[i]), 40)}”`;
      const values = shown.map(({ title, map }) => `${title.toLowerCase()} ${map[query * tokens.length + key]?.toFixed(2)}`).join(", ");
      find(".readout").textContent = !last ? ""
        : query < 0 ? "Point at a map, or choose a token, to see where it attends."
        : key < 0 ? `Token ${told(query)} attends to the tokens that are shaded above (${last.title.toLowerCase()}).`
        : `Token ${told(query)} attends to ${told(key)}: ${values}.`;
    }

    /** @param {number} index */
    function chooseExample(index) {
      Object.assign(at, { example: index, query: -1, key: -1 });
      const { label: gold, prediction, tokens, special } = examples[index];
      const [is, said] = [gold, prediction].map((text) => make("strong", { dir: "auto" }, visible(text)));
      find(".outcome").replaceChildren("Label ", is, ", predicted ", said, ".");
      find(".tokens").replaceChildren(...tokens.map((/** @type {string} */ token, /** @type {number} */ i) => {
        const span = make("span", { dir: "auto", class: special?.[i] ? "special" : "" }, visible(token));
        span.addEventListener("click", () => point(i, -1));
        return span;
      }));
      shown = [];
      showMaps();
    }

    // ---- the table of disabled sets
    function sortable() {
      const body = find(".sets tbody");
      const lines = [...body.rows].map((line, i) => ({ line, row: effects[i] }));
      const order = new Intl.Collator("en", { numeric: true });
      const compare = (/** @type {any} */ a, /** @type {any} */ b) => (typeof a === "number" ? a - b : order.compare(a, b));
      section.querySelectorAll(".sets th").forEach((header, _, headers) => header.firstElementChild?.addEventListener("click", () => {
        const column = header.getAttribute("data-column") ?? "";
        const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        headers.forEach((other) => other.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
        const [empty, filled] = [true, false].map((is) => lines.filter(({ row }) => (row[column] === null) === is));
        filled.sort((a, b) => sign * compare(a.row[column], b.row[column]));
        body.append(...[...filled, ...empty].map(({ line }) => line));
      }));
      find(".sets th[data-column=delta] button").click();
    }

    // ---- the parts that the data allow
    /** @param {string} part @param {string} list @param {string[]} names @param {(index: number) => void} act */
    function offer(part, list, names, act) {
      find(part).hidden = false;
      find(list).append(...names.map((text, i) => make("option", { value: String(i) }, text)));
      find(list).addEventListener("change", () => act(Number(find(list).value)));
    }

    if (effects.length) sortable();
    if (!data.layers || !data.heads) return;
    drawGrid();
    offer(".atlas", ".colouring", views.map((view) => view.name), (i) => paint(views[i]));
    if (views.length) paint(views[0]);
    if (examples.length && data.maps.length) {
      const start = (/** @type {Row} */ row) => short(visible(row.tokens.slice(0, 12).join(" ")), 60);
      const titles = examples.map((row, i) => `${i + 1}. ${short(visible(row.label), 20)}: ${start(row)}`);
      offer(".maps", ".example", titles, chooseExample);
      chooseExample(0);
    }
    const least = [...(tested ?? views[0])?.rows ?? []].sort((a, b) => (a.delta ?? 0) - (b.delta ?? 0))[0];
    choose(clamp(least?.layer ?? 1, 1, data.layers), clamp(least?.head ?? 1, 1, data.heads));
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown.forEach((one) => one.draw()));
    let wide = window.innerWidth;
    window.addEventListener("resize", () => {
      if (wide !== window.innerWidth) showMaps(); // not when a phone's address bar comes and goes
      wide = window.innerWidth;
    });
  }

  for (const section of document.querySelectorAll("section.run")) setup(section);
})();
