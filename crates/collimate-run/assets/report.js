"use strict";
// Every table with two rows or more sorts by the column whose head is clicked.
const key = (cell) => {
  const text = cell ? cell.textContent.trim() : "";
  const number = text.replace(/[\s\u2009\u202f]/g, "").replace("\u2212", "-").match(/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?/i);
  return { text, number: number ? Number(number[0]) : NaN };
};
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 2) continue;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => ({ row, key: key(row.cells[column]) }));
      const sign = down ? -1 : 1;
      rows.sort((a, b) => {
        const [x, y] = [a.key, b.key];
        if (Number.isNaN(x.number) !== Number.isNaN(y.number)) return Number.isNaN(x.number) ? 1 : -1;
        const order = Number.isNaN(x.number) ? x.text.localeCompare(y.text) : x.number - y.number;
        return sign * order;
      });
      body.append(...rows.map((item) => item.row));
    });
  });
}
