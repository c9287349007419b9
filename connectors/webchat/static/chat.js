// The chat page: puts together the server's events, the visitor's doings and what is seen.

import { Api, newId, Refusal, storage } from "./api.js";
import { accent } from "./colour.js";
import { survey } from "./survey.js";
import { $, choices, make, message, thumbs } from "./view.js";
import { languageOf, wordsIn } from "./words.js";

const TYPING = 25_000, PROMISED = 8_000; // ms after which an answer is no longer announced
const options = JSON.parse(document.body.dataset.options);
const query = new URLSearchParams(location.search);
const language = languageOf(options.language, query.get("language"), ...navigator.languages);
const words = wordsIn(language);
const embedded = query.has("embedded") && window.parent !== window;
const log = $("#log"), replies = $("#replies"), composer = $("#composer"), text = $("#text");
const shown = new Map(); // message number -> element
const own = new Map(); // id of what the visitor said -> element, until the server shows it
let typingEnds = 0, peopleHere = false, state = "connecting";

const say = (line) => { $("#status").textContent = ""; setTimeout(() => { $("#status").textContent = line; }, 50); };
const tell = (what) => { if (embedded) window.parent.postMessage({ rejoinder: what }, "*"); };

const api = new Api(new URL("./", location.href).pathname, {
  event(name, data) { ({ message: received, typing: () => announce(), people, ready })[name]?.(data); },
  state(next) { state = next; showState(); },
  renewed() { clear(); },
});

// What is seen

function clear() {
  shown.clear();
  own.clear();
  log.setAttribute("aria-busy", "true");
  const hello = message({ by: "bot", text: options.greeting || words.greeting }, words, press);
  hello.classList.add("hello");
  $(".meta", hello).remove();
  log.replaceChildren(hello);
  offer(options.suggestions.map((title) => ({ title, choice: true })), (button) => speak({ text: button.title }));
}

function received(given) {
  if (shown.has(given.message)) return;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 120;
  if (given.by !== "visitor") quiet();
  const element = message(given, words, press);
  shown.set(given.message, element);
  const pending = given.by === "visitor" && own.get(given.id);
  if (pending) {
    own.delete(given.id);
    pending.replaceWith(element);
  } else {
    log.append(element);
    // What is on its way stays last.
    for (const waiting of own.values()) log.append(waiting);
  }
  if (given.by === "bot") $(".meta", element).prepend(thumbs(given.thumb ?? null, words, (value, reason) => rate(given, value, reason), say));
  group(element);
  if (given.by === "visitor") offer([]);
  else {
    offer(given.buttons ?? [], press);
    if (log.getAttribute("aria-busy") === "false") tell("message");
  }
  if (atEnd || given.by === "visitor") toEnd();
}

/** Messages of one speaker in a row belong together; the name of the first will do. */
function group(element) {
  const before = element.previousElementSibling;
  const same = before?.dataset.by === element.dataset.by;
  element.classList.toggle("next", same);
}

function offer(buttons, act) {
  const made = choices(buttons, words, act);
  const held = replies.contains(document.activeElement);
  replies.replaceChildren(...made);
  replies.hidden = !made.length;
  if (held) text.focus();
}

function toEnd() {
  const behavior = log.getAttribute("aria-busy") === "true" ? "instant" : "auto";
  log.scrollTo({ top: log.scrollHeight, behavior });
}

function announce(lasting = TYPING) {
  clearTimeout(typingEnds);
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 120;
  $("#typing").hidden = false;
  if (atEnd) toEnd();
  typingEnds = setTimeout(quiet, lasting);
}

function quiet() {
  clearTimeout(typingEnds);
  $("#typing").hidden = true;
}

function people({ here }) { peopleHere = here; showState(); }

function ready() {
  log.setAttribute("aria-busy", "false");
  for (const [id, element] of own) if (element.classList.contains("failed")) own.delete(id);
}

function showState() {
  $(".state").dataset.state = state;
  $("#state").textContent = state === "online" && peopleHere ? words.people : words[state];
}

// What the visitor does

function press(button) { speak({ choice: button.choice }, button.title); }

async function speak(body, label = body.text, path = "messages") {
  const id = newId();
  const element = message({ by: "visitor", text: label }, words, press);
  element.classList.add("sending");
  own.set(id, element);
  log.append(element);
  group(element);
  offer([]);
  toEnd();
  await deliver(element, path, { id, ...body });
}

async function deliver(element, path, body) {
  $(".problem", element)?.remove();
  element.classList.add("sending");
  // The server says so as well, but a fast answer overtakes that.
  if (state === "online" && !peopleHere) announce(PROMISED);
  try {
    await api.post(path, body);
  } catch (error) {
    quiet();
    element.classList.add("failed");
    const again = make("button", { type: "button", className: "link", textContent: words.again });
    again.addEventListener("click", () => { element.classList.remove("failed"); deliver(element, path, body); });
    const busy = error instanceof Refusal && error.status === 429;
    element.append(make("p", { className: "problem", role: "alert" }, busy ? words.busy : words.failed, " ", again));
    toEnd();
  } finally {
    element.classList.remove("sending");
  }
}

function rate(given, value, reason) {
  return api.post("feedback", { id: newId(), message: given.message, value, ...(reason ? { reason } : {}) });
}

function measure() {
  const left = options.longest_message - text.value.trim().length;
  const line = $("#left");
  line.hidden = left > 200;
  line.classList.toggle("over-limit", left < 0);
  line.textContent = left < 0 ? words.long(-left) : words.left(left);
  $(".send").disabled = left < 0;
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight, 140)}px`;
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const said = text.value.trim();
  if (!said || said.length > options.longest_message) return;
  text.value = "";
  measure();
  speak({ text: said });
  text.focus();
});
text.addEventListener("input", measure);
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    composer.requestSubmit();
  }
});

// The end

function view(name) {
  composer.hidden = name !== "chat";
  $("#over").hidden = name !== "over";
  $(".tools").classList.toggle("off", name !== "chat");
  for (const id of ["#person", "#end"]) $(id).disabled = name !== "chat";
  if (name === "rate") stars.open();
  else stars.close();
  storage.set("over", name === "over" ? "yes" : null);
  toEnd();
}

const stars = survey(words, async (rating, comment) => {
  await api.post("csat", { id: newId(), rating, ...(comment ? { comment } : {}) });
  view("over");
  $("#over p").focus();
}, () => { view("chat"); text.focus(); });

$("#person").addEventListener("click", () => { speak({ text: words.talk }, words.talk, "handover"); text.focus(); });
$("#end").addEventListener("click", () => { offer([]); view("rate"); });
$("#over button").addEventListener("click", () => {
  view("chat");
  peopleHere = false;
  clear();
  api.restart();
  text.focus();
});

// The frame that a page holds the chat in

$("#minimise").hidden = !embedded;
$("#minimise").addEventListener("click", () => tell("close"));
addEventListener("keydown", (event) => { if (event.key === "Escape") tell("close"); });
addEventListener("message", (event) => {
  if (event.source === window.parent && event.data?.rejoinder === "open") {
    toEnd();
    (composer.hidden ? log : text).focus();
  }
});

// Begin

document.documentElement.lang = language;
document.documentElement.classList.toggle("embedded", embedded);
if (options.accent) accent(options.accent);
document.title = options.title;
$("#title").textContent = options.title;
log.setAttribute("aria-label", words.conversation);
replies.setAttribute("aria-label", words.suggestions);
$("label[for=text]").textContent = text.placeholder = words.write;
$(".send").setAttribute("aria-label", words.send);
$("#typing .unseen").textContent = words.typing;
for (const [id, label] of [["#person", words.talk], ["#end", words.end]]) {
  $(`${id} span`).textContent = label;
  $(id).title = label;
}
$("#minimise").setAttribute("aria-label", words.minimise);
$("#over p").textContent = words.rated;
$("#over button").textContent = words.fresh;
clear();
view(storage.get("over") ? "over" : "chat");
showState();
api.run();
