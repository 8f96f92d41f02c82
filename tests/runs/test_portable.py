"""Exported models: what is written is read back, PyTorch reads it too, and what is damaged or hostile is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from charlm.errors import DamagedError, InputError
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.portable import MAX_CONFIG_BYTES, MAX_HEADER_BYTES, read_export, write_export

from test_checkpoint import make_checkpoint  # isort: skip

CPU = torch.device("cpu")


@pytest.fixture
def original() -> Checkpoint:
    """Return the checkpoint that is exported; a bias of it is -0.0."""
    checkpoint = make_checkpoint()
    checkpoint.weights["lstm.cells.0.bias"][3] = -0.0
    return checkpoint


@pytest.fixture
def exported(tmp_path: Path, original: Checkpoint) -> Path:
    """Return the directory of an exported model."""
    write_export(original, tmp_path)
    return tmp_path


def rewrite_weights(exported: Path, change: dict[str, Tensor | None]) -> None:
    """Replace, add or (None) remove tensors of an export."""
    weights = load_file(exported / "model.safetensors") | change
    save_file({name: tensor for name, tensor in weights.items() if tensor is not None}, exported / "model.safetensors")


def rewrite_config(exported: Path, change: dict[str, Any]) -> None:
    """Replace, add or (None) remove keys of config.json."""
    config = json.loads((exported / "config.json").read_text()) | change
    config = {key: value for key, value in config.items() if value is not None}
    (exported / "config.json").write_text(json.dumps(config))


def test_a_model_comes_back_as_it_was(exported: Path, original: Checkpoint) -> None:
    """Weights, to the bit, and all plain values are those of the checkpoint; the state of the training is left out."""
    loaded = read_export(exported)
    for name in ("config", "vocabulary", "corpus_digest", "step", "loss_nats", "garbage_frac"):
        assert getattr(loaded, name) == getattr(original, name)
    assert loaded.training == {}
    assert loaded.weights.keys() == original.weights.keys()
    assert all(
        loaded.weights[name].numpy().tobytes() == weight.numpy().tobytes() for name, weight in original.weights.items()
    )


def test_everyone_may_read_it_who_may_read_the_directory(exported: Path) -> None:
    """Both files have the permissions of any new file."""
    (exported / "new").touch()
    assert len({path.stat().st_mode for path in exported.iterdir()}) == 1


def test_torch_computes_the_same(exported: Path, original: Checkpoint) -> None:
    """Plain modules of torch take the tensors by their names, and give the logits of the model."""
    modules = nn.ModuleDict({"embedding": nn.Embedding(3, 3), "lstm": nn.LSTM(3, 5, 2), "output": nn.Linear(5, 3)})
    modules.load_state_dict(load_file(exported / "model.safetensors"))
    ids = torch.tensor([[0, 1, 2, 2, 1, 0, 0]])
    model = original.build_model(CPU, "reference")
    expected, _ = model(ids, model.initial_state(1))
    hidden, _ = modules["lstm"](modules["embedding"](ids.T))
    torch.testing.assert_close(modules["output"](hidden).transpose(0, 1), expected, rtol=0, atol=1e-6)


def test_both_biases_count(exported: Path, original: Checkpoint) -> None:
    """A model that was trained by torch has two biases in each layer; their sum is the bias."""
    rewrite_weights(exported, {"lstm.bias_hh_l1": torch.full((20,), 0.5)})
    weights = read_export(exported).weights
    assert torch.equal(weights["lstm.cells.1.bias"], original.weights["lstm.cells.1.bias"] + 0.5)
    assert torch.equal(weights["lstm.cells.0.bias"], original.weights["lstm.cells.0.bias"])


def test_a_model_from_elsewhere_needs_three_keys(exported: Path) -> None:
    """Format, sizes and vocabulary are enough; such a model has no step, no loss and no text."""
    sizes = {"num_layers": 2, "hidden_size": 5, "embed_size": 3}
    config = {"format": 1, "config": {"model": sizes}, "vocabulary": {"level": "char", "symbols": "ab✓"}}
    (exported / "config.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    loaded = read_export(exported)
    assert (loaded.step, loaded.loss_nats, loaded.corpus_digest) == (0, None, "")
    assert loaded.vocabulary.symbols == ["a", "b", "✓"]


def test_the_file_may_be_named(exported: Path, original: Checkpoint) -> None:
    """The path of the weights stands for the directory."""
    assert read_export(exported / "model.safetensors").vocabulary == original.vocabulary


def test_the_weights_are_a_copy(exported: Path, original: Checkpoint) -> None:
    """What happens to the file later does not reach a model that was read from it."""
    loaded = read_export(exported)
    with (exported / "model.safetensors").open("r+b") as stream:
        stream.seek(-400, os.SEEK_END)
        stream.write(b"\x7f" * 400)
    assert all(torch.equal(loaded.weights[name], weight) for name, weight in original.weights.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lstm.weight_hh_l1": None}, "'lstm.weight_hh_l1' is missing"),
        ({"lstm.weight_ih_l2": torch.zeros(20, 5)}, "'lstm.weight_ih_l2' is no part of the model"),
        ({"output.bias": torch.zeros(4)}, r"'output.bias' should be F32 \[3\] and is F32 \[4\]"),
        (
            {"lstm.weight_ih_l0": torch.zeros(3, 20)},
            r"'lstm.weight_ih_l0' should be F32 \[20, 3\]",
        ),
        ({"output.bias": torch.zeros(3).half()}, r"'output.bias' should be F32 \[3\] and is F16 \[3\]"),
        ({"output.bias": torch.tensor([0.0, float("nan"), 0.0])}, "'output.bias' has numbers that are not finite"),
        ({"output.weight": torch.full((3, 5), float("inf"))}, "'output.weight' has numbers that are not finite"),
        (
            {"lstm.bias_ih_l0": torch.full((20,), 3e38), "lstm.bias_hh_l0": torch.full((20,), 3e38)},
            "'lstm.cells.0.bias' has numbers that are not finite",
        ),
    ],
)
def test_other_tensors_are_refused(exported: Path, change: dict[str, Tensor | None], message: str) -> None:
    """Tensors that are missing, too many, of another type or shape, or not finite are named."""
    rewrite_weights(exported, change)
    with pytest.raises(DamagedError, match=message):
        read_export(exported)


def test_a_foreign_file_is_refused(exported: Path) -> None:
    """The tensors of another network are listed, but not all of them."""
    save_file({f"h.{layer}.attn.weight": torch.zeros(2, 2) for layer in range(40)}, exported / "model.safetensors")
    with pytest.raises(DamagedError, match=r"'embedding.weight' is missing; .* and 46 more differences"):
        read_export(exported)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"vocabulary": {"level": "char", "symbols": "abcd"}},
            r"should be F32 \[4, 3\]",
        ),
        ({"vocabulary": {"level": "byte", "symbols": ""}}, r"should be F32 \[256, 3\]"),
        ({"vocabulary": {"level": "char", "symbols": "aab"}}, "occurs twice"),
        ({"vocabulary": {"level": "word", "symbols": "abc"}}, "invalid description of a vocabulary"),
        ({"vocabulary": "abc"}, "config.json: refused: vocabulary has a wrong type"),
        ({"vocabulary": None}, "expected an object with the keys format, config and vocabulary"),
        ({"config": {"model": {"num_layers": 0}}}, "model.num_layers"),
        ({"config": {"model": {"hidden_size": 2**20, "embed_size": 2**20, "num_layers": 100}}}, "more differences"),
        ({"config": [1]}, "config.json: refused"),
        ({"format": "1"}, "its format is '1'"),
        ({"step": -1}, "step -1"),
        ({"loss_nats": float("nan")}, "loss_nats"),
        ({"corpus_digest": 5}, "corpus_digest has a wrong type"),
    ],
)
def test_a_config_that_lies_is_refused(exported: Path, change: dict[str, Any], message: str) -> None:
    """A vocabulary or sizes that are not those of the weights are refused before memory is taken."""
    rewrite_config(exported, change)
    with pytest.raises(DamagedError, match=message):
        read_export(exported)


def test_a_newer_format_is_named(exported: Path) -> None:
    """A later charlm's export asks for an upgrade."""
    rewrite_config(exported, {"format": 99, "charlm_version": "9.9"})
    with pytest.raises(InputError, match=r"written in format 99 by charlm 9\.9.*Upgrade"):
        read_export(exported)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 8, b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"format": 1' + b"0" * 5000 + b"}"],
)
def test_no_config(exported: Path, content: bytes) -> None:
    """A config.json that is not one is refused."""
    (exported / "config.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"config\.json: refused"):
        read_export(exported)


@pytest.mark.parametrize("name", ["config", "vocabulary", "corpus_digest", "step"])
def test_a_value_of_a_wrong_type_is_named(exported: Path, name: str) -> None:
    """The message says which value of config.json has a wrong type."""
    rewrite_config(exported, {name: ["a"]})
    with pytest.raises(DamagedError, match=rf"config\.json: refused: {name} has a wrong type\. Give"):
        read_export(exported)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02\0\0\0\0\0\0\0{",
        b"\x02\0\0\0\0\0\0\0{}",
        (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{" * 99,
        b"\xff" * 8 + b"{}",
        b"PK\x03\x04" + b"\0" * 40,
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,99999999]}}',
    ],
)
def test_no_safetensors_file(exported: Path, content: bytes) -> None:
    """A file that is empty, cut off, of another kind, or whose tensors would lie outside it is refused."""
    (exported / "model.safetensors").write_bytes(content)
    with pytest.raises(DamagedError, match=r"model\.safetensors: refused"):
        read_export(exported)


def test_a_long_header_is_refused(exported: Path) -> None:
    """A list of tensors that is far longer than a model needs is not read, though blanks alone make it long."""
    sound = (exported / "model.safetensors").read_bytes()
    end = 8 + int.from_bytes(sound[:8], "little")
    for size, is_read in ((MAX_HEADER_BYTES, True), (MAX_HEADER_BYTES + 8, False)):
        content = size.to_bytes(8, "little") + sound[8:end].ljust(size) + sound[end:]
        (exported / "model.safetensors").write_bytes(content)
        if is_read:
            read_export(exported)
        else:
            with pytest.raises(DamagedError, match="lists far more tensors than a model has"):
                read_export(exported)


def test_large_files_are_refused_unread(exported: Path) -> None:
    """Files of a terabyte are refused at once."""
    for name, message in (("model.safetensors", "refused"), ("config.json", f"over {MAX_CONFIG_BYTES:,} bytes")):
        with (exported / name).open("wb") as stream:
            stream.truncate(1 << 40)
        with pytest.raises(DamagedError, match=message):
            read_export(exported)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_or_a_pipe(exported: Path, name: str) -> None:
    """A file that is not there, or is a directory or a pipe, is named; nothing waits for a pipe."""
    (exported / name).unlink()
    with pytest.raises(InputError, match=f"{name}: there is no such file"):
        read_export(exported)
    (exported / name).mkdir()
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        read_export(exported)
    (exported / name).rmdir()
    os.mkfifo(exported / name)
    with pytest.raises(InputError, match=f"{name}: a pipe"):
        read_export(exported)
