"""What a person sees of the page: colours, contrast, scripts of the world, and nothing that jumps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Opened, needs_chromium
from inspected import HOSTILE, inspect_symbols

from charlm.inspection.inspection import Inspection
from charlm.inspection.page import render

pytestmark = needs_chromium

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


def test_a_blank_line_stands_where_the_others_do(browser: Any, tmp_path: Path) -> None:
    """In a text from right to left, lines without letters begin at the right too; lines of Latin letters do not."""
    text = "שלום\n\n12 (3)\nab cd\n"
    path = tmp_path / "page.html"
    path.write_text(render(inspect_symbols(text, "char"), "a run", {}), encoding="utf-8")
    opened = Opened(browser, path)
    boxes = [opened.page.locator(f"#t{place}").bounding_box() for place in range(len(text))]
    opened.page.close()
    right = boxes[0]["x"] + boxes[0]["width"]
    for place in (text.index("\n\n") + 1, text.index("1")):
        assert boxes[place]["x"] + boxes[place]["width"] >= right - 30
    assert boxes[text.index("a")]["x"] < right / 2


@pytest.mark.parametrize("width", [360, 1200])
def test_panels_show_all_that_they_hold(browser: Any, path: Path, width: int) -> None:
    """Nothing of a panel is cut off, on a telephone too, and the page is not wider than the window."""
    opened = Opened(browser, path, viewport={"width": width, "height": 800})
    opened.page.locator("#t7").focus()
    opened.page.locator("#u7").focus()
    sizes = opened.page.locator(".panel").evaluate_all(
        "(all) => all.map((one) => [one.scrollHeight, one.clientHeight])"
    )
    assert all(content <= visible for content, visible in sizes)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.page.close()
