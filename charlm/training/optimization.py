"""One step of the optimizer.

Dimensions: B batch, T time.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from charlm.config import TrainConfig
from charlm.lstm.layers import States
from charlm.model import CharLM, mean_loss
from charlm.text.streams import Batch

Precision = Literal["fp32", "bf16"]

BETAS = (0.9, 0.99)
"""AdamW's decay rates of its averages; 0.99 instead of 0.999 because runs are short."""


class StepResult(NamedTuple):
    """What a step did.

    Attributes:
        loss_nats: mean loss of the batch before the step, nats per character.
        grad_norm: global norm of the gradient before clipping.
        states: the LSTM's state after the batch, cut off from its graph.
    """

    loss_nats: float
    grad_norm: float
    states: States

    @property
    def is_finite(self) -> bool:
        """Whether the step could be taken; otherwise the weights are as they were."""
        return math.isfinite(self.loss_nats) and math.isfinite(self.grad_norm)


def choose_precision(name: str, model: CharLM) -> Precision:
    """Return the precision of the matrix products in training.

    Args:
        name: ``fp32``, ``bf16``, or ``auto``: bf16 where the model's device and kernel are fast in it, else fp32.
        model: on the device where it is trained.
    """
    if name == "auto":
        return "bf16" if model.lstm.kernel.is_bf16_fast else "fp32"
    return "bf16" if name == "bf16" else "fp32"


def build_optimizer(model: CharLM, config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and leaves biases alone.

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
) -> StepResult:
    """Take one step of truncated back-propagation through time, unless its gradient is not finite.

    Args:
        model: in training mode; its weights change.
        optimizer: over the model's parameters.
        batch: inputs and targets, (B, T).
        states: the LSTM's state before the batch; not modified.
        learning_rate: of this step.
        grad_clip: maximum global norm of the gradient; 0 for no limit.
        precision: of the matrix products.
        generator: draws the dropout masks, on the CPU; None for torch's default one.
    """
    loss, states = compute_loss(model, batch, states, precision, generator)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    grad_norm = get_total_norm([weight.grad for weight in model.parameters() if weight.grad is not None])
    result = StepResult(loss.item(), grad_norm.item(), tuple(state.detach() for state in states))
    if result.is_finite:
        if 0 < grad_clip < result.grad_norm:
            clip_grads_with_norm_(model.parameters(), grad_clip, grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
    return result


def compute_loss(
    model: CharLM, batch: Batch, states: States, precision: Precision, generator: torch.Generator | None
) -> tuple[Tensor, States]:
    """Return the mean loss of a batch, in nats per character, with its graph; and the states after the batch.

    The arguments are those of ``train_step``.
    """
    device = model.output.weight.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits, states = model(batch.inputs.to(device), states, generator)  # (B, T, V)
        return mean_loss(logits, batch.targets.to(device)), states
