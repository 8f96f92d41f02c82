"""What a person types in the page, and what a screen reader says."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Opened, needs_chromium
from inspected import inspect_symbols

from charlm.inference.copying import ComparedText
from charlm.inspection.inspection import Inspection
from charlm.inspection.page import render

pytestmark = needs_chromium


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


def test_a_passage_leads_to_its_place(opened: Opened) -> None:
    """A click on a passage moves the focus to its first character."""
    link = opened.page.locator("a[data-place]").first
    link.click()
    assert opened.focused() == f"t{link.get_attribute('data-place')}"


def test_a_screen_reader_says_what_is_shown(opened: Opened, inspection: Inspection) -> None:
    """The name of a character has its prediction with the likeliest characters, and blanks have words."""
    reading, symbols = inspection.reading, inspection.vocabulary.symbols
    names = {" ": "space", "\n": "line break"}
    for place in (1, reading.symbols.index(" ", 1), reading.symbols.index("\n", 1)):
        opened.page.locator(f"#t{place}").focus()
        label = str(opened.page.get_attribute(f"#t{place}", "aria-label"))
        assert label.startswith(f"{names.get(reading.symbols[place], reading.symbols[place])}, ")
        likeliest = [symbols[index] for index in reading.likeliest_ids[place]]
        others = label.split("likeliest: ")[1]
        assert re.split(r" [\d.e+-]+ %(?:, |$)", others)[:-1] == [names.get(symbol, symbol) for symbol in likeliest]
        opened.page.locator(f"#u{place}").focus()
        said = str(opened.page.get_attribute(f"#u{place}", "aria-label"))
        assert said.startswith(f"{names.get(reading.symbols[place], reading.symbols[place])}, c of cell ")


@pytest.mark.parametrize(("plot", "prefix"), [("running-plot", "t"), ("cell-plot", "u")])
def test_a_click_on_a_curve_leads_to_its_place(opened: Opened, plot: str, prefix: str) -> None:
    """The character at this place of the text has the focus."""
    box = opened.page.locator(f"#{plot}").bounding_box()
    opened.page.click(f"#{plot}", position={"x": box["width"] / 4, "y": 20})
    assert int(opened.focused().removeprefix(prefix)) == pytest.approx(4999 / 4, abs=9)  # two pixels


def test_arrow_keys_move_over_the_matches(browser: Any, tmp_path: Path) -> None:
    """The arrows step through the marks of a sample, and a status says how long each is, as pointing does."""
    matched = np.repeat([25, 0, 40, 0, 90], 3)
    sample = ComparedText("a sample", list("abcdefghijklmno"), matched)
    none = ComparedText("another", list("abc"), np.zeros(3, dtype=np.int64))
    path = tmp_path / "page.html"
    few = replace(inspect_symbols("ab", "char"), texts=[none, sample])
    path.write_text(render(few, "a run", {}), encoding="utf-8")
    opened = Opened(browser, path)
    text, says = opened.page.locator("#copied .text").nth(1), opened.page.locator("#copied [role=status]")
    assert says.first.text_content() == "No match of 20 characters or more."
    text.focus()
    for key, expected in [
        ("ArrowRight", "25 characters (1 of 3)"),
        ("ArrowRight", "40 characters (2 of 3)"),
        ("ArrowRight", "90 characters (3 of 3)"),
        ("ArrowRight", "90 characters (3 of 3)"),
        ("ArrowLeft", "40 characters (2 of 3)"),
    ]:
        opened.page.keyboard.press(key)
        assert says.nth(1).inner_text() == f"match of {expected}"
    text.locator("mark").first.hover()
    assert says.nth(1).inner_text() == "match of 25 characters (1 of 3)"
    assert opened.complaints == []
    opened.page.close()
