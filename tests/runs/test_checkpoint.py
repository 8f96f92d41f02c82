"""Checkpoints: what is written is read back, and what is damaged or hostile is refused unexecuted."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import charlm
from charlm.config import Config
from charlm.errors import CharlmError, InputError
from charlm.model import CharLM
from charlm.runs import description
from charlm.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from charlm.system.files import write_atomically
from charlm.text.vocabulary import Vocabulary

CPU = torch.device("cpu")


def make_checkpoint(**changes: Any) -> Checkpoint:
    """Return a checkpoint of a small model over the vocabulary a, b, ✓."""
    torch.manual_seed(1)
    config = Config().replace("model", num_layers=2, hidden_size=5, embed_size=3)
    weights = CharLM(3, **config.model.model_dump()).state_dict()
    values: dict[str, Any] = {
        "config": config, "vocabulary": Vocabulary("char", "ab✓"), "corpus_digest": "0f", "step": 7,
        "loss_nats": 1.25, "weights": weights, "training": {"best": [1.25, 7]},
    }  # fmt: skip
    return Checkpoint(**(values | changes))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return the path of a saved checkpoint."""
    save_checkpoint(make_checkpoint(), tmp_path / "last.pt")
    return tmp_path / "last.pt"


def test_round_trip(saved: Path) -> None:
    """A checkpoint comes back as it was saved, and the file stands alone."""
    loaded, original = load_checkpoint(saved), make_checkpoint()
    for name in ("config", "vocabulary", "corpus_digest", "step", "loss_nats", "training"):
        assert getattr(loaded, name) == getattr(original, name)
    assert all(torch.equal(loaded.weights[name], weight) for name, weight in original.weights.items())
    assert [path.name for path in saved.parent.iterdir()] == ["last.pt"]


def test_loads_with_weights_only(saved: Path) -> None:
    """Torch's own safe loader reads the file."""
    content = torch.load(saved, weights_only=True)
    assert content["step"] == 7
    assert content["vocabulary"] == {"level": "char", "symbols": "ab✓"}


def test_names_the_version_that_wrote_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file holds charlm's version, which a later charlm names when it no longer reads the format."""
    assert torch.load(saved, weights_only=True)["charlm_version"] == charlm.__version__
    monkeypatch.setattr(description, "OLDEST_FORMAT", 2)
    with pytest.raises(InputError, match=rf"format 1 by charlm {charlm.__version__}; .*Use the version that wrote it"):
        load_checkpoint(saved)


def test_builds_the_model(saved: Path) -> None:
    """The model of a checkpoint has its weights and is in evaluation mode."""
    model = load_checkpoint(saved).build_model(CPU)
    assert not model.training
    assert torch.equal(model.output.weight, make_checkpoint().weights["output.weight"])


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "executed"))


def save_payload(path: Path, victim: Path) -> None:
    """Write torch's zip format with a pickle that would execute code."""
    torch.save({"format": 1, "weights": Payload(victim)}, path)


def save_raw_pickle(path: Path, victim: Path) -> None:
    """Write a bare pickle that would execute code."""
    path.write_bytes(pickle.dumps(Payload(victim)))


def save_legacy(path: Path, victim: Path) -> None:
    """Write torch's old format, which is pickles one after another."""
    torch.save(Payload(victim), path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [save_payload, save_raw_pickle, save_legacy])
def test_malicious_pickle_is_refused(save: Any, tmp_path: Path) -> None:
    """A file that would execute code is refused, and nothing is executed."""
    victim = tmp_path / "victim"
    save(tmp_path / "evil.pt", victim)
    with pytest.raises(InputError, match=r"evil\.pt"):
        load_checkpoint(tmp_path / "evil.pt")
    assert not victim.exists()


def cut_short(data: bytes) -> bytes:
    """Return the first half."""
    return data[: len(data) // 2]


def flip_weight(data: bytes) -> bytes:
    """Return the file with one byte of a tensor changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        member = max(
            (info for info in archive.infolist() if "/data/" in info.filename), key=lambda info: info.file_size
        )
    place = data.index(member.filename.encode()) + len(member.filename) + 80
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def compress(data: bytes) -> bytes:
    """Return the file as a compressed archive, such as a zip bomb is."""
    output = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    return output.getvalue()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "truncated"),
        (flip_weight, "checksum"),
        (compress, "compressed"),
        (lambda _: b"", "truncated"),
        (lambda _: b"hello, world\n" * 99, "another kind of file"),
    ],
    ids=["truncated", "flipped", "compressed", "empty", "text"],
)
def test_damaged_file_is_refused(saved: Path, damage: Any, message: str) -> None:
    """A damaged file, or another one, is refused with the path and the reason."""
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(InputError, match=message) as caught:
        load_checkpoint(saved)
    assert str(saved) in str(caught.value)


def test_keys_that_were_added_later_have_their_former_effect(saved: Path) -> None:
    """A checkpoint from before a key was added loads with the value that stands for what charlm did then."""
    content = torch.load(saved, weights_only=True)
    for key in ("average_decay", "reset_probability"):
        del content["config"]["train"][key]
    torch.save(content, saved)
    settings = load_checkpoint(saved).config.train
    assert (settings.average_decay, settings.reset_probability) == (0.0, 0.0)


SMALLEST = {"format": 1, "config": {}, "vocabulary": {"level": "char", "symbols": "a"}, "corpus_digest": "0", "step": 1}
"""What a description needs, beside a loss."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "not a charlm checkpoint"),
        ({"model": {}}, "not a charlm checkpoint"),
        ({"format": "new"}, "not a charlm checkpoint: its format is 'new'"),
        ({"format": True}, "not a charlm checkpoint: its format is True"),
        ({"format": 99}, r"format 99 by a newer charlm; .* reads formats up to 1\. Upgrade charlm\.$"),
        ({"format": 99, "charlm_version": "7.2"}, r"format 99 by charlm 7\.2; .*Upgrade charlm\.$"),
        ({"format": 0}, r"format 0 by an older charlm; .* from 1\. Use the version that wrote it, or train .* again"),
        ({"format": 1}, "damaged"),
        ({"format": 1, "config": {}}, "damaged: vocabulary is missing"),
        (SMALLEST | {"vocabulary": "a"}, "damaged: vocabulary has a wrong type"),
        (SMALLEST | {"config": {"model": {"hidden_size": "big"}}}, "hidden_size"),
        (SMALLEST | {"vocabulary": {"level": "char", "symbols": "aa"}}, "twice"),
        (SMALLEST | {"vocabulary": {"level": "word", "symbols": "a"}}, "description of a vocabulary"),
    ],
)
def test_wrong_content_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    """A sound file with content that is no checkpoint is refused with the reason."""
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match=message):
        load_checkpoint(tmp_path / "x.pt")


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    """Weights of other shapes than the configuration says are refused."""
    weights = make_checkpoint().weights | {"output.bias": torch.zeros(4)}
    save_checkpoint(make_checkpoint(weights=weights), tmp_path / "x.pt")
    with pytest.raises(InputError, match="do not match"):
        load_checkpoint(tmp_path / "x.pt")


def test_weights_that_share_their_numbers(tmp_path: Path) -> None:
    """Weights that all look at the same numbers, each a copy once it is loaded, are refused for what they claim."""
    config = Config().replace("model", num_layers=4, hidden_size=64, embed_size=64)
    weights = CharLM(3, **config.model.model_dump()).state_dict()
    numbers = torch.zeros(max(weight.numel() for weight in weights.values()))
    shared = {name: numbers[: weight.numel()].view(weight.shape) for name, weight in weights.items()}
    save_checkpoint(make_checkpoint(config=config, weights=shared), tmp_path / "x.pt")
    with pytest.raises(InputError, match="the weights claim to be larger than the file"):
        load_checkpoint(tmp_path / "x.pt")


def test_missing_file(tmp_path: Path) -> None:
    """A path where nothing is says so."""
    with pytest.raises(InputError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "nothing.pt")


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file(saved: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the new file cannot be written whole, the old one stands and no scraps are left."""

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    if moment == "fsync":
        monkeypatch.setattr("charlm.system.files.os.fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CharlmError, match="No space left on device") as caught:
        save_checkpoint(make_checkpoint(step=8), saved)
    assert caught.value.exit_status == 1
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["last.pt"]


def test_write_atomically_replaces(tmp_path: Path) -> None:
    """New content takes the place of the old."""
    write_atomically(tmp_path / "x", b"old")
    write_atomically(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
