// @ts-check
// Unpacks what payload.py packs: tables by column, and deflated arrays of small whole numbers.

/**
 * The rows of a table that is packed by column: as values, as codes of words, or as one value.
 * @param {any} packed undefined where the run has no such table
 * @returns {Row[]}
 */
function unpackTable(packed) {
  if (!packed) return [];
  const { height, columns } = packed;
  /** @param {any} column @returns {any[]} */
  function values(column) {
    if (Array.isArray(column)) return column;
    if ("same" in column) return Array(height).fill(column.same);
    return column.codes.map((/** @type {number} */ code) => column.words[code] ?? null);
  }
  const unpacked = Object.entries(columns).map(([name, column]) => ({
    name,
    values: values(column),
  }));
  return Array.from({ length: height }, (_, i) =>
    Object.fromEntries(unpacked.map(({ name, values }) => [name, values[i]])),
  );
}

/**
 * The bytes of a deflated array.
 * @param {string} base64
 */
async function inflate(base64) {
  const deflated = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Codes from 0 to 15, of which each byte holds two, the first in its lower half.
 * @param {Uint8Array} bytes
 * @param {number} size number of codes
 */
function unpackHalfBytes(bytes, size) {
  const codes = new Uint8Array(size);
  for (let i = 0; i < size; i++) codes[i] = i % 2 ? bytes[i >> 1] >> 4 : bytes[i >> 1] & 15;
  return codes;
}
