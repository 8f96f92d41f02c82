"""Samples and the validation text beside the training text."""

from dataclasses import replace

import numpy as np
import pytest

from charlm.errors import InputError
from charlm.inference.copying import ComparedText, compare_samples
from charlm.inference.trained import TrainedModel


def test_samples_stand_beside_the_validation_text(trained: TrainedModel) -> None:
    """There is a sample for each temperature, as charlm sample would make it, and the beginning of the validation."""
    texts = compare_samples(trained, 50)
    names = ["temperature 0.5", "temperature 0.8", "temperature 1", "validation text"]
    assert [text.name for text in texts] == names
    assert {len(text.symbols) for text in texts} == {len(text.match_length) for text in texts} == {50}
    assert "".join(texts[1].symbols) == trained.sample(length=50, temperature=0.8, seed=1)
    assert "".join(texts[3].symbols) == trained.vocabulary.decode(trained.load_split("val")[:50])


def test_the_song_is_recognized(trained: TrainedModel) -> None:
    """The validation part of the song repeats lines of its training part, a sample of an untrained model does not."""
    *samples, validation = compare_samples(trained, 50)
    assert validation.longest >= 20
    assert validation.shares[20] > 0.5
    assert samples[2].longest < 20


def test_shares_count_characters_in_long_matches() -> None:
    """The share of a length is the fraction of characters whose longest match has it or more."""
    text = ComparedText("x", list("abcd"), np.array([80, 40, 20, 19]))
    assert text.shares == {20: 0.75, 40: 0.5, 80: 0.25}
    assert text.longest == 80


def test_a_changed_corpus_is_refused(trained: TrainedModel) -> None:
    """The training text must be the one that the model was trained on."""
    changed = replace(trained, checkpoint=replace(trained.checkpoint, corpus_digest="of another text"))
    with pytest.raises(InputError, match="has changed"):
        compare_samples(changed, 10)
