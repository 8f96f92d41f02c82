"""The page as HTML: nothing of a text can become markup, and its size is limited."""

import base64
import hashlib
import json
import re
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from inspected import HOSTILE, inspect_symbols

from charlm.inference.copying import ComparedText
from charlm.inference.reading import Reading
from charlm.inspection.gates import measure_half_lives, measure_saturation
from charlm.inspection.inspection import Inspection
from charlm.inspection.page import render
from charlm.inspection.tracking import track_properties
from charlm.text.pictures import INVISIBLE, JOINERS, picture_text


class Page(HTMLParser):
    """Collects the elements of a page and the content of its scripts, styles and marks."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.contents: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.tags.append(tag)
        self.attributes += attrs
        self._open.append(tag)
        self.contents.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        """Close it and what has no end tag."""
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Add it to the innermost element."""
        if self._open:
            self.contents[self._open[-1]][-1] += data


BENIGN = Page(render(inspect_symbols("abc", "char"), "run", {"text": "abc"}))

TEXTS = st.text(st.one_of(st.characters(), st.sampled_from(HOSTILE)), min_size=2, max_size=40)


@settings(max_examples=40)
@given(TEXTS)
@example(HOSTILE)
@example("\ud800\udfff<script>")
def test_no_text_becomes_markup(text: str) -> None:
    """Whatever stands in text, vocabulary and names, the elements are those of any page, and the text is text."""
    source = render(inspect_symbols(text, "char"), text, {"text": text})
    page = Page(source)
    assert {*page.tags} <= {*BENIGN.tags} | {"rect", "text", "title"}
    assert [page.tags.count(tag) for tag in ("script", "style", "meta")] == [2, 1, 4]
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    shown = picture_text(list(text), "char")
    assert json.loads(page.contents["script"][0])["shown"] == shown
    assert page.contents["mark"][-1].replace("\n", "") == "".join(shown)
    assert page.contents["h1"][0].startswith("What ")
    assert page.contents["bdi"][0] == "".join(shown)


@settings(max_examples=40)
@given(st.binary(min_size=2, max_size=40))
@example(HOSTILE.encode())
@example(b"\xff\xfe\xed\xa0\x80\x00")
def test_no_bytes_become_markup(data: bytes) -> None:
    """The same for a byte vocabulary, whose text need not be valid."""
    text = "".join(map(chr, data))
    page = Page(render(inspect_symbols(text, "byte"), "run", {}))
    assert [page.tags.count(tag) for tag in ("script", "style", "meta")] == [2, 1, 4]
    assert json.loads(page.contents["script"][0])["shown"] == picture_text(list(text), "byte")


@settings(max_examples=40)
@given(TEXTS)
@example(HOSTILE)
def test_nothing_hides_or_reorders(text: str) -> None:
    """The page has no invisible character but line breaks and joiners, and it is valid UTF-8."""
    source = render(inspect_symbols(text, "char"), text, {"text": text})
    assert not {each for each in source if unicodedata.category(each) in INVISIBLE} - {"\n", *JOINERS}
    source.encode("utf-8")


def test_the_policy_allows_only_the_script_and_the_style_of_the_page(inspection: Inspection) -> None:
    """The digests are those of what stands in the page, and everything else is forbidden."""
    page = Page(render(inspection, "run", {}))
    [policy] = [value for name, value in page.attributes if name == "content" and value and "default-src" in value]

    def digest(content: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    assert policy.split("; ") == [
        "default-src 'none'",
        f"script-src {digest(page.contents['script'][1])}",
        f"style-src {digest(page.contents['style'][0])}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    links = [value for name, value in page.attributes if name in ("src", "href", "action", "srcset")]
    assert [link for link in links if not re.fullmatch(r"#\w+", link or "")] == []
    assert not re.search(r"url\(|@import", page.contents["style"][0])


def test_a_page_of_two_layers_of_384_is_below_five_megabytes(inspection: Inspection) -> None:
    """5,000 characters with the activations of 768 cells fit: c for the whole text, the others for its beginning.

    The noise takes as many bits as the activations of a trained model.
    """
    short = inspection.reading
    noise = np.random.default_rng(0).beta(0.4, 0.6, (2, 5000, 384)).astype(np.float32)
    reading = Reading(**{**vars(short), "activations": dict.fromkeys("chifgo", noise)})
    large = replace(
        inspection,
        reading=reading,
        tracking=track_properties(reading, "char"),
        saturation=measure_saturation(reading),
        half_lives=measure_half_lives(reading),
    )
    source = render(large, "run", {})
    assert 4_000_000 < len(source.encode()) < 5_000_000
    data = json.loads(Page(source).contents["script"][0])
    assert len(data["cells"]) == 768
    assert data["numChars"]["c"] == 5000
    assert 100 < data["numChars"]["f"] < 5000
    assert data["numWhole"] == 18


def test_a_page_of_many_symbols_is_below_five_megabytes() -> None:
    """Names, predictions and marks of a large vocabulary leave less room, and the page still keeps its limit."""
    symbols = [chr(0xE0001 + number) for number in range(2000)]
    text = [symbols[place % 2000] for place in range(10_000)]
    small = inspect_symbols("".join(text), "char")
    noise = np.random.default_rng(0).beta(0.4, 0.6, (2, 10_000, 96)).astype(np.float32)
    reading = replace(small.reading, activations=dict.fromkeys("chifgo", noise))
    marked = ComparedText("a sample", text[:2000], np.arange(2000) % 2 * 25)
    many = replace(
        small,
        reading=reading,
        tracking=track_properties(reading, "char"),
        saturation=measure_saturation(reading),
        half_lives=measure_half_lives(reading),
        texts=[marked] * 4,
    )
    assert 4_700_000 < len(render(many, "run", {}).encode()) < 4_910_000
