// The end of a chat: one to five stars, and a few words.

import { $, icon, make } from "./view.js";

/** `send(rating, comment)` is told what was given; `leave()` that the chat goes on. */
export function survey(words, send, leave) {
  const form = $("#survey");
  $("legend", form).textContent = words.rate;
  $("label[for=comment]", form).textContent = words.comment;
  $(".main", form).textContent = words.rateSend;
  $(".quiet", form).textContent = words.back;
  const [worst, best] = $(".scale", form).children;
  worst.textContent = words.worst;
  best.textContent = words.best;
  $(".stars", form).replaceChildren(...[1, 2, 3, 4, 5].map((n) => star(n, words)));
  const problem = $(".problem", form);
  const fail = (text) => { problem.textContent = text; problem.hidden = false; };
  form.addEventListener("change", () => { problem.hidden = true; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = $("input:checked", form);
    if (!chosen) {
      fail(words.choose);
      $("input", form).focus();
      return;
    }
    problem.hidden = true;
    $(".main", form).disabled = true;
    try {
      await send(Number(chosen.value), form.comment.value.trim());
    } catch {
      fail(words.failed);
    } finally {
      $(".main", form).disabled = false;
    }
  });
  $(".quiet", form).addEventListener("click", leave);
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); leave(); } });
  return {
    open() {
      form.reset();
      problem.hidden = true;
      form.hidden = false;
      $("legend", form).focus();
    },
    close() { form.hidden = true; },
  };
}

function star(n, words) {
  const input = make("input", { type: "radio", name: "rating", value: String(n), className: "unseen", "aria-label": words.star(n) });
  return make("label", { className: "star", title: words.star(n) }, input, icon("star"));
}
