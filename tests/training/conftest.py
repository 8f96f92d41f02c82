"""What tests of runs that begin with another model share."""

from pathlib import Path

import pytest

from charlm.config import Config
from charlm.runs.checkpoint import save_checkpoint
from charlm.text.corpus import load_corpus
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint


@pytest.fixture
def base_path(config: Config, tmp_path: Path) -> Path:
    """Return a checkpoint of a model after three steps, without averaged weights."""
    session = Session(config.replace("train", average_decay=0.0), load_corpus(config.data.path, config.data.level))
    for _ in range(3):
        session.take_step()
    save_checkpoint(make_checkpoint(session, is_resumable=False), tmp_path / "base.pt")
    return tmp_path / "base.pt"


@pytest.fixture
def other_text(tmp_path: Path) -> str:
    """Return a text with symbols that the small text does not have, and without some that it has."""
    (tmp_path / "other.txt").write_text("Grüße: 3 große Bären äßen 30 Öfen; groß und größer.\n" * 60, encoding="utf-8")
    return str(tmp_path / "other.txt")


@pytest.fixture
def next_config(config: Config, base_path: Path, other_text: str) -> Config:
    """Return the configuration of a run that begins with the checkpoint and gives no sizes."""
    given = config.model_dump()
    return (
        Config()
        .replace("data", path=other_text)
        .replace("model", dropout=0.1)
        .replace("train", **given["train"] | {"init_from": str(base_path), "max_steps": 12, "average_decay": 0.0})
        .replace("sample", length=20)
    )
