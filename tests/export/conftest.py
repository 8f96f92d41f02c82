"""A model with preferences, for texts that do not repeat one character."""

from dataclasses import replace

import pytest
import torch

from charlm.inference.trained import TrainedModel
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary


def draw_weights(trained: TrainedModel, vocabulary: Vocabulary) -> TrainedModel:
    """Return a trained model with large random weights and another vocabulary, and without its text."""
    generator = torch.Generator().manual_seed(7)
    shapes = CharLM(len(vocabulary), **trained.checkpoint.config.model.model_dump(), kernel="reference").state_dict()
    weights = {name: torch.randn(weight.shape, generator=generator) for name, weight in shapes.items()}
    checkpoint = replace(trained.checkpoint, weights=weights, vocabulary=vocabulary, corpus_digest="of no text")
    return TrainedModel(checkpoint.build_model(torch.device("cpu"), "reference"), vocabulary, checkpoint)


@pytest.fixture(scope="session")
def vivid(trained: TrainedModel) -> TrainedModel:
    """Return a model of characters with large random weights."""
    return draw_weights(trained, trained.vocabulary)


@pytest.fixture(scope="session")
def vivid_bytes(trained: TrainedModel) -> TrainedModel:
    """Return a model of bytes with large random weights."""
    return draw_weights(trained, Vocabulary("byte"))
