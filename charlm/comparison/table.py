"""Markdown tables."""

from collections.abc import Sequence


def format_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table of right-aligned columns, padded so that it is aligned on a terminal too.

    Args:
        titles: of the columns.
        rows: the cells of each row, one for each title.
    """
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    rule = [f"{'-' * (width - 1)}:" for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [titles, rule, *rows]
    )
