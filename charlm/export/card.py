"""The model card of an export: what the model was trained on, how good it is, what it writes, and how to use it."""

import math
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from charlm.inference.copying import MATCH_LENGTHS, compare_samples
from charlm.inference.trained import TrainedModel
from charlm.runs.metrics import Row
from charlm.system.version import __version__
from charlm.text.baselines import measure_baselines
from charlm.text.pictures import picture

if TYPE_CHECKING:
    from charlm.export.graph_files import OnnxReport

SAMPLE_TEMPERATURES = (0.5, 0.8)
SAMPLE_LENGTH = 400
SEED = 1

MAX_POINTS = 12
"""Validations in the curve, at most."""

BAR_WIDTH = 40
"""Characters of the longest bar of the curve."""

NO_TEXT: dict[str, Any] = {"num_chars": None, "percentages": [], "baselines": {}, "copied": []}
"""What the card says about a training text that is not there."""


def write_card(
    trained: TrainedModel, title: str, rows: Sequence[Row], has_text: bool, onnx: "OnnxReport | None" = None
) -> str:
    """Return the card, as Markdown with the front matter that model hubs read.

    Args:
        trained: the model, on the CPU.
        title: the name of the model.
        rows: the metrics of its run; none where they are not there.
        has_text: whether the training text is there, to measure baselines and copies.
        onnx: what was measured about the ONNX graphs; None for an export of the weights.
    """
    environment = Environment(  # Markdown is no HTML; the filters escape it
        loader=PackageLoader(__package__),
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"escape_markdown": escape_markdown, "code": format_code, "fence": fence}
    checkpoint = trained.checkpoint
    facts = {
        "title": title,
        "version": __version__,
        "checkpoint": checkpoint,
        "sizes": checkpoint.config.model,
        "settings": checkpoint.config.train,
        "level": trained.vocabulary.level,
        "symbol_name": "byte" if trained.vocabulary.level == "byte" else "character",
        "num_symbols": len(trained.vocabulary),
        "num_parameters": sum(weight.numel() for weight in checkpoint.weights.values()),
        "text_name": PurePath(checkpoint.config.data.path).name,
        "init_name": PurePath(checkpoint.config.train.init_from).name,
        "loss_bits": None if checkpoint.loss_nats is None else checkpoint.loss_nats / math.log(2),
        "curve": thin_curve(rows),
        "samples": {t: trained.sample(length=SAMPLE_LENGTH, temperature=t, seed=SEED) for t in SAMPLE_TEMPERATURES},
        "seed": SEED,
        "match_lengths": MATCH_LENGTHS,
        "onnx": onnx,
    }
    text = environment.get_template("card.md").render(facts | (measure_text(trained) if has_text else NO_TEXT))
    return re.sub(r"\n{3,}", "\n\n", text)


def measure_text(trained: TrainedModel) -> dict[str, Any]:
    """Return what the card says about the training text, and about the model beside it."""
    data = trained.checkpoint.config.data
    fractions = (1 - data.val_frac - data.test_frac, data.val_frac, data.test_frac)
    return {
        "num_chars": len(trained.load_ids()),
        "percentages": [100 * fraction for fraction in fractions],
        "baselines": measure_baselines(trained.load_split("train"), trained.load_split("val"), trained.vocabulary),
        "copied": compare_samples(trained),
    }


def thin_curve(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return up to MAX_POINTS validations, evenly spaced up to the last one, each with the width of its bar."""
    validations = [row for row in rows if row["split"] == "val"]
    every = max(1, math.ceil(len(validations) / MAX_POINTS))
    points = validations[::-1][::every][::-1]
    largest = max((point["bits_per_char"] for point in points), default=0.0) or 1.0
    return [point | {"width": round(BAR_WIDTH * point["bits_per_char"] / largest)} for point in points]


def escape_markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", "".join(map(picture, text)))


def format_code(text: str) -> str:
    """Return a text as code in a line of a table."""
    return f"`{''.join(map(picture, text)).replace('`', chr(0x2CB)).replace('|', chr(0xA6))}`"


def fence(text: str) -> str:
    """Return a text as a block of code that nothing in it can end; control characters are shown as pictures."""
    marks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    shown = "".join(symbol if symbol in "\n\t" else picture(symbol) for symbol in text)
    return f"{marks}text\n{shown}\n{marks}"
