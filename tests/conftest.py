"""What every test stands on: a cache of this session's own, and a tiny model."""

import os
import shutil
import tempfile

import pytest
import torch
from hypothesis import settings

from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

settings.register_profile("charlm", deadline=None, max_examples=60)  # no deadline: a busy machine is not a failure
settings.load_profile("charlm")

_CACHE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the session an empty cache before any test module is imported, since some build kernels on import."""
    config.stash[_CACHE] = tempfile.mkdtemp(prefix="charlm-tests-")
    os.environ["CHARLM_CACHE_DIR"] = config.stash[_CACHE]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    shutil.rmtree(config.stash[_CACHE], ignore_errors=True)


@pytest.fixture
def vocabulary() -> Vocabulary:
    """A line break, a blank and the letters a to h."""
    return Vocabulary("char", "\n abcdefgh")


@pytest.fixture
def model(vocabulary: Vocabulary) -> CharLM:
    """Two small layers with dropout and random weights, in training mode, with clear preferences."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        tiny = CharLM(len(vocabulary), num_layers=2, hidden_size=16, embed_size=8, dropout=0.5, kernel="reference")
    with torch.no_grad():
        tiny.output.weight *= 8
    return tiny.train()
