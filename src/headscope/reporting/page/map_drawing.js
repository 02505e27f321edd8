// @ts-check
// Draws a map on a canvas: as a matrix, or as lines from token to token. Either is drawn once on a
// background; pointing copies that and draws only what changes, so that 128 tokens do not stutter.
// Needs heatmap.js and text.js.

const FONT = 'system-ui, "Liberation Sans", Arial, sans-serif';
/** Most characters and pixels of a token's name beside a map. */
const [NAME_LENGTH, NAME_WIDTH] = [14, 110];
/** Least and most pixels of a matrix's cell. */
const [MIN_CELL_SIZE, MAX_CELL_SIZE] = [6, 26];
/** Pixels of the title of an axis. */
const AXIS_TITLE = 16;
/** In smaller cells only every other token has its name. */
const NAMED_CELL_SIZE = 9;
/** Weights below this share of the largest have no line. */
const FAINTEST_LINE = 0.03;

/** @typedef {CanvasRenderingContext2D} Context */
/** @typedef {(query: number, key: number) => void} HighlightFunction of a query and a key, or -1 */

/**
 * Sizes a canvas in CSS pixels; its context draws in them at the resolution of the screen.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
function sizedContext(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const context = /** @type {Context} */ (canvas.getContext("2d"));
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.textBaseline = "middle";
  return context;
}

/**
 * Names that fit beside a map, and the width of the longest at 12 pixels.
 * @param {Units} units
 */
function fittedNames({ names }) {
  const context = /** @type {Context} */ (document.createElement("canvas").getContext("2d"));
  context.font = `bold 12px ${FONT}`;
  const texts = names.map((name) => shorten(visible(name), NAME_LENGTH));
  const widest = Math.max(...texts.map((text) => context.measureText(text).width));
  return { texts, width: Math.ceil(Math.min(NAME_WIDTH, widest)) };
}

/**
 * Calls back with where the pointer is, at most once a frame.
 * @param {HTMLCanvasElement} canvas
 * @param {(x: number, y: number) => void} callback
 */
function onPointer(canvas, callback) {
  let [isScheduled, x, y] = [false, 0, 0];
  /** @param {PointerEvent} event */
  function follow(event) {
    const box = canvas.getBoundingClientRect();
    [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(() => {
      isScheduled = false;
      callback(x, y);
    });
  }
  canvas.addEventListener("pointermove", follow);
  canvas.addEventListener("pointerdown", follow);
}

/**
 * Draws a map as a matrix, queries down and keys across.
 * @param {HTMLCanvasElement} canvas in the document, so that its room is known
 * @param {Float32Array} map
 * @param {Units} units
 * @param {number} maximum the weight of the darkest cell
 * @param {(query: number, key: number) => void} onPoint
 * @returns {HighlightFunction}
 */
function drawMatrix(canvas, map, units, maximum, onPoint) {
  const size = units.names.length;
  const { texts, width } = fittedNames(units);
  const margin = 8 + width + AXIS_TITLE;
  const space = (canvas.parentElement?.clientWidth ?? 600) - margin - 2;
  const cell = clamp(Math.floor(space / size), MIN_CELL_SIZE, MAX_CELL_SIZE);
  const span = size * cell;
  const side = margin + span + 1;
  const fontSize = clamp(cell, 9, 12);
  const background = document.createElement("canvas");
  const front = sizedContext(canvas, side, side);
  const back = sizedContext(background, side, side);
  const [text, special, page, accent] = ["--text", "--special", "--page", "--loss"].map((name) =>
    colour(name),
  );

  /**
   * Writes the name of a token beside its row, or turned above its column.
   * @param {Context} context
   * @param {number} i
   * @param {boolean} above
   * @param {boolean} bold
   */
  function writeName(context, i, above, bold) {
    const middle = margin + (i + 0.5) * cell;
    context.save();
    if (above) {
      context.translate(middle, margin - 4);
      context.rotate(-Math.PI / 2);
    } else context.translate(margin - 4, middle);
    context.font = bold ? `bold ${Math.max(11, fontSize)}px ${FONT}` : `${fontSize}px ${FONT}`;
    if (bold) {
      // Covers the neighbours' names, which are closer than a bold one is high.
      context.fillStyle = page;
      context.fillRect(above ? 0 : -width - 4, -fontSize * 0.7, width + 4, fontSize * 1.4);
    }
    context.fillStyle = units.special[i] ? special : text;
    context.textAlign = above ? "left" : "right";
    context.fillText(texts[i], 0, 0, width + 3);
    context.restore();
  }

  /**
   * Draws lines across the matrix before tokens.
   * @param {number[]} tokens
   * @param {number} strength
   */
  function drawBorders(tokens, strength) {
    back.globalAlpha = strength;
    for (const i of tokens) {
      back.strokeRect(margin + i * cell - 0.5, margin, 0, span);
      back.strokeRect(margin, margin + i * cell - 0.5, span, 0);
    }
    back.globalAlpha = 1;
  }

  const [low, high] = [colour("--map-low"), colour("--map-high")];
  drawHeatmap(back, heatmapPixels(map, size, maximum, low, high), margin, margin, span);
  back.strokeStyle = colour("--soft");
  back.lineWidth = 1;
  back.strokeRect(margin - 0.5, margin - 0.5, span + 1, span + 1);
  const tokens = [...units.names.keys()];
  const afterFirst = tokens.slice(1);
  drawBorders(
    afterFirst.filter((i) => units.special[i] || units.special[i - 1]),
    0.3,
  );
  drawBorders(
    [secondText(units.segments)].filter((i) => i > 0),
    1,
  );
  const step = cell < NAMED_CELL_SIZE ? 2 : 1;
  for (const i of tokens.filter((token) => token % step === 0)) {
    writeName(back, i, false, false);
    writeName(back, i, true, false);
  }

  writeAxisTitles(back, margin, colour("--soft"));

  onPointer(canvas, (x, y) => {
    // Beside the matrix, on the names, one of the two is -1.
    const [query, key] = [y, x].map((offset) => Math.floor((offset - margin) / cell));
    if ((query < 0 && key < 0) || query >= size || key >= size) return;
    onPoint(Math.max(query, -1), Math.max(key, -1));
  });
  return (query, key) => {
    front.clearRect(0, 0, side, side);
    front.drawImage(background, 0, 0, side, side);
    front.strokeStyle = accent;
    front.lineWidth = 2;
    if (query >= 0) front.strokeRect(margin, margin + query * cell, span, cell);
    if (key >= 0) front.strokeRect(margin + key * cell, margin, cell, span);
    if (query >= 0) writeName(front, query, false, true);
    if (key >= 0) writeName(front, key, true, true);
  };
}

/**
 * Says along the axes of a matrix which tokens attend and which are attended to.
 * @param {Context} context
 * @param {number} margin
 * @param {string} fill
 */
function writeAxisTitles(context, margin, fill) {
  context.save();
  context.font = `11px ${FONT}`;
  context.fillStyle = fill;
  context.textAlign = "left";
  context.fillText("key: attended to →", margin, 7);
  context.translate(7, margin);
  context.rotate(-Math.PI / 2);
  context.textAlign = "right";
  context.fillText("← query: attends", 0, 0);
  context.restore();
}

/**
 * Draws a map as lines from the tokens that attend, left, to those attended to, right.
 * @param {HTMLCanvasElement} canvas in the document, so that its room is known
 * @param {Float32Array} map
 * @param {Units} units
 * @param {number} maximum the weight of the strongest line
 * @param {(query: number, key: number) => void} onPoint
 * @returns {HighlightFunction}
 */
function drawLines(canvas, map, units, maximum, onPoint) {
  const size = units.names.length;
  const { texts, width: textWidth } = fittedNames(units);
  const lineHeight = size > 80 ? 13 : size > 40 ? 15 : 18;
  const width = clamp((canvas.parentElement?.clientWidth ?? 400) - 2, 260, 420);
  const height = size * lineHeight + 8;
  const [left, right] = [textWidth + 10, width - textWidth - 10];
  const background = document.createElement("canvas");
  const front = sizedContext(canvas, width, height);
  const back = sizedContext(background, width, height);
  const [text, special, line] = ["--text", "--special", "--map-high"].map((name) => colour(name));
  const middle = (/** @type {number} */ i) => 4 + (i + 0.5) * lineHeight;

  /** @param {Context} context @param {number} query @param {number} key @param {number} strength */
  function connect(context, query, key, strength) {
    const share = map[query * size + key] / maximum;
    if (share < FAINTEST_LINE) return;
    context.globalAlpha = strength * Math.min(1, share ** 0.7);
    context.lineWidth = 0.7 + 2 * share;
    context.beginPath();
    context.moveTo(left, middle(query));
    context.lineTo(right, middle(key));
    context.stroke();
  }

  /** @param {Context} context @param {number} i @param {boolean} isKey @param {boolean} bold */
  function writeName(context, i, isKey, bold) {
    context.globalAlpha = 1;
    context.font = `${bold ? "bold " : ""}${Math.min(12, lineHeight - 2)}px ${FONT}`;
    context.fillStyle = units.special[i] && !bold ? special : text;
    context.textAlign = isKey ? "left" : "right";
    context.fillText(texts[i], isKey ? right + 5 : left - 5, middle(i), textWidth + 4);
  }

  back.strokeStyle = line;
  for (let query = 0; query < size; query++)
    for (let key = 0; key < size; key++) connect(back, query, key, 0.8);
  for (let i = 0; i < size; i++) {
    writeName(back, i, false, false);
    writeName(back, i, true, false);
  }

  onPointer(canvas, (x, y) => {
    const token = clamp(Math.floor((y - 4) / lineHeight), 0, size - 1);
    if (x < width / 2) onPoint(token, -1);
    else onPoint(-1, token);
  });
  return (query, key) => {
    front.globalAlpha = 1;
    front.clearRect(0, 0, width, height);
    const isAll = query < 0 && key < 0;
    front.globalAlpha = isAll ? 1 : 0.12;
    front.drawImage(background, 0, 0, width, height);
    if (isAll) return;
    front.strokeStyle = line;
    for (let i = 0; i < size; i++) {
      if (query >= 0) connect(front, query, i, 1);
      else connect(front, i, key, 1);
    }
    // Bold: the selected query and key, and the other ends of the strong lines.
    for (let i = 0; i < size; i++) {
      const weight = query >= 0 ? map[query * size + i] : map[i * size + key];
      const isStrong = weight > 0.1 * maximum;
      writeName(front, i, false, query < 0 ? isStrong : i === query);
      writeName(front, i, true, i === key || (query >= 0 && isStrong));
    }
  };
}
