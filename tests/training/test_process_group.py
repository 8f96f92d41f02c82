"""Runs that several processes share: the same result, the same decisions, and an end with one clear word."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import wait_for_training
from ranks import Ranks, run_ranks
from recording import equal, rows_without_times, without_times
from texts import TEXT
from torch import Tensor

from charlm.config import Config
from charlm.runs.checkpoint import load_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.training.loop import train
from charlm.training.process_group import describe_loss

MAX_DIFFERENCE_NATS = 1e-4
"""Differences of a short run's losses by rounding, between numbers of processes."""


@pytest.fixture(scope="module")
def corpus_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small text file that all tests here share."""
    path = tmp_path_factory.mktemp("shared") / "bottles.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def config_path(config: Config, tmp_path: Path) -> Path:
    """Return the file of a configuration with every kind of random mask."""
    path = tmp_path / "small.yaml"
    path.write_text(config.to_yaml())
    return path


@pytest.fixture
def unbroken(config_path: Path, corpus_path: Path) -> Path:
    """Return the directory of a run of three processes that nothing disturbs; it is trained once."""
    directory = corpus_path.parent / "unbroken"
    if not directory.exists():
        first, *others = run_ranks(3, corpus_path.parent / "logs", "train", config_path, "--out", directory)
        assert first.status == 0, first.err
        assert "bits" in first.out
        assert others == 2 * [(0, "", "")]
    return directory


def assert_near_runs(first: Path, second: Path) -> None:
    """Fail unless two runs have the same rows and the same last state but for rounding."""
    for one, other in zip(*map(rows_without_times, (first, second)), strict=True):
        assert (one["step"], one["split"]) == (other["step"], other["split"])
        assert one["loss_nats"] == pytest.approx(other["loss_nats"], abs=MAX_DIFFERENCE_NATS)
    one, other = (load_checkpoint(directory / "last.pt") for directory in (first, second))
    assert equal(one.training["random"], other.training["random"])
    for name, weight in one.training["weights"].items():
        assert torch.allclose(weight, other.training["weights"][name], atol=1e-4), name
    for h_and_c, expected in zip(one.training["states"], other.training["states"], strict=True):
        assert all(torch.allclose(*pair, atol=1e-4) for pair in zip(h_and_c, expected, strict=True))


def assert_equal_runs(first: Path, second: Path) -> None:
    """Fail unless two runs are equal to the bit."""
    assert rows_without_times(first) == rows_without_times(second)
    for name in ("last.pt", "best.pt"):
        one, other = (load_checkpoint(directory / name) for directory in (first, second))
        assert equal(without_times(one), without_times(other))


def on_gpus(number: int) -> Any:
    """Return the number of processes and their device of a test that needs a GPU for each; they talk by NCCL."""
    is_missing = torch.cuda.device_count() < number
    return pytest.param(number, "cuda", marks=pytest.mark.skipif(is_missing, reason="NOT TESTED ON CUDA: too few GPUs"))


def test_three_processes_end_where_one_does(config: Config, unbroken: Path, tmp_path: Path) -> None:
    """The result does not depend on the number of processes but for rounding."""
    train(config, tmp_path / "alone")
    assert_near_runs(unbroken, tmp_path / "alone")


@pytest.mark.parametrize(("size", "device"), [(1, "cpu"), on_gpus(1), on_gpus(2)])
def test_the_result_does_not_depend_on_torchrun(
    config: Config, config_path: Path, tmp_path: Path, size: int, device: str
) -> None:
    """One process of torchrun ends where one without it does, on the CPU to the bit; so do several on GPUs."""
    train(config.replace("train", device=device), tmp_path / "alone")
    line = ["train", config_path, "--set", f"train.device={device}", "--out", tmp_path / "run"]
    first, *others = run_ranks(size, tmp_path / "logs", *line)
    assert first.status == 0, first.err
    assert others == (size - 1) * [(0, "", "")]
    (assert_equal_runs if device == "cpu" else assert_near_runs)(tmp_path / "run", tmp_path / "alone")


def slow_down(rank: int) -> None:
    """Make each step take long enough to be interrupted."""
    from charlm.training.session import Session

    take_step = Session.take_step

    def take_slow_step(session: Session) -> bool:
        time.sleep(0.05)
        return take_step(session)

    Session.take_step = take_slow_step  # type: ignore[method-assign]


def test_a_signal_to_any_process_stops_all_and_they_resume(config_path: Path, unbroken: Path, tmp_path: Path) -> None:
    """All stop after the same step, which is saved; as many processes resume to the bit, others but for rounding."""
    ranks = Ranks(3, tmp_path / "logs", "train", config_path, "--out", tmp_path / "broken", prepare=slow_down)
    wait_for_training(tmp_path / "broken")
    os.kill(ranks.processes[2].pid or 0, signal.SIGTERM)
    first, *others = ranks.wait()
    assert first.status == 128 + signal.SIGTERM
    assert "Stopped: after step" in first.err
    assert others == 2 * [(128 + signal.SIGTERM, "", "")]
    assert 0 < load_checkpoint(tmp_path / "broken" / "last.pt").step < 30
    shutil.copytree(tmp_path / "broken", tmp_path / "other")
    run_ranks(3, tmp_path / "logs", "train", "--out", tmp_path / "broken", "--resume")
    assert_equal_runs(tmp_path / "broken", unbroken)
    run_ranks(2, tmp_path / "logs", "train", "--out", tmp_path / "other", "--resume")
    assert_near_runs(tmp_path / "other", unbroken)


def test_an_early_stop_is_decided_together(config: Config, config_path: Path, tmp_path: Path) -> None:
    """All processes of a run whose patience runs out end it after the same step as a process alone."""
    changes = {"patience": 1, "eval_every": 2, "learning_rate": 1e-9, "warmup_steps": 0, "max_steps": 200}
    result = train(config.replace("train", **changes), tmp_path / "alone")
    assert result.early_stop_step is not None
    settings = [part for key, value in changes.items() for part in ("--set", f"train.{key}={value}")]
    outcomes = run_ranks(2, tmp_path / "logs", "train", config_path, *settings, "--out", tmp_path / "run")
    assert [outcome.status for outcome in outcomes] == [0, 0]
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == result.steps < 200


def spoil_one_loss(rank: int) -> None:
    """Let the loss of the fourth step be no number in rank 1."""
    from charlm.training import optimization

    compute_loss, num_calls = optimization.compute_loss, 0

    def spoiled(*arguments: Any) -> tuple[Tensor, Any]:
        nonlocal num_calls
        num_calls += 1
        loss, states = compute_loss(*arguments)
        return (loss * float("nan") if rank == 1 and num_calls == 4 else loss), states

    optimization.compute_loss = spoiled


def test_a_bad_step_of_one_process_is_skipped_by_all(config_path: Path, tmp_path: Path) -> None:
    """A gradient that is not finite in one process changes the weights of none, and the run goes on."""
    first, second = run_ranks(
        2, tmp_path / "logs", "train", config_path, "--out", tmp_path / "run", prepare=spoil_one_loss
    )
    assert (first.status, second.status) == (0, 0)
    assert first.err.count("step 4 was skipped") == 1
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == 30


def test_a_killed_process_ends_the_run_with_one_word(config_path: Path, tmp_path: Path) -> None:
    """When the first process is killed the others end at once, one of them says so, and the last save is whole."""
    ranks = Ranks(3, tmp_path / "logs", "train", config_path, "--out", tmp_path / "run", prepare=slow_down)
    wait_for_training(tmp_path / "run")
    os.kill(ranks.processes[0].pid or 0, signal.SIGKILL)
    outcomes = ranks.wait()
    assert [outcome.status for outcome in outcomes] == [-signal.SIGKILL, 1, 1]
    [told] = [outcome.err for outcome in outcomes[1:] if outcome.err]
    assert "lost the other processes of the run: one has ended" in told
    assert load_checkpoint(tmp_path / "run" / "last.pt").step >= 0


def fill_disk(rank: int) -> None:
    """Let no file of rank 0 grow once a step is logged, as on a full disk."""
    from charlm.training.observer import Observer

    log_training = Observer.log_training

    def log_and_fill(observer: Observer) -> None:
        log_training(observer)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    Observer.log_training = log_and_fill  # type: ignore[method-assign]


def test_a_full_disk_ends_all(config_path: Path, tmp_path: Path) -> None:
    """When the first process cannot save, it says why, the others end silently, and the last save is whole."""
    first, second = run_ranks(2, tmp_path / "logs", "train", config_path, "--out", tmp_path / "run", prepare=fill_disk)
    assert first.status == 1
    assert "last.pt: cannot be written" in first.err
    assert second == (1, "", "")
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == 0


def be_impatient(seconds: float) -> None:
    """Wait less long for the other processes from now on."""
    gloo = torch.distributed.group.WORLD._get_backend(torch.device("cpu"))  # type: ignore[union-attr]
    gloo._set_default_timeout(timedelta(seconds=seconds))


def freeze(rank: int) -> None:
    """Let rank 1 freeze in the middle of the run, and rank 0 be impatient from then on."""
    from charlm.training.session import Session

    take_step = Session.take_step

    def take_last_step(session: Session) -> bool:
        if session.step == 9:
            os.kill(os.getpid(), signal.SIGSTOP) if rank == 1 else be_impatient(1)
        return take_step(session)

    Session.take_step = take_last_step  # type: ignore[method-assign]


def test_no_process_waits_for_ever(config_path: Path, tmp_path: Path) -> None:
    """A process that is alive but does not answer ends the run after the timeout, with a word."""
    ranks = Ranks(2, tmp_path / "logs", "train", config_path, "--out", tmp_path / "run", prepare=freeze)
    ranks.processes[0].join()
    ranks.processes[1].kill()
    first, _ = ranks.wait()
    assert first.status == 1
    assert "no answer in" in first.err
    assert load_checkpoint(tmp_path / "run" / "last.pt").step == 7


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("[pair.cc:152] timed out connecting: SO_ERROR: Connection refused, remote=[10.0.0.2]:2704", "one has ended"),
        ("[buffer.cc:53] Timed out waiting 1800000ms for recv operation to complete", "no answer in 30 minutes"),
        ("wait timeout after 1800000ms, keys: /name for 5f", "no answer in 30 minutes"),
        ("[pair.cc:547] Connection closed by peer [10.0.0.2]:2704", "one has ended"),
    ],
)
def test_the_reason_of_a_loss(message: str, expected: str) -> None:
    """A process that refuses a connection has ended; that is not told as a long silence."""
    assert describe_loss(RuntimeError(message)).startswith(expected)


def validate_slowly(rank: int) -> None:
    """Let the validation take longer than the others wait for a sign of life, and show such signs."""
    from charlm.inference import evaluation
    from charlm.training import process_group
    from charlm.training.session import Session

    process_group.SIGN_INTERVAL_S = 0.1
    evaluation.CHUNK_LENGTH = 64  # in 10 pieces
    read, take_over_record = process_group._WatchedText.__getitem__, Session.take_over_record

    def read_slowly(text: Any, place: slice) -> Tensor:
        time.sleep(0.5)
        return read(text, place)

    def take_over_impatiently(session: Session) -> None:
        if rank == 1:
            be_impatient(3)
        take_over_record(session)

    process_group._WatchedText.__getitem__ = read_slowly  # type: ignore[method-assign]
    Session.take_over_record = take_over_impatiently  # type: ignore[method-assign]


def test_a_long_validation_is_waited_for(config_path: Path, tmp_path: Path) -> None:
    """The others wait longer than the timeout while the first process validates and shows signs of life."""
    settings = ["--set", "train.max_steps=1", "--set", "train.average_decay=0"]
    line = ("train", config_path, *settings, "--out", tmp_path / "run")
    outcomes = run_ranks(2, tmp_path / "logs", *line, prepare=validate_slowly)
    assert [outcome.status for outcome in outcomes] == [0, 0], outcomes


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--set", "train.batch_size=1"], "torchrun started 2 processes, more than the 1 streams of train.batch_size"),
        (["--set", "train.batch_size=none"], "train.batch_size: expected"),
        (["--unknown"], "No such option"),
        (["--set", "data.path=nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_told_once(config_path: Path, tmp_path: Path, arguments: list[str], reason: str) -> None:
    """All processes end with the status of a mistake, one says why, and nothing is written."""
    outcomes = run_ranks(2, tmp_path / "logs", "train", config_path, *arguments, "--out", tmp_path / "run")
    assert [outcome.status for outcome in outcomes] == [2, 2]
    assert sorted(reason in outcome.err for outcome in outcomes) == [False, True]
    assert sorted(outcome.err == "" for outcome in outcomes) == [False, True]
    assert not (tmp_path / "run").exists()


def have_another_text(rank: int) -> None:
    """Let the text of each process differ."""
    os.chdir(f"machine-{rank}")


def test_another_text_on_a_machine_is_refused(config_path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The process whose text differs from that of the first one says so, with its rank, and all end."""
    for rank in range(2):
        (tmp_path / f"machine-{rank}").mkdir()
        (tmp_path / f"machine-{rank}" / "text.txt").write_text(f"{rank} bottles on the wall. " * 200)
    monkeypatch.chdir(tmp_path)
    outcomes = run_ranks(
        2, tmp_path / "logs", "train", config_path, "--set", "data.path=text.txt", "--out", tmp_path / "run",
        prepare=have_another_text,
    )  # fmt: skip
    assert [outcome.status for outcome in outcomes] == [2, 2]
    assert outcomes[1].err.startswith("Error in rank 1 on ")
    assert "the text differs from the one that the run started with" in outcomes[1].err


def die_once(rank: int) -> None:
    """End the process in the middle of a run, as a crash does."""
    from charlm.training.session import Session

    take_step = Session.take_step

    def take_last_step(session: Session) -> bool:
        if session.step == 17 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return take_step(session)

    Session.take_step = take_last_step  # type: ignore[method-assign]


def test_restarted_processes_leave_an_older_run_alone(config: Config, config_path: Path, tmp_path: Path) -> None:
    """A run that was there before is refused without --resume, also in a restart."""
    train(config, tmp_path / "run")
    before = RunDirectory(tmp_path / "run").last_path.read_bytes()
    line = ("train", config_path, "--set", "train.max_steps=40", "--out", tmp_path / "run")
    ranks = Ranks(2, tmp_path / "logs", *line)
    for _ in range(2):
        first, second = ranks.wait()
        assert first.status == 2
        assert "already holds a run" in first.err
        assert second == (2, "", "")
        ranks = Ranks(2, tmp_path / "logs", *line, store=ranks.store)
    ranks.wait()
    assert RunDirectory(tmp_path / "run").last_path.read_bytes() == before


DYING = """
import os
import test_process_group
from charlm.cli import main

if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    test_process_group.die_once(int(os.environ["RANK"]))
main()
"""


def test_torchrun_goes_on_after_a_kill(config_path: Path, unbroken: Path, tmp_path: Path) -> None:
    """The torchruns of two machines restart a run of which a process is killed, and it ends as one that was not broken.

    It goes on without --resume. The torchrun that lost its process counts the restart; the other one may join without
    counting.
    """
    (tmp_path / "dying.py").write_text(DYING)
    with socket.create_server(("localhost", 0)) as server:
        endpoint = f"localhost:{server.getsockname()[1]}"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--max-restarts=1"]
    launcher += ["--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", "--rdzv-id=test"]
    line = [str(tmp_path / "dying.py"), "train", str(config_path), "--out", str(tmp_path / "run")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    machines = [
        subprocess.Popen(
            [*launcher, f"--nproc-per-node={local_size}", *line], env=environment, stdout=pipe, stderr=pipe, text=True
        )
        for local_size in (2, 1)
    ]
    outputs, errors = zip(*(machine.communicate() for machine in machines), strict=True)
    assert [machine.returncode for machine in machines] == [0, 0], errors
    assert "".join(outputs).count("bits per character, best") == 1
    assert "".join(errors).count("lost the other processes of the run: one has ended") == 1
    assert "resuming after step 14" in "".join(errors)
    assert_equal_runs(tmp_path / "run", unbroken)
