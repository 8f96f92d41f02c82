"""The result of one run of a comparison: outcome.json in its directory, written when the run has finished."""

import statistics
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from charlm.config import Config
from charlm.inference.trained import load
from charlm.runs.directory import RunDirectory
from charlm.runs.metrics import Row
from charlm.system.files import write_atomically
from charlm.training.loop import train
from charlm.training.reporter import Reporter

FILE_NAME = "outcome.json"


class Finding(BaseModel):
    """A part of the results of a comparison."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Curve(Finding):
    """The validations of a run, one entry each in three lists."""

    num_chars: list[int] = Field(description="Characters trained on before the validation.")
    elapsed_s: list[float] = Field(description="Seconds since the run began, validations included.")
    loss_nats: list[float] = Field(description="Validation loss, nats per character.")


class Outcome(Finding):
    """One finished run."""

    directory: str = Field(description="Name of the run directory.")
    seed: int = Field(description="Seed of the initial weights and of dropout.")
    val_loss_nats: float = Field(description="Lowest validation loss, nats per character.")
    test_loss_nats: float | None = Field(
        description="Loss of the test part on the weights with the lowest validation loss, measured once at the end; "
        "null without a test part, and in trials."
    )
    best_step: int = Field(description="Step at which the validation loss was lowest.")
    num_chars: int = Field(description="Characters trained on, repetitions counted.")
    elapsed_s: float = Field(description="Duration of the run in seconds, with validations, without interruptions.")
    chars_per_s: float = Field(description="Median training speed, without validations.")
    baselines_bits: dict[str, float] = Field(description="Bits per character of simple predictors on the val part.")
    curve: Curve


def train_to_outcome(config: Config, directory: Path, has_test: bool, reporter: Reporter) -> Outcome:
    """Train or resume a run, and write its outcome.

    Args:
        config: of the run.
        directory: the run directory.
        has_test: whether to measure the test part too.
        reporter: receives every event.

    Raises:
        StoppedError: the process received a signal; the state was saved.
        CharlmError: the run failed.
    """
    result = train(config, directory, resume=True, reporter=reporter)
    best = load(directory, config.train.device) if has_test else None
    rows = RunDirectory(directory).read_rows()
    outcome = Outcome(
        directory=directory.name,
        seed=config.train.seed,
        val_loss_nats=result.best_loss_nats,
        test_loss_nats=best.evaluate_split("test").loss_nats if best else None,
        best_step=result.best_step,
        num_chars=result.num_chars,
        elapsed_s=result.elapsed_s,
        chars_per_s=statistics.median(row["chars_per_s"] for row in rows if row["split"] == "train"),
        baselines_bits=result.baselines_bits,
        curve=_trace(rows, config.train.batch_size * config.train.seq_length),
    )
    write_atomically(directory / FILE_NAME, (outcome.model_dump_json(indent=2) + "\n").encode())
    return outcome


def _trace(rows: list[Row], chars_per_step: int) -> Curve:
    validations = [row for row in rows if row["split"] == "val"]
    return Curve(
        num_chars=[row["step"] * chars_per_step for row in validations],
        elapsed_s=[row["elapsed_s"] for row in validations],
        loss_nats=[row["loss_nats"] for row in validations],
    )


def read_outcome(directory: Path) -> Outcome | None:
    """Return the outcome of a run, or None if it has not finished or its outcome is damaged."""
    try:
        return Outcome.model_validate_json((directory / FILE_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
