// An accent of the site's own, made readable: WCAG asks for a contrast of 4.5 to 1.

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const shade = (n) => { const c = n / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
const brightness = ([r, g, b]) => 0.2126 * shade(r) + 0.7152 * shade(g) + 0.0722 * shade(b);
const mixed = (one, two, share) => one.map((n, i) => Math.round(n + (two[i] - n) * share));

export function contrast(one, two) {
  const [low, high] = [brightness(one), brightness(two)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** The colour, moved towards black or white until it can be read on that ground. */
export function readable(colour, ground, least = 4.6) {
  const end = brightness(ground) > 0.18 ? [0, 0, 0] : [255, 255, 255];
  for (let share = 0; share <= 1; share += 0.05) {
    const tried = mixed(colour, end, share);
    if (contrast(tried, ground) >= least) return tried;
  }
  return end;
}

/** Use it, in the light and in the dark. */
export function accent(hex) {
  const style = document.documentElement.style;
  const written = (rgb) => `rgb(${rgb.join(" ")})`;
  for (const [name, ground, ink] of [["light", [236, 243, 241], [255, 255, 255]], ["dark", [34, 42, 45], [16, 20, 22]]]) {
    const found = readable(channels(hex), ground);
    style.setProperty(`--accent-${name}`, written(found));
    style.setProperty(`--on-accent-${name}`, written(contrast(found, ink) >= 4.5 ? ink : name === "light" ? [0, 0, 0] : [255, 255, 255]));
  }
}
