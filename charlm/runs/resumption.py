"""Checks before a run is resumed: the training state fits the model, and no change alters the trajectory."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from charlm.config import Config
from charlm.lstm import LSTMState

FREE_KEYS = {
    "data.path", "train.log_every", "train.eval_every", "train.checkpoint_every", "train.checkpoint_minutes",
    "train.keep", "train.device",
}  # fmt: skip
"""Keys that may change when a run resumes, besides those of ``sample``: they do not affect the trajectory."""


def find_changes(before: Config, now: Config) -> list[str]:
    """Return a line for each changed key that would alter the steps of a run; ``max_steps`` may grow."""
    free_keys = FREE_KEYS - {"train.eval_every"} if now.train.patience > 0 else FREE_KEYS  # validations end such a run
    trees = before.model_dump(), now.model_dump()
    trees[0]["train"]["max_steps"] = max(before.train.max_steps, now.train.max_steps)
    return [
        f"{section}.{key} was {trees[0][section][key]!r} and is now {value!r}"
        for section in ("data", "model", "train")
        for key, value in trees[1][section].items()
        if value != trees[0][section][key] and f"{section}.{key}" not in free_keys
    ]


def check_training_state(
    training: dict[str, Any],
    parameters: Iterable[Tensor],
    weights: Mapping[str, Tensor],
    states: Sequence[LSTMState],
) -> None:
    """Check the training state of a checkpoint before any part of it is used.

    Args:
        training: the checkpoint's ``training``.
        parameters: the model's parameters in the optimizer's order.
        weights: the model's state dict.
        states: LSTM states with the expected shapes.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: a value is missing, or has a wrong type, shape or range.
    """
    if not isinstance(training["optimizer"], dict) or not isinstance(training["interval"], dict):
        raise ValueError("the optimizer's state or the interval has a wrong type")
    moments = training["optimizer"]["state"]
    for index, parameter in enumerate(parameters if moments else ()):
        _check_tensor(moments[index]["exp_avg"], parameter)
        _check_tensor(moments[index]["exp_avg_sq"], parameter)
        _check_tensor(moments[index]["step"], torch.tensor(0.0))
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
    interval, decay = training["interval"], training["decay"]
    counts = [training["best"][1], training["skipped_in_a_row"], interval["num_steps"], decay["start"], decay["end"]]
    finite = [training["elapsed_s"], interval["loss_nats"], interval["grad_norm"], interval["training_s"]]
    finite.append(decay["learning_rate"])
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("a count is not an integer of at least 0")
    if any(type(value) not in (float, int) or not math.isfinite(value) or value < 0 for value in finite):
        raise ValueError("a sum or a rate is not a finite number of at least 0")
    garbage_frac = training.get("best_garbage_frac")  # missing in older checkpoints
    if garbage_frac is not None and not (type(garbage_frac) is float and 0 <= garbage_frac <= 1):
        raise ValueError("a fraction is not a number from 0 to 1")
    if any(type(loss) is not float or math.isnan(loss) for loss in (training["best"][0], training["last_loss_nats"])):
        raise ValueError("a loss is not a number")


def _check_tensor(tensor: Any, like: Tensor) -> None:
    if not is_plain(tensor) or tensor.shape != like.shape or tensor.dtype != like.dtype:
        raise ValueError(f"expected a tensor of shape {list(like.shape)}")


def is_plain(value: Any) -> bool:
    """Return whether a value is a dense, contiguous tensor, so that no elements share memory."""
    return type(value) is Tensor and value.layout == torch.strided and value.is_contiguous()
