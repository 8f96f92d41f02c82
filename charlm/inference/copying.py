"""Copied or new: how much of a model's samples stands in its training text, beside what a person wrote.

Dimension: n characters of a text.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from charlm.inference.generation import encode_prompt, generate
from charlm.inference.matches import cover_matches, find_matches
from charlm.inference.reading import Integers
from charlm.inference.sampling import Sampling
from charlm.inference.trained import TrainedModel

TEMPERATURES = (0.5, 0.8, 1.0)

SAMPLE_LENGTH = 2000
"""Characters of each sample, and of the validation text beside them."""

MATCH_LENGTHS = (20, 40, 80)
"""Lengths of matches whose shares are counted."""

SEED = 1


@dataclass(frozen=True)
class ComparedText:
    """A text and its matches with the training text.

    Attributes:
        name: what it is, such as ``temperature 0.8``.
        symbols: its characters, n of them.
        match_length: for each character, the length of the longest verbatim match that contains it, (n,).
    """

    name: str
    symbols: list[str]
    match_length: Integers

    @property
    def longest(self) -> int:
        """The length of the longest match."""
        return int(self.match_length.max(initial=0))

    @property
    def shares(self) -> dict[int, float]:
        """For each length, the fraction of the characters that are in matches of at least this length."""
        return {length: float(np.mean(self.match_length >= length)) for length in MATCH_LENGTHS}


def compare_samples(trained: TrainedModel, length: int = SAMPLE_LENGTH) -> list[ComparedText]:
    """Sample a model at several temperatures, and compare the samples and the validation text with the training text.

    Args:
        trained: the model; its corpus must still exist.
        length: characters of each sample; the validation text is its beginning, of this length at most.

    Raises:
        InputError: the corpus is missing or has changed.
    """
    train, val = trained.load_split("train"), trained.load_split("val")
    texts = {f"temperature {temperature:g}": _sample(trained, temperature, length) for temperature in TEMPERATURES}
    texts["validation text"] = val[:length].long()
    matches = find_matches(train, trained.vocabulary, list(texts.values()))
    symbols = trained.vocabulary.symbols
    return [
        ComparedText(name, [symbols[index] for index in ids.tolist()], cover_matches(lengths))
        for (name, ids), lengths in zip(texts.items(), matches, strict=True)
    ]


def _sample(trained: TrainedModel, temperature: float, length: int) -> Tensor:
    """Return the ids of a sample without a prompt, (n,)."""
    prompt_ids, _ = encode_prompt(trained.vocabulary, "")
    return torch.cat([*generate(trained.model, prompt_ids, range(1), length, Sampling(temperature), SEED)])[:, 0]
