/* A slider over the options of a select, which works without it: <div data-slides="(the select's id)" hidden><input type="range">.
   While it is dragged the select shows where it is; let go, the select's form is sent. */
(() => {
  "use strict";
  function start(box) {
    const slider = box.querySelector("input[type=range]");
    const select = document.getElementById(box.dataset.slides);
    const say = () => slider.setAttribute("aria-valuetext", select.options[select.selectedIndex].text);
    const follow = () => {
      slider.value = String(select.selectedIndex);
      say();
    };
    box.hidden = false;
    follow();
    slider.addEventListener("input", () => {
      select.selectedIndex = Number(slider.value);
      say();
    });
    slider.addEventListener("change", () => select.form.requestSubmit());
    select.addEventListener("change", follow);
  }

  function find(root) {
    const boxes = [root, ...root.querySelectorAll("[data-slides][hidden]")];
    for (const box of boxes) if (box.matches?.("[data-slides][hidden]")) start(box);
  }

  find(document);
  document.addEventListener("htmx:load", (event) => find(event.detail.elt));
})();
