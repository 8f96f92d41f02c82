"""A run after a fault: a damaged save, a full disk, a second process, weights that are no numbers."""

import errno
import math
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import Recorder, Stopper, equal, rows_without_times, without_times

from charlm.cli.progress import make_reporter
from charlm.config import Config
from charlm.errors import CharlmError, InputError, StoppedError
from charlm.runs.checkpoint import load_checkpoint, save_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.training.loop import train
from charlm.training.reporter import Reporter
from charlm.training.session import Session


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Keep nothing of a file."""
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, empty])
def test_damaged_save_is_passed_over(config: Config, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A run whose last.pt is damaged says so, goes on from the save before it, and ends as if nothing had happened."""
    train(config, tmp_path / "unbroken")
    with pytest.raises(StoppedError):
        train(config, tmp_path / "run", reporter=Stopper(17))
    damage(tmp_path / "run" / "last.pt")
    recorder = Recorder()
    train(config, tmp_path / "run", resume=True, reporter=recorder)
    assert recorder.steps[0] == 15
    [warning] = recorder.warnings
    assert "last.pt: " in warning
    assert "Renamed to last.pt.damaged. The run resumes from the previous save, of step 14" in warning
    assert (tmp_path / "run" / "last.pt.damaged").exists()
    assert rows_without_times(tmp_path / "run") == rows_without_times(tmp_path / "unbroken")
    first, second = (load_checkpoint(tmp_path / run / "last.pt") for run in ("run", "unbroken"))
    assert equal(without_times(first), without_times(second))


def forget_training(training: dict[str, Any]) -> None:
    """Keep nothing that resuming needs."""
    training.clear()


def damage_moment(training: dict[str, Any]) -> None:
    """Give the optimizer a sum of another shape."""
    training["optimizer"]["state"][3]["exp_avg"] = torch.zeros(2)


def damage_random(training: dict[str, Any]) -> None:
    """Give a random state that torch refuses, after the weights and the optimizer have taken theirs."""
    training["random"] = torch.zeros(9, dtype=torch.uint8)


def damage_interval(training: dict[str, Any]) -> None:
    """Add an unknown sum, which is found last."""
    training["interval"]["unknown"] = 1.0


def damage_trained_weight(training: dict[str, Any]) -> None:
    """Store a trained weight in another precision, which torch would convert without an error."""
    name, weight = next(iter(training["weights"].items()))
    training["weights"] = training["weights"] | {name: weight.double()}


def damage_garbage_frac(training: dict[str, Any]) -> None:
    """Store a fraction above 1."""
    training["best_garbage_frac"] = 1.5


def damage_decay_rate(training: dict[str, Any]) -> None:
    """Store an infinite learning rate."""
    training["decay"] = training["decay"] | {"learning_rate": math.inf}


def damage_decay_end(training: dict[str, Any]) -> None:
    """Store a fraction as the number of steps of the run."""
    training["decay"] = training["decay"] | {"end": 28.5}


def damage_old_extension(training: dict[str, Any]) -> None:
    """Store the extension of a run as older versions did, with an infinite learning rate."""
    del training["decay"]
    training["extension"] = {"step": 16, "learning_rate": math.inf}


@pytest.mark.parametrize(
    "damage",
    [
        forget_training,
        damage_moment,
        damage_random,
        damage_interval,
        damage_trained_weight,
        damage_garbage_frac,
        damage_decay_rate,
        damage_decay_end,
        damage_old_extension,
    ],
)
def test_save_with_a_damaged_training_state_is_passed_over(
    config: Config, tmp_path: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    """A last.pt whose checksums are right and whose training state is not is passed over like one that is cut short."""
    train(config, tmp_path / "unbroken")
    with pytest.raises(StoppedError):
        train(config, tmp_path / "run", reporter=Stopper(17))
    last = tmp_path / "run" / "last.pt"
    checkpoint = load_checkpoint(last)
    for weight in checkpoint.weights.values():
        weight.fill_(0.5)
    damage(checkpoint.training)
    save_checkpoint(checkpoint, last)
    recorder = Recorder()
    train(config, tmp_path / "run", resume=True, reporter=recorder)
    [warning] = recorder.warnings
    assert f"{last}: the run cannot resume from this checkpoint, its training state is damaged: " in warning
    assert "resumes from the previous save, of step 14" in warning
    assert load_checkpoint(tmp_path / "run" / "last.pt.damaged").step == 17
    first, second = (load_checkpoint(tmp_path / run / "last.pt") for run in ("run", "unbroken"))
    assert equal(without_times(first), without_times(second))


@pytest.mark.parametrize("name", ["last.pt", "last-1.pt"])
@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("train", {"seed": 9}, r"^a run can resume only with .* train\.seed was 1 and is now 9"),
        ("data", {"path": "other.txt"}, r"^\S+other\.txt: the text differs from the one that the run started with"),
    ],
)
def test_a_change_is_no_damage(
    config: Config, tmp_path: Path, name: str, section: str, change: dict[str, Any], message: str
) -> None:
    """Another configuration or text is refused as such, whichever save is damaged, and nothing is moved."""
    train(config, tmp_path / "run")
    flip(tmp_path / "run" / name)
    (tmp_path / "other.txt").write_text("another text\n" * 500)
    change = {key: str(tmp_path / value) if key == "path" else value for key, value in change.items()}
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*.pt")}
    with pytest.raises(InputError, match=message):
        train(config.replace(section, **change), tmp_path / "run", resume=True)
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*.pt")}


def test_no_sound_save(config: Config, tmp_path: Path) -> None:
    """Where every save is damaged the run is refused, each is named, and nothing is changed."""
    train(config, tmp_path / "run")
    names = ["last.pt", "last-1.pt"]
    for name in names:
        flip(tmp_path / "run" / name)
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    with pytest.raises(InputError, match=r"all checkpoints of the run are damaged[\s\S]*last\.pt[\s\S]*last-1\.pt"):
        train(config, tmp_path / "run", resume=True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


@pytest.mark.parametrize(
    ("keep", "steps"), [(1, [30]), (2, [30, 28]), (4, [30, 28, 21, 14]), (9, [30, 28, 21, 14, 7, 0])]
)
def test_saves_that_are_kept(config: Config, tmp_path: Path, keep: int, steps: list[int]) -> None:
    """train.keep bounds the saves on the disk, which are the newest."""
    train(config.replace("train", keep=keep), tmp_path / "run")
    names = ["last.pt", *(f"last-{n}.pt" for n in range(1, len(steps)))]
    assert [load_checkpoint(tmp_path / "run" / name).step for name in names] == steps
    assert len(list((tmp_path / "run").glob("last*"))) == len(steps)


def test_fewer_saves_are_kept_from_now_on(config: Config, tmp_path: Path) -> None:
    """A run that goes on with a smaller train.keep removes the saves beyond it."""
    with pytest.raises(StoppedError):
        train(config.replace("train", keep=9), tmp_path / "run", reporter=Stopper(22))
    train(config.replace("train", keep=1), tmp_path / "run", resume=True)
    assert [path.name for path in (tmp_path / "run").glob("last*")] == ["last.pt"]


def test_saves_by_the_clock(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """train.checkpoint_minutes saves when so long has passed, besides train.checkpoint_every."""
    saved = []
    monkeypatch.setattr(RunDirectory, "save_last", lambda self, checkpoint: saved.append(checkpoint.step))

    class Clock(Reporter):
        now_s = 0.0

        def advance(self, step: int, num_chars: int) -> None:
            self.now_s += 61.0 if step in {5, 20} else 0.0

    clock, real = Clock(), time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock.now_s + real() * 1e-6)  # the machine's speed does not matter
    config = config.replace("train", checkpoint_every=1000, checkpoint_minutes=1.0)
    train(config, tmp_path / "run", reporter=clock)
    assert saved == [0, 5, 20, 30]


def test_full_disk_leaves_the_last_save(config: Config, tmp_path: Path) -> None:
    """A save that the system cuts short ends the run with advice, the last good one stands, and the run can go on."""
    with pytest.raises(StoppedError):
        train(config, tmp_path / "run", reporter=Stopper(8))
    before = (tmp_path / "run" / "last.pt").read_bytes()
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, former[1]))
    try:
        with pytest.raises(CharlmError, match=r"\.pt: cannot be written: File too large.*--resume") as caught:
            train(config, tmp_path / "run", resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert caught.value.exit_status == 1
    assert (tmp_path / "run" / "last.pt").read_bytes() == before
    assert train(config, tmp_path / "run", resume=True).steps == 30


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_event_file_that_cannot_be_written(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """TensorBoard's file on a full disk ends the run with a clear error."""

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monitor = make_reporter(tmp_path / "run")
    start = monitor.start

    def start_then_fail(*arguments: Any) -> None:
        start(*arguments)
        monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", fail)

    monkeypatch.setattr(monitor, "start", start_then_fail)
    with pytest.raises(CharlmError, match=f"events.out.tfevents: cannot be written: {os.strerror(number)}"):
        train(config, tmp_path / "run", reporter=monitor)


def test_second_process_is_refused(config: Config, tmp_path: Path) -> None:
    """While one run trains, another into its directory is refused and changes nothing; afterwards it may go on."""

    class Intruder(Reporter):
        def advance(self, step: int, num_chars: int) -> None:
            if step == 9:
                before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
                with pytest.raises(InputError, match=f"process {os.getpid()} is training in this directory"):
                    train(config, tmp_path / "run", resume=True)
                assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}

    train(config, tmp_path / "run", reporter=Intruder())
    assert train(config, tmp_path / "run", resume=True).steps == 30


def test_system_without_locks(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a run directory cannot be locked, the run says so and trains."""

    def fail(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr("fcntl.flock", fail)
    recorder = Recorder()
    assert train(config, tmp_path / "run", reporter=recorder).steps == 30
    assert recorder.warnings == [
        "this system cannot lock the run directory; make sure that no second process trains in it."
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_weights_overwrite_nothing(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """Weights that are no numbers are neither validated nor saved: the run fails and the last good files stand."""
    config = config.replace("train", eval_every=5, max_steps=10, checkpoint_every=5)

    take_step = Session.take_step

    def take_breaking_step(session: Session) -> bool:
        is_finite = take_step(session)
        if session.step == 10:
            with torch.no_grad():
                session.model.output.bias.fill_(value)
        return is_finite

    monkeypatch.setattr(Session, "take_step", take_breaking_step)
    with pytest.raises(CharlmError, match="the model's weights are broken") as caught:
        train(config, tmp_path / "run")
    assert caught.value.exit_status == 1
    assert load_checkpoint(tmp_path / "run" / "best.pt").step == 5
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == 5
    with pytest.raises(CharlmError, match="weights are not finite"):
        train(config.replace("train", eval_every=99, max_steps=12), tmp_path / "other")
