"""The simulation of verdicts: it judges as the comparison does, and the page has its tables."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from repository import ROOT, load_script
from scipy import stats

from charlm.comparison.statistics import compare_means, correct_by_holm

SIMULATION = load_script("simulate_verdicts")
LOSSES = np.random.default_rng(1).standard_normal((20, 3, 4)) * np.array([1.0, 1.0, 3.0])[:, None]


def test_rule_is_that_of_the_comparison() -> None:
    """The p-values of ``larger`` are those that reports have, without and with correction."""
    p_values = SIMULATION.larger(LOSSES)
    corrected = SIMULATION.correct(p_values).clip(max=1)
    for losses, row, corrected_row in zip(LOSSES.tolist(), p_values, corrected, strict=True):
        expected = [difference.p_value for difference in compare_means(losses)]
        assert row == pytest.approx(expected)
        assert corrected_row == pytest.approx(correct_by_holm(expected))


@pytest.mark.parametrize(
    ("rule", "reference"),
    [
        ("paired", stats.ttest_rel),
        ("pooled", stats.ttest_ind),
        ("welch", partial(stats.ttest_ind, equal_var=False)),
        ("blocks", stats.ttest_rel),
    ],
)
def test_tests_equal_scipy(rule: str, reference: Callable[..., Any]) -> None:
    """Of two arms, every test is SciPy's."""
    pairs = LOSSES[:, 1:]
    expected = [reference(*arms).pvalue for arms in pairs]
    assert getattr(SIMULATION, rule)(pairs)[:, 0] == pytest.approx(expected)


def name_rows(text: str) -> list[list[str]]:
    """Return the first two cells, arms and seeds, of the rows of all tables that have them."""
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if row[1] in ("3", "5", "10")]


def test_page_has_the_tables_that_are_printed() -> None:
    """The command prints the rows of the page; few reports make other percentages."""
    printed = CliRunner().invoke(SIMULATION.main, ["--reports", "50"])
    assert printed.exit_code == 0, printed.output
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    names = [[row for row in name_rows(text) if not row[0].startswith("0.")] for text in (page, printed.output)]
    assert names[0] == names[1]
    assert len(names[0]) == 4 * 9 + 2 * 9
