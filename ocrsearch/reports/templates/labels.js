"use strict";
addEventListener("DOMContentLoaded", () => {
  const bar = document.querySelector(".bar");
  if (!bar) return;
  const table = JSON.parse(document.getElementById("table").textContent);
  const corrections = new Map(); // by row: a new label, or null for an image that is left out
  let unsaved = false;
  const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;
  const show = () => {
    const dropped = [...corrections.values()].filter((text) => text === null).length;
    const changed = corrections.size - dropped;
    bar.querySelector("output").textContent = corrections.size === 0 ? "no changes"
      : `${count(changed, "label", "labels")} changed, ${count(dropped, "image", "images")} left out`;
  };
  for (const card of document.querySelectorAll(".card")) {
    const row = Number(card.dataset.row);
    const field = (name) => card.querySelector(`[name=${name}]`);
    const [text, use, drop] = ["text", "use", "drop"].map(field);
    use.addEventListener("input", () => {
      text.value = use.checked ? table.readings[row] : text.defaultValue;
    });
    text.addEventListener("input", () => { use.checked = false; });
    card.addEventListener("input", () => {
      // a field may show other characters than the label has, so an unchanged field says nothing
      const value = use.checked ? table.readings[row] : text.value.trim();
      if (drop.checked || value === "") corrections.set(row, null);
      else if (use.checked || text.value !== text.defaultValue) corrections.set(row, value);
      else corrections.delete(row);
      card.classList.toggle("changed", corrections.has(row));
      unsaved = corrections.size > 0;
      show();
    });
    card.querySelector(".edit").hidden = false;
  }
  const cell = (value) => /[",;\t\r\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const csv = () => {
    const lines = [table.head];
    table.rows.forEach(([image, text, ...others], row) => {
      const correction = corrections.has(row) ? corrections.get(row) : text;
      if (correction !== null) lines.push([image, correction, ...others]);
    });
    return lines.map((line) => line.map(cell).join(",") + "\n").join("");
  };
  bar.querySelector("button").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "labels-corrected.csv";
    link.click();
    URL.revokeObjectURL(link.href);
    unsaved = false;
  });
  addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  bar.addEventListener("submit", (event) => event.preventDefault());
  bar.hidden = false;
});
