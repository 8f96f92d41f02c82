"""Checks before a run is resumed: the training state fits the model, and no change alters the trajectory."""

import math
import reprlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from charlm.config import Config, TrainConfig
from charlm.lstm import LSTMState

FREE_KEYS = {
    "data.path", "train.log_every", "train.eval_every", "train.checkpoint_every", "train.checkpoint_minutes",
    "train.keep", "train.device", "train.init_from",
}  # fmt: skip
"""Keys that may change when a run resumes, besides those of ``sample``: they do not affect the trajectory."""


MAX_ELAPSED_S = 100 * 365 * 24 * 3600
"""Upper bound of the duration of a run: a hundred years."""


def find_changes(before: Config, now: Config) -> list[str]:
    """Return a line for each changed key that would alter the steps of a run; ``max_steps`` may grow."""
    bound_keys = {"train.eval_every"} if now.train.patience > 0 else set()  # its validations end such a run
    grown_keys = {"train.max_steps"} if now.train.max_steps > before.train.max_steps else set()
    free_keys = (FREE_KEYS - bound_keys) | grown_keys
    return [
        f"{key} was {value!r} and is now {new_value!r}"
        for key, (value, new_value) in before.find_differences(now).items()
        if key not in free_keys and not key.startswith("sample.")
    ]


def check_training_state(
    training: dict[str, Any],
    step: int,
    settings: TrainConfig,
    parameters: Iterable[Tensor],
    weights: Mapping[str, Tensor],
    states: Sequence[LSTMState],
) -> None:
    """Check the training state of a checkpoint before any part of it is used.

    Args:
        training: the checkpoint's ``training``.
        step: the checkpoint's step.
        settings: the checkpoint's configuration.
        parameters: the model's parameters in the optimizer's order.
        weights: the model's state dict.
        states: LSTM states with the expected shapes.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: a value is missing, or has a wrong type, shape or range.
    """
    _check_moments(training["optimizer"]["state"], parameters)
    trained = training.get("weights", weights)  # missing in older checkpoints
    if not isinstance(trained, dict) or trained.keys() != weights.keys():
        raise ValueError("the trained weights are not those of the model")
    for name, weight in weights.items():
        _check_tensor(trained[name], weight)
    if len(training["states"]) != len(states):
        raise ValueError("the state has a wrong number of layers")
    for pair, expected in zip(training["states"], states, strict=True):
        for tensor, like in zip(pair, expected, strict=True):
            _check_tensor(tensor, like)
    _check_numbers(training, step, settings)


def _check_moments(moments: dict[int, dict[str, Any]], parameters: Iterable[Tensor]) -> None:
    """Check the averages of AdamW; there are none before the first step."""
    expected = dict(enumerate(parameters)) if moments else {}
    if moments.keys() != expected.keys():
        raise ValueError("the optimizer has a wrong number of parameters")
    for index, parameter in expected.items():
        if moments[index].keys() != {"step", "exp_avg", "exp_avg_sq"}:
            raise ValueError(f"the optimizer's state of parameter {index} has other parts than it should")
        _check_tensor(moments[index]["exp_avg"], parameter)
        _check_tensor(moments[index]["exp_avg_sq"], parameter, is_infinite_allowed=True)  # of a very large gradient
        _check_tensor(moments[index]["step"], torch.tensor(0.0))
        if any(bool((moments[index][name] < 0).any()) for name in ("exp_avg_sq", "step")):
            raise ValueError(f"the optimizer's state of parameter {index} is negative")


def _check_numbers(training: dict[str, Any], step: int, settings: TrainConfig) -> None:
    """Check the types and ranges of all numbers.

    Raises:
        ValueError, KeyError, TypeError: a number is missing, or has a wrong type or range.
    """
    interval, decay, (best_loss_nats, best_step) = training["interval"], training["decay"], training["best"]
    metrics = training.get("metrics", {"num_bytes": 0, "crc32": 0})  # missing in older checkpoints
    counts = {
        "best step": (best_step, step),
        "skipped_in_a_row": (training["skipped_in_a_row"], step),
        "interval.num_steps": (interval["num_steps"], step),
        "decay.start": (decay["start"], max(settings.warmup_steps, settings.max_steps)),
        "decay.end": (decay["end"], settings.max_steps),
        "metrics.num_bytes": (metrics["num_bytes"], 2**63 - 1),
        "metrics.crc32": (metrics["crc32"], 2**32 - 1),
    }
    sums = {
        "elapsed_s": (training["elapsed_s"], MAX_ELAPSED_S),
        "interval.training_s": (interval["training_s"], MAX_ELAPSED_S),
        "interval.loss_nats": (interval["loss_nats"], sys.float_info.max),
        "interval.grad_norm": (interval["grad_norm"], sys.float_info.max),
        "decay.learning_rate": (decay["learning_rate"], settings.learning_rate * 1.001),  # rounded
        "best loss": (best_loss_nats, math.inf),  # infinite before the first validation
        "last_loss_nats": (training["last_loss_nats"], math.inf),
        "best_garbage_frac": (training.get("best_garbage_frac") or 0.0, 1.0),  # missing in older checkpoints
    }
    for name, (value, most) in (counts | sums).items():
        types = (int,) if name in counts else (int, float)
        if type(value) not in types or not 0 <= value <= most:
            raise ValueError(f"{name} is {reprlib.repr(value)}, and should be a number from 0 to {most:.6g}")


def _check_tensor(tensor: Any, like: Tensor, is_infinite_allowed: bool = False) -> None:
    if not is_plain(tensor) or tensor.shape != like.shape or tensor.dtype != like.dtype:
        raise ValueError(f"expected a tensor of shape {list(like.shape)}")
    if bool(tensor.isnan().any() if is_infinite_allowed else not tensor.isfinite().all()):
        raise ValueError("a tensor has numbers that are not finite")


def is_plain(value: Any) -> bool:
    """Return whether a value is a dense, contiguous tensor, so that no elements share memory."""
    return type(value) is Tensor and value.layout == torch.strided and value.is_contiguous()
