"""The session: random resets of the streams."""

from typing import Any

import pytest
import torch

from charlm.config import Config
from charlm.text.corpus import Corpus, load_corpus
from charlm.training.optimization import train_step
from charlm.training.session import Session


@pytest.fixture
def corpus(config: Config) -> Corpus:
    """Return the corpus of the configuration."""
    return load_corpus(config.data.path, config.data.level)


def find_restarts(
    config: Config, corpus: Corpus, num_steps: int, monkeypatch: pytest.MonkeyPatch
) -> list[torch.Tensor]:
    """Return which streams start each step from the zero state, (B,) a step."""
    seen: list[torch.Tensor] = []

    def spy(model: Any, optimizer: Any, batch: Any, states: Any, *settings: Any) -> Any:
        seen.append(torch.stack([(tensor == 0).all(dim=1) for state in states for tensor in state]).all(dim=0))
        return train_step(model, optimizer, batch, states, *settings)

    monkeypatch.setattr("charlm.training.session.train_step", spy)
    session = Session(config, corpus)
    for _ in range(num_steps):
        session.take_step()
    return seen


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.25, 0.15, 0.35), (0.9, 0.8, 1.0)])
def test_streams_restart_with_the_probability(
    config: Config, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, probability: float, low: float, high: float
) -> None:
    """Between the starts of two passes the share of streams that restart is the configured probability."""
    config = config.replace("train", reset_probability=probability, batch_size=8, seq_length=4, max_steps=90)
    assert Session(config, corpus).streams.steps_per_pass > 90
    _, *seen = find_restarts(config, corpus, 90, monkeypatch)
    assert low <= torch.stack(seen).float().mean().item() <= high


def test_resets_are_the_same_whatever_the_kernel(
    config: Config, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which streams restart depends on the seed alone."""
    config = config.replace("train", reset_probability=0.3)
    first, *others = (
        find_restarts(config.replace("train", kernel=kernel), corpus, 20, monkeypatch)
        for kernel in ("auto", "torch", "reference")
    )
    assert all(all(map(torch.equal, first, other)) for other in others)
    other = find_restarts(config.replace("train", seed=2), corpus, 20, monkeypatch)
    assert not all(map(torch.equal, first, other))
