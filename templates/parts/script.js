"use strict";
/* Sorts a table by a column; a second press turns the order, gaps stay last. */
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = head.classList.contains("num");
      const key = (row) => {
        const cell = row.cells[column];
        const text = cell.dataset.key ?? cell.textContent.trim();
        if (!numeric && cell.dataset.key === undefined) return text;
        const number = Number.parseFloat(text.replaceAll(",", ""));
        return Number.isNaN(number) ? null : number;
      };
      /* A note stays below the row that it is about. */
      const notes = (row) => {
        const next = row.nextElementSibling;
        return next?.classList.contains("note") ? [row, next] : [row];
      };
      const rows = [...table.tBodies[0].rows]
        .filter((row) => !row.classList.contains("note"))
        .map((row) => [key(row), notes(row)]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows.flatMap(([, row]) => row));
      table.classList.add("sorted");
    });
  });
}
