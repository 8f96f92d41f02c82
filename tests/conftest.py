"""What many tests need: a cache of their own, a small corpus, a small configuration, and a tiny model."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from texts import TEXT

from charlm.config import Config
from charlm.inference.trained import TrainedModel, load
from charlm.model import CharLM
from charlm.system.signals import STOP_SIGNALS
from charlm.text.vocabulary import Vocabulary
from charlm.training.loop import train
from charlm.training.reporter import Reporter

settings.register_profile("charlm", deadline=None, max_examples=60)  # no deadline: a busy machine is not a failure
settings.load_profile("charlm")

_CACHE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the user's cache out of the tests, set before any test module is imported: some build kernels on import.

    Workers of pytest-xdist inherit the directory of the process that started them, so each kernel is built once.
    """
    if not hasattr(config, "workerinput"):
        config.stash[_CACHE] = tempfile.mkdtemp(prefix="charlm-tests-")
        os.environ["CHARLM_CACHE_DIR"] = config.stash[_CACHE]
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:  # the tests run as a background job, or after nohup
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ.pop("PYTHONUNBUFFERED", None)  # commands under test buffer their output, as a user's do


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    if _CACHE in config.stash:
        shutil.rmtree(config.stash[_CACHE], ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small models are faster on one thread, and tests that run side by side do not fight."""
    torch.set_num_threads(1)


@pytest.fixture
def corpus_path(tmp_path: Path) -> Path:
    """Return a small text file."""
    path = tmp_path / "bottles.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def config(corpus_path: Path) -> Config:
    """Return a configuration that trains on the small text in a second."""
    return (
        Config()
        .replace("data", path=str(corpus_path), val_frac=0.1, test_frac=0.1)
        .replace("model", num_layers=2, hidden_size=12, embed_size=6, dropout=0.2)
        .replace("model", dropconnect=0.1, embedding_dropout=0.1)
        .replace(
            "train", batch_size=4, seq_length=16, max_steps=30, warmup_steps=5, log_every=4, eval_every=10,
            checkpoint_every=7, learning_rate=6e-3, weight_decay=0.01,
            average_decay=0.8, reset_probability=0.1, device="cpu", precision="fp32",
        )
        .replace("sample", length=20)
    )  # fmt: skip


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


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of two layers of 12, trained for a few steps on a song that repeats itself."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "song.txt").write_text(TEXT, encoding="utf-8")
    config = (
        Config()
        .replace("data", path=str(directory / "song.txt"), val_frac=0.1)
        .replace("model", num_layers=2, hidden_size=12, embed_size=6)
        .replace("train", batch_size=2, seq_length=8, max_steps=3, warmup_steps=0)
        .replace("train", device="cpu", precision="fp32", kernel="reference")
        .replace("sample", length=1)
    )
    train(config, directory / "run", reporter=Reporter())
    return directory / "run"


@pytest.fixture(scope="session")
def trained(trained_run: Path) -> TrainedModel:
    """Return the model of that run."""
    return load(trained_run, "cpu")
