"""The page in a real Chromium without a window: what a person sees, points at and types."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.inspection.encoding import list_cells, pack_activations
from charlm.inspection.inspection import Inspection
from charlm.inspection.page import render

from test_page import HOSTILE, inspect_symbols  # isort: skip

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")

SHIFTS = """() => new Promise((done) => {
  let sum = 0;
  const add = (entries) => entries.forEach((entry) => { sum += entry.value; });
  const observer = new PerformanceObserver((list) => add(list.getEntries()));
  observer.observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => { add(observer.takeRecords()); done(sum); }));
})"""

CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.slice(0, 3).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || parent.closest("script, style, noscript, option, title")) continue;
    const style = getComputedStyle(parent);
    const ink = parse(parent.closest("svg") ? style.fill : style.color);
    const [a, b] = [luminance(ink), luminance(paper(parent))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), walker.currentNode.data.trim().slice(0, 30)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a browser for the tests of this file."""
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


class Opened:
    """A page that was opened from a file, with all that it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page = browser.new_page(**options)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#cell option", state="attached")  # the activations are unpacked

    def read(self, name: str) -> str:
        """Return the text of an element."""
        return str(self.page.locator(f"#{name}").inner_text())

    def colour(self, name: str) -> list[int]:
        """Return the background of an element."""
        text = self.page.evaluate(f"getComputedStyle(document.getElementById('{name}')).backgroundColor")
        return [int(part) for part in re.findall(r"\d+", text)]

    def focused(self) -> str:
        """Return the id of the element that has the focus."""
        return str(self.page.evaluate("document.activeElement.id"))


@pytest.fixture(scope="module")
def inspection(inspection: Inspection) -> Inspection:
    """Return the inspection with a low level of chance, since a model of a few steps follows nothing beyond it."""
    return replace(inspection, tracking=replace(inspection.tracking, chance=inspection.tracking.chance / 10))


@pytest.fixture(scope="module")
def path(inspection: Inspection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of 5,000 characters."""
    path = tmp_path_factory.mktemp("page") / "inspect.html"
    path.write_text(render(inspection, "a run", {"text": "the song"}), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Any, path: Path) -> Iterator[Opened]:
    """Open the page in light colours."""
    opened = Opened(browser, path, color_scheme="light", viewport={"width": 1200, "height": 900})
    yield opened
    opened.page.close()


def test_it_opens_from_a_file_and_asks_for_nothing(opened: Opened, path: Path, inspection: Inspection) -> None:
    """There is one request, the file itself, and no message of the console; the text is all there."""
    assert opened.requests == [path.as_uri()]
    assert opened.complaints == []
    text = opened.page.evaluate("document.getElementById('surprise-text').textContent")
    assert text.replace("↵\n", "\n") == "".join(inspection.reading.symbols)


@pytest.mark.parametrize("place", [1, 777, 4000])
def test_pointing_shows_the_prediction_of_the_model(opened: Opened, inspection: Inspection, place: int) -> None:
    """Probability, surprise, rank and the likeliest characters are those of the reading."""
    opened.page.hover(f"#t{place}")
    reading = inspection.reading
    shown = float(opened.read("panel-probability").split()[0]) / 100
    assert shown == pytest.approx(reading.probability[place], rel=6e-3)
    assert float(opened.read("panel-bits").split()[0]) == pytest.approx(reading.surprise_bits[place], abs=6e-3)
    assert opened.read("panel-rank") == str(reading.rank[place])
    names = opened.page.locator("#panel-likeliest .name").all_inner_texts()
    expected = [inspection.vocabulary.symbols[index] for index in reading.likeliest_ids[place]]
    assert names == [{" ": "␣", "\n": "↵"}.get(symbol, symbol) for symbol in expected]
    chances = [
        float(text.split()[0]) / 100 for text in opened.page.locator("#panel-likeliest .chance").all_inner_texts()
    ]
    assert chances == pytest.approx(reading.likeliest_probability[place].tolist(), rel=6e-3)


def test_surprise_is_a_colour(opened: Opened, inspection: Inspection) -> None:
    """The colour goes from the paper at 0 bits over a light to a dark orange at 10 bits."""
    reading = inspection.reading
    for place in (int(np.nanargmin(reading.surprise_bits)), int(np.nanargmax(reading.surprise_bits)), 1234):
        share = 2 * min(reading.surprise_bits[place] / 10, 1)
        low, high = ([255, 255, 255], [253, 190, 120]) if share < 1 else ([253, 190, 120], [166, 54, 3])
        expected = [a + (b - a) * (share % 1 if share < 2 else 1) for a, b in zip(low, high, strict=True)]
        assert opened.colour(f"t{place}") == pytest.approx(expected, abs=1.01)


@pytest.mark.parametrize(("name", "layer"), [("c", 0), ("f", 1), ("g", 1), ("o", 0)])
def test_a_chosen_cell_colours_the_text_by_its_values(
    opened: Opened, inspection: Inspection, name: str, layer: int
) -> None:
    """Layer, activation and cell choose the values; number and colour of a character are those of the model."""
    cell, place = 7, 555
    opened.page.select_option("#layer", index=layer)  # a value would be taken for a label too
    opened.page.select_option("#activation", value=name)
    opened.page.select_option("#cell", value=f"{layer}/{cell}")
    opened.page.hover(f"#u{place}")
    values = inspection.reading.activations[name][layer, :, cell]
    high = float(np.abs(values).max()) if name == "c" else 1.0
    low = 0.0 if name in "fo" else -high
    value = float(values[place])
    assert float(opened.read("cell-value")) == pytest.approx(value, abs=(high - low) / 62 + 0.006)
    stops = [[255, 255, 255], [107, 174, 214], [8, 48, 107]]
    if name in "cg":
        stops = [[5, 80, 160], [255, 255, 255], [190, 70, 0]]
    share = 2 * (value - low) / (high - low)
    pair = stops[:2] if share < 1 else stops[1:]
    expected = [a + (b - a) * (share % 1) for a, b in zip(*pair, strict=True)]
    assert opened.colour(f"u{place}") == pytest.approx(expected, abs=10)  # half of one of 32 levels


def test_a_large_model_has_gates_for_the_beginning(
    browser: Any, inspection: Inspection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not all fits, the best cells have all activations, the others c and the rest for the first characters."""
    monkeypatch.setattr("charlm.inspection.page.choose_limit", lambda _: 380_000)
    cells = list_cells(inspection.reading, inspection.tracking)
    held = pack_activations(inspection.reading, cells, 380_000).num_chars["f"]
    assert 10 < held < 4990
    path = tmp_path / "page.html"
    path.write_text(render(inspection, "a run", {}), encoding="utf-8")
    opened = Opened(browser, path, color_scheme="light")

    def choose(rank: int, name: str) -> Any:
        opened.page.select_option("#layer", index=cells[rank].layer)
        opened.page.select_option("#activation", value=name)
        opened.page.select_option("#cell", value=f"{cells[rank].layer}/{cells[rank].cell}")
        return inspection.reading.activations[name][cells[rank].layer, :, cells[rank].cell]

    for rank, name, place in [(17, "f", 4999), (18, "c", 4999), (18, "f", held - 1)]:
        values = choose(rank, name)
        opened.page.locator(f"#u{place}").focus()
        assert float(opened.read("cell-value")) == pytest.approx(values[place], abs=0.02 * (1 + cells[rank].scale))
    assert (
        opened.read("cell-note")
        == f"The page holds this activation of this cell for the first {held} of 5000 characters."
    )
    opened.page.locator(f"#u{held}").focus()
    assert opened.read("cell-value") == "–"
    assert opened.colour(f"u{held}") == [255, 255, 255]
    assert "is" not in str(opened.page.get_attribute(f"#u{held}", "aria-label"))
    choose(17, "f")
    assert opened.read("cell-note") == ""
    assert opened.complaints == []
    opened.page.close()


def test_cells_are_listed_by_what_they_follow(opened: Opened, inspection: Inspection) -> None:
    """A cell stands under its property with its r, and the buttons step through all cells of the layer."""
    best = {(layer, cell): inspection.tracking.best(layer, cell) for layer in range(2) for cell in range(12)}
    layer, cell = next(place for place, tracked in best.items() if tracked.name)
    chosen = f"{layer}/{cell}"
    opened.page.select_option("#layer", index=layer)  # a value would be taken for a label too
    opened.page.select_option("#cell", value=chosen)
    group = opened.page.locator("#cell option:checked").evaluate("(option) => option.parentElement.label")
    assert group == opened.read("cell-tracks") == best[layer, cell].name
    assert opened.read("cell-r") == f"{best[layer, cell].correlation:.2f}"
    seen = []
    for _ in range(12):
        seen.append(opened.page.input_value("#cell"))
        opened.page.click("#next-cell")
    assert len(set(seen)) == 12
    assert opened.page.input_value("#cell") == chosen
    opened.page.click("#previous-cell")
    assert opened.page.input_value("#cell") == seen[-1]


def test_arrow_keys_move_over_the_text(opened: Opened, inspection: Inspection) -> None:
    """One character is in the order of Tab; the arrows go to neighbours, lines, and the ends, and it is read aloud."""
    assert opened.page.locator("#surprise-text [tabindex='0']").count() == 1
    opened.page.locator("#t0").focus()
    for key, expected in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("PageDown", 101), ("PageUp", 1)]:
        opened.page.keyboard.press(key)
        assert opened.focused() == f"t{expected}"
    label = opened.page.get_attribute("#t1", "aria-label")
    assert f"rank {inspection.reading.rank[1]}" in label
    assert float(opened.read("panel-bits").split()[0]) == pytest.approx(inspection.reading.surprise_bits[1], abs=6e-3)
    first_line = inspection.reading.symbols.index("\n")
    opened.page.keyboard.press("ArrowDown")
    assert opened.focused() == f"t{first_line + 2}"
    opened.page.keyboard.press("ArrowUp")
    assert opened.focused() == "t1"
    opened.page.keyboard.press("End")
    assert opened.focused() == "t4999"
    opened.page.keyboard.press("Home")
    assert opened.focused() == "t0"
    assert opened.page.locator("#surprise-text [tabindex='0']").count() == 1


def test_other_keys_belong_to_the_browser(opened: Opened) -> None:
    """A key of the text does nothing else, such as scrolling; with Ctrl, Alt or Meta it is not one of the text."""
    opened.page.locator("#t5").focus()
    press = """(options) => document.activeElement.dispatchEvent(
        new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true, cancelable: true, ...options }))"""
    for modifier in ("ctrlKey", "altKey", "metaKey"):
        assert opened.page.evaluate(press, {modifier: True})
    assert opened.focused() == "t5"
    assert not opened.page.evaluate(press, {})
    assert opened.focused() == "t6"
    assert opened.page.evaluate(press, {"key": "x"})


def test_arrows_of_a_text_from_right_to_left(browser: Any, tmp_path: Path) -> None:
    """In a text from right to left the left arrow goes on, and names of characters stand below each other."""
    path = tmp_path / "page.html"
    path.write_text(render(inspect_symbols("שלום עולם, ab", "char"), "a run", {}), encoding="utf-8")
    opened = Opened(browser, path)
    opened.page.locator("#t0").focus()
    for key, expected in [("ArrowLeft", 1), ("ArrowLeft", 2), ("ArrowRight", 1)]:
        opened.page.keyboard.press(key)
        assert opened.focused() == f"t{expected}"
    assert opened.page.locator("#t0").bounding_box()["x"] > opened.page.locator("#t1").bounding_box()["x"]
    boxes = "(names) => names.map((name) => { const range = document.createRange(); range.selectNodeContents(name); "
    lefts = opened.page.locator(".name").evaluate_all(boxes + "return range.getBoundingClientRect().left; })")
    assert max(lefts) - min(lefts) < 1
    opened.page.close()


def test_a_short_line_is_not_jumped_over(browser: Any, tmp_path: Path) -> None:
    """Down and up go to the next line also where it is too short, to its last character."""
    path = tmp_path / "page.html"
    path.write_text(render(inspect_symbols("abcdefgh\nij\nabcdefgh", "char"), "a run", {}), encoding="utf-8")
    opened = Opened(browser, path)
    opened.page.locator("#t6").focus()
    for key, expected in [("ArrowDown", 11), ("ArrowDown", 14), ("ArrowUp", 11), ("ArrowUp", 2)]:
        opened.page.keyboard.press(key)
        assert opened.focused() == f"t{expected}"
    opened.page.close()


def test_rare_characters_keep_their_line(browser: Any, inspection: Inspection, tmp_path: Path) -> None:
    """A probability with many digits takes one line, as every other."""
    path = tmp_path / "page.html"
    chances = np.full_like(inspection.reading.likeliest_probability, 0.0001234)
    path.write_text(
        render(replace(inspection, reading=replace(inspection.reading, likeliest_probability=chances)), "a run", {}),
        encoding="utf-8",
    )
    opened = Opened(browser, path)
    before = {box["height"] for box in (row.bounding_box() for row in opened.page.locator(".panel li").all())}
    opened.page.hover("#t7")
    assert opened.read("panel-likeliest").count("0.0123 %") == 5
    after = {box["height"] for box in (row.bounding_box() for row in opened.page.locator(".panel li").all())}
    opened.page.close()
    assert before == after
    assert len(after) == 1


def test_few_symbols_have_few_candidates(browser: Any, tmp_path: Path) -> None:
    """A model of two symbols has two likeliest characters, and three rows are empty; the first character has none."""
    path = tmp_path / "page.html"
    path.write_text(render(inspect_symbols("abab", "char"), "a run", {}), encoding="utf-8")
    opened = Opened(browser, path)
    opened.page.hover("#t1")
    assert opened.page.locator("#panel-likeliest .name").all_inner_texts()[2:] == ["–"] * 3
    assert "–" not in opened.page.locator("#panel-likeliest .name").all_inner_texts()[:2]
    opened.page.hover("#t0")
    names = ("panel-bits", "panel-probability", "panel-rank", "panel-symbol")
    assert [opened.read(name) for name in names] == ["–", "–", "–", "a"]
    assert opened.page.locator("#panel-likeliest .name").all_inner_texts() == ["–"] * 5
    opened.page.close()


def test_plots_follow_the_place_and_the_cell(opened: Opened, inspection: Inspection) -> None:
    """The lines in the plots stand at the character; the curve and its zero line are those of the chosen cell."""
    opened.page.hover("#t321")
    assert opened.page.get_attribute("#running-place", "d") == "M321 0V100"
    opened.page.select_option("#layer", index=1)
    opened.page.locator("#u44").focus()
    assert opened.page.get_attribute("#cell-place", "d") == "M44 0V100"
    for name, low, zero in [("c", -1.0, 50.0), ("i", 0.0, 100.0), ("g", -1.0, 50.0)]:
        opened.page.select_option("#activation", value=name)
        opened.page.select_option("#cell", value="1/3")
        values = inspection.reading.activations[name][1, :, 3]
        scale = float(np.abs(values).max()) if name == "c" else 1.0
        assert float(opened.read("cell-value")) == pytest.approx(float(values[44]), abs=scale / 31 + 0.006)
        assert float(opened.read("cell-low")) == pytest.approx(low * scale, rel=5e-3)
        assert float(opened.read("cell-high")) == pytest.approx(scale, rel=5e-3)
        assert opened.page.get_attribute("#cell-zero", "d") == f"M0 {zero:.1f}H5000"
        points = [point.split(" ") for point in str(opened.page.get_attribute("#cell-curve", "d"))[1:].split("L")]
        assert [int(x) for x, _ in points] == [*range(5000)]
        heights = 100 - 100 * (values - low * scale) / (scale - low * scale)
        assert [float(y) for _, y in points] == pytest.approx(heights.tolist(), abs=100 / 62 + 0.1)


def test_scales_show_the_colours(opened: Opened) -> None:
    """The scales go through the colours of the text, and those of gates have others than those of states."""
    ends = "(parts) => [parts[0], parts[31]].map((part) => getComputedStyle(part).backgroundColor)"
    assert opened.page.locator("#surprise-scale i").evaluate_all(ends) == ["rgb(255, 255, 255)", "rgb(166, 54, 3)"]
    assert opened.page.locator("#cell-scale i").evaluate_all(ends) == ["rgb(5, 80, 160)", "rgb(190, 70, 0)"]
    opened.page.select_option("#activation", value="o")
    assert opened.page.locator("#cell-scale i").evaluate_all(ends) == ["rgb(255, 255, 255)", "rgb(8, 48, 107)"]
    opened.page.emulate_media(color_scheme="dark")
    dark = [["rgb(23, 23, 27)", "rgb(180, 220, 255)"], ["rgb(23, 23, 27)", "rgb(255, 205, 140)"]]
    for _ in range(50):  # the page hears of the change a little later
        found = [opened.page.locator(f"#{name}-scale i").evaluate_all(ends) for name in ("cell", "surprise")]
        if found == dark:
            break
        opened.page.wait_for_timeout(100)
    assert found == dark


def test_the_cell_stays_chosen(opened: Opened) -> None:
    """Another activation is shown of the same cell; another layer begins with its first, before which is its last."""
    opened.page.select_option("#cell", value="0/5")
    opened.page.select_option("#activation", value="f")
    assert opened.page.input_value("#cell") == "0/5"
    opened.page.select_option("#layer", index=1)
    assert opened.page.input_value("#cell").startswith("1/")
    assert opened.page.locator("#cell option").count() == 12
    opened.page.click("#previous-cell")  # from the first to the last
    assert opened.page.evaluate("document.getElementById('cell').selectedIndex") == 11


def test_a_passage_leads_to_its_place(opened: Opened) -> None:
    """A click on a passage moves the focus to its first character."""
    link = opened.page.locator("a[data-place]").first
    link.click()
    assert opened.focused() == f"t{link.get_attribute('data-place')}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(browser: Any, path: Path, scheme: str) -> None:
    """All text has a contrast of 4.5 or more with what is behind it, in light and in dark colours."""
    opened = Opened(browser, path, color_scheme=scheme)
    contrasts = opened.page.evaluate(CONTRASTS)
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.page.close()
    assert len(contrasts) > 5000
    assert min(contrasts) >= [4.5]
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_nothing_jumps(opened: Opened) -> None:
    """Neither opening a page of 5,000 characters nor pointing at them moves anything."""
    for place in (3, 10, 500):
        opened.page.hover(f"#t{place}")
    opened.page.evaluate("document.getElementById('cells').scrollIntoView()")
    opened.page.select_option("#activation", value="f")
    opened.page.click("#next-cell")
    assert opened.page.evaluate(SHIFTS) == 0


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "শুভ সকাল\nকেমন আছ", "吾輩は猫である\n名前はまだ無い", "مرحبا (1) بالعالم\nשלום עולם"],
    ids=["hostile", "Bengali", "Japanese", "Arabic and Hebrew"],
)
def test_any_text_is_shown_as_it_is(browser: Any, tmp_path: Path, text: str) -> None:
    """Every character has its place, nothing of the text runs, and the console stays silent."""
    path = tmp_path / "page.html"
    path.write_text(render(inspect_symbols(text, "char"), text, {"text": text}), encoding="utf-8")
    opened = Opened(browser, path)
    assert opened.page.locator("#surprise-text > span").count() == len(text)
    assert opened.page.locator("script, img").count() == 2
    assert (opened.requests, opened.complaints) == ([path.as_uri()], [])
    letters = [n for n, symbol in enumerate(text) if symbol.isalpha()]
    widths = [opened.page.locator(f"#t{n}").bounding_box()["width"] for n in letters]
    opened.page.close()
    assert min(widths) > 0
