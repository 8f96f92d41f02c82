"""charlm eval."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.json_output import print_json
from charlm.cli.options import DEVICE, RUN, WholeNumber, examples
from charlm.cli.output import show, warn
from charlm.errors import InputError

if TYPE_CHECKING:
    from charlm.inference.trained import TrainedModel

NOTABLE_UNKNOWN_FRAC = 0.01
"""Minimum fraction of unknown characters in a text for a warning that they are left out."""


@click.command(
    "eval",
    short_help="Print the loss of a trained model.",
    epilog=examples("charlm eval runs/default", "charlm eval runs/default --text book.txt --windowed 256 --json"),
)
@RUN
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="The part of the run's corpus.  [default: val]",
)
@click.option("--text", metavar="FILE", help="Measure this text instead: a file, a directory, a glob, or builtin:NAME.")
@click.option("--windowed", metavar="N", type=WholeNumber(1), help="Start from the zero state every N characters.")
@click.option("--dynamic", is_flag=True, help="Measure also a copy that learns from each stretch after scoring it.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: the loss in its units, and the number of characters.",
)
@DEVICE
def evaluate(
    run: Path, split: str | None, text: str | None, windowed: int | None, dynamic: bool, as_json: bool, device: str
) -> None:
    """Print the exact loss of RUN on a part of its corpus, or on any text."""
    from charlm.cli.tables import bits_name, format_evaluation
    from charlm.inference.trained import load

    if dynamic and windowed is not None:
        raise InputError("--dynamic and --windowed: give one of the two; the dynamic loss carries the state.")
    if split is not None and text is not None:
        raise InputError("--split and --text: give one of the two; a text given by --text is measured as a whole.")
    if text == "":
        raise InputError("--text: expected a file, a directory, a glob, or builtin:NAME, got ''.")
    split = split or "val"
    trained = load(run, device, warn)
    evaluation = trained.evaluate_split(split, windowed) if text is None else trained.evaluate_text(text, windowed)
    if evaluation.unknown_frac >= NOTABLE_UNKNOWN_FRAC:
        warn(
            f"{text}: the model does not know {evaluation.unknown_frac:.1%} of the text, {evaluation.num_unknown:,} "
            "characters, which are left out; the loss is that of the rest."
        )
    if as_json:
        names = ("loss_nats", "bits_per_char", "perplexity", "num_chars", "num_unknown", "unknown_frac")
        values = {name: getattr(evaluation, name) for name in names}
        print_json(values | (_evaluate_dynamic(trained, split, text) if dynamic else {}))
        return
    show(format_evaluation(text or split, evaluation, windowed, trained.vocabulary.level))
    if dynamic:
        values = _evaluate_dynamic(trained, split, text)
        show(
            f"  dynamic: {values['dynamic_loss_nats']:.4f} nats, {values['dynamic_bits_per_char']:.4f} "
            f"{bits_name(trained.vocabulary.level)} (rate {values['dynamic_learning_rate']:g}, "
            f"decay {values['dynamic_decay']:g}, chosen on the training part)"
        )


def _evaluate_dynamic(trained: "TrainedModel", split: str, text: str | None) -> dict[str, float]:
    evaluation, adaptation = trained.evaluate_dynamic(split, text)
    return {
        "dynamic_loss_nats": evaluation.loss_nats,
        "dynamic_bits_per_char": evaluation.bits_per_char,
        "dynamic_learning_rate": adaptation.learning_rate,
        "dynamic_decay": adaptation.decay,
    }
