"use strict";
addEventListener("DOMContentLoaded", () => {
  const percent = (share) => `${+(100 * share).toPrecision(3)} %`;
  for (const part of document.querySelectorAll(".coverage")) {
    const { n, rows } = JSON.parse(part.dataset.points);
    const [slider, cursor] = [part.querySelector("input"), part.querySelector(".cursor")];
    const update = () => {
      const [confidence, accepted, wrong, bound, x, y] = rows[slider.value];
      cursor.querySelector("path").setAttribute("transform", `translate(${x} 0)`);
      cursor.querySelector("circle").setAttribute("transform", `translate(${x} ${y})`);
      const shown = Number(confidence.toPrecision(confidence < 0.9 ? 2 : 4));
      slider.setAttribute("aria-valuetext", `confidence ${shown}`);
      part.querySelector(".chosen").textContent =
        `Confidence ${shown} and above: ${accepted} of ${n} texts (${percent(accepted / n)}) are `
        + `accepted, ${wrong} of them with an error (${percent(wrong / accepted)}; upper 95 % bound `
        + `${percent(bound)}). ${n - accepted} are left to a person.`;
    };
    part.querySelector(".slider").hidden = false;
    cursor.removeAttribute("hidden");
    slider.addEventListener("input", update);
    update();
  }
});
