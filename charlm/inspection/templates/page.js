"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const number = data.shown.length;
  const lineEnds = new Set(data.lineEnds);
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

  // 1. Surprise
  const nameOf = (n) => data.names[data.ids[n]];
  const likeliest = [...element("panel-likeliest").children];

  function describePrediction(n) {
    if (data.bits[n] === null) return `${nameOf(n)}, the first character, which nothing predicts`;
    return `${nameOf(n)}, ${data.bits[n].toFixed(2)} bits, probability ${percent(data.probability[n])}, rank ${data.rank[n]}`;
  }

  function showPrediction(n) {
    const known = data.bits[n] !== null;
    element("panel-symbol").textContent = nameOf(n);
    element("panel-bits").textContent = known ? `${data.bits[n].toFixed(2)} bits` : "–";
    element("panel-probability").textContent = known ? percent(data.probability[n]) : "–";
    element("panel-rank").textContent = known ? String(data.rank[n]) : "–";
    likeliest.forEach((row, k) => {
      const [name, meter, chance] = row.children;
      const has = k < data.likeliest[n].length;
      name.textContent = has ? data.names[data.likeliest[n][k]] : "–";
      meter.value = has ? data.chances[n][k] : 0;
      chance.textContent = has ? percent(data.chances[n][k]) : "–";
    });
    element("running-place").setAttribute("d", `M${n} 0V100`);
  }

  const surpriseView = new TextView(element("surprise-text"), "t", describePrediction, showPrediction);
  function paintSurprise() {
    const stops = ramp("surprise");
    drawScale(element("surprise-scale"), "surprise");
    surpriseView.paint((n) => mix(stops, (data.bits[n] ?? 0) / data.fullSurprise));
  }
  for (const link of document.querySelectorAll("a[data-place]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      surpriseView.focus(Number(link.dataset.place));
    });
  }

  // 2. Cells
  const chosen = { cell: null, low: -1, high: 1, values: [] };
  const cells = new Map(data.cells.map((cell, rank) => [`${cell.layer}/${cell.cell}`, { ...cell, rank }]));
  const layers = {}, whole = {};

  async function unpack(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function unpackAll() {
    for (const [name, texts] of Object.entries(data.layers)) layers[name] = await Promise.all(texts.map(unpack));
    for (const [name, text] of Object.entries(data.whole)) whole[name] = await unpack(text);
  }

  // The levels of one activation of a cell: of the whole text, or of its beginning.
  function findLevels(cell, name) {
    const isWhole = name in whole && cell.rank < data.numWhole;
    const length = isWhole ? number : data.numChars[name];
    const start = (isWhole ? cell.rank : cell.cell) * length;
    return (isWhole ? whole[name] : layers[name][cell.layer]).subarray(start, start + length);
  }

  const nothing = "nothing beyond chance";

  function listCells() {
    const groups = new Map();
    for (const [key, cell] of cells) {
      if (cell.layer !== Number(element("layer").value)) continue;
      const option = document.createElement("option");
      option.value = key;
      option.textContent = cell.tracks ? `${cell.cell}: ${cell.tracks}, r ${cell.r.toFixed(2)} (chance ${cell.chance.toFixed(2)})` : `${cell.cell}`;
      const name = cell.tracks || nothing;
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(option);
    }
    element("cell").replaceChildren(...[...groups].map(([name, options]) => {
      const group = document.createElement("optgroup");
      group.label = name;
      group.append(...options);
      return group;
    }));
    showCell();
  }

  function showCell() {
    const name = element("activation").value;
    const cell = cells.get(element("cell").value);
    chosen.cell = cell;
    chosen.high = name === "c" ? cell.scale : 1;
    chosen.low = "ifo".includes(name) ? 0 : -chosen.high;
    const step = (chosen.high - chosen.low) / (data.numLevels - 1);
    chosen.values = Array.from(findLevels(cell, name), (level) => chosen.low + step * level);
    element("cell-note").textContent = chosen.values.length < number ? `The page holds this activation of this cell for the first ${chosen.values.length} of ${number} characters.` : "";
    element("cell-low").textContent = chosen.low.toPrecision(3);
    element("cell-high").textContent = chosen.high.toPrecision(3);
    element("cell-tracks").textContent = cell.tracks || nothing;
    element("cell-r").textContent = cell.tracks ? cell.r.toFixed(2) : "–";
    element("cell-chance").textContent = cell.tracks ? cell.chance.toFixed(2) : "–";
    const height = (value) => (100 - 100 * share(value)).toFixed(1);
    element("cell-curve").setAttribute("d", `M${chosen.values.map((value, n) => `${n} ${height(value)}`).join("L")}`);
    element("cell-zero").setAttribute("d", `M0 ${height(0)}H${number}`);
    paintCell();
    showValue(cellView.current);
  }

  const share = (value) => (value - chosen.low) / (chosen.high - chosen.low || 1);

  const cellView = new TextView(element("cell-text"), "u", describeValue, showValue);
  function describeValue(n) {
    return n < chosen.values.length ? `${nameOf(n)}, ${element("activation").value} of cell ${chosen.cell.cell} is ${chosen.values[n].toFixed(2)}` : nameOf(n);
  }

  function showValue(n) {
    element("cell-symbol").textContent = nameOf(n);
    element("cell-value").textContent = n < chosen.values.length ? chosen.values[n].toFixed(2) : "–";
    element("cell-place").setAttribute("d", `M${n} 0V100`);
  }

  function paintCell() {
    const name = "ifo".includes(element("activation").value) ? "gate" : "signed";
    const stops = ramp(name);
    drawScale(element("cell-scale"), name);
    const paper = ramp("surprise")[0];
    cellView.paint((n) => (n < chosen.values.length ? mix(stops, share(chosen.values[n])) : paper));
  }

  function stepCell(direction) {
    const count = element("cell").options.length;
    element("cell").selectedIndex = (element("cell").selectedIndex + direction + count) % count;
    showCell();
  }

  paintSurprise();
  paintCell();
  dark.addEventListener("change", () => { paintSurprise(); paintCell(); });
  unpackAll().then(() => {
    element("layer").addEventListener("change", listCells);
    element("activation").addEventListener("change", showCell);
    element("cell").addEventListener("change", showCell);
    element("previous-cell").addEventListener("click", () => stepCell(-1));
    element("next-cell").addEventListener("click", () => stepCell(1));
    listCells();
  }, () => { element("cell-note").textContent = "This browser cannot unpack the activations; one of 2023 or later can."; });
})();
