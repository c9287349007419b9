// Puts the chat into any page: <script src="https://…/webhooks/web/widget.js" async></script>
// data-language="en|de" and data-open (open at once) are optional. Nothing but this script's own server is asked.

(() => {
  const script = document.currentScript;
  const base = new URL("./", script.src);
  if (document.querySelector("rejoinder-chat")) return;

  const german = (script.dataset.language || document.documentElement.lang || navigator.language).toLowerCase().startsWith("de");
  const words = german
    ? { open: "Chat öffnen", close: "Chat schließen", frame: "Chat", fresh: "Neue Nachricht" }
    : { open: "Open the chat", close: "Close the chat", frame: "Chat", fresh: "New message" };

  const STYLE = `
    :host { all: initial; position: fixed; inset: auto 20px 20px auto; z-index: 2147483000; color-scheme: light dark; }
    button { position: relative; display: grid; place-items: center; inline-size: 60px; block-size: 60px; padding: 0;
      border: 0; border-radius: 22px; color: #fff; background: var(--chat-accent, #23655f); cursor: pointer;
      box-shadow: 0 2px 6px rgb(10 30 28 / 22%), 0 10px 30px rgb(10 30 28 / 24%); transition: transform .18s, border-radius .18s; }
    button:hover { transform: translateY(-2px); }
    button:focus-visible { outline: 3px solid #fff; outline-offset: 0; box-shadow: 0 0 0 6px #14413d; }
    svg { inline-size: 28px; block-size: 28px; fill: none; stroke: currentColor; stroke-width: 1.9; stroke-linecap: round; stroke-linejoin: round; }
    .badge { position: absolute; inset: -3px -3px auto auto; inline-size: 18px; block-size: 18px; border-radius: 50%;
      background: #c8372d; border: 3px solid #fff; box-sizing: border-box; }
    .panel { position: fixed; inset: auto 20px 94px auto; inline-size: min(400px, calc(100vw - 40px));
      block-size: min(660px, calc(100dvh - 120px)); border-radius: 22px; overflow: hidden; background: Canvas;
      box-shadow: 0 4px 16px rgb(10 30 28 / 16%), 0 20px 60px rgb(10 30 28 / 26%); transform-origin: bottom right;
      animation: rise .22s cubic-bezier(.2, .8, .2, 1); }
    iframe { display: block; inline-size: 100%; block-size: 100%; border: 0; }
    [hidden] { display: none !important; }
    @keyframes rise { from { opacity: 0; transform: translateY(12px) scale(.97); } }
    @media (max-width: 520px) {
      .panel { inset: 0; inline-size: 100%; block-size: 100dvh; border-radius: 0; }
      :host([open]) button { display: none; }
    }
    @media (prefers-reduced-motion: reduce) { button, .panel { transition: none; animation: none; } button:hover { transform: none; } }
  `;
  const SHAPES = { closed: "M20.5 11.6c0 4-3.8 7.200-8.500 7.200-1 0-2-.15-2.900-.42L4.600 20l1.100-3.600c-1.400-1.250-2.200-2.950-2.200-4.800 0-4 3.800-7.200 8.500-7.200s8.500 3.200 8.500 7.200Z", open: "m6 9.500 6 6 6-6" };

  const host = document.createElement("rejoinder-chat");
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];

  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.append(shape);
  const badge = Object.assign(document.createElement("span"), { className: "badge", hidden: true });
  const launcher = Object.assign(document.createElement("button"), { type: "button" });
  launcher.append(svg, badge);
  const panel = Object.assign(document.createElement("div"), { className: "panel", hidden: true });
  root.append(panel, launcher);

  let frame = null;
  const greet = () => frame.contentWindow.postMessage({ rejoinder: "open" }, base.origin);

  function show(open) {
    panel.hidden = !open;
    host.toggleAttribute("open", open);
    shape.setAttribute("d", open ? SHAPES.open : SHAPES.closed);
    launcher.setAttribute("aria-expanded", String(open));
    if (open) badge.hidden = true;
    launcher.setAttribute("aria-label", open ? words.close : badge.hidden ? words.open : `${words.open} (${words.fresh})`);
    if (open && frame) { frame.focus(); greet(); }
    if (open && !frame) {
      const address = new URL("chat?embedded=1", base);
      if (script.dataset.language) address.searchParams.set("language", script.dataset.language);
      frame = Object.assign(document.createElement("iframe"), { src: address.href, title: words.frame });
      frame.addEventListener("load", () => { if (!panel.hidden) { frame.focus(); greet(); } });
      panel.append(frame);
    }
  }

  launcher.addEventListener("click", () => show(panel.hidden));
  root.addEventListener("keydown", (event) => { if (event.key === "Escape" && !panel.hidden) show(false); });
  addEventListener("message", (event) => {
    if (!frame || event.source !== frame.contentWindow || event.origin !== base.origin) return;
    if (event.data?.rejoinder === "close" && !panel.hidden) { show(false); launcher.focus(); }
    if (event.data?.rejoinder === "message" && panel.hidden) { badge.hidden = false; show(false); }
  });
  show(script.dataset.open !== undefined);
  const begin = () => document.body.append(host);
  if (document.body) begin();
  else addEventListener("DOMContentLoaded", begin);
})();
