// @ts-check
// The recorded attention maps: unpacks them when they are asked for, adds them up by words, and
// writes them as CSV and SVG. Needs data.js, text.js and downloads.js.

/**
 * The maps of one example.
 * @typedef {object} Packed
 * @property {number[]} shape layers, heads, queries, keys
 * @property {number[]} levels weight of every code, in 255ths
 * @property {Uint8Array} codes [layer, head, key, query]
 */

/**
 * What a map is between: tokens, or the words that they make up.
 * @typedef {object} Units
 * @property {string[]} names
 * @property {boolean[]} special
 * @property {number[]} segments
 * @property {Int32Array | null} wordOfToken null where the units are tokens
 */

/** Examples that stay unpacked. */
const CACHE_SIZE = 8;

/**
 * Codes of maps as they are sent: deflated, in base64.
 * @param {{shape: number[], levels: number[], data: string}} packed
 * @returns {Promise<Packed>}
 */
async function unpackCodes({ shape, levels, data }) {
  const bytes = await inflate(data);
  const size = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
  return { shape, levels, codes: levels.length > 16 ? bytes : unpackHalfBytes(bytes, size) };
}

/**
 * The weights [query, key] of one head; null where the maps are of other heads or tokens.
 * @param {Packed} maps
 * @param {{layer: number, head: number}} place counted from 1
 * @param {number} tokens
 */
function weightsOf({ shape, levels, codes }, { layer, head }, tokens) {
  const [layers, heads, queries, keys] = shape;
  if (layer > layers || head > heads || queries !== tokens || keys !== tokens) return null;
  const start = ((layer - 1) * heads + head - 1) * tokens * tokens;
  const map = new Float32Array(tokens * tokens);
  for (let k = 0; k < tokens; k++)
    for (let q = 0; q < tokens; q++)
      map[q * tokens + k] = levels[codes[start + k * tokens + q]] / 255;
  return map;
}

/**
 * The maps of a run, from the scripts that hold them.
 * @param {HTMLElement} root
 */
function createMapStore(root) {
  const cache = /** @type {Map<string, Promise<Packed>>} */ (new Map());
  const scripts = /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("script.map"));
  const sources = new Map([...scripts].map((script) => [script.dataset.key ?? "", script]));

  /** @param {string} key @returns {Promise<Packed>} */
  function unpacked(key) {
    const promise = cache.get(key) ?? unpack(JSON.parse(sources.get(key)?.textContent ?? ""));
    // Set anew, the key is the last: the first ones are those that were used least recently.
    cache.delete(key);
    cache.set(key, promise);
    for (const oldest of [...cache.keys()].slice(0, -CACHE_SIZE)) cache.delete(oldest);
    return promise;
  }

  /** @param {any} packed as `packed` in payload.py writes it @returns {Promise<Packed>} */
  async function unpack({ shape, levels, minus, data }) {
    const { codes } = await unpackCodes({ shape, levels, data });
    if (minus !== null) {
      // The codes are differences from another map, modulo the number of levels, a power of two.
      const { codes: base } = await unpacked(minus);
      for (let i = 0; i < codes.length; i++) codes[i] = (codes[i] + base[i]) & (levels.length - 1);
    }
    return { shape, levels, codes };
  }

  /**
   * The weights [query, key] of one head; null where the recorded map does not fit.
   * @param {string} key
   * @param {string} name of the head
   * @param {number} tokens
   */
  async function mapOf(key, name, tokens) {
    const maps = sources.has(key) && (await unpacked(key).catch(() => null));
    if (!maps) return null;
    return weightsOf(maps, headPosition(name), tokens);
  }
  return { has: (/** @type {string} */ key) => sources.has(key), mapOf };
}

/**
 * @param {Row} example
 * @returns {Units}
 */
const tokenUnits = ({ tokens, special, segments }) => ({
  names: tokens,
  special: tokens.map((/** @type {string} */ _, /** @type {number} */ i) => Boolean(special?.[i])),
  segments: segments ?? tokens.map(() => 0),
  wordOfToken: null,
});

/**
 * The words of an example; its tokens where it has no words.
 * @param {Row} example
 * @returns {Units}
 */
function wordUnits(example) {
  const tokens = tokenUnits(example);
  const numbers = example.words;
  if (!numbers) return tokens;
  const { names, special, segments } = tokens;
  const wordOfToken = new Int32Array(names.length);
  const words = /** @type {Units} */ ({ names: [], special: [], segments: [], wordOfToken });
  names.forEach((name, i) => {
    // A word's tokens have its number, are neighbours, and are of one text; -1 is of no word.
    const continues =
      i > 0 && numbers[i] >= 0 && numbers[i] === numbers[i - 1] && segments[i] === segments[i - 1];
    if (continues) words.names[words.names.length - 1] += name.replace(/^##/, "");
    else {
      words.names.push(name.replace(/^[▁Ġ](?=.)/, ""));
      words.special.push(special[i]);
      words.segments.push(segments[i] ?? 0);
    }
    wordOfToken[i] = words.names.length - 1;
  });
  return words;
}

/** No space stands before these, and none after those. */
const [CLOSING, OPENING] = [/^[.,;:!?)\]}%…’”]+$/, /^[([{“‘$#]+$/];

/**
 * The texts of an example as a person would write them, as far as its tokens tell.
 * @param {Row} example
 */
function sentencesOf(example) {
  const { names, special, segments } = wordUnits(example);
  const second = secondText(segments);
  let text = "";
  let isGlued = true;
  names.forEach((name, i) => {
    if (i === second) text += " / ";
    if (i === second) isGlued = true;
    if (special[i]) return;
    const piece = /^##/.test(name);
    if (!isGlued && !piece && !CLOSING.test(name)) text += " ";
    text += name.replace(/^(##|[▁Ġ])/, "");
    isGlued = OPENING.test(name);
  });
  return text
    .replace(/ ['’] (s|t|d|m|re|ve|ll)\b/gi, "’$1")
    .replace(/< (\/? ?\w+ ?\/?) ?>/g, (tag) => tag.replaceAll(" ", ""));
}

/**
 * What a token for unknown text stands for; empty where there is none.
 * @param {string[]} tokens
 */
function unknownNote(tokens) {
  const unknown = tokens.filter((token) => /^(\[UNK\]|<unk>)/i.test(token));
  if (!unknown.length) return "";
  const count = unknown.length === 1 ? "one" : String(unknown.length);
  return (
    ` ${unknown[0]} (${count} here) stands for text that the tokenizer has no token for, such as ` +
    "an emoji: the model does not see which."
  );
}

/**
 * Attention from word to word: the sum over the tokens that are attended to, the mean over those
 * that attend (Clark et al. 2019, section 4.1).
 * @param {Float32Array} map
 * @param {Units} units
 */
function mapOfUnits(map, { wordOfToken, names }) {
  if (!wordOfToken) return map;
  const [tokens, words] = [wordOfToken.length, names.length];
  const sizes = new Float32Array(words);
  wordOfToken.forEach((word) => sizes[word]++);
  const summed = new Float32Array(words * words);
  for (let q = 0; q < tokens; q++) {
    const from = wordOfToken[q];
    for (let k = 0; k < tokens; k++)
      summed[from * words + wordOfToken[k]] += map[q * tokens + k] / sizes[from];
  }
  return summed;
}

/**
 * The largest of all weights; 0 without any.
 * @param {Float32Array[]} maps
 */
function largestWeight(maps) {
  let largest = 0;
  for (const map of maps) for (const weight of map) largest = Math.max(largest, weight);
  return largest;
}

/**
 * A map as the rows of a table.
 * @param {Float32Array} map
 * @param {Units} units
 * @returns {Row[]}
 */
function mapRows(map, { names }) {
  const size = names.length;
  return Array.from(map, (weight, i) => {
    const [query, key] = [Math.floor(i / size), i % size];
    return {
      query: query + 1,
      key: key + 1,
      from: names[query],
      to: names[key],
      weight: Number(weight.toFixed(4)),
    };
  });
}

/**
 * A map as an SVG file: a rectangle per weight that is not 0.
 * @param {Float32Array} map
 * @param {Units} units
 * @param {string} title
 */
function mapSvg(map, { names }, title) {
  const [size, cell, margin] = [names.length, 12, 100];
  const maximum = largestWeight([map]) || 1;
  const [low, high, line] = ["--map-low", "--map-high", "--soft"].map((name) =>
    colour(name, PAPER),
  );
  const side = margin + size * cell + 10;
  const lines = [
    svgOpening(side, side),
    `<title>${escapeXml(title)}</title>`,
    `<text x="4" y="14" font-weight="bold">${escapeXml(title)}</text>`,
  ];
  lines.push(
    `<text x="${margin}" y="26">key: attended to →</text>`,
    `<text transform="translate(12 ${margin}) rotate(-90)" text-anchor="end">← query: attends</text>`,
  );
  names.forEach((name, i) => {
    const [middle, text] = [margin + (i + 0.5) * cell, escapeXml(shorten(name, 14))];
    const column = `translate(${middle + 3.5} ${margin - 4}) rotate(-90)`;
    lines.push(`<text x="${margin - 4}" y="${middle + 3.5}" text-anchor="end">${text}</text>`);
    lines.push(`<text transform="${column}">${text}</text>`);
  });
  map.forEach((weight, i) => {
    if (weight <= 0) return;
    const [x, y] = [margin + (i % size) * cell, margin + Math.floor(i / size) * cell];
    const fill = blend(low, high, weight / maximum);
    lines.push(`<rect x="${x}" y="${y}" width="${cell}" height="${cell}" fill="${fill}"/>`);
  });
  const frame = `width="${size * cell}" height="${size * cell}" fill="none" stroke="${line}"`;
  lines.push(`<rect x="${margin}" y="${margin}" ${frame}/>`);
  return lines.join("") + "</svg>";
}
