"""What many tests need: a cache of their own, a small corpus, and a small configuration."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from charlm.config import Config

TEXT = "".join(f"{n} green bottles hanging on the wall, and if one should fall...\n" for n in range(100, 0, -1))


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache out of the tests; built kernels are shared by the whole session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


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
        .replace(
            "train", batch_size=4, seq_length=16, max_steps=30, warmup_steps=5, log_every=4, eval_every=10,
            checkpoint_every=7, device="cpu", precision="fp32",
        )
        .replace("sample", length=20)
    )  # fmt: skip
