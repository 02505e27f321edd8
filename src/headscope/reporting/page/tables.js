// @ts-check
// Sorts the table of disabled sets by the column whose heading is clicked.

/** @param {RunView} view */
function mountSortableTable({ find, root, tables }) {
  const body = find(".sets tbody");
  if (!body) return;
  // The template writes a line per row of the table, in its order.
  const lines = [...body.rows].map((line, i) => ({ line, row: tables.disabled[i] }));
  const collator = new Intl.Collator("en", { numeric: true });
  const compare = (/** @type {any} */ a, /** @type {any} */ b) =>
    typeof a === "number" ? a - b : collator.compare(a, b);

  const headers = root.querySelectorAll(".sets th");
  /** @param {Element} header */
  function sortBy(header) {
    const column = header.getAttribute("data-column") ?? "";
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
    // Rows without a value come last in either direction.
    const filled = lines.filter(({ row }) => row[column] !== null);
    const empty = lines.filter(({ row }) => row[column] === null);
    filled.sort((a, b) => sign * compare(a.row[column], b.row[column]));
    body.append(...[...filled, ...empty].map(({ line }) => line));
  }
  headers.forEach((header) =>
    header.firstElementChild?.addEventListener("click", () => sortBy(header)),
  );
  find(".sets th[data-column=delta] button").click();
}
