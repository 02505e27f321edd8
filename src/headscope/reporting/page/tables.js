// @ts-check
// The charts and the long tables: sorted by a click, saved as CSV and SVG.

/** @param {Room} room */
function sortable({ find, root, tables }) {
  if (!find(".sets tbody")) return;
  const body = find(".sets tbody");
  const lines = [...body.rows].map((line, i) => ({ line, row: tables.disabled[i] }));
  const order = new Intl.Collator("en", { numeric: true });
  const compare = (/** @type {any} */ a, /** @type {any} */ b) => (typeof a === "number" ? a - b : order.compare(a, b));
  root.querySelectorAll(".sets th").forEach((header, _, headers) => header.firstElementChild?.addEventListener("click", () => {
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

/** The rows of a table that a chart shows: every column of `where` has one of its values. @param {Row[]} rows @param {Record<string, any[]>} where */
const chosenRows = (rows, where) => rows.filter((row) => Object.entries(where).every(([column, values]) => values.includes(row[column])));

/** Buttons beside every chart and every table that has a name. @param {Pick<Room, "root" | "tables">} room */
function charts({ root, tables }) {
  root.querySelectorAll("[data-save]").forEach((part) => {
    const { name, table: from, where } = JSON.parse(part.getAttribute("data-save") ?? "");
    const image = /** @type {HTMLImageElement | null} */ (part.querySelector("img"));
    const picture = () => decodeURIComponent(image?.src.replace(/^[^,]*,/, "") ?? "");
    const kinds = /** @type {Record<string, () => string>} */ (image ? { svg: picture } : {});
    if (tables[from]?.length) kinds.csv = () => csv(chosenRows(tables[from], where));
    part.querySelector(".saving")?.replaceChildren(savers(name, kinds));
  });
}
