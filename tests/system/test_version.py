"""The version is the same everywhere."""

from importlib import metadata

from click.testing import CliRunner
from repository import ROOT

import charlm
from charlm.cli import cli


def test_the_package_is_installed_under_the_version() -> None:
    """pyproject.toml takes the version from the package."""
    assert metadata.version("charlm") == charlm.__version__


def test_the_command_line_tells_the_version() -> None:
    """``charlm --version`` prints it."""
    assert CliRunner().invoke(cli, ["--version"]).output.split()[-1] == charlm.__version__


def test_the_changelog_begins_with_the_version() -> None:
    """The newest section of the changelog is that of the version."""
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line[:3] == "## "]
    assert headings[0].split()[1] == charlm.__version__
