"""The help of every command."""

import re
import shlex

import pytest
from command_line import CharlmCommand

from charlm.cli import cli

COMMANDS = [[], *([name] for name in cli.commands)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(["charlm", *command]))
@pytest.mark.parametrize("num_columns", [50, 80, 200])
def test_help_ends_with_two_examples(
    charlm: CharlmCommand, monkeypatch: pytest.MonkeyPatch, command: list[str], num_columns: int
) -> None:
    """The help ends with two examples, each on one line, which the command's own parser accepts."""
    monkeypatch.setenv("COLUMNS", str(num_columns))
    outcome = charlm(*command, "--help")
    assert outcome.status == 0
    assert outcome.out.startswith("Usage: charlm")
    examples = [shlex.split(line) for line in outcome.out.partition("\n  Examples:\n")[2].splitlines()]
    assert len(examples) == 2
    for name, *arguments in examples:
        assert name == "charlm"
        assert arguments[: len(command)] == command
        with cli.commands[arguments[0]].make_context(arguments[0], arguments[1:]) as context:
            assert context.args == []


@pytest.mark.parametrize("num_columns", [60, 80, 200])
def test_summaries_are_whole(charlm: CharlmCommand, monkeypatch: pytest.MonkeyPatch, num_columns: int) -> None:
    """The list of commands cuts no summary off, however wide the terminal is."""
    monkeypatch.setenv("COLUMNS", str(num_columns))
    listed = charlm("--help").out.partition("\nCommands:\n")[2].partition("\n\n")[0]
    summaries = {line[1]: line[2] for line in re.finditer(r"^  (\S+) +(.*(?:\n {6,}.*)*)", listed, re.MULTILINE)}
    assert set(summaries) == set(cli.commands)
    assert [summary for summary in summaries.values() if not re.fullmatch(r"[A-Z].*[^.]\.", summary, re.DOTALL)] == []
