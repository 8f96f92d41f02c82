"""Whether a model that starts from the zero state writes text like its training text, judged by a trigram model.

A model can have a low loss on a text whose beginning it has hardly seen, and then write garbage when it starts from the
zero state, which no loss shows. A trigram model of the training part is an independent judge: it needs more bits for
garbage than for real text.

Dimensions: N symbols, T symbols of a sample, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from charlm.inference.generation import generate
from charlm.inference.sampling import Sampling
from charlm.model import CharLM
from charlm.text.ngrams import predict
from charlm.text.smoothing import witten_bell

NUM_SAMPLES, SAMPLE_LENGTH = 16, 150
"""Samples that are drawn from the zero state at temperature 1, and their length in symbols."""

COUNTED, MEASURED = 1_000_000, 100_000
"""Symbols of the training part that the judge learns from, its last ones, and of the validation part that it scores."""

MAX_RATIO = 1.6
"""A sample is garbage if it costs more than this times the bits of the validation text."""

MAX_GARBAGE_FRAC = 0.25
"""Fraction of garbage above which a model is reported; single unusual samples are normal."""


@dataclass(frozen=True)
class Coherence:
    """Bits per symbol that the trigram model needs.

    Attributes:
        text_bits: for the validation text.
        sample_bits: for each sample.
    """

    text_bits: float
    sample_bits: tuple[float, ...]

    @property
    def garbage_frac(self) -> float:
        """The fraction of the samples that are garbage, 0 to 1."""
        limit = MAX_RATIO * self.text_bits
        return sum(bits > limit for bits in self.sample_bits) / len(self.sample_bits)


class CoherenceJudge:
    """A trigram model of the training part that scores what models write.

    Args:
        train: ids of the training part, (N,).
        val: ids of the validation part, (N,), at least one.
        vocabulary_size: V.
        first_id: the symbol after which a sample starts.
    """

    def __init__(self, train: Tensor, val: Tensor, vocabulary_size: int, first_id: int) -> None:
        self._V, self._first_id = vocabulary_size, first_id
        self._levels = list(witten_bell(train[-COUNTED:], 3, vocabulary_size))
        self._text_bits = self._mean_bits(val[:MEASURED])

    def judge(self, model: CharLM, seed: int) -> Coherence:
        """Draw samples from the zero state and score them; the model's mode is left as it was."""
        prompt = torch.tensor([self._first_id])
        blocks = generate(model, prompt, range(NUM_SAMPLES), SAMPLE_LENGTH, Sampling(temperature=1.0), seed)
        return self.score(torch.cat(list(blocks)).T)

    def score(self, samples: Tensor) -> Coherence:
        """Score samples, (B, T), that were drawn elsewhere."""
        return Coherence(self._text_bits, tuple(self._mean_bits(sample) for sample in samples))

    def _mean_bits(self, ids: Tensor) -> float:
        *_, probabilities = predict(self._levels, ids, self._V)
        return float(probabilities.reciprocal().log2().mean())


def describe_garbage(garbage_frac: float | None) -> str | None:
    """Return a sentence about a model that writes garbage when it starts without a prompt, or None."""
    if garbage_frac is None or garbage_frac <= MAX_GARBAGE_FRAC:
        return None
    return (
        f"{garbage_frac:.0%} of what the model writes without a prompt is unlike its training text. Give a prompt, or "
        "train again with a larger train.reset_probability."
    )
