"""Properties of the places of a text that a cell could track: the place in the line, inside quotes, a digit.

Dimension: T characters.
"""

import unicodedata

import numpy as np

from charlm.inference.reading import Floats

OPENING_BRACKETS = "([{"
CLOSING_BRACKETS = ")]}"
OPENING_QUOTES = "“„«「"
CLOSING_QUOTES = "”»」"
PARAGRAPH_END = "\n\n"


def measure_properties(text: str) -> dict[str, Floats]:
    """Return the properties that vary within a text, by name: the value of each after every character, (T,).

    A place in something is a number of characters; what is true or false is 1 or 0. A straight quotation mark opens
    and closes, an apostrophe does neither. An open quotation or bracket ends with the paragraph, so that one without
    an end does not count for the rest of the text.

    Args:
        text: T characters.
    """
    categories = [unicodedata.category(character) for character in text]
    is_line_end = [character == "\n" for character in text]
    is_paragraph_end = [text.startswith(PARAGRAPH_END, max(0, place - 1)) for place in range(len(text))]
    values = {
        "place in the line": count_since(is_line_end),
        "place in the word": count_since([category[0] not in "LMN" for category in categories]),
        "place in the paragraph": count_since(is_paragraph_end),
        "first line of a paragraph": mark_first_lines(text),
        "inside quotes": mark_quotes(text),
        "inside brackets": mark_brackets(text),
        "indentation of the line": measure_indentation(text),
        "capital letter": [category in ("Lu", "Lt") for category in categories],
        "digit": [category == "Nd" for category in categories],
    }
    arrays = {name: np.array(column, dtype=np.float32) for name, column in values.items()}
    return {name: array for name, array in arrays.items() if array.min() < array.max()}


def count_since(is_end: list[bool]) -> list[int]:
    """Return the number of characters since the last end, at which it is 0; at first, since the start of the text."""
    counts, count = [], 0
    for ends in is_end:
        count = 0 if ends else count + 1
        counts.append(count)
    return counts


def mark_first_lines(text: str) -> list[bool]:
    """Return whether each character is in the first line of a paragraph, whose line break no longer counts to it."""
    marks, is_first, before = [], True, "\n"
    for character in text:
        if character == "\n":
            is_first = before == "\n"
        marks.append(is_first)
        before = character
    return marks


def mark_quotes(text: str) -> list[bool]:
    """Return whether a quotation is open after each character."""
    marks, is_open, before = [], False, ""
    for character in text:
        if character in CLOSING_QUOTES or (before, character) == ("\n", "\n"):
            is_open = False
        elif character in OPENING_QUOTES:
            is_open = True
        elif character == '"':
            is_open = not is_open
        marks.append(is_open)
        before = character
    return marks


def mark_brackets(text: str) -> list[bool]:
    """Return whether a bracket is open after each character."""
    marks, depth, before = [], 0, ""
    for character in text:
        if (before, character) == ("\n", "\n"):
            depth = 0
        elif character in OPENING_BRACKETS:
            depth += 1
        elif character in CLOSING_BRACKETS:
            depth = max(0, depth - 1)
        marks.append(depth > 0)
        before = character
    return marks


def measure_indentation(text: str) -> list[int]:
    """Return the number of blanks at the beginning of the line, as far as they were read after each character."""
    counts, count, is_leading = [], 0, True
    for character in text:
        if character == "\n":
            count, is_leading = 0, True
        else:
            is_leading = is_leading and character in " \t"
            count += is_leading
        counts.append(count)
    return counts
