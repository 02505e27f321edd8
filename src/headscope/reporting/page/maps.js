// @ts-check
// The maps of an example for the chosen heads: unpacked, put together by words, drawn by matrix.js or lines.js.

/** @typedef {{shape: number[], levels: number[], codes: Uint8Array}} Weights codes are [layer, head, key, query] */
/** @typedef {{names: string[], special: boolean[], segments: number[], of: Int32Array | null}} Units tokens or words;
 * `of` says for every token which word it is a piece of */
/** @typedef {{title: string, map: Float32Array, canvas: HTMLCanvasElement, draw: (query: number, key: number) => void}} Shown */

/** What the maps are of, by the beginning of their key. */
const STATES = [["before", "Pre-trained"], ["after", "Fine-tuned"], ["given", "As given"]];
const KEPT = 8; // examples that stay unpacked

/** Unpacks the maps of a run at need. @param {HTMLElement} root */
function mapStore(root) {
  const decoded = /** @type {Map<string, Promise<Weights>>} */ (new Map());
  const sources = new Map([...root.querySelectorAll("script.map")].map((e) => [/** @type {HTMLElement} */ (e).dataset.key ?? "", e]));

  /** @param {string} key @returns {Promise<Weights>} */
  function weights(key) {
    const promise = decoded.get(key) ?? decode(JSON.parse(sources.get(key)?.textContent ?? ""));
    decoded.delete(key);
    decoded.set(key, promise);
    for (const old of [...decoded.keys()].slice(0, -KEPT)) decoded.delete(old);
    return promise;
  }

  /** @param {any} packed as `packed` in payload.py writes it @returns {Promise<Weights>} */
  async function decode({ shape, levels, minus, data }) {
    const flat = await inflated(data);
    const codes = levels.length > 16 ? flat : nibbles(flat, shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1));
    if (minus !== null) {
      const [base, last] = [(await weights(minus)).codes, levels.length - 1];
      for (let i = 0; i < codes.length; i++) codes[i] = (codes[i] + base[i]) & last;
    }
    return { shape, levels, codes };
  }

  /** The weights [query, key] of one head; null where the recorded map does not fit. @param {string} key @param {string} name @param {number} n */
  async function mapOf(key, name, n) {
    const kept = await weights(key).catch(() => null);
    const [layer, head] = placeOf(name);
    const [layers, heads, ...sizes] = kept?.shape ?? [0, 0];
    if (!kept || layer > layers || head > heads || sizes.some((size) => size !== n)) return null;
    const start = ((layer - 1) * heads + head - 1) * n * n;
    const map = new Float32Array(n * n);
    for (let k = 0; k < n; k++) for (let q = 0; q < n; q++) map[q * n + k] = kept.levels[kept.codes[start + k * n + q]] / 255;
    return map;
  }
  return { has: (/** @type {string} */ key) => sources.has(key), mapOf };
}

/** The tokens of an example, or its words. @param {Row} example @param {boolean} words @returns {Units} */
function unitsOf({ tokens, special, segments, words: numbers }, words) {
  const flags = tokens.map((/** @type {string} */ _, /** @type {number} */ i) => Boolean(special?.[i]));
  if (!words || !numbers) return { names: tokens, special: flags, segments: segments ?? tokens.map(() => 0), of: null };
  const of = new Int32Array(tokens.length);
  const units = /** @type {{names: string[], special: boolean[], segments: number[]}} */ ({ names: [], special: [], segments: [] });
  tokens.forEach((/** @type {string} */ token, /** @type {number} */ i) => {
    const joined = i > 0 && numbers[i] >= 0 && numbers[i] === numbers[i - 1] && segments?.[i] === segments?.[i - 1];
    if (joined) units.names[units.names.length - 1] += token.replace(/^##/, "");
    else {
      units.names.push(token.replace(/^[▁Ġ](?=.)/, ""));
      units.special.push(flags[i]);
      units.segments.push(segments?.[i] ?? 0);
    }
    of[i] = units.names.length - 1;
  });
  return { ...units, of };
}

/** Attention from word to word: summed over the pieces that are attended to, the mean over those that attend (Clark et
 * al. 2019, section 4.1). @param {Float32Array} map @param {Units} units */
function byWords(map, { of, names }) {
  if (!of) return map;
  const [n, m] = [of.length, names.length];
  const [out, sizes] = [new Float32Array(m * m), new Float32Array(m)];
  of.forEach((word) => sizes[word]++);
  for (let q = 0; q < n; q++) for (let k = 0; k < n; k++) out[of[q] * m + of[k]] += map[q * n + k] / sizes[of[q]];
  return out;
}

/** @param {Room} room */
function maps(room) {
  const { find, at, tables } = room;
  const store = mapStore(room.root);
  const examples = tables.examples;
  const states = STATES.filter(([state]) => room.data.maps.some((/** @type {string} */ key) => key.startsWith(`${state}/`)));
  let [shown, turn, units] = [/** @type {Shown[]} */ ([]), 0, unitsOf(examples[0], false)];

  async function draw() {
    const [mine, example] = [++turn, examples[at.example]];
    const own = unitsOf(example, at.words);
    const [n, next, figures] = [example.tokens.length, /** @type {Shown[]} */ ([]), /** @type {HTMLElement[]} */ ([])];
    for (const name of at.heads) for (const [state, title] of states) {
      const key = `${state}/${example.example}`;
      const caption = make("figcaption", {}, `${title}, ${name} `);
      const figure = make("figure", {}, caption);
      figures.push(figure);
      const map = store.has(key) ? await store.mapOf(key, name, n) : null;
      if (mine !== turn) return;
      if (!map) {
        figure.append(make("p", {}, store.has(key) ? "The recorded map does not fit this example or this head." : "No map is recorded."));
        continue;
      }
      const what = `${title} attention of ${name}. ${at.lines ? "Left attends to right" : "Rows attend, columns are attended to"}; the arrow keys move over the weights.`;
      const canvas = make("canvas", { tabindex: "0", role: "img", "aria-label": what });
      figure.append(make("div", { class: "scroll" }, canvas));
      const one = { title: at.heads.length > 1 ? `${title} ${name}` : title, map: byWords(map, own), canvas, draw: () => {} };
      const file = `map of ${name}, ${title}, example ${at.example + 1}`;
      caption.append(savers(file, { svg: () => mapSvg(one, own, file), csv: () => csv(mapRows(one, own)) }));
      next.push(one);
    }
    [shown, units] = [next, own];
    find(".sides").replaceChildren(...figures);
    find(".sides").classList.toggle("narrow", at.lines);
    let most = 0;
    for (const { map } of shown) for (const weight of map) most = Math.max(most, weight);
    for (const one of shown) (at.lines ? lineView : matrixView)(one, units, most || 1, point);
    const about = at.lines
      ? "A line is an attention weight: the stronger, the larger. Left: the token that attends (query); right: the one attended to (key)."
      : "Attention weight. Rows: the token that attends (query); columns: the token attended to (key). Lines mark [CLS], [SEP] and, stronger, where the second text begins.";
    const scale = legend(["--map-low", "--map-high"].map(colour), ["0", number(most, "", false, 2)], make("p", {}, about));
    find(".maps .legend").replaceChildren(...(shown.length ? (at.lines ? scale.slice(2) : scale) : []));
    strip();
    point(at.query, at.key);
  }

  /** The tokens, or words, as text. */
  function strip() {
    find(".tokens").replaceChildren(...units.names.map((name, i) => make("span", { dir: "auto", "data-at": String(i), class: units.special[i] ? "special" : "" }, visible(name))));
  }

  /** Shows one weight: tokens, maps and sentence follow the chosen query and key. @param {number} query @param {number} key */
  function point(query, key) {
    Object.assign(at, { query, key });
    for (const one of shown) one.draw(query, key);
    const [n, last] = [units.names.length, shown[shown.length - 1]];
    const [none, much] = [colour("--none"), colour("--much")];
    find(".tokens").childNodes.forEach((/** @type {HTMLElement} */ token, /** @type {number} */ i) => {
      token.classList.toggle("query", i === query);
      token.classList.toggle("key", i === key);
      const weight = !last ? 0 : query >= 0 ? last.map[query * n + i] : key >= 0 ? last.map[i * n + key] : 0;
      token.style.backgroundColor = weight > 0 ? blend(none, much, weight) : "";
    });
    const kind = at.words && units.of ? "Word" : "Token";
    const told = (/** @type {number} */ i) => `${i + 1} “${short(visible(units.names[i]), 40)}”`;
    const values = shown.map(({ title, map }) => `${title[0].toLowerCase()}${title.slice(1)} ${map[query * n + key]?.toFixed(2)}`).join(", ");
    find(".readout").textContent = !last ? ""
      : query < 0 && key < 0 ? "Point at a map, or at a token, to see where it attends."
      : query < 0 ? `${kind} ${told(key)} is attended to by those that are shaded above (${last.title.toLowerCase()}).`
      : key < 0 ? `${kind} ${told(query)} attends to those that are shaded above (${last.title.toLowerCase()}).`
      : `${kind} ${told(query)} attends to ${told(key)}: ${values}.`;
  }

  /** @param {number} index */
  function choose(index) {
    Object.assign(at, { example: index, query: -1, key: -1 });
    const { label: gold, prediction } = examples[index];
    const [is, told] = [gold, prediction].map((text) => make("strong", { dir: "auto" }, visible(text)));
    find(".outcome").replaceChildren("Label ", is, ", predicted ", told, ".");
    units = unitsOf(examples[index], at.words);
    shown = [];
    strip();
    return draw();
  }

  const place = (/** @type {Event} */ event) => Number(/** @type {HTMLElement} */ (event.target).dataset?.at ?? -1);
  for (const kind of ["pointerover", "click"]) {
    find(".tokens").addEventListener(kind, (/** @type {Event} */ event) => place(event) >= 0 && point(place(event), -1));
  }
  room.root.querySelector(".sides")?.addEventListener("keydown", (event) => {
    const step = STEPS[/** @type {KeyboardEvent} */ (event).key];
    if (!step || !(event.target instanceof HTMLCanvasElement)) return;
    event.preventDefault();
    const last = units.names.length - 1;
    if (at.lines) point(clamp(at.query + step[0], 0, last), step[1] ? clamp(at.key + step[1], -1, last) : at.key);
    else point(clamp(at.query + step[0], 0, last), clamp(at.key + step[1], 0, last));
  });
  find(".mapforms").addEventListener("change", (/** @type {Event} */ event) => {
    const { name, value } = /** @type {HTMLInputElement} */ (event.target);
    if (name.startsWith("level")) Object.assign(at, { words: value === "words", query: -1, key: -1 });
    else at.lines = value === "lines";
    draw();
  });
  find(".levels").hidden = !examples.some((row) => row.words);
  const start = (/** @type {Row} */ row) => short(visible(row.tokens.slice(0, 12).join(" ")), 60);
  find(".maps").hidden = false;
  find(".example").append(...examples.map((row, i) => make("option", { value: String(i) }, `${i + 1}. ${short(visible(row.label), 20)}: ${start(row)}`)));
  find(".example").addEventListener("change", () => choose(Number(find(".example").value)));
  room.changed.push(draw);
  room.recoloured.push(draw);
  let wide = window.innerWidth;
  window.addEventListener("resize", () => {
    if (wide !== window.innerWidth) draw(); // not when a phone's address bar comes and goes
    wide = window.innerWidth;
  });
  return () => choose(0);
}

/** @param {Shown} one @param {Units} units @returns {Row[]} */
function mapRows({ map }, { names }) {
  const n = names.length;
  return Array.from(map, (weight, i) => ({
    query: Math.floor(i / n) + 1, key: (i % n) + 1, from: names[Math.floor(i / n)], to: names[i % n], weight: Number(weight.toFixed(4)),
  }));
}

/** @param {Shown} one @param {Units} units @param {string} title */
function mapSvg({ map }, { names }, title) {
  const [n, cell, margin] = [names.length, 12, 100];
  let most = 0;
  for (const weight of map) most = Math.max(most, weight);
  const size = margin + n * cell + 10;
  const parts = [svgOpening(size, size), `<title>${escaped(title)}</title><text x="4" y="14" font-weight="bold">${escaped(title)}</text>`];
  names.forEach((name, i) => {
    const [middle, text] = [margin + (i + 0.5) * cell, escaped(short(name, 14))];
    parts.push(`<text x="${margin - 4}" y="${middle + 3.5}" text-anchor="end">${text}</text>`);
    parts.push(`<text transform="translate(${middle + 3.5} ${margin - 4}) rotate(-90)">${text}</text>`);
  });
  map.forEach((weight, i) => {
    if (weight > 0) parts.push(`<rect x="${margin + (i % n) * cell}" y="${margin + Math.floor(i / n) * cell}" width="${cell}" height="${cell}" fill="${blend("#ffffff", "#08306b", weight / (most || 1))}"/>`);
  });
  parts.push(`<rect x="${margin}" y="${margin}" width="${n * cell}" height="${n * cell}" fill="none" stroke="#808080"/>`);
  return parts.join("") + "</svg>";
}
