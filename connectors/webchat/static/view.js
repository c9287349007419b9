// How a message looks. Words go in as text alone, never as markup; links lead to http and https alone.

const LINK = /https?:\/\/[^\s<>"']+/gi;
const TRAILING = /[.,;:!?)\]}…]+$/;

export const $ = (selector, root = document) => root.querySelector(selector);

/** An element with properties, attributes (names with a dash, role) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** One of the page's icons. */
export function icon(name) {
  const made = document.createElementNS(SVG, "svg"), use = document.createElementNS(SVG, "use");
  made.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  made.append(use);
  return made;
}

export const copyOf = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** The address if a page may open it. */
export function safe(address) {
  try {
    const { protocol, href } = new URL(address);
    return protocol === "http:" || protocol === "https:" ? href : null;
  } catch { return null; }
}

export function anchor(address, words, title = address) {
  const note = make("span", { className: "unseen", textContent: ` (${words.opens})` });
  return make("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, title, note);
}

/** Words with their links made links. */
function linked(text, words) {
  const found = [];
  let begin = 0;
  for (const match of text.matchAll(LINK)) {
    const shown = match[0].replace(TRAILING, "");
    const address = safe(shown);
    if (!address) continue;
    found.push(text.slice(begin, match.index), anchor(address, words, shown));
    begin = match.index + shown.length;
  }
  return [...found, text.slice(begin)];
}

function picture(address, alt = "") {
  const image = make("img", { src: address, alt, loading: "lazy", decoding: "async", referrerPolicy: "no-referrer" });
  image.addEventListener("error", () => image.remove());
  return image;
}

function pressable(button, words, press) {
  if (button.choice) {
    const made = make("button", { type: "button", className: "choice", textContent: button.title });
    made.addEventListener("click", () => press(button, made));
    return made;
  }
  const address = safe(button.url);
  if (!address) return null;
  const made = anchor(address, words, button.title);
  made.className = "choice";
  return made;
}

export const choices = (buttons, words, press) => (buttons ?? []).map((b) => pressable(b, words, press)).filter(Boolean);

function card(given, words, press) {
  const image = safe(given.image), address = safe(given.url);
  const title = make("h3", {}, address ? anchor(address, words, given.title) : given.title);
  const buttons = choices(given.buttons, words, press);
  return make("li", { className: "card" },
    image && picture(image),
    make("div", { className: "about" }, title, given.subtitle ? make("p", { textContent: given.subtitle }) : null),
    buttons.length ? make("div", { className: "choices" }, ...buttons) : null);
}

const fileName = (address) => decodeURIComponent(new URL(address).pathname.split("/").pop() || "");

function attachment(address, words) {
  let name = "";
  try { name = fileName(address); } catch { /* an address of its own spelling */ }
  const made = anchor(address, words, name || words.attachment);
  made.className = "file";
  made.prepend(icon("clip"));
  return made;
}

/** A message as an element. */
export function message(given, words, press) {
  const element = copyOf("message");
  element.dataset.by = given.by;
  element.dataset.message = given.message ?? "";
  $("h2", element).textContent = given.by === "visitor" ? words.you : given.name || words[given.by];
  const content = $(".content", element);
  if (given.text) content.append(make("p", { className: "bubble" }, ...linked(given.text, words)));
  const image = safe(given.image), file = safe(given.attachment);
  if (image) content.append(picture(image));
  if (file) content.append(attachment(file, words));
  if (given.cards?.length) {
    const list = make("ul", { className: "cards", "aria-label": words.cards, tabIndex: 0, role: "list" });
    list.append(...given.cards.map((one) => card(one, words, press)));
    content.append(list);
  }
  const at = new Date((given.at ?? Date.now() / 1000) * 1000);
  const time = $("time", element);
  time.dateTime = at.toISOString();
  const today = at.toDateString() === new Date().toDateString();
  const language = document.documentElement.lang;
  const locale = navigator.languages.find((name) => name.toLowerCase().startsWith(language)) ?? language;
  time.textContent = at.toLocaleString(locale, today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
  return element;
}

/** Thumbs for a message: `rate(value, reason?)` is told each change. */
export function thumbs(value, words, rate, say) {
  const element = copyOf("thumbs");
  element.setAttribute("aria-label", words.feedback);
  const [up, down] = element.children;
  const show = () => {
    up.setAttribute("aria-pressed", String(value === 1));
    down.setAttribute("aria-pressed", String(value === 0));
  };
  for (const [button, label] of [[up, words.helpful], [down, words.unhelpful]]) {
    button.setAttribute("aria-label", label);
    button.title = label;
  }
  let form = null;
  const close = () => { form?.remove(); form = null; };
  const set = async (next) => {
    const before = value;
    value = next === value ? null : next;
    show();
    close();
    if (value === 0) form = open();
    try {
      await rate(value);
      say(value === null ? words.taken : words.thanks);
    } catch {
      value = before;
      show();
      close();
      say(words.failed);
    }
  };
  const open = () => {
    const made = reason(words, async (why) => {
      close();
      down.focus();
      await rate(0, why).then(() => say(words.thanks), () => say(words.failed));
    }, () => { close(); down.focus(); });
    element.closest(".message").append(made);
    made.scrollIntoView({ block: "nearest" });
    return made;
  };
  up.addEventListener("click", () => set(1));
  down.addEventListener("click", () => set(0));
  show();
  return element;
}

function reason(words, done, cancel) {
  const form = copyOf("reason");
  $("legend", form).textContent = words.why;
  const free = $(".words", form);
  free.placeholder = words.more;
  free.setAttribute("aria-label", words.more);
  for (const [code, label] of Object.entries(words.reasons)) {
    const chip = make("button", { type: "button", className: "chip", textContent: label, "aria-pressed": "false" });
    chip.dataset.code = code;
    chip.addEventListener("click", () => chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true")));
    $(".chips", form).append(chip);
  }
  $(".main", form).textContent = words.submit;
  $(".quiet", form).textContent = words.skip;
  $(".quiet", form).addEventListener("click", cancel);
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); cancel(); } });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = [...form.querySelectorAll('.chip[aria-pressed="true"]')].map((chip) => chip.dataset.code);
    const said = [chosen.join(", "), free.value.trim()].filter(Boolean).join(": ");
    if (said) done(said);
    else cancel();
  });
  return form;
}
