"""The reference pages are what scripts/write_reference.py writes now."""

from pathlib import Path

import pytest
from repository import ROOT, load_script

import charlm
from charlm.cli import cli

write_reference = load_script("write_reference")


@pytest.mark.parametrize("path", write_reference.PAGES, ids=lambda path: path.name)
def test_page_is_current(path: Path) -> None:
    """docs/cli.md and docs/api.md follow the code; run scripts/write_reference.py after a change of either."""
    assert path.read_text(encoding="utf-8") == write_reference.PAGES[path]()


def test_every_command_and_option_is_described() -> None:
    """docs/cli.md names every option of every command."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    sections = {section.partition("\n")[0].strip(): section for section in page.split("\n## ")[1:]}
    assert set(sections) == {f"charlm {name}" for name in cli.commands}
    for name, command in cli.commands.items():
        options = [option for each in command.params for option in each.opts if option.startswith("-")]
        assert [option for option in options if f"`{option}" not in sections[f"charlm {name}"]] == []


def test_every_export_is_described() -> None:
    """docs/api.md has a section for every public name of the package."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in charlm.__all__ if name[0] != "_" and f"\n## `charlm.{name}`\n" not in page] == []
