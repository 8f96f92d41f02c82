"""The parts of a training step, each as a function to time, with its FLOPs and how often a step calls it.

Dimensions: L layers, H hidden width, B batch, T time, N = T B positions, V vocabulary.
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from side_by_side import V
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from charlm.config import TrainConfig
from charlm.lstm import LSTMState
from charlm.lstm.kernels import cpu, lookup, native, projection
from charlm.model import CharLM
from charlm.text.streams import Batch
from charlm.training.optimization import Precision, build_optimizer, train_step

PRODUCT_SIZE = 2048


class Cell(NamedTuple):
    """The sizes and the precision of a training step."""

    L: int
    H: int
    B: int
    T: int
    precision: Precision

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the products."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def product_flops(self) -> int:
        """The FLOPs of the product of all positions with a matrix (4H, H)."""
        return 8 * self.B * self.T * self.H**2


class Part(NamedTuple):
    """A part of a training step.

    Attributes:
        name: what it computes.
        calls: how often a step calls it.
        flops: FLOPs of the products or sums of a call; 0 if it is judged by its time alone.
        run: performs one call.
        instruction_set: the one that it is measured on; None if torch or oneDNN chooses.
    """

    name: str
    calls: int
    flops: int
    run: Callable[[], object]
    instruction_set: str | None = None


def list_parts(cell: Cell) -> list[Part]:
    """Return all parts of a step, those of the C library once for each instruction set of this machine."""
    torch.manual_seed(0)
    parts = [part for name in native.available_instruction_sets() for part in native_parts(cell, name)]
    return [*parts, *library_parts(cell), output_part(cell), optimizer_part(cell)]


def native_parts(cell: Cell, name: str) -> Iterator[Part]:
    """Yield the parts of the C library on one instruction set."""
    L, H, B, T, _ = cell
    flops = cell.product_flops
    rows, table = torch.randn(T, B, 4 * H).to(cell.dtype), torch.randn(V, 4 * H).to(cell.dtype)
    weight, ids = torch.randn(4 * H, H) / H**0.5, torch.randint(V, (T, B))
    state = LSTMState(*torch.zeros(2, B, H))
    hidden, _, _, gates, cells = cpu.run_forward(rows, None, weight, state, name, needs_backward=True)
    grads = (torch.randn(T, B, H).to(cell.dtype), None, None)
    forward = functools.partial(cpu.run_forward, weight_hh=weight, state=state, instruction_set=name)
    without, keeping = (functools.partial(forward, needs_backward=needed) for needed in (False, True))
    yield Part("forward, not keeping", 0, flops, lambda: without(rows, None), name)
    yield Part("forward, keeping", L - 1, flops, lambda: keeping(rows, None), name)
    yield Part("forward, keeping, lookup", 1, flops, lambda: keeping(table, ids), name)
    yield Part("backward", L, flops, lambda: cpu.run_backward(gates, cells, weight, grads, name), name)
    yield Part("sums of the lookup", 1, rows.numel(), lambda: lookup.sum_rows(rows, ids, V, name), name)
    flat = rows.flatten(0, 1), hidden[1:].flatten(0, 1)
    yield Part("dU, dW and db", 2 * L - 1, flops, lambda: projection.multiply_transposed(*flat, name), name)


def library_parts(cell: Cell) -> Iterator[Part]:
    """Yield the products of torch and oneDNN."""
    N, H, calls = cell.T * cell.B, cell.H, cell.L - 1
    x, grad = torch.randn(N, H).to(cell.dtype), torch.randn(N, 4 * H).to(cell.dtype)
    weight, bias = torch.randn(4 * H, H).to(cell.dtype), torch.randn(4 * H).to(cell.dtype)
    yield Part("W x + b", calls, cell.product_flops, lambda: projection.multiply(x, weight, bias))
    yield Part("dx", calls, cell.product_flops, lambda: projection.multiply(grad, weight.T))


def output_part(cell: Cell) -> Part:
    """Return the output layer with the loss, forward and backward."""
    model = CharLM(V, 1, cell.H, cell.H)
    hidden = torch.randn(cell.T, cell.B, cell.H).to(cell.dtype).requires_grad_()
    targets = torch.randint(V, (cell.B, cell.T))

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=cell.precision == "bf16"):
            loss = model.mean_loss(model.project(hidden), targets)
        torch.autograd.grad(loss, [hidden, *model.output.parameters()])

    return Part("output layer with loss", 1, 6 * hidden.numel() * V, run)


def optimizer_part(cell: Cell) -> Part:
    """Return the norm of the gradient, its clipping, and AdamW."""
    model = CharLM(V, cell.L, cell.H, cell.H)
    optimizer, weights = build_optimizer(model, TrainConfig()), list(model.parameters())
    grads = [torch.randn_like(weight) for weight in weights]
    for weight, grad in zip(weights, grads, strict=True):
        weight.grad = grad

    def run() -> None:
        clip_grads_with_norm_(weights, 1.0, get_total_norm(grads))
        optimizer.step()

    return Part("optimizer", 1, 0, run)


def whole_step(cell: Cell) -> Callable[[], object]:
    """Return a function that takes a training step."""
    L, H, B, T, precision = cell
    model = CharLM(V, L, H, H)
    ids = torch.randint(V, (B, T + 1))
    batch = Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), True)
    arguments = (model, build_optimizer(model, TrainConfig()), batch, model.initial_state(B), 1e-3, 1.0, precision)
    return functools.partial(train_step, *arguments)


def large_products(dtype: torch.dtype) -> list[Callable[[], object]]:
    """Return torch's and oneDNN's product of two square matrices, which takes 2 PRODUCT_SIZE**3 FLOPs."""
    left, right = torch.randn(2, PRODUCT_SIZE, PRODUCT_SIZE).to(dtype)
    return [lambda: left @ right, lambda: projection.multiply(left, right)]
