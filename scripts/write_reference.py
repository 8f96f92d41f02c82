#!/usr/bin/env python3
"""Write the reference pages from the code: docs/cli.md from the commands, docs/api.md from what charlm exports."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import click
from griffe import Alias, Attribute, Class, GriffeLoader, Object
from griffe2md import ConfigDict, render_object_docs

from charlm.cli import cli

REPOSITORY = Path(__file__).resolve().parents[1]

NOTE = "<!-- Written by scripts/write_reference.py from the code; change the code, then run it again. -->"

API_STYLE: ConfigDict = {
    "docstring_section_style": "list",
    "filters": ["!^_", "!^model_config$", "!^exit_status$"],
    "heading_level": 2,
    "load_external_modules": False,
    "members_order": "source",
    "separate_signature": True,
    "show_object_full_path": False,
    "show_root_full_path": True,
    "show_signature_annotations": True,
    "summary": False,
}


def format_cli() -> str:
    """Return the command reference: usage, options, defaults and examples of every command."""
    context = click.Context(cli, info_name="charlm")
    commands = [click.Context(cli.commands[name], context, f"charlm {name}") for name in cli.list_commands(context)]
    parts = [
        "# The commands",
        NOTE,
        "`charlm COMMAND --help` prints the same. Exit status: 0 done; 1 the run failed; 2 the input is wrong; "
        "129, 130 or 143 stopped by SIGHUP, Ctrl-C or SIGTERM, with the state saved.",
        *(_format_command(command) for command in commands),
    ]
    return "\n\n".join(parts) + "\n"


def _format_command(context: click.Context) -> str:
    command, title = context.command, str(context.info_name)
    usage = " ".join([title, *command.collect_usage_pieces(context)])
    records = [record for each in command.params if (record := each.get_help_record(context))]
    options = [f"- `{name}`: {' '.join(meaning.split())}" for name, meaning in records if meaning]
    examples = [f"    {line.strip()}" for line in (command.epilog or "").splitlines() if "charlm " in line]
    parts = [f"## {title}", f"    {usage}", inspect.cleandoc(command.help or ""), "\n".join(options)]
    return "\n\n".join([*parts, "Examples:", "\n".join(examples)])


def format_api() -> str:
    """Return the reference of every name in ``charlm.__all__``, from signatures and docstrings; nothing is imported."""
    loader = GriffeLoader(search_paths=[REPOSITORY], docstring_parser="google")
    package = loader.load("charlm")
    loader.resolve_aliases()
    names = [str(name) for name in package.exports or () if not str(name).startswith("__")]
    pages = [render_object_docs(_select_members(package[name]), API_STYLE).strip() for name in sorted(names)]
    text = "\n\n".join(["# The Python interface", NOTE, *pages]) + "\n"
    text = re.sub(r"\[([^\[\]]+)\]\(#[^)]*\)", r"\1", text)  # links to types that have no place on the page
    return re.sub(r"</?code>", "`", text)


def _select_members(item: Object | Alias) -> Object | Alias:
    """Return an export without the attributes that its docstring lists; keys of the configuration stay."""
    target = item.final_target if isinstance(item, Alias) else item
    if isinstance(target, Class):
        for name, member in list(target.members.items()):
            if (
                isinstance(member, Attribute)
                and member.docstring is None
                and not str(member.value).startswith("Field(")
            ):
                del target.members[name]
    return item


PAGES: dict[Path, Callable[[], str]] = {
    REPOSITORY / "docs" / "api.md": format_api,
    REPOSITORY / "docs" / "cli.md": format_cli,
}
"""How each page is made."""


@click.command()
def main() -> None:
    """Write docs/api.md and docs/cli.md."""
    for path, format_page in PAGES.items():
        path.write_text(format_page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
