"""The simulation of verdicts: it judges as the comparison does, and the rule of the comparison keeps its promise."""

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
    corrected = SIMULATION.correct(p_values)
    for losses, row, corrected_row in zip(LOSSES.tolist(), p_values, corrected, strict=True):
        expected = [difference.p_value for difference in compare_means(losses)]
        assert row == pytest.approx(expected)
        assert (
            corrected_row == pytest.approx(np.array(correct_by_holm(expected)).clip(max=1), rel=1e-6) or max(row) > 0.3
        )


@pytest.mark.parametrize(
    ("rule", "reference"),
    [
        ("paired", lambda first, second: stats.ttest_rel(first, second)),
        ("pooled", lambda first, second: stats.ttest_ind(first, second)),
        ("welch", lambda first, second: stats.ttest_ind(first, second, equal_var=False)),
        ("blocks", lambda first, second: stats.ttest_rel(first, second)),
    ],
)
def test_tests_equal_scipy(rule: str, reference: object) -> None:
    """Of two arms, every test is SciPy's."""
    pairs = LOSSES[:, 1:]
    expected = [reference(*arms).pvalue for arms in pairs]  # type: ignore[operator]
    assert getattr(SIMULATION, rule)(pairs)[:, 0] == pytest.approx(expected)


def test_page_has_the_rows_that_are_printed() -> None:
    """The command prints a table for each one of the page, with the same rows; few reports make other percentages."""
    printed = CliRunner().invoke(SIMULATION.main, ["--reports", "50"])
    assert printed.exit_code == 0, printed.output

    def count_rows(text: str) -> list[str]:
        return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ") and "-:" not in line]

    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    measured = ["order", "that of the text", "drawn from the seed"]  # by scripts/measure_pairing.py
    of_page = [row for row in count_rows(page) if row not in measured]
    assert [row for row in of_page[:-1] if "." not in row or " " in row] == [
        row for row in count_rows(printed.output)[:-1] if "." not in row or " " in row
    ]
