"""The page opens by itself, and shows the predictions of the model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Opened, needs_chromium
from inspected import inspect_symbols

from charlm.inspection.inspection import Inspection
from charlm.inspection.page import render

pytestmark = needs_chromium


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
