"""charlm init."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.options import PATH, examples
from charlm.cli.output import show
from charlm.errors import CharlmError, InputError
from charlm.system.files import open_for_writing

if TYPE_CHECKING:
    from charlm.training.proposal import Proposal

MAX_MINUTES = 60 * 24 * 365

TITLE = "Written by charlm init: docs/proposal.md has the rule, configs/default.yaml has every key with its default."


@click.command(
    short_help="Write a configuration for a text.",
    epilog=examples("charlm init book.txt --minutes 30", "charlm init data/enwik8 --level byte --out enwik8.yaml"),
)
@click.argument("path", metavar="[FILE]", default="builtin:python-docs")
@click.option(
    "--minutes", default=10.0, show_default=True, help="Time for the run on this machine, validations included."
)
@click.option(
    "--level",
    type=click.Choice(["char", "byte"]),
    default="char",
    show_default=True,
    help="Symbols: Unicode code points, or bytes, for files that are not text.",
)
@click.option("--out", metavar="YAML", type=PATH, help="The configuration to write.  [default: NAME.yaml]")
def init(path: str, minutes: float, level: str, out: Path | None) -> None:
    """Write a commented configuration for the text FILE: also a directory, a glob, or builtin:NAME.

    Width, steps, validation part and dropout follow from the length of the text, the minutes, and the speed of a few
    steps on this machine. docs/proposal.md states the rule.
    """
    from charlm.cli.progress import ProgressReporter
    from charlm.cli.tables import format_duration
    from charlm.config import Config
    from charlm.config.commented import write_commented
    from charlm.text.corpus import load_corpus
    from charlm.training.proposal import propose

    if not 0 < minutes <= MAX_MINUTES:
        raise InputError(f"--minutes: expected a number above 0 and at most {MAX_MINUTES:,}, got {minutes:g}.")
    out = out or Path(f"{_name_text(path)}.yaml")
    _refuse_existing(out)
    config = Config().replace("data", path=path, level=level)
    proposal = propose(config, load_corpus(path, config.data.level, ProgressReporter().read), minutes)
    _create(out, write_commented(proposal.config, explain(proposal), TITLE))
    model = proposal.config.model
    show(
        f"{out}: {model.num_layers} x {model.hidden_size}, {proposal.num_parameters:,} parameters, "
        f"{proposal.config.train.max_steps:,} steps, about {format_duration(proposal.duration_s)}\n"
        f"  train with: charlm train {shlex.quote(str(out))}"
    )


def _name_text(path: str) -> str:
    """Return a file name for the configuration of a text: that of the text, without what a shell would expand."""
    parts = [part for part in path.removeprefix("builtin:").split("/") if part.strip(".")]
    plain = [part for part in parts if not re.search(r"[*?\[]", part)]
    name = re.sub(r"[^\w.-]", "-", plain[-1] if plain else "text")
    return name.removesuffix(".gz").removesuffix(".txt") or "text"


def _refuse_existing(out: Path) -> None:
    try:
        is_there, has_parent = out.exists() or out.is_symlink(), out.absolute().parent.is_dir()
    except (OSError, ValueError) as error:
        raise InputError(f"--out {out}: cannot be written: {error}.") from None
    if is_there:
        raise InputError(f"{out}: is there already, and is not overwritten. Give another name with --out.")
    if not has_parent:
        raise InputError(f"--out {out}: there is no directory {out.parent}; create it, or give another file.")


def _create(out: Path, content: str) -> None:
    try:
        with open_for_writing(out, "xb") as stream:
            stream.write(content.encode())
    except FileExistsError:
        _refuse_existing(out)
    except OSError as error:
        raise CharlmError(f"{out}: cannot be written: {error.strerror}. Give another file with --out.") from None


def explain(proposal: "Proposal") -> dict[str, str]:
    """Return the reason for the value of each proposed key; the other keys are not written."""
    from charlm.config import Config

    config = proposal.config
    width = (
        f"The widest of those tried that the time and the text allow: {proposal.num_parameters:,} parameters, which "
        f"train at {proposal.chars_per_s:,.0f} characters per second here."
    )
    reasons = {
        "data.path": f"{proposal.num_chars:,} characters.",
        "data.level": "",
        "data.val_frac": "Short enough that validations take about a tenth of the time.",
        "model.num_layers": "charlm compare-layers measures which number is best for a text.",
        "model.hidden_size": width,
        "model.embed_size": "",
        "train.batch_size": "",
        "train.max_steps": f"{proposal.num_passes:.3g} passes over the training part.",
        "train.learning_rate": "Wider layers want less.",
        "train.warmup_steps": "",
        "train.log_every": "",
        "train.eval_every": f"{proposal.num_validations} validations in all.",
        "train.checkpoint_every": "",
    }
    regularization = {
        "model.dropout": "The text is read more than twice.",
        "model.dropconnect": "A model of this size would memorize the text in so many passes.",
        "train.average_decay": "The text is read more than twice.",
        "train.decay_frac": "The text is read more than four times.",
    }
    proposed = config.find_differences(Config())
    return reasons | {key: reason for key, reason in regularization.items() if key in proposed}
