"""Markdown tables."""

import pytest

from charlm.comparison.table import format_table


def test_columns_are_padded() -> None:
    """Every column is as wide as its widest cell or title, and is aligned to the right."""
    assert format_table(["n", "loss"], [["1", "1.5"], ["1,000", "–"]]).splitlines() == [
        "|     n | loss |",
        "| ----: | ---: |",
        "|     1 |  1.5 |",
        "| 1,000 |    – |",
    ]


def test_missing_cell_is_an_error() -> None:
    """A row with another number of cells than titles is not printed."""
    with pytest.raises(ValueError, match="argument"):
        format_table(["a", "b"], [["1"]])
