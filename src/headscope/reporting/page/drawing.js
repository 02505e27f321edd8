// @ts-check
// The two pictures of a map, on a canvas: a matrix, and lines from token to token. What stays is painted once; pointing
// copies it and draws the few things that move, so that 128 tokens do not stutter.

const FONT = 'system-ui, "Liberation Sans", Arial, sans-serif';

/** A canvas of a size in CSS pixels, with its pen. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function sized(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.textBaseline = "middle";
  return pen;
}

/** Names short enough, and the width of the longest at 12 pixels. @param {Units} units @param {number} most */
function labelled({ names }, most) {
  const pen = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  pen.font = `bold 12px ${FONT}`;
  const texts = names.map((name) => short(visible(name), 14));
  return { texts, width: Math.ceil(Math.min(most, Math.max(...texts.map((text) => pen.measureText(text).width)))) };
}

/** @param {HTMLCanvasElement} canvas @param {(x: number, y: number) => void} act */
function pointed(canvas, act) {
  let [waiting, x, y] = [false, 0, 0];
  for (const kind of /** @type {const} */ (["pointermove", "pointerdown"])) canvas.addEventListener(kind, (event) => {
    const box = canvas.getBoundingClientRect();
    [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { // once a frame, however many events come
      waiting = false;
      act(x, y);
    });
  });
}

/** Makes a canvas ready for one map as a matrix. @param {Shown} one @param {Units} units @param {number} most
 * @param {(query: number, key: number) => void} point */
function matrixView(one, units, most, point) {
  const { canvas, map } = one;
  const n = units.names.length;
  const { texts, width } = labelled(units, 110);
  const margin = 8 + width;
  const cell = clamp(Math.floor(((canvas.parentElement?.clientWidth ?? 600) - margin - 2) / n), 6, 26);
  const [span, size, step] = [n * cell, margin + n * cell + 1, cell < 9 ? 2 : 1]; // where it is tight every other token is named
  const shape = Math.min(12, Math.max(9, cell));
  const base = document.createElement("canvas");
  const [pen, still] = [sized(canvas, size, size), sized(base, size, size)];

  const [low, high] = ["--map-low", "--map-high"].map((name) => channels(colour(name)));
  const image = new ImageData(n, n);
  map.forEach((weight, i) => {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = low[c] + ((high[c] - low[c]) * weight) / most;
    image.data[4 * i + 3] = 255;
  });
  const pixels = make("canvas", { width: String(n), height: String(n) });
  pixels.getContext("2d")?.putImageData(image, 0, 0);
  still.imageSmoothingEnabled = false;
  still.drawImage(pixels, margin, margin, span, span);
  Object.assign(still, { strokeStyle: colour("--soft"), lineWidth: 1 });
  still.strokeRect(margin - 0.5, margin - 0.5, span + 1, span + 1);
  const places = Array.from({ length: n }, (_, i) => i).slice(1);
  const edges = places.filter((i) => units.special[i] || units.special[i - 1]);
  const second = places.filter((i) => units.segments[i] !== units.segments[i - 1]).slice(0, 1);
  for (const [lines, strength] of /** @type {[number[], number][]} */ ([[edges, 0.3], [second, 1]])) {
    still.globalAlpha = strength;
    for (const i of lines) still.strokeRect(margin + i * cell - 0.5, margin, 0, span);
    for (const i of lines) still.strokeRect(margin, margin + i * cell - 0.5, span, 0);
  }
  still.globalAlpha = 1;
  const [ink, marked, page, accent] = ["--text", "--special", "--page", "--loss"].map(colour);
  const write = (/** @type {CanvasRenderingContext2D} */ on, /** @type {number} */ i, /** @type {boolean} */ down, /** @type {boolean} */ bold) => {
    const middle = margin + (i + 0.5) * cell;
    on.save();
    on.translate(...(down ? /** @type {const} */ ([middle, margin - 4]) : /** @type {const} */ ([margin - 4, middle])));
    if (down) on.rotate(-Math.PI / 2);
    on.font = `${bold ? "bold " : ""}${bold ? Math.max(11, shape) : shape}px ${FONT}`;
    if (bold) {
      on.fillStyle = page;
      on.fillRect(down ? 0 : 4 - margin, -shape * 0.7, margin - 4, shape * 1.4);
    }
    Object.assign(on, { fillStyle: units.special[i] ? marked : ink, textAlign: down ? "left" : "right" });
    on.fillText(texts[i], 0, 0, margin - 5);
    on.restore();
  };
  for (let i = 0; i < n; i += step) [false, true].forEach((down) => write(still, i, down, false));

  one.draw = (query, key) => {
    pen.clearRect(0, 0, size, size);
    pen.drawImage(base, 0, 0, size, size);
    Object.assign(pen, { strokeStyle: accent, lineWidth: 2 });
    if (query >= 0) pen.strokeRect(margin, margin + query * cell, span, cell);
    if (key >= 0) pen.strokeRect(margin + key * cell, margin, cell, span);
    if (query >= 0) write(pen, query, false, true);
    if (key >= 0) write(pen, key, true, true);
  };
  pointed(canvas, (x, y) => {
    const [q, k] = [y, x].map((v) => Math.floor((v - margin) / cell));
    if ((q >= 0 || k >= 0) && q < n && k < n) point(Math.max(q, -1), Math.max(k, -1));
  });
}

/** Makes a canvas ready for one map as lines from the tokens that attend to those attended to. @param {Shown} one
 * @param {Units} units @param {number} most @param {(query: number, key: number) => void} point */
function lineView(one, units, most, point) {
  const { canvas, map } = one;
  const n = units.names.length;
  const { texts, width: text } = labelled(units, 110);
  const height = n > 80 ? 13 : n > 40 ? 15 : 18;
  const width = clamp((canvas.parentElement?.clientWidth ?? 400) - 2, 260, 420);
  const [left, right, whole] = [text + 10, width - text - 10, n * height + 8];
  const base = document.createElement("canvas");
  const [pen, still] = [sized(canvas, width, whole), sized(base, width, whole)];
  const [ink, marked, line, accent] = ["--text", "--special", "--map-high", "--loss"].map(colour);
  const middle = (/** @type {number} */ i) => 4 + (i + 0.5) * height;

  const connect = (/** @type {CanvasRenderingContext2D} */ on, /** @type {number} */ q, /** @type {number} */ k, /** @type {number} */ strength) => {
    const share = map[q * n + k] / most;
    if (share < 0.03) return;
    on.globalAlpha = strength * Math.min(1, share ** 0.7);
    on.lineWidth = 0.7 + 2 * share;
    on.beginPath();
    on.moveTo(left, middle(q));
    on.lineTo(right, middle(k));
    on.stroke();
  };
  const write = (/** @type {CanvasRenderingContext2D} */ on, /** @type {number} */ i, /** @type {boolean} */ to, /** @type {boolean} */ bold) => {
    on.globalAlpha = 1;
    on.font = `${bold ? "bold " : ""}${Math.min(12, height - 2)}px ${FONT}`;
    Object.assign(on, { fillStyle: bold ? accent : units.special[i] ? marked : ink, textAlign: to ? "left" : "right" });
    if (bold) on.fillStyle = ink;
    on.fillText(texts[i], to ? right + 5 : left - 5, middle(i), text + 4);
  };
  still.strokeStyle = line;
  for (let q = 0; q < n; q++) for (let k = 0; k < n; k++) connect(still, q, k, 0.8);
  for (let i = 0; i < n; i++) [false, true].forEach((to) => write(still, i, to, false));

  one.draw = (query, key) => {
    pen.globalAlpha = 1;
    pen.clearRect(0, 0, width, whole);
    if (query < 0 && key < 0) {
      pen.drawImage(base, 0, 0, width, whole);
      return;
    }
    pen.globalAlpha = 0.12;
    pen.drawImage(base, 0, 0, width, whole);
    pen.strokeStyle = line;
    for (let i = 0; i < n; i++) {
      if (query >= 0) connect(pen, query, i, 1);
      else connect(pen, i, key, 1);
    }
    const last = map.subarray(Math.max(query, 0) * n);
    for (let i = 0; i < n; i++) {
      const there = query >= 0 ? last[i] : map[i * n + key];
      write(pen, i, false, query < 0 ? there > 0.1 * most : i === query);
      write(pen, i, true, query < 0 ? i === key : there > 0.1 * most || i === key);
    }
  };
  pointed(canvas, (x, y) => {
    const i = clamp(Math.floor((y - 4) / height), 0, n - 1);
    point(x < width / 2 ? i : -1, x < width / 2 ? -1 : i);
  });
}
