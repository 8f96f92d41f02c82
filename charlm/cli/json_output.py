"""The output of ``--json``: one object per command, with units in the key names; docs/json.md lists them."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlm.cli.output import show

if TYPE_CHECKING:
    from charlm.config import Config
    from charlm.runs.overview import RunSummary
    from charlm.training.dry_run import DryRun
    from charlm.training.inheritance import Inheritance
    from charlm.training.result import TrainingResult


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; numbers that JSON does not have (infinity, NaN) become null."""
    show(json.dumps(_replace_non_finite(values), allow_nan=False))


def describe_result(out: Path, result: "TrainingResult") -> dict[str, Any]:
    """Return the object of ``charlm train --json``."""
    return {
        "out": str(out),
        "steps": result.steps,
        "num_chars": result.num_chars,
        "elapsed_s": result.elapsed_s,
        "val_loss_nats": result.best_loss_nats,
        "val_bits_per_char": result.best_bits_per_char,
        "best_step": result.best_step,
        "last_val_loss_nats": result.last_loss_nats,
        "baselines_bits": result.baselines_bits,
        "num_parameters": _join_words(result.num_parameters),
        "garbage_frac": result.garbage_frac,
        "early_stop_step": result.early_stop_step,
        "problems": result.problems,
    }


def describe_dry_run(config: "Config", out: Path, plan: "DryRun", inheritance: "Inheritance | None") -> dict[str, Any]:
    """Return the object of ``charlm train --dry-run --json``."""
    return {
        "out": str(out),
        "data_path": config.data.path,
        "level": config.data.level,
        "steps": config.train.max_steps,
        "num_parameters": _join_words(plan.num_parameters),
        "split_num_chars": plan.split_sizes,
        "vocabulary_size": plan.vocabulary_size,
        "rarest": [{"symbol": symbol, "count": count} for symbol, count in plan.rarest],
        "memory_bytes": _join_words(plan.memory_bytes),
        "shortage": plan.shortage,
        "chars_per_s": plan.chars_per_s,
        "duration_s": plan.duration_s,
        "baselines_bits": plan.baselines_bits,
        "base": asdict(inheritance) if inheritance else None,
    }


def describe_run(run: "RunSummary") -> dict[str, Any]:
    """Return the object of a run in ``charlm runs --json``."""
    return {
        "run": str(run.path),
        "state": run.state,
        "steps": run.step,
        "last_step": run.last_step,
        "val_loss_nats": run.best_loss_nats,
        "val_bits_per_char": None if run.best_loss_nats is None else run.best_loss_nats / math.log(2),
        "elapsed_s": run.elapsed_s,
        "num_parameters": run.num_parameters,
        "config": run.config.model_dump() if run.config else None,
        "problems": run.problems,
    }


def _join_words(values: Mapping[str, int]) -> dict[str, int]:
    """Return a mapping whose keys have underscores between their words, as in ``layer_1``."""
    return {name.replace(",", "").replace(" ", "_"): value for name, value in values.items()}


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _replace_non_finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_replace_non_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
