// The annotation page: shows one map after the other, takes a key per class. The server keeps everything.
'use strict';

const byId = (id) => document.getElementById(id);
const start = JSON.parse(byId('start').textContent);
const TOP = 60; // Pixels above the matrix for bars and marks, and
const LEFT = 14; // left of it for marks.
const PASSES = { 1: 'first pass', 2: 'second pass', 3: 'settling differences' };
let who = null;
let shown = null;
let busy = false;

const get = (path, query) => send(`${path}?${new URLSearchParams({ ...who, ...query })}`, { method: 'GET' });
const post = (path, body) => send(path, { method: 'POST', body: JSON.stringify({ ...who, ...body }) });

async function send(path, request) {
  const answer = await fetch(path, { ...request, headers: { 'X-Token': start.token } }).catch(() => {
    throw new Error('headscope annotate does not answer: is it still running?');
  });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

/** Runs one exchange at a time: a key pressed while a label is on its way must not label the next map. */
async function exchange(action) {
  if (busy) return;
  busy = true;
  try {
    await action();
    byId('error').hidden = true;
  } catch (problem) {
    byId('error').textContent = `Not done: ${problem.message}`;
    byId('error').hidden = false;
  } finally {
    busy = false;
  }
}

async function show(state) {
  byId('progress').textContent = `${state.done} of ${state.total} labelled by ${who.annotator}, ${PASSES[who.round]}`;
  byId('bar').max = Math.max(state.total, 1);
  byId('bar').value = state.done;
  byId('work').hidden = state.next === null;
  byId('finished').hidden = state.next !== null;
  shown = null;
  if (state.next === null) return;
  if (!byId('choices').children.length) state.classes.forEach(addChoice);
  const map = await get('/map', { index: state.next });
  const settle = map.labels.length ? ` Labelled ${map.labels.join(' and ')}.` : '';
  byId('about').textContent = `${map.pair ? 'A pair of texts' : 'One text'}, ${map.tokens} tokens.${settle}`;
  byId('note-line').hidden = who.round !== 3;
  byId('note').value = '';
  draw(byId('linear'), map, (x) => x);
  draw(byId('root'), map, Math.sqrt);
  shown = map;
}

function addChoice(name, index) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = `${index + 1} ${name}`;
  button.addEventListener('click', () => label(name));
  byId('choices').append(button);
}

function label(name) {
  if (!shown) return;
  const note = who.round === 3 ? byId('note').value : '';
  exchange(async () => show(await post('/label', { index: shown.index, label: name, note })));
}

function undo() {
  exchange(async () => show(await post('/undo')));
}

/** One matrix with its marks: [CLS] and [SEP] red, the border between texts dashed, column shares as bars. */
function draw(canvas, map, scale) {
  const bytes = Uint8Array.from(atob(map.map), (c) => c.charCodeAt(0));
  const n = map.tokens;
  const weights = Float32Array.from(bytes, (b) => (b / 255) ** 2);
  const most = weights.reduce((a, b) => Math.max(a, b), 1e-6);
  const matrix = new OffscreenCanvas(n, n);
  const pixels = new ImageData(n, n);
  weights.forEach((w, i) => {
    const grey = 255 * (1 - scale(w / most));
    pixels.data.set([grey, grey, grey, 255], 4 * i);
  });
  matrix.getContext('2d').putImageData(pixels, 0, 0);
  const context = canvas.getContext('2d');
  const size = canvas.width - LEFT;
  const cell = size / n;
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = n > size;
  context.drawImage(matrix, LEFT, TOP, size, size);
  context.fillStyle = '#d22020';
  map.special.forEach((special, i) => {
    if (!special) return;
    context.fillRect(LEFT + i * cell, TOP - 8, cell, 5);
    context.fillRect(LEFT - 8, TOP + i * cell, 5, cell);
  });
  const total = weights.reduce((a, b) => a + b, 0);
  const height = TOP - 14;
  context.fillStyle = '#ccc';
  for (const share of [0.25, 0.5]) context.fillRect(LEFT, TOP - 10 - share * height, size, 1);
  context.fillStyle = '#555';
  for (let column = 0; column < n; column += 1) {
    let mass = 0;
    for (let row = 0; row < n; row += 1) mass += weights[row * n + column];
    const bar = (mass / total) * height;
    context.fillRect(LEFT + column * cell, TOP - 10 - bar, Math.max(cell - 0.5, 0.5), bar);
  }
  const border = map.segments.indexOf(1);
  if (border > 0) {
    const at = border * cell;
    context.strokeStyle = '#2a6fe0';
    context.setLineDash([4, 5]);
    context.beginPath();
    context.moveTo(LEFT + at, TOP);
    context.lineTo(LEFT + at, canvas.height);
    context.moveTo(LEFT, TOP + at);
    context.lineTo(canvas.width, TOP + at);
    context.stroke();
    context.setLineDash([]);
  }
}

function row(cells, kind) {
  const line = document.createElement('tr');
  for (const text of cells) {
    const cell = document.createElement(kind);
    cell.textContent = text;
    line.append(cell);
  }
  return line;
}

async function showAgreement() {
  const found = await get('/agreement');
  const box = byId('agreement');
  box.replaceChildren();
  if (!found.length) {
    box.textContent = 'No map has been labelled in two passes yet.';
    return;
  }
  const table = document.createElement('table');
  table.append(row(['passes', 'maps', 'agreement', "Cohen's kappa (95%)", 'where they differ'], 'th'));
  for (const one of found) {
    const differing = one.differing.map(([a, b, n]) => `${a} / ${b}: ${n}`).join('; ');
    const kappa = `${one.kappa.toFixed(2)} (${one.low.toFixed(2)} to ${one.high.toFixed(2)})`;
    table.append(row([`${one.first} and ${one.second}`, one.n, `${(100 * one.raw).toFixed(1)}%`, kappa, differing], 'td'));
  }
  box.append(table);
}

function begin() {
  const { annotator, round } = byId('who').elements;
  exchange(async () => {
    // Not while a label is on its way: its next map belongs to the pass that was.
    who = { annotator: annotator.value.trim(), round: Number(round.value) };
    shown = null;
    byId('work').hidden = true;
    await show(await get('/state'));
  });
}

byId('who').elements.annotator.value = start.annotator;
byId('who').elements.round.value = String(start.round);
byId('who').addEventListener('submit', (event) => {
  event.preventDefault();
  document.activeElement.blur(); // A key is a label from now on, not a letter of the name.
  begin();
});
byId('who').addEventListener('change', begin);
byId('undo').addEventListener('click', undo);
byId('show-agreement').addEventListener('click', () => exchange(showAgreement));
document.addEventListener('keydown', (event) => {
  if (event.target.matches('input') || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.repeat) return; // A key held down is one label.
  const choice = shown && byId('choices').children[Number(event.key) - 1];
  if (choice) choice.click();
  else if (event.key === 'Backspace' || event.key === 'u') undo();
  else return;
  event.preventDefault();
});
begin();
