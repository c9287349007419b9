/* A list's "select all on this page", and an address that is copied. Without script both are simply absent. */
(() => {
  "use strict";
  for (const all of document.querySelectorAll("[data-picks]")) {
    const boxes = () => [...document.querySelectorAll(`input[type=checkbox][name=${all.dataset.picks}]`)];
    all.hidden = false;
    all.parentElement.querySelector("[data-picks-label]").hidden = false;
    all.addEventListener("change", () => boxes().forEach((box) => (box.checked = all.checked)));
    document.addEventListener("change", (event) => {
      if (event.target.name === all.dataset.picks) all.checked = boxes().every((box) => box.checked);
    });
  }
  for (const button of document.querySelectorAll("[data-copies]")) {
    const field = document.getElementById(button.dataset.copies);
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(field.value);
      field.select();
      button.textContent = button.dataset.done;
    });
  }
})();
