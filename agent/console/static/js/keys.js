/* Keyboard shortcuts, declared by what they press: <a href="…" data-key="j">, <button data-key="g d"> (one after the
   other), told by its text or data-key-label. `?` lists those of the page. Ignored while somebody types, and off
   altogether where they were switched off (WCAG 2.1.4). */
(() => {
  "use strict";
  const SWITCH = "rejoinder.keys";
  const PATIENCE = 1200; // ms between the keys of a sequence
  const dialog = document.getElementById("keys");
  let pressed = "";
  let last = 0;

  const isOn = () => localStorage.getItem(SWITCH) !== "off";
  const seen = (element) => element.checkVisibility({ visibilityProperty: true });
  const keyed = () => [...document.querySelectorAll("[data-key]")].filter((e) => seen(e) && !e.disabled);
  const label = (e) => e.dataset.keyLabel || e.getAttribute("aria-label") || e.textContent.trim().replace(/\s+/g, " ");

  function types(target) {
    return target.isContentEditable || (target.matches("input, textarea, select") && !target.matches("[type=checkbox], [type=radio]"));
  }

  function press(element) {
    if (element.dataset.opens) open();
    else if (element.matches("input, select, textarea")) element.focus();
    else element.click();
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.open || types(event.target)) return;
    if (event.key.length > 1 || event.key === " " || !isOn()) return;
    const sequence = event.timeStamp - last < PATIENCE && pressed ? `${pressed} ${event.key}` : event.key;
    const elements = keyed();
    const found = elements.find((e) => e.dataset.key === sequence) || elements.find((e) => e.dataset.key === event.key);
    pressed = found ? "" : event.key;
    last = event.timeStamp;
    if (!found) return;
    event.preventDefault();
    press(found);
  }

  function list() {
    const rows = dialog.querySelector("dl");
    const told = new Map();
    for (const element of keyed()) if (!told.has(element.dataset.key)) told.set(element.dataset.key, label(element));
    rows.replaceChildren(
      ...[...told].flatMap(([keys, words]) => {
        const name = document.createElement("dt");
        keys.split(" ").forEach((key, i) => {
          const shown = document.createElement("kbd");
          shown.textContent = key;
          name.append(...(i ? [` ${rows.dataset.then} `] : []), shown);
        });
        const meaning = document.createElement("dd");
        meaning.textContent = words;
        return [name, meaning];
      }),
    );
  }

  function open() {
    list();
    dialog.querySelector("#keys-on").checked = isOn();
    dialog.showModal();
  }

  for (const button of document.querySelectorAll("[data-opens=keys]")) {
    button.hidden = false;
    button.addEventListener("click", open);
  }
  dialog.querySelector("#keys-on").addEventListener("change", (event) => {
    localStorage.setItem(SWITCH, event.target.checked ? "on" : "off");
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.addEventListener("keydown", onKey);
})();
