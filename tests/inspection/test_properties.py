"""Each property of a text at every character, on texts that can be read at a glance."""

import pytest

from charlm.inspection import properties


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("place in the line", "ab\nc\nd", [1, 2, 0, 1, 0, 1]),
        ("place in the word", "ab, c3", [1, 2, 0, 0, 1, 2]),
        ("place in the word", "কি আ", [1, 2, 0, 1]),
        ("place in the paragraph", "a\nb\n\nc", [1, 2, 3, 4, 0, 1]),
        ("first line of a paragraph", "ab\nc\n\nd\n", [1, 1, 0, 0, 0, 1, 1, 0]),
        ("inside quotes", 'a"b"c', [0, 1, 1, 0, 0]),
        ("inside quotes", "a“b”c", [0, 1, 1, 0, 0]),
        ("inside quotes", 'a"b\n\nc', [0, 1, 1, 1, 0, 0]),
        ("inside quotes", "it's", None),
        ("inside brackets", "a(b[c])d", [0, 1, 1, 1, 1, 1, 0, 0]),
        ("inside brackets", "a)b(c", [0, 0, 0, 1, 1]),
        ("inside brackets", "(a\n\nb", [1, 1, 1, 0, 0]),
        ("indentation of the line", "a\n  b c\nd", [0, 0, 1, 2, 2, 2, 2, 0, 0]),
        ("indentation of the line", "\ta\nb", [1, 1, 0, 0]),
        ("capital letter", "aBÉ1", [0, 1, 1, 0]),
        ("digit", "a1b", [0, 1, 0]),
        ("digit", "abc", None),
    ],
)  # fmt: skip
def test_property(name: str, text: str, values: list[int] | None) -> None:
    """The value after each character is as expected, and a property that does not vary is left out."""
    measured = properties.measure_properties(text).get(name)
    assert (None if measured is None else measured.tolist()) == values
