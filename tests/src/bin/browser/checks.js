// What every page must keep: names for all controls, one heading, and enough contrast. Returns what is wrong.
const wrong = [];
const shown = e => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && e.getClientRects().length > 0;
const say = (e, what) => wrong.push(what + ": " + e.outerHTML.slice(0, 120));
for (const e of document.querySelectorAll("button, a[href], input, textarea, select, [role=textbox]")) {
  if (!shown(e)) continue;
  const label = e.closest("label") || (e.id && document.querySelector(`label[for="${e.id}"]`));
  const name = e.getAttribute("aria-label") || (label && label.innerText) || (/^(BUTTON|A)$/.test(e.tagName) && e.innerText);
  if (!name || !name.trim()) say(e, "no name");
}
if ([...document.querySelectorAll("h1")].filter(shown).length !== 1) wrong.push("not one heading of level 1");
if (!document.documentElement.lang || !document.title) wrong.push("no language or title");
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
if (new Set(ids).size !== ids.length) wrong.push("an id twice");
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const parse = c => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
};
const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = e => {
  for (; e; e = e.parentElement) {
    const style = getComputedStyle(e);
    if (style.backgroundImage !== "none") return null;
    const colour = parse(style.backgroundColor);
    if (colour[3] > 0.99) return colour;
  }
  return parse(getComputedStyle(document.body).backgroundColor);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !shown(e) || e.closest(":disabled, [aria-hidden=true], noscript, .hidden, .skip")) continue;
  const style = getComputedStyle(e), back = ground(e);
  if (!back) continue;
  const [a, b] = [light(parse(style.color)), light(back)].sort((x, y) => y - x);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < (large ? 3 : 4.5)) say(e, `contrast ${ratio.toFixed(2)}`);
}
if (document.documentElement.scrollWidth > innerWidth + 1) {
  wrong.push("wider than the window");
  for (const e of document.querySelectorAll("body *")) if (shown(e) && e.getBoundingClientRect().right > innerWidth + 1) { say(e, "reaches out"); if (wrong.length > 6) break; }
}
return wrong;
