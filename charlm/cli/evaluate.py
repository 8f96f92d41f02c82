"""charlm eval."""

import json
from pathlib import Path

import click

from charlm.cli.options import DEVICE, RUN, warn


@click.command("eval")
@RUN
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="val", show_default=True)
@click.option("--text", metavar="FILE", help="Measure this text instead: a file, a directory, a glob, or builtin:NAME.")
@click.option("--windowed", metavar="N", type=click.IntRange(1), help="Start from the zero state every N characters.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@DEVICE
def evaluate(run: Path, split: str, text: str | None, windowed: int | None, as_json: bool, device: str) -> None:
    """Print the exact loss of RUN on a part of its corpus, or on any text."""
    from charlm.cli.tables import format_evaluation
    from charlm.inference.trained import load

    trained = load(run, device, warn)
    num_unknown = 0
    if text is None:
        evaluation = trained.evaluate_split(split, windowed)
    else:
        evaluation, num_unknown = trained.evaluate_text(text, windowed)
    if as_json:
        names = ("loss_nats", "bits_per_char", "perplexity", "num_chars")
        click.echo(json.dumps({name: getattr(evaluation, name) for name in names} | {"num_unknown": num_unknown}))
    else:
        click.echo(format_evaluation(text or split, evaluation, windowed, num_unknown, trained.vocabulary.level))
