"""What a model computes while it reads a text: how much each character surprised it, and the activations of its cells.

Dimensions: T time (characters of the text), V vocabulary, K likeliest characters, L layers, H hidden width.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from charlm.errors import InputError
from charlm.inference.activations import Activations, record_activations
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

NUM_LIKELIEST = 5
"""K: characters whose probabilities are kept at each place."""

CHUNK_LENGTH = 1024
"""Characters that are scored at a time, which bounds the memory."""

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """A text as a model read it from the zero state, in float32 and without dropout.

    Entry t of the predictions is about character t, predicted from the characters before it. Nothing predicts the first
    character; its entries are NaN, or -1 in the arrays of integers. Entry t of the activations is taken after
    character t was read.

    Attributes:
        symbols: the characters that were read, T of them; in a byte vocabulary, byte n is ``chr(n)``.
        ids: their ids in the vocabulary, (T,).
        surprise_bits: -log2 of the probability of each character, (T,), at least 0.
        probability: the probability of each character, (T,), 0 to 1.
        rank: 1 where the character was the likeliest, 2 where it was the second likeliest, ..., (T,).
        likeliest_ids: the ids of the likeliest characters, the likeliest first, (T, K) with K = min(5, V).
        likeliest_probability: their probabilities, (T, K).
        activations: by name, each (L, T, H): cell state ``c``, hidden state ``h``, input gate ``i``, forget gate ``f``,
            candidate ``g``, output gate ``o``.
    """

    symbols: list[str]
    ids: Integers
    surprise_bits: Floats
    probability: Floats
    rank: Integers
    likeliest_ids: Integers
    likeliest_probability: Floats
    activations: dict[str, Floats]

    @property
    def bits_per_char(self) -> float:
        """The mean surprise of all characters but the first, in bits."""
        return float(self.surprise_bits[1:].astype(np.float64).mean())


class _Predictions(NamedTuple):
    surprise_bits: Tensor
    probability: Tensor
    rank: Tensor
    likeliest_ids: Tensor
    likeliest_probability: Tensor


def read_text(model: CharLM, vocabulary: Vocabulary, ids: Tensor) -> Reading:
    """Read a text with a model, which is not changed.

    Args:
        model: the model.
        vocabulary: its symbols.
        ids: the text, (T,), T at least 2.

    Raises:
        InputError: the text has fewer than 2 characters.
    """
    if len(ids) < 2:
        raise InputError(f"a text of {len(ids)} characters has nothing to predict; give at least 2.")
    layers = record_activations(model, ids)
    pieces = [_predict(model, layers[-1].h, ids, start) for start in range(0, len(ids) - 1, CHUNK_LENGTH)]
    columns = _Predictions(*(torch.cat(parts) for parts in zip(*pieces, strict=True)))
    values = ids.to("cpu", torch.int64)
    return Reading(
        symbols=[vocabulary.symbols[value] for value in values.tolist()],
        ids=values.numpy(),
        **{name: _prepend_missing(column) for name, column in columns._asdict().items()},
        activations={
            name: torch.stack([getattr(layer, name) for layer in layers]).float().cpu().numpy()
            for name in Activations._fields
        },
    )


@torch.no_grad()
def _predict(model: CharLM, hidden: Tensor, ids: Tensor, start: int) -> _Predictions:
    """Return the predictions of the characters after ``start``, ``CHUNK_LENGTH`` of them at most.

    Args:
        model: the model.
        hidden: the last layer's hidden states, (T, H).
        ids: the text, (T,).
        start: the place before the first predicted character.
    """
    targets = ids[start + 1 : start + 1 + CHUNK_LENGTH].to(hidden.device, torch.int64)[:, None]  # (n, 1)
    log_probs = model.output(hidden[start : start + len(targets)]).float().log_softmax(-1)  # (n, V)
    log_prob = log_probs.gather(1, targets)  # (n, 1)
    likeliest = log_probs.topk(min(NUM_LIKELIEST, log_probs.shape[1]))
    return _Predictions(
        surprise_bits=-log_prob[:, 0] / math.log(2),
        probability=log_prob[:, 0].exp(),
        rank=(log_probs > log_prob).sum(-1) + 1,
        likeliest_ids=likeliest.indices,
        likeliest_probability=likeliest.values.exp(),
    )


def _prepend_missing(column: Tensor) -> Any:
    """Return an array with an entry for the first character, which nothing predicts, before the others."""
    missing = column.new_full((1, *column.shape[1:]), math.nan if column.is_floating_point() else -1)
    return torch.cat([missing, column]).cpu().numpy()
