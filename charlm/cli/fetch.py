"""charlm fetch."""

import shlex
import sys
from pathlib import Path

import click

from charlm.cli.options import PathType, examples
from charlm.cli.output import show
from charlm.text.public import CORPORA, fetch_corpus


@click.command(
    short_help="Download and verify a public corpus.",
    epilog=examples("charlm fetch tinyshakespeare", "charlm fetch enwik8 --out corpora"),
)
@click.argument("name", metavar="NAME", type=click.Choice(list(CORPORA)))
@click.option(
    "--out",
    type=PathType(file_okay=False),
    default=Path("data"),
    show_default=True,
    help="The directory that the file goes to.",
)
def fetch(name: str, out: Path) -> None:
    """Download the public corpus NAME and verify it: tinyshakespeare, enwik8 or text8.

    A file that is there already is only verified. A download that was cut off leaves nothing; the same command begins
    it again.
    """
    from tqdm import tqdm

    corpus = CORPORA[name]
    show(f"{name}: {corpus.size_bytes:,} bytes, from {corpus.url}", err=True)
    is_hidden = not sys.stderr.isatty()
    with tqdm(desc=name, total=corpus.size_bytes, unit="B", unit_scale=True, leave=False, disable=is_hidden) as bar:
        path = fetch_corpus(name, out, bar)
    level = " --set data.level=byte" if corpus.level == "byte" else ""
    show(f"{path}: verified\n  train with: charlm train --set {shlex.quote(f'data.path={path}')}{level}")
