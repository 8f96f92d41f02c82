"""The surprise of a text as plain text: below each line, one digit for each character."""

import math
import unicodedata

from charlm.inference.reading import Reading
from charlm.text.pictures import picture_text

LEGEND = "Below each character: how many bits it cost, rounded; 9 for 9 and more."


def pair_lines(reading: Reading, level: str, width: int = 100) -> list[tuple[str, str]]:
    """Return the lines of a text, each with its digits.

    A wide character has its digit below its left half. A character without width, such as a combining mark, has none.

    Args:
        reading: the text.
        level: of its vocabulary, ``char`` or ``byte``.
        width: columns after which a line is broken.
    """
    pairs, line, digits = [], "", ""
    for symbol, shown, bits in zip(
        reading.symbols, picture_text(reading.symbols, level), reading.surprise_bits.tolist(), strict=True
    ):
        columns = count_columns(shown)
        line += shown
        digit = " " if math.isnan(bits) else str(round(min(9.0, bits)))
        digits += digit.ljust(columns)[:columns]
        if symbol == "\n" or len(digits) >= width:
            pairs.append((line, digits))
            line, digits = "", ""
    return [*pairs, (line, digits)] if line else pairs


def count_columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    widths = {"W": 2, "F": 2}
    return sum(
        0 if unicodedata.category(each) in ("Mn", "Me", "Cf") else widths.get(unicodedata.east_asian_width(each), 1)
        for each in text
    )
