"use strict";
addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value;
      const compare = (a, b) => {
        if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
        const difference = isNaN(key(a)) ? key(a).localeCompare(key(b)) : key(a) - key(b);
        return ascending ? difference : -difference;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    }));
  }
  for (const form of document.querySelectorAll(".filters")) {
    const cards = [...document.getElementById(form.dataset.of).children];
    const chosen = (name) => form.querySelector(`[name=${name}]`)?.value ?? "";
    const update = () => {
      const [pair, group, length] = ["pair", "group", "length"].map(chosen);
      let shown = 0;
      for (const card of cards) {
        card.hidden = !((pair === "" || JSON.parse(card.dataset.pairs).includes(pair))
          && (group === "" || card.dataset.group === group)
          && (length === "" || card.dataset.length === length));
        shown += !card.hidden;
      }
      form.querySelector("output").textContent = `${shown} of ${cards.length} images`;
    };
    form.hidden = false;
    form.addEventListener("change", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    update();
  }
});
