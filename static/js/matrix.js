// The matrix table: arrows move over columns and cells; a cell's token and score stand below the table.
// j, k and Enter come from keys.js (the header row is its list), and e, s, [ and ] are links.
(() => {
  "use strict";

  const table = document.querySelector(".tokens-table");
  const line = document.getElementById("cell");
  if (!table || !line) return;

  const grid = [
    [...table.querySelectorAll("tr[data-list] a")],
    ...[...table.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll("td")]),
  ];

  function describe(cell) {
    const place = grid.findIndex((row) => row.includes(cell));
    if (place < 1) return;
    const column = grid[0][grid[place].indexOf(cell)];
    line.textContent = `${column.textContent}, rank ${place}: ${cell.title}`;
  }

  function placeOf(element) {
    const row = grid.findIndex((cells) => cells.includes(element));
    return row < 0 ? null : [row, grid[row].indexOf(element)];
  }

  function focus(row, column) {
    const target = grid[Math.min(Math.max(row, 0), grid.length - 1)]?.[column];
    if (!target) return;
    if (target.matches("td")) target.tabIndex = -1;
    target.focus();
    target.scrollIntoView({ block: "nearest", inline: "nearest" });
    describe(target);
  }

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  document.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || !window.tealeaves?.keys.isFree(event)) return;
    const here = placeOf(document.activeElement);
    if (!here && event.key !== "ArrowRight") return;
    event.preventDefault();
    const [row, column] = here ?? [0, -1];
    focus(row + step[0], column + step[1]);
  });

  // Enter on a token opens its direction, as it does on the column's head.
  table.addEventListener("keydown", (event) => {
    const here = placeOf(event.target);
    if (event.key === "Enter" && here && here[0] > 0) grid[0][here[1]].click();
  });

  table.addEventListener("mouseover", (event) => {
    const cell = event.target.closest("tbody td");
    if (cell) describe(cell);
  });
})();
