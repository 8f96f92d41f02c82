"""A model that every test of the room looks into."""

import pytest
from texts import TEXT

from charlm.config import Config
from charlm.inference.trained import TrainedModel, load
from charlm.inspection.inspection import Inspection, inspect_text
from charlm.training.loop import train
from charlm.training.reporter import Reporter


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """Return a model of two layers of 12 that was trained for a few steps on a song that repeats itself."""
    directory = tmp_path_factory.mktemp("inspected")
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
    return load(directory / "run", "cpu")


@pytest.fixture(scope="session")
def inspection(trained: TrainedModel) -> Inspection:
    """Return what is measured about 5,000 characters of the song, the default length of a page."""
    return inspect_text(trained, trained.load_split("train")[:5000].long(), "the song")
