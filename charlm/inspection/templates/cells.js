// 2. Cells: one activation of one cell along the text.

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
  element("cell-half-life").textContent = cell.halfLife === null ? "without end" : `${cell.halfLife.toLocaleString("en", { maximumSignificantDigits: 2 })} characters`;
  const height = (value) => (100 - 100 * share(value)).toFixed(1);
  element("cell-curve").setAttribute("d", `M${chosen.values.map((value, n) => `${n} ${height(value)}`).join("L")}`);
  element("cell-zero").setAttribute("d", `M0 ${height(0)}H${number}`);
  paintCell();
  showValue(cellView.current);
}

const share = (value) => (value - chosen.low) / (chosen.high - chosen.low || 1);

const cellView = new TextView(element("cell-text"), "u", describeValue, showValue);
function describeValue(n) {
  const name = spoken(nameOf(n));
  return n < chosen.values.length ? `${name}, ${element("activation").value} of cell ${chosen.cell.cell} is ${chosen.values[n].toFixed(2)}` : name;
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

cellView.follow(element("cell-plot"));
paintCell();
dark.addEventListener("change", paintCell);
unpackAll().then(() => {
  element("layer").addEventListener("change", listCells);
  element("activation").addEventListener("change", showCell);
  element("cell").addEventListener("change", showCell);
  element("previous-cell").addEventListener("click", () => stepCell(-1));
  element("next-cell").addEventListener("click", () => stepCell(1));
  listCells();
}, () => { element("cell-note").textContent = "This browser cannot unpack the activations; one of 2023 or later can."; });
