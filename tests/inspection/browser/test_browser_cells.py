"""Cells in the page: choosing one, its colours, values and curve."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Opened, needs_chromium

from charlm.inspection.encoding import list_cells, pack_activations
from charlm.inspection.inspection import Inspection
from charlm.inspection.page import render

pytestmark = needs_chromium


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


@pytest.mark.parametrize(
    ("half_life", "shown"), [(0.2512, "0.25 characters"), (213.4, "210 characters"), (np.inf, "without end")]
)
def test_the_memory_of_a_cell_is_shown(
    browser: Any, inspection: Inspection, tmp_path: Path, half_life: float, shown: str
) -> None:
    """The half-life of the chosen cell has two digits."""
    half_lives = inspection.half_lives.copy()
    half_lives[1, 3] = half_life
    path = tmp_path / "page.html"
    path.write_text(render(replace(inspection, half_lives=half_lives), "a run", {}), encoding="utf-8")
    opened = Opened(browser, path)
    opened.page.select_option("#layer", index=1)
    opened.page.select_option("#cell", value="1/3")
    assert opened.read("cell-half-life") == shown
    opened.page.close()
