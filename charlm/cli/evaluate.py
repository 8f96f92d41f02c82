"""charlm eval."""

from pathlib import Path

import click

from charlm.cli.json_output import print_json
from charlm.cli.options import DEVICE, RUN, examples, warn

NOTABLE_UNKNOWN_FRAC = 0.01
"""Fraction of unknown characters in a text from which on a warning says that they are left out."""


@click.command(
    "eval",
    short_help="Print the loss of a trained model.",
    epilog=examples("charlm eval runs/default", "charlm eval runs/default --text book.txt --windowed 256 --json"),
)
@RUN
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="The part of the run's corpus.",
)
@click.option("--text", metavar="FILE", help="Measure this text instead: a file, a directory, a glob, or builtin:NAME.")
@click.option("--windowed", metavar="N", type=click.IntRange(1), help="Start from the zero state every N characters.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: the loss in its units, and the number of characters.",
)
@DEVICE
def evaluate(run: Path, split: str, text: str | None, windowed: int | None, as_json: bool, device: str) -> None:
    """Print the exact loss of RUN on a part of its corpus, or on any text."""
    from charlm.cli.tables import format_evaluation
    from charlm.inference.trained import load

    trained = load(run, device, warn)
    evaluation = trained.evaluate_split(split, windowed) if text is None else trained.evaluate_text(text, windowed)
    if evaluation.unknown_frac >= NOTABLE_UNKNOWN_FRAC:
        warn(
            f"{text}: the model does not know {evaluation.unknown_frac:.1%} of the text, {evaluation.num_unknown:,} "
            "characters, which are left out; the loss is that of the rest."
        )
    if as_json:
        names = ("loss_nats", "bits_per_char", "perplexity", "num_chars", "num_unknown", "unknown_frac")
        print_json({name: getattr(evaluation, name) for name in names})
    else:
        click.echo(format_evaluation(text or split, evaluation, windowed, trained.vocabulary.level))
