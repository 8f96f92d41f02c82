"""The YAML reader: values, line numbers, and ambiguous values."""

import contextlib
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charlm.config.yaml_source import Scalar, read_scalar, read_yaml, write_yaml

SCALARS: list[tuple[str, Scalar]] = [
    ("12", 12),
    ("-7", -7),
    ("+3", 3),
    ("1_000", 1000),
    ("0", 0),
    ("2e-3", 2e-3),
    ("2E3", 2e3),
    ("1.5e+3", 1.5e3),
    ("-1e5", -1e5),
    ("1.", 1.0),
    (".5", 0.5),
    ("1_0.5", 10.5),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    (".INF", math.inf),
    ("true", True),
    ("False", False),
    ("null", None),
    ("~", None),
    ("word", "word"),
    ("e5", "e5"),
    ("1e", "1e"),
    ("1e5x", "1e5x"),
    ("2001-01-01", "2001-01-01"),
    ("cuda:0", "cuda:0"),
]

AMBIGUOUS = [
    *[(text, "as true or false; write true, false, or quote the word") for text in ("on", "Off", "YES", "no")],
    *[(text, "as a different number; write it in decimal digits") for text in ("010", "0x1f", "0b1", "1:30", "-1:2")],
    ("1:30.5", "as a number in base 60; write it in decimal"),
    ("9" * 5000, r"expected a number of at most 100 digits, got 9{40}\.{3}9{40} with 5,000\.$"),
    ("9" * 101, r"expected a number of at most 100 digits, got 9{40}\.{3}9{40} with 101\.$"),
    ("0x" + "f" * 5000, r"YAML reads 0xf{38}\.{3}f{40} as a different number"),
    ("1:" + "30:" * 900 + "30.5", r"YAML reads [13:0]{40}\.{3}[:30.5]{40} as a number in base 60"),
]

WRITABLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
WRITABLE |= st.text(st.characters(exclude_categories=["Cs"])) | st.from_regex(
    r"\A[-+]?[0-9.]{1,4}[eE][-+]?[0-9]{1,3}\Z"
)


def same(left: Scalar, right: Scalar) -> bool:
    """Return whether two values are equal and of the same type; 1, 1.0 and True all differ."""
    return left == right and type(left) is type(right)


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars(text: str, value: Scalar) -> None:
    """An unquoted scalar has the expected value and type, alone and in a document."""
    assert same(read_scalar(text), value)
    assert same(read_yaml(f"a: {{b: {text}}}", "x").values["a"]["b"], value)


def test_not_a_number_is_read() -> None:
    """All spellings of NaN give a float NaN."""
    assert all(isinstance(value, float) and math.isnan(value) for value in map(read_scalar, (".nan", ".NaN", ".NAN")))


@pytest.mark.parametrize(("text", "remedy"), AMBIGUOUS)
def test_ambiguous_values_are_refused(text: str, remedy: str) -> None:
    """A value that YAML reads in an unexpected way gives an error with a remedy, in a document also with its line."""
    with pytest.raises(ValueError, match=remedy) as raised:
        read_scalar(text)
    source = read_yaml(f"a:\n  b: {text}\n  c: 1", "x")
    assert source.problems == [f"line 2, a.b: {raised.value}"]
    assert source.values == {"a": {"c": 1}}


@pytest.mark.parametrize("text", [text for text, _ in [*SCALARS, *AMBIGUOUS]])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_quoted_value_is_a_string(text: str, quote: str) -> None:
    """A quoted value is always a string."""
    assert same(read_yaml(f"a:\n  b: {quote}{text}{quote}", "x").values["a"]["b"], text)


def test_lines_are_those_of_the_keys() -> None:
    """The line of every section and key is recorded, counted from 1, with comments, blank lines and block strings."""
    source = read_yaml("# c\na:\n\n  b: |\n    x\n    y\n  c: 1\nd: {e: 1,\n  f: 2}\n", "x")
    assert source.lines == {("a",): 2, ("a", "b"): 4, ("a", "c"): 7, ("d",): 8, ("d", "e"): 8, ("d", "f"): 9}
    assert source.values == {"a": {"b": "x\ny\n", "c": 1}, "d": {"e": 1, "f": 2}}
    assert (source.name, source.problems) == ("x", [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "line 1, column 5: invalid YAML: expected the node content, but found '<stream end>'."),
        ("a:\n  b: *c", "line 2, column 6: invalid YAML: found undefined alias 'c'."),
        ("a: {}\n---\nb: {}", "line 2, column 1: invalid YAML: but found another document."),
        ("a: \x07", "invalid YAML: unacceptable character #x0007: special characters are not allowed in \"<unicode "
                    "string>\", position 3."),
        ("\n\n7", "line 3: expected sections such as 'train:', got '7'."),
        ("a: {b: {}}", "line 1, a.b: expected one value, got keys and values."),
        ("&x {a: *x}", "line 1, a.a: expected one value, got keys and values."),
        ("a: {b: !!float x}", "line 1, a.b: expected a number, got 'x'."),
    ],
)  # fmt: skip
def test_invalid_documents_are_reported(text: str, problem: str) -> None:
    """Invalid YAML, and YAML that is not sections of scalars, gives one problem with its position."""
    assert read_yaml(text, "x").problems == [problem]


@given(st.text() | st.text(alphabet="ab01 :-?,[]{}&*!|>'\"%@\\~#<=.eUx\t\n"))
@example('"\\UFFFFFFFF"')
@example("%YAML 1." + 5000 * "1" + "\n--- a")
@example(f"a: {{b: {5000 * '1'}}}")
@example(3000 * "[")
@example(3000 * "? ")
@example("\ud800")
def test_no_text_raises(text: str) -> None:
    """Reading never raises, for any text."""
    source = read_yaml(text, "x")
    given_keys = {(section, key) for section, keys in source.values.items() for key in keys}
    assert given_keys <= set(source.lines)
    assert all(problem and "\n" not in problem for problem in source.problems)


@given(st.text() | st.text(alphabet="01_.:eE+-xobinfaNyYt~<="))
@example("")
@example("7")
@example("0e")
@example("1e999")
@example(5000 * "1")
@example("\ud800")
def test_a_scalar_raises_nothing_but_value_errors(text: str) -> None:
    """``read_scalar`` returns a scalar or raises ValueError, for any text."""
    with contextlib.suppress(ValueError):
        assert read_scalar(text) is None or isinstance(read_scalar(text), str | int | float)


@given(st.dictionaries(st.text("abc", min_size=1), st.dictionaries(st.text("abc", min_size=1), WRITABLE)))
def test_write_read_round_trip(tree: dict[str, dict[str, Scalar]]) -> None:
    """Values are written and read back with equal value and type, including strings that look like numbers."""
    source = read_yaml(write_yaml(tree), "x")
    assert source.problems == []
    assert source.values == tree
    pairs = [(value, source.values[section][key]) for section in tree for key, value in tree[section].items()]
    assert all(same(left, right) for left, right in pairs)
