"""A trained model in Python."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import charlm
from charlm.config import Config
from charlm.errors import InputError
from charlm.inference.trained import TrainedModel
from charlm.runs.checkpoint import load_checkpoint, save_checkpoint
from charlm.training.loop import train


@pytest.fixture
def run(config: Config, tmp_path: Path) -> Path:
    """Return the directory of a finished run."""
    train(config, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def trained(run: Path) -> TrainedModel:
    """Return its model."""
    return charlm.load(run)


def damage(path: Path) -> None:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def misfit(path: Path) -> None:
    """Save weights that do not fit the configuration, with checksums that are right."""
    checkpoint = load_checkpoint(path)
    checkpoint.weights["output.bias"] = torch.zeros(4)
    save_checkpoint(checkpoint, path)


@pytest.mark.parametrize("spoil", [damage, misfit, Path.unlink, Path.touch])
def test_directory_stands_for_its_best(run: Path, spoil: Callable[[Path], None]) -> None:
    """A directory stands for best.pt whatever the saves are, and a file for itself."""
    for name in ("last.pt", "last-1.pt"):
        spoil(run / name)
    assert charlm.load(run).checkpoint.step == 30
    assert charlm.load(run / "best.pt").checkpoint.step == 30


@pytest.mark.parametrize("spoil", [damage, misfit])
@pytest.mark.parametrize(("names", "step"), [(["best.pt"], 30), (["best.pt", "last.pt"], 28)])
def test_damaged_best_gives_way_to_a_sound_save(
    run: Path, names: list[str], step: int, spoil: Callable[[Path], None]
) -> None:
    """In the place of damaged checkpoints the newest sound save is taken, each is named aloud, and none is touched."""
    for name in names:
        spoil(run / name)
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    with pytest.warns(UserWarning, match=f"Taken in its place: the save of step {step}") as warned:
        trained = charlm.load(run)
    assert trained.checkpoint.step == step
    assert trained.sample(length=5)
    for name, warning in zip(names, warned, strict=True):
        assert str(warning.message).startswith(f"{run / name}: ")
    assert before == {path: path.stat().st_mtime_ns for path in run.iterdir()}


def test_missing_best_is_reported(run: Path) -> None:
    """Where a best.pt was saved and is missing, the newest save is used with a warning."""
    (run / "best.pt").unlink()
    with pytest.warns(UserWarning, match=r"best\.pt: missing, although .* Taken in its place: the save of step 30"):
        assert charlm.load(run).checkpoint.step == 30


@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
@pytest.mark.parametrize("what", ["seed", "text"])
def test_best_of_another_run_is_refused(run: Path, config: Config, tmp_path: Path, name: str, what: str) -> None:
    """A directory whose best.pt and last.pt are of different runs is refused; each file can be given by itself."""
    if what == "seed":
        config = config.replace("train", seed=9)
        message = r"train\.seed was \d and is now \d"
    else:
        Path(config.data.path).write_text("0123456789 green bottles\n" * 300)
        message = "the text is another one"
    train(config, tmp_path / "other")
    (run / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(InputError, match=rf"best\.pt and last\.pt are of different runs: .*{message}"):
        charlm.load(run)
    assert charlm.load(run / "best.pt").checkpoint.step


def test_no_sound_checkpoint(run: Path) -> None:
    """Where every checkpoint is damaged, one error names them all; a damaged file that was named is not replaced."""
    for path in run.glob("*.pt"):
        damage(path)
    with pytest.raises(InputError, match=r"are damaged[\s\S]*best\.pt: [\s\S]*last\.pt: [\s\S]*last-1\.pt: "):
        charlm.load(run)
    with pytest.raises(InputError, match=r"best\.pt: this is not a complete charlm checkpoint"):
        charlm.load(run / "best.pt")


def test_directory_without_a_checkpoint(tmp_path: Path) -> None:
    """A directory that holds no checkpoint says how to get one."""
    with pytest.raises(InputError, match=r"holds no checkpoint \(best\.pt or last\.pt\)\. Train into it with --out"):
        charlm.load(tmp_path)


def test_load_and_sample(trained: TrainedModel) -> None:
    """The three lines of the README work: a sample begins with its prompt and has the length asked for."""
    text = trained.sample(prompt="9 green", length=50)
    assert text.startswith("9 green")
    assert len(text) == len("9 green") + 50


def test_equal_seeds_equal_samples(trained: TrainedModel) -> None:
    """The seed decides, and the global random state is left alone."""
    before = torch.get_rng_state()
    samples = [trained.sample(length=40, seed=seed) for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_stream_equals_sample(trained: TrainedModel) -> None:
    """The pieces of a stream make up the sample of the same seed."""
    assert "".join(trained.stream(prompt="9", length=40, seed=3)) == trained.sample(prompt="9", length=40, seed=3)


def test_many_at_once(trained: TrainedModel) -> None:
    """Samples made side by side differ, and each begins with the prompt."""
    texts = trained.sample_many(3, prompt="wall", length=30)
    assert len(set(texts)) == 3
    assert all(text.startswith("wall") for text in texts)


def test_evaluate_split(trained: TrainedModel) -> None:
    """The validation part has the loss that the checkpoint claims, and the test part another."""
    assert trained.evaluate_split("val").loss_nats == trained.checkpoint.loss_nats
    assert trained.evaluate_split("test") != trained.evaluate_split("val")
    assert trained.evaluate_split("train").num_chars > 5000


def test_evaluate_text(trained: TrainedModel, tmp_path: Path, corpus_path: Path) -> None:
    """Any text is measured; what the model does not know is counted and left out."""
    whole = trained.evaluate_text(str(corpus_path))
    assert whole.num_unknown == whole.unknown_frac == 0
    (tmp_path / "other.txt").write_text(corpus_path.read_text().replace("green", "gr√e√en"))
    other = trained.evaluate_text(str(tmp_path / "other.txt"))
    assert other == replace(whole, num_unknown=200)
    assert other.unknown_frac == 200 / (len(corpus_path.read_text()) + 200)


@pytest.mark.parametrize(("text", "num_known"), [("√√√√", 0), ("√9√", 1)])
def test_a_text_that_the_model_does_not_know(trained: TrainedModel, tmp_path: Path, text: str, num_known: int) -> None:
    """A text with fewer than 2 known characters is refused with its name and their number."""
    path = tmp_path / "roots.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"roots\.txt: the model knows {num_known} of its {len(text)} characters"):
        trained.evaluate_text(str(path))


def test_changed_corpus(trained: TrainedModel, corpus_path: Path) -> None:
    """A split of a text that has changed is no longer the one trained on, and is refused."""
    corpus_path.write_text("something else entirely " * 50)
    with pytest.raises(InputError, match="has changed since the model was trained; put the old one back, or"):
        trained.evaluate_split("val")


def test_empty_test_part(config: Config, tmp_path: Path) -> None:
    """A part that the configuration leaves empty is named with its key."""
    train(config.replace("data", test_frac=0.0), tmp_path / "run2")
    with pytest.raises(InputError, match=r"data\.test_frac=0"):
        charlm.load(tmp_path / "run2").evaluate_split("test")


def test_byte_level(config: Config, tmp_path: Path) -> None:
    """A byte model trains on anything and samples text."""
    (tmp_path / "bytes.bin").write_bytes(bytes(range(256)) * 20 + "žluťoučký kůň\n".encode() * 300)
    config = config.replace("data", path=str(tmp_path / "bytes.bin"), level="byte")
    train(config, tmp_path / "byte-run")
    trained = charlm.load(tmp_path / "byte-run")
    assert len(trained.vocabulary) == 256
    assert trained.sample(prompt="kůň", length=10).startswith("kůň")
