"""The fuzzer of the readers in short, what it found, and properties of what is read."""

import subprocess
import sys
from pathlib import Path

import fuzz_readers
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlm.config import load_config
from charlm.errors import InputError
from charlm.runs.checkpoint import load_checkpoint, save_checkpoint
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint

AS_OFTEN_AS_CI_ALLOWS = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_no_case_breaks_a_rule() -> None:
    """Random cases are read or refused, in bounded time and memory, by a process of its own."""
    script = Path(fuzz_readers.__file__)
    done = subprocess.run([sys.executable, script, "--cases", "400"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("400 cases: ")
    assert done.stdout.endswith(" 0 broke a rule\n")


@pytest.mark.parametrize("name", fuzz_readers.REGRESSIONS)
def test_hostile_checkpoint(name: str, tmp_path: Path) -> None:
    """Each checkpoint that did harm once, or was made to, is refused."""
    assert fuzz_readers.try_case(fuzz_readers.read_checkpoint, fuzz_readers.REGRESSIONS[name], tmp_path)


def test_bytearray_takes_no_memory(tmp_path: Path) -> None:
    """A bytearray that a checkpoint of a few bytes asks for is never made."""
    case = tmp_path / "case.pt"
    case.write_bytes(fuzz_readers.REGRESSIONS["a bytearray of 2 GB in 40 bytes"])
    with pytest.raises(InputError, match="names 'builtins bytearray'"):
        load_checkpoint(case)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", {"num_layers": 100, "hidden_size": 2**20, "embed_size": 2**20}),
        ("model", {"hidden_size": 4}),
        ("vocabulary", {"level": "char", "symbols": "".join(map(chr, range(0x10000, 0x90000)))}),
        ("vocabulary", {"level": "byte", "symbols": ""}),
    ],
    ids=["huge model", "wider model", "huge vocabulary", "byte vocabulary"],
)
def test_claims_beyond_the_weights(key: str, value: dict[str, object], tmp_path: Path) -> None:
    """A configuration or a vocabulary that claims more than the weights are is refused before memory is taken."""
    content = fuzz_readers.tiny_content()
    if key == "model":
        content["config"]["model"] |= value
    else:
        content[key] = value
    with pytest.raises(InputError, match="do not match its own configuration"):
        fuzz_readers.read_checkpoint(fuzz_readers.to_bytes(content), tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("step",), -1),
        (("step",), True),
        (("weights", "output.bias"), torch.zeros(3, dtype=torch.float64)),
        (("weights", "output.bias"), torch.zeros(1).expand(3)),
        (("weights", "../../x"), torch.zeros(3)),
        (("training", "states"), []),
        (("training", "elapsed_s"), -1.0),
        (("training", "skipped_in_a_row"), "0"),
        (("training", "best"), [float("nan"), 0]),
        (("training", "random"), torch.zeros(3, dtype=torch.uint8)),
        (("training", "optimizer", "state", 0, "exp_avg"), torch.zeros(1)),
        (("training", "interval", "num_steps"), -3),
        (("training", "decay"), [0, 30, 0.1]),
        (("training", "decay", "start"), -1),
        (("training", "decay", "learning_rate"), float("inf")),
        (("training", "decay", "learning_rate"), 0.02),
        (("training", "decay", "end"), 2001),
        (("step",), 2**62),
        (("step",), 2001),
        (("loss_nats",), -1.0),
        (("weights", "output.bias"), torch.full((3,), float("nan"))),
        (("training", "weights", "output.bias"), torch.full((3,), float("inf"))),
        (("training", "best"), [float("-inf"), 0]),
        (("training", "best"), [-1.0, 0]),
        (("training", "best"), [1.0, 2]),
        (("training", "best"), [1.0]),
        (("training", "last_loss_nats"), float("-inf")),
        (("training", "last_loss_nats"), 10**400),
        (("training", "elapsed_s"), 1e12),
        (("training", "elapsed_s"), float("nan")),
        (("training", "interval", "training_s"), 1e12),
        (("training", "interval", "num_steps"), 2),
        (("training", "skipped_in_a_row"), 2),
        (("training", "best_garbage_frac"), 1.5),
        (("training", "metrics"), {"num_bytes": -1, "crc32": 0}),
        (("training", "metrics"), {"num_bytes": 0}),
        (("training", "states", 0, 0), torch.full((1, 3), float("nan"))),
        (("training", "optimizer", "state", 0, "exp_avg"), torch.full((3, 2), float("nan"))),
        (("training", "optimizer", "state", 0, "exp_avg_sq"), torch.full((3, 2), -1.0)),
        (("training", "optimizer", "state", 0, "step"), torch.tensor(-1.0)),
        (("training", "optimizer", "state", 0, "more"), []),
        (("training", "optimizer", "state", 99), {}),
        (("training", "optimizer", "state"), [[[[]]]]),
    ],
)
def test_hostile_value(path: tuple[object, ...], value: object, tmp_path: Path) -> None:
    """A value of another kind, size or range than a run saves is refused."""
    content = place = fuzz_readers.tiny_content()
    for key in path[:-1]:
        place = place[key]  # type: ignore[index]
    place[path[-1]] = value  # type: ignore[index]
    with pytest.raises(InputError, match=r"damaged|refused"):
        fuzz_readers.read_checkpoint(fuzz_readers.to_bytes(content), tmp_path)


def test_every_byte_flipped(tmp_path: Path) -> None:
    """A checkpoint with any one byte in a hundred flipped is refused, or says the same as the sound one."""
    session = Session(fuzz_readers.tiny_config(), fuzz_readers.tiny_corpus())
    save_checkpoint(make_checkpoint(session, is_resumable=True), tmp_path / "sound.pt")
    data = (tmp_path / "sound.pt").read_bytes()
    weights = session.model.state_dict()
    for place in range(0, len(data), 101):
        (tmp_path / "case.pt").write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            found = load_checkpoint(tmp_path / "case.pt").weights
        except InputError:
            continue
        assert all(torch.equal(found[name], weight) for name, weight in weights.items())


@AS_OFTEN_AS_CI_ALLOWS
@given(data=st.binary(max_size=300))
def test_any_bytes(data: bytes, tmp_path: Path) -> None:
    """Any bytes at all are refused as a checkpoint, and read or refused as a configuration and as a corpus."""
    assert fuzz_readers.try_case(fuzz_readers.read_checkpoint, data, tmp_path)
    fuzz_readers.try_case(fuzz_readers.read_config, data, tmp_path)
    fuzz_readers.try_case(fuzz_readers.read_corpus, data, tmp_path)


@AS_OFTEN_AS_CI_ALLOWS
@given(text=st.text(max_size=300))
def test_any_yaml(text: str, tmp_path: Path) -> None:
    """Any text is read or refused as a configuration."""
    fuzz_readers.try_case(fuzz_readers.read_config, text.encode("utf-8", "surrogatepass"), tmp_path)


def test_large_configuration(tmp_path: Path) -> None:
    """A configuration that is too large is refused after a bounded part of it."""
    with (tmp_path / "config.yaml").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match="too large for a configuration"):
        load_config(tmp_path / "config.yaml")
