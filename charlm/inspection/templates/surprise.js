// 1. Surprise: how many bits each character cost, and what was likely in its place.

const likeliest = [...element("panel-likeliest").children];

function describePrediction(n) {
  const name = spoken(nameOf(n));
  if (data.bits[n] === null) return `${name}, the first character, which nothing predicts`;
  const others = data.likeliest[n].map((id, k) => `${spoken(data.names[id])} ${percent(data.chances[n][k])}`);
  return `${name}, ${data.bits[n].toFixed(2)} bits, probability ${percent(data.probability[n])}, rank ${data.rank[n]}; likeliest: ${others.join(", ")}`;
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
surpriseView.follow(element("running-plot"));
for (const link of document.querySelectorAll("a[data-place]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    surpriseView.focus(Number(link.dataset.place));
  });
}

paintSurprise();
dark.addEventListener("change", paintSurprise);
