"""Pickles of torch.save without torch: the same values as torch reads, and nothing that a checkpoint does not hold."""

import io
import random
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import fuzz_readers
import pytest
import torch

from charlm.errors import InputError
from charlm.runs.archive import read_outline
from charlm.runs.pickled import TensorOutline, read_pickle

FORMATS = Path(__file__).parent / "checkpoints"


def outline(content: Any) -> Any:
    """Return values with the outlines of tensors in their places."""
    if isinstance(content, torch.Tensor):
        return TensorOutline(tuple(content.shape))
    if isinstance(content, dict):
        return {key: outline(value) for key, value in content.items()}  # an OrderedDict too
    return type(content)(map(outline, content)) if isinstance(content, list | tuple) else content


@pytest.mark.parametrize("path", sorted(FORMATS.rglob("*.pt")), ids=lambda path: str(path.relative_to(FORMATS)))
def test_checkpoints_read_as_torch_reads_them(path: Path) -> None:
    """A checkpoint of any format has the same plain values, and the shapes of its tensors."""
    assert read_outline(path) == outline(torch.load(path, weights_only=True))


@pytest.mark.parametrize(
    "content",
    [
        torch.zeros(5, 3),
        torch.zeros(4, 3).T,
        torch.zeros(9)[4:],
        torch.zeros(0),
        torch.tensor(1.5),
        [torch.zeros(2, dtype=kind) for kind in (torch.uint8, torch.int64, torch.bool, torch.bfloat16, torch.float64)],
        OrderedDict(a=torch.zeros(1), b=[1, -1, 255, 256, 65536, 2**40, -(2**63), 2**64 - 1]),
        {0: (), 1: (1.5,), 2: (True, None), 3: ("a", "é", "\ud800"), "x": (1, 2, 3, 4), "y": [[]], "z": {}},
        {"long": "x" * 70_000, "many": [str(number) for number in range(1000)]},
    ],
)
def test_values_are_those_that_torch_reads(content: Any, tmp_path: Path) -> None:
    """Values of each kind that a checkpoint holds come back, and tensors as their shapes."""
    torch.save(content, tmp_path / "x.pt")
    assert read_outline(tmp_path / "x.pt") == outline(torch.load(tmp_path / "x.pt", weights_only=True))


def test_a_number_does_not_count_twice(tmp_path: Path) -> None:
    """A tensor that shows one number many times, of a size that no file has, is refused."""
    torch.save(torch.zeros(1).expand(2**40), tmp_path / "x.pt")
    with pytest.raises(InputError, match="larger than its storage"):
        read_outline(tmp_path / "x.pt")


def test_a_module_has_attributes_that_nobody_reads() -> None:
    """The attributes that torch gives to a state dict are left out."""
    data = fuzz_readers.to_bytes(torch.nn.Linear(2, 3).state_dict())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickle = archive.read("archive/data.pkl")
    assert b"_metadata" in pickle
    found = read_pickle(pickle, {"0": 24, "1": 12})
    assert found == {"weight": TensorOutline((3, 2)), "bias": TensorOutline((3,))}


TENSOR = fuzz_readers.tensor_of(16)


@pytest.mark.parametrize(
    ("pickle", "message"),
    [
        (b"\x80\x02}" + b")" + b"\x85" * 400_000 + b"K\x01s.", "a key that is no text and no number"),
        (b"\x80\x02}NK\x01s.", "a key that is no text and no number"),
        (b"\x80\x02}\x8a\x09" + b"\xff" * 8 + b"\x7fK\x01s.", "a whole number beyond 64 bits"),
        (b"\x80\x02)K\x01a.", "appends to what is no list"),
        (b"\x80\x02(K\x01e.", "list index out of range"),
        (b"\x80\x02K\x01K\x02K\x03s.", "a key that is no text"),
        (b"\x80\x02}}b.", None),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", "attributes of what is no dictionary"),
        (b"\x80\x02ccollections\nOrderedDict\n]\x85R.", "calls what a checkpoint does not call"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls what a checkpoint does not call"),
        (b"\x80\x02X\x01\x00\x00\x00a)R.", "calls what a checkpoint does not call"),
        (b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.", "names 'posix system'"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "the operation NEWOBJ"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "the operation SHORT_BINUNICODE"),
        (TENSOR.replace(b"storagectorch", b"st0ragectorch"), "it has no part '0'"),
        (TENSOR.replace(b"\x01\x00\x00\x000X", b"\x01\x00\x00\x001X"), "it has no part '1'"),
        (fuzz_readers.tensor_of(17), "claims 17 numbers"),
        (fuzz_readers.tensor_of(2**62), "claims 4.61169e[+]18 numbers"),
        (fuzz_readers.tensor_of(-1), "claims -1 numbers"),
        (TENSOR.replace(b"K\x00", b"K\x01"), "larger than its storage"),
        (TENSOR.replace(b"\x85K\x01\x85", b"\x85K\x02\x85"), "larger than its storage"),
        (TENSOR.replace(b"\x85K\x01\x85", b"\x85K\x01K\x01\x86"), "an impossible shape"),
        (b"\x80\x02K\x01K\x01.", "too many values to unpack"),
        (b"\x80\x02.", "not enough values to unpack"),
        (b"", "pickle exhausted"),
    ],
)
def test_what_no_checkpoint_does_is_refused(pickle: bytes, message: str | None) -> None:
    """Another operation, name or call, and a tensor that is not there, are refused before anything is made of them."""
    if message is None:
        assert read_pickle(pickle, {}) == {}
        return
    with pytest.raises(Exception, match=message):
        read_pickle(pickle, {"0": 64})


def test_damaged_pickles_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    """What is read of a damaged pickle is what torch reads, where it reads anything."""
    chance = random.Random(3)  # noqa: S311
    sound = fuzz_readers.to_bytes(fuzz_readers.tiny_content())
    path, num_compared = tmp_path / "x.pt", 0
    for _ in range(300):
        path.write_bytes(fuzz_readers.damage_pickle(sound, chance))
        try:
            found = read_outline(path)
            expected = torch.load(path, weights_only=True)
        except Exception:  # noqa: S112  # refused by one of them
            continue
        assert repr(found) == repr(outline(expected))  # infinite and other numbers too
        num_compared += 1
    assert num_compared > 15
