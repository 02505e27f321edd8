// @ts-check
// Tables and charts as files to save, CSV and SVG. Needs dom.js, heatmap.js and text.js.

/** The colours of saved files: the light ones, whatever the scheme of the page. */
const PAPER = getComputedStyle(
  document.body.appendChild(element("div", { class: "light", hidden: "" })),
);

/**
 * Text for XML.
 * @param {string} text
 */
const escapeXml = (text) => visible(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/**
 * The opening of an SVG file, with a white ground.
 * @param {number} width
 * @param {number} height
 */
function svgOpening(width, height) {
  const size = `width="${width}" height="${height}"`;
  const font = 'font-family="Liberation Sans, Arial, Helvetica, sans-serif" font-size="10"';
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${width} ${height}" ` +
    `${font} fill="${colour("--text", PAPER)}">` +
    `<rect ${size} fill="${colour("--page", PAPER)}"/>`
  );
}

/**
 * Rows as CSV (RFC 4180). A text that a spreadsheet would run as a formula gets an apostrophe.
 * @param {Row[]} rows
 */
function csv(rows) {
  const columns = Object.keys(rows[0] ?? {});
  /** @param {any} value */
  function cell(value) {
    if (value === null) return "";
    const text = typeof value === "string" ? value.replace(/^[=+\-@\t\r]/, "'$&") : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }
  const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
  return lines.map((line) => line.map(cell).join(",") + "\r\n").join("");
}

/**
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
function download(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const file = name.replace(/[^\w.-]+/g, "_").slice(0, 100);
  element("a", { href: address, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/**
 * Buttons that save something as files.
 * @param {string} what
 * @param {Record<string, () => string>} formats by suffix, what makes the text of the file
 */
function downloadButtons(what, formats) {
  const types = /** @type {Record<string, string>} */ ({
    svg: "image/svg+xml",
    csv: "text/csv",
  });
  const buttons = Object.entries(formats).map(([suffix, text]) => {
    const format = suffix.toUpperCase();
    const attributes = { type: "button", "aria-label": `Save ${what} as ${format}` };
    const button = element("button", attributes, format);
    button.addEventListener("click", () => download(`${what}.${suffix}`, text(), types[suffix]));
    return button;
  });
  return element("span", { class: "savers" }, ...buttons);
}

/**
 * The rows of a table that a chart shows: those with one of the values of each column of `where`.
 * @param {Row[]} rows
 * @param {Record<string, any[]>} where
 */
const rowsShown = (rows, where) =>
  rows.filter((row) =>
    Object.entries(where).every(([column, values]) => values.includes(row[column])),
  );

/**
 * Download buttons beside every chart and table of the templates that has `data-save`.
 * @param {Pick<RunView, "root" | "tables">} view
 */
function mountDownloads({ root, tables }) {
  root.querySelectorAll("[data-save]").forEach((block) => {
    const { name, table, where } = JSON.parse(block.getAttribute("data-save") ?? "");
    const image = block.querySelector("img");
    const formats = /** @type {Record<string, () => string>} */ ({});
    // The chart is the address of its image.
    if (image) formats.svg = () => decodeURIComponent(image.src.replace(/^[^,]*,/, ""));
    if (tables[table]?.length) formats.csv = () => csv(rowsShown(tables[table], where));
    block.querySelector(".saving")?.replaceChildren(downloadButtons(name, formats));
  });
}
