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
      const target = {
        ArrowRight: () => place + 1, ArrowLeft: () => place - 1, ArrowDown: () => this.findLine(place, 1), ArrowUp: () => this.findLine(place, -1),
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
  const levels = new Map([...data.alphabet].map((letter, n) => [letter, n]));
  const chosen = { cell: null, low: -1, high: 1, values: [] };
  const cells = new Map(data.cells.map((cell) => [`${cell.layer}/${cell.cell}`, cell]));
  const nothing = "nothing beyond chance";

  function listCells() {
    const before = element("cell").value;
    const groups = new Map();
    for (const [key, cell] of cells) {
      if (cell.layer !== Number(element("layer").value)) continue;
      const option = document.createElement("option");
      option.value = key;
      option.textContent = cell.tracks ? `${cell.cell}: ${cell.tracks}, r ${cell.r.toFixed(2)} (chance ${cell.chance.toFixed(2)})` : `${cell.cell}`;
      option.disabled = !(element("activation").value in cell.values);
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
    const usable = available();
    const same = usable.find((option) => option.value === before);
    element("cell").value = (same ?? usable[0])?.value ?? "";
    const total = element("cell").options.length;
    element("cell-note").textContent = usable.length < total ? `The page holds this activation of ${usable.length} of the ${total} cells of the layer.` : "";
    showCell();
  }

  const available = () => [...element("cell").options].filter((option) => !option.disabled);

  function showCell() {
    const name = element("activation").value;
    const cell = cells.get(element("cell").value);
    chosen.cell = cell;
    chosen.high = name === "c" && cell ? cell.scale : 1;
    chosen.low = "ifo".includes(name) ? 0 : -chosen.high;
    const step = (chosen.high - chosen.low) / (data.alphabet.length - 1);
    chosen.values = cell ? [...cell.values[name]].map((letter) => chosen.low + step * levels.get(letter)) : [];
    element("cell-low").textContent = chosen.low.toPrecision(3);
    element("cell-high").textContent = chosen.high.toPrecision(3);
    element("cell-tracks").textContent = cell?.tracks || nothing;
    element("cell-r").textContent = cell?.tracks ? cell.r.toFixed(2) : "–";
    element("cell-chance").textContent = cell?.tracks ? cell.chance.toFixed(2) : "–";
    const height = (value) => (100 - 100 * share(value)).toFixed(1);
    element("cell-curve").setAttribute("d", chosen.values.length ? `M${chosen.values.map((value, n) => `${n} ${height(value)}`).join("L")}` : "");
    element("cell-zero").setAttribute("d", `M0 ${height(0)}H${number}`);
    paintCell();
    showValue(cellView.current);
  }

  const share = (value) => (value - chosen.low) / (chosen.high - chosen.low || 1);

  const cellView = new TextView(element("cell-text"), "u", describeValue, showValue);
  function describeValue(n) {
    return chosen.cell ? `${nameOf(n)}, ${element("activation").value} of cell ${chosen.cell.cell} is ${chosen.values[n].toFixed(2)}` : nameOf(n);
  }

  function showValue(n) {
    element("cell-symbol").textContent = nameOf(n);
    element("cell-value").textContent = chosen.cell ? chosen.values[n].toFixed(2) : "–";
    element("cell-place").setAttribute("d", `M${n} 0V100`);
  }

  function paintCell() {
    const name = "ifo".includes(element("activation").value) ? "gate" : "signed";
    const stops = ramp(name);
    drawScale(element("cell-scale"), name);
    cellView.paint((n) => (chosen.cell ? mix(stops, share(chosen.values[n])) : mix(stops, 0.5)));
  }

  function stepCell(direction) {
    const usable = available();
    const place = usable.findIndex((option) => option.value === element("cell").value) + direction;
    if (!usable.length) return;
    element("cell").value = usable[(place + usable.length) % usable.length].value;
    showCell();
  }

  element("layer").addEventListener("change", listCells);
  element("activation").addEventListener("change", listCells);
  element("cell").addEventListener("change", showCell);
  element("previous-cell").addEventListener("click", () => stepCell(-1));
  element("next-cell").addEventListener("click", () => stepCell(1));
  dark.addEventListener("change", () => { paintSurprise(); paintCell(); });
  paintSurprise();
  listCells();
})();
