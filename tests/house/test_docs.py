"""The documents: their links exist, and the quoted code is at the given lines."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest
from repository import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "data/README.md"]
DOCUMENTS = [*(ROOT / name for name in PAGES), *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
LINE_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)#L(\d+)(?:-L(\d+))?\)")
QUOTED_LINE_LINK = re.compile(LINE_LINK.pattern + r"[^\n]*\n\n```\w*\n(.*?)\n```", re.DOTALL)


class Reference(NamedTuple):
    """A link to lines of a file, and the code quoted below it."""

    document: Path
    label: str
    path: str
    first: int
    last: int
    code: str


def read_references(document: Path) -> list[Reference]:
    """Return the references of a document that are followed by a quotation."""
    found = QUOTED_LINE_LINK.findall(document.read_text(encoding="utf-8"))
    return [
        Reference(document, label, path, int(first), int(last or first), code)
        for label, path, first, last, code in found
    ]


def describe_fault(reference: Reference) -> str:
    """Return the error of a reference and the real place of its code; empty if it is correct."""
    document, label, path, first, last, code = reference
    where = f"{document.name} quotes {path}, lines {first} to {last}"
    file = document.parent / path
    if not file.is_file():
        return f"{where}: there is no such file"
    numbers = f"line {first}" if first == last else f"lines {first} to {last}"
    if not label.endswith(f", {numbers}"):
        return f"{where}, but its label is {label!r}; it should end with {numbers!r}"
    lines, size = file.read_text(encoding="utf-8").splitlines(), code.count("\n") + 1
    places = [
        start + 1
        for start in range(len(lines) - size + 1)
        if textwrap.dedent("\n".join(lines[start : start + size])).rstrip() == code
    ]
    if first in places and last == first + size - 1:
        return ""
    now = " or ".join(f"lines {start} to {start + size - 1}" for start in places)
    return f"{where}, but the code is now on {now}" if places else f"{where}, but nowhere in it is there:\n{code}"


REFERENCES = [reference for document in DOCUMENTS for reference in read_references(document)]


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda it: f"{it.document.stem}-{Path(it.path).stem}-{it.first}")
def test_quoted_code_stands_where_the_document_says(reference: Reference) -> None:
    """The lines that a link names are the lines that the document shows below it."""
    assert describe_fault(reference) == ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_line_link_has_its_quotation(document: Path) -> None:
    """A link to a line is followed by a blank line and the code, or the test above would not see it."""
    assert len(LINE_LINK.findall(document.read_text(encoding="utf-8"))) == len(read_references(document))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    """Every file and picture of the repository that a document links to exists."""
    targets = LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8")))
    files = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [file for file in files if not (document.parent / file).exists()] == []


def test_the_walk_through_the_cell_quotes_every_line_of_the_step() -> None:
    """docs/lstm.md leaves out no line of the equations."""
    quoted = "\n".join(reference.code for reference in read_references(ROOT / "docs" / "lstm.md"))
    steps = ["i = torch.sigmoid(i)", "f = torch.sigmoid(f)", "g = torch.tanh(g)", "o = torch.sigmoid(o)"]
    steps += ["c = f * c + i * g", "h = o * torch.tanh(c)"]
    assert [step for step in steps if step not in quoted] == []


def test_a_fault_names_the_right_lines(tmp_path: Path) -> None:
    """When code has moved, the message says where to."""
    (tmp_path / "code.py").write_text("import math\n\n\ndef area(r):\n    return math.pi * r\n")
    moved = Reference(tmp_path / "page.md", "code.py, line 3", "code.py", 3, 3, "return math.pi * r")
    assert describe_fault(moved) == "page.md quotes code.py, lines 3 to 3, but the code is now on lines 5 to 5"
    assert describe_fault(moved._replace(label="code.py, line 5", first=5, last=5)) == ""
    assert "nowhere in it" in describe_fault(moved._replace(code="return 2"))
    assert "its label" in describe_fault(moved._replace(label="code.py, line 4"))
    assert "no such file" in describe_fault(moved._replace(path="other.py"))


def test_the_map_has_every_room() -> None:
    """CONTRIBUTING.md has a line for each directory and module of the package."""
    rooms = [f"charlm/{path.name}/" for path in (ROOT / "charlm").iterdir() if (path / "__init__.py").exists()]
    modules = [f"charlm/{path.name}" for path in (ROOT / "charlm").glob("[!_]*.py")]
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [name for name in rooms + modules if f"\n| `{name}` |" not in page] == []


def test_every_script_that_writes_files_is_listed() -> None:
    """CONTRIBUTING.md says when each of them is to be run, and names no script that is not there."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"python scripts/(\w+\.py)", page))
    scripts = {path.name for path in (ROOT / "scripts").glob("*.py")}
    assert {name for name in scripts if name.startswith("write_")} <= named <= scripts
