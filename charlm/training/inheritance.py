"""What a run takes over from its base: the weights, matched by symbol, and a list of all that differs.

Dimensions: V vocabulary, H hidden width.
"""

from dataclasses import dataclass

import torch

from charlm.config.yaml_source import Scalar
from charlm.model import CharLM
from charlm.runs.checkpoint import Checkpoint
from charlm.text.vocabulary import Vocabulary
from charlm.training.estimates import count_parameters
from charlm.training.origin import Origin

BY_SYMBOL = ("embedding.weight", "output.weight", "output.bias")
"""The weights that have a row for each symbol."""

NOT_COMPARED = ("train.init_", "sample.")
"""How the keys begin that are not compared with those of the base."""


@dataclass(frozen=True)
class Inheritance:
    """What a run takes over from its base, and all that differs between the two.

    Attributes:
        path: of the base.
        digest: of the base, in hexadecimal.
        step: steps that the base was trained for.
        loss_nats: validation loss of the base on its own text, nats per character; None if it was never validated.
        settings: the values that differ, by key: that of the base, and that of the run.
        num_parameters: of the base and of the run.
        num_symbols: of the base and of the run.
        new: symbols that the base does not know; their rows are drawn anew.
        absent: symbols of the base that the text does not have.
        is_absent_kept: whether the run knows these symbols all the same.
    """

    path: str
    digest: str
    step: int
    loss_nats: float | None
    settings: dict[str, tuple[Scalar, Scalar]]
    num_parameters: tuple[int, int]
    num_symbols: tuple[int, int]
    new: list[str]
    absent: list[str]
    is_absent_kept: bool


def describe_inheritance(origin: Origin, vocabulary: Vocabulary) -> Inheritance | None:
    """Return what a run takes over from its base; None if it begins with new weights or resumes.

    Args:
        origin: of the run.
        vocabulary: of its text alone.
    """
    if origin.base is None:
        return None
    checkpoint, config = origin.base.checkpoint, origin.config
    before, now = checkpoint.vocabulary, vocabulary.extend(origin.symbols)
    settings = checkpoint.config.find_differences(config)
    return Inheritance(
        path=origin.base.path,
        digest=origin.base.digest,
        step=checkpoint.step,
        loss_nats=checkpoint.loss_nats,
        settings={key: values for key, values in settings.items() if not key.startswith(NOT_COMPARED)},
        num_parameters=(
            count_parameters(checkpoint.config.model, len(before))["whole"],
            count_parameters(config.model, len(now))["whole"],
        ),
        num_symbols=(len(before), len(now)),
        new=[symbol for symbol in now.symbols if symbol not in before.ids],
        absent=[symbol for symbol in before.symbols if symbol not in vocabulary.ids],
        is_absent_kept=len(origin.symbols) > 0,
    )


@torch.no_grad()
def inherit_weights(model: CharLM, vocabulary: Vocabulary, base: Checkpoint) -> None:
    """Replace the new weights of a model by those of its base.

    Symbols that both know keep their rows of the embedding and the output. The others keep the new ones; their output
    biases are shifted, so that with a zero projection the model predicts each of them as often, compared with all
    symbols that both know, as before.

    Args:
        model: with new weights, as many layers as the base or more, and the same widths; its weights change.
        vocabulary: of the model.
        base: the checkpoint of the base.
    """
    known = [symbol for symbol in base.vocabulary.symbols if symbol in vocabulary.ids]
    rows = torch.tensor([vocabulary.ids[symbol] for symbol in known], dtype=torch.int64)
    base_rows = torch.tensor([base.vocabulary.ids[symbol] for symbol in known], dtype=torch.int64)
    if known:
        bias = model.output.bias
        bias.add_(base.weights["output.bias"][base_rows].logsumexp(0) - bias[rows].logsumexp(0))
    weights = model.state_dict()  # shares its memory with the model
    for name, weight in base.weights.items():
        if name in BY_SYMBOL:
            weights[name][rows] = weight[base_rows]
        else:
            weights[name].copy_(weight)
