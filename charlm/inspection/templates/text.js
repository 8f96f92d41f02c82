// A text whose characters are coloured, and the colours. This file, surprise.js, cells.js and copies.js make one script, in this order.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const number = data.shown.length;
const lineEnds = new Set(data.lineEnds);
const nameOf = (n) => data.names[data.ids[n]];
const SPOKEN = { "␣": "space", "↵": "line break", "␉": "tab" }; // where a screen reader would be silent
const spoken = (name) => SPOKEN[name] ?? name;
const dark = matchMedia("(prefers-color-scheme: dark)");

// Colours: from the paper to one strong colour; blue and orange for the two signs, which the colour-blind tell apart.
const RAMPS = {
  light: { surprise: [[255, 255, 255], [253, 190, 120], [166, 54, 3]], gate: [[255, 255, 255], [107, 174, 214], [8, 48, 107]], signed: [[5, 80, 160], [255, 255, 255], [190, 70, 0]] },
  dark: { surprise: [[23, 23, 27], [160, 80, 20], [255, 205, 140]], gate: [[23, 23, 27], [40, 100, 160], [180, 220, 255]], signed: [[120, 185, 255], [23, 23, 27], [255, 165, 90]] },
};
const ramp = (name) => RAMPS[dark.matches ? "dark" : "light"][name];

function mix(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  return stops[low].map((value, n) => Math.round(value + (stops[low + 1][n] - value) * (place - low)));
}

// Black or white, whichever has more contrast: at least 4.58 on any colour.
function ink(colour) {
  const [r, g, b] = colour.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

const css = (colour) => `rgb(${colour.join(",")})`;
const percent = (share) => `${(100 * share).toPrecision(3)} %`;

function drawScale(target, name) {
  target.replaceChildren(...Array.from({ length: 32 }, (_, n) => {
    const part = document.createElement("i");
    part.style.backgroundColor = css(mix(ramp(name), n / 31));
    return part;
  }));
}

// A text whose characters are coloured. One of them is in the order of Tab; the arrow keys move to the others.
class TextView {
  constructor(target, prefix, describe, show) {
    this.target = target;
    this.describe = describe;
    this.show = show;
    this.current = 0;
    this.spans = data.shown.map((symbol, n) => {
      const span = document.createElement("span");
      span.id = prefix + n;
      span.setAttribute("role", "option");
      span.tabIndex = -1;
      span.textContent = lineEnds.has(n) ? `${symbol}\n` : symbol;
      if (lineEnds.has(n)) span.className = "end";
      return span;
    });
    this.places = new Map(this.spans.map((span, n) => [span, n]));
    this.spans[0].tabIndex = 0;
    target.replaceChildren(...this.spans);
    target.addEventListener("mouseover", (event) => this.visit(event.target));
    target.addEventListener("focusin", (event) => this.enter(event.target));
    target.addEventListener("keydown", (event) => this.press(event));
  }

  visit(target) {
    const place = this.places.get(target);
    if (place !== undefined) this.show(place);
  }

  enter(target) {
    const place = this.places.get(target);
    if (place === undefined) return;
    this.spans[this.current].tabIndex = -1;
    this.spans[this.current].removeAttribute("aria-selected");
    this.current = place;
    target.tabIndex = 0;
    target.setAttribute("aria-selected", "true");
    target.setAttribute("aria-label", this.describe(place));
    this.show(place);
  }

  focus(place) {
    this.spans[Math.min(Math.max(place, 0), number - 1)].focus();
  }

  // A click on a plot of the text leads to the character at this place.
  follow(plot) {
    plot.addEventListener("click", (event) => {
      const { left, width } = plot.getBoundingClientRect();
      this.focus(Math.round(((event.clientX - left) / width) * (number - 1)));
    });
  }

  press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const place = this.current;
    const right = getComputedStyle(this.target).direction === "rtl" ? -1 : 1;
    const target = {
      ArrowRight: () => place + right, ArrowLeft: () => place - right, ArrowDown: () => this.findLine(place, 1), ArrowUp: () => this.findLine(place, -1),
      PageDown: () => place + 100, PageUp: () => place - 100, Home: () => 0, End: () => number - 1,
    }[event.key];
    if (!target) return;
    event.preventDefault();
    this.focus(target());
  }

  // The character of the next shown line that stands nearest above or below.
  findLine(place, direction) {
    const box = (n) => this.spans[n].getClientRects()[0] ?? this.spans[n].getBoundingClientRect();
    const here = box(place);
    let best = place, gap = Infinity, top = null;
    for (let n = place + direction; n >= 0 && n < number; n += direction) {
      const there = box(n);
      if (Math.abs(there.top - here.top) < here.height / 2) continue;
      if (top === null) top = there.top;
      if (Math.abs(there.top - top) > here.height / 2) break;
      if (Math.abs(there.left - here.left) < gap) [best, gap] = [n, Math.abs(there.left - here.left)];
    }
    return best;
  }

  paint(colourOf) {
    this.spans.forEach((span, n) => {
      const colour = colourOf(n);
      span.style.backgroundColor = css(colour);
      span.style.color = ink(colour);
    });
  }
}
