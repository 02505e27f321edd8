// An attention map as a heat map on a canvas, in colours of colours.css: for the report's maps and
// thumbnails and for the other pages. Needs dom.js.

/** The colours of the reader's scheme; follows a change of it. */
const SCREEN = getComputedStyle(document.documentElement);

/**
 * A colour of colours.css as #rrggbb.
 * @param {string} variable
 */
const colour = (variable, style = SCREEN) => style.getPropertyValue(variable).trim();

/**
 * Red, green and blue from 0 to 255.
 * @param {string} hex
 */
const channels = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));

/**
 * The colour at `share` of the way from `low` to `high`.
 * @param {string} low
 * @param {string} high
 * @param {number} share
 */
function blend(low, high, share) {
  const [from, to] = [channels(low), channels(high)];
  const mixed = from.map((value, i) => Math.round(value + (to[i] - value) * share));
  return "#" + mixed.map((value) => value.toString(16).padStart(2, "0")).join("");
}

/**
 * A canvas with a pixel per weight, from colour `low` at 0 to colour `high` at `maximum`.
 * @param {ArrayLike<number>} weights [query, key], row by row
 * @param {number} tokens
 * @param {number} maximum
 * @param {string} low
 * @param {string} high
 */
function heatmapPixels(weights, tokens, maximum, low, high) {
  const [from, to] = [channels(low), channels(high)];
  const image = new ImageData(tokens, tokens);
  for (let i = 0; i < weights.length; i++) {
    for (let c = 0; c < 3; c++)
      image.data[4 * i + c] = from[c] + ((to[c] - from[c]) * weights[i]) / maximum;
    image.data[4 * i + 3] = 255;
  }
  const canvas = element("canvas", { width: String(tokens), height: String(tokens) });
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/**
 * Draws a heat map as a square. Its cells have sharp edges unless they are smaller than pixels.
 * @param {CanvasRenderingContext2D} context
 * @param {HTMLCanvasElement} pixels
 * @param {number} left
 * @param {number} top
 * @param {number} size
 */
function drawHeatmap(context, pixels, left, top, size) {
  context.imageSmoothingEnabled = pixels.width > size;
  context.drawImage(pixels, left, top, size, size);
}

/**
 * A small map as a picture beside its head's name.
 * @param {Uint8Array} codes weights in 15ths of the largest
 * @param {number} side
 */
function drawThumbnail(codes, side) {
  const pixels = heatmapPixels(codes, side, 15, colour("--map-low"), colour("--map-high"));
  pixels.className = "thumb";
  pixels.ariaHidden = "true";
  return pixels;
}

/**
 * Index of the first token of the second text; -1 where there is one text.
 * @param {number[]} segments
 */
const secondText = (segments) =>
  segments.findIndex((segment, i) => i > 0 && segment !== segments[i - 1]);
