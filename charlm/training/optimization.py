"""One optimization step.

Dimensions: B batch, T time.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from charlm.config import TrainConfig
from charlm.lstm.layers import States
from charlm.model import CharLM
from charlm.text.streams import Batch
from charlm.training.distribution import ALONE, Group

Precision = Literal["fp32", "bf16"]

BETAS = (0.9, 0.99)
"""Decay rates of AdamW's two moment estimates; 0.99 instead of 0.999 because runs are short."""


class StepResult(NamedTuple):
    """The result of an optimization step.

    Attributes:
        loss_nats: mean loss of the batch before the step, nats per character.
        grad_norm: global norm of the gradient before clipping.
        states: the LSTM's state after the batch, detached from the graph.
    """

    loss_nats: float
    grad_norm: float
    states: States

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are finite; if not, the weights were not changed."""
        return math.isfinite(self.loss_nats) and math.isfinite(self.grad_norm)


def choose_precision(name: str, model: CharLM) -> Precision:
    """Return the precision of the matrix products in training.

    Args:
        name: ``fp32``, ``bf16``, or ``auto``: bf16 if it is fast on the model's device and kernel, else fp32.
        model: the model, on the device that trains it.
    """
    if name == "auto":
        return "bf16" if model.lstm.kernel.is_bf16_fast else "fp32"
    return "bf16" if name == "bf16" else "fp32"


def build_optimizer(model: CharLM, config: TrainConfig) -> torch.optim.AdamW:
    """Return an AdamW optimizer with weight decay for the matrices and none for the biases.

    Source: Loshchilov & Hutter, ICLR 2019.
    """
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    biases = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=BETAS, fused=True)


def train_step(
    model: CharLM,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    states: States,
    learning_rate: float,
    grad_clip: float,
    precision: Precision,
    generator: torch.Generator | None = None,
    group: Group = ALONE,
) -> StepResult:
    """Take one step of truncated back-propagation through time; it is skipped if the gradient is not finite.

    Args:
        model: the model, in training mode; its weights are updated.
        optimizer: the optimizer of the model's parameters.
        batch: inputs and targets, (B, T), of this process's streams.
        states: the LSTM's state before the batch; not modified.
        learning_rate: learning rate of this step.
        grad_clip: maximum global norm of the gradient; 0 for no limit.
        precision: precision of the matrix products.
        generator: CPU random generator for the dropout masks; None for torch's default generator.
        group: the processes that share the step; loss and gradient are means over all of them.
    """
    loss, states = compute_loss(model, batch, states, precision, generator)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    loss, grads = loss.detach(), [weight.grad for weight in model.parameters() if weight.grad is not None]
    group.average([*grads, loss], batch.share)
    grad_norm = get_total_norm(grads)
    result = StepResult(loss.item(), grad_norm.item(), tuple(state.detach() for state in states))
    if result.is_finite:
        if 0 < grad_clip < result.grad_norm:
            clip_grads_with_norm_(model.parameters(), grad_clip, grad_norm)
        for parameters in optimizer.param_groups:
            parameters["lr"] = learning_rate
        optimizer.step()
    return result


def compute_loss(
    model: CharLM, batch: Batch, states: States, precision: Precision, generator: torch.Generator | None
) -> tuple[Tensor, States]:
    """Return the mean loss of a batch, in nats per character, with its graph, and the states after the batch.

    The arguments are the same as for ``train_step``.
    """
    device = model.output.weight.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits, states = model(batch.inputs.to(device), states, generator)  # (B, T, V)
        return model.mean_loss(logits, batch.targets.to(device)), states
