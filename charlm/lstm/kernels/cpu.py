"""The kernel ``cpu``: the C kernels, with a backward pass of their own.

Dimensions: T time, B batch, H hidden width.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.errors import CharlmError, InputError
from charlm.lstm.cell import LSTMState
from charlm.lstm.kernels import native
from charlm.lstm.kernels.lookup import Characters, Lookup, project_input, sum_rows
from charlm.lstm.kernels.projection import multiply_transposed, project

DTYPES = {"gates_x": (torch.float32, torch.bfloat16), "ids": (torch.int64,)}
"""Supported dtypes by argument; all other arguments must be float32."""


def run_layer(
    x: Tensor | Characters, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, state: LSTMState
) -> tuple[Tensor, LSTMState]:
    """Compute a layer over T steps; see the interface of all kernels."""
    return lstm_sequence(project_input(x, weight_ih, bias, project), weight_hh, state)


def lstm_sequence(
    gates_x: Tensor | Lookup, weight_hh: Tensor, state: LSTMState, instruction_set: str | None = None
) -> tuple[Tensor, LSTMState]:
    """Compute T steps with the fastest instruction set of the processor.

    Accumulation, the cell state and the state after the last step are float32. If ``gates_x`` is bfloat16, the operands
    of the recurrent products and the activations saved for the backward pass are rounded to bfloat16.

    Args:
        gates_x: input projection, (T, B, 4H), float32 or bfloat16, T and B at least 1; or a lookup, whose table rows
            are read without a copy.
        weight_hh: recurrent weights, (4H, H), float32.
        state: h and c before the first step, each (B, H), float32; not modified.
        instruction_set: one of ``native.available_instruction_sets()``; None for the fastest one.

    Returns:
        hidden (T, B, H) in the dtype of ``gates_x``, and the state after the last step, float32.

    Raises:
        InputError: a tensor has another dtype, device or shape, or an id is out of the table's range.
    """
    rows, ids = gates_x if isinstance(gates_x, Lookup) else (gates_x, None)
    check_arguments(rows, ids, weight_hh, state)
    chosen = instruction_set or native.fastest_instruction_set()
    if torch.is_grad_enabled() and any(x.requires_grad for x in (rows, weight_hh, *state)):
        hidden, h, c = SequenceFunction.apply(rows, ids, weight_hh, *state, chosen)  # type: ignore[no-untyped-call]
    else:
        hidden, h, c = run_forward(rows, ids, weight_hh, state, chosen, needs_backward=False)
        hidden = hidden[1:]
    return hidden, LSTMState(h, c)


def check_arguments(rows: Tensor, ids: Tensor | None, weight_hh: Tensor, state: LSTMState) -> None:
    """Raise InputError if the kernels do not support these tensors: gates_x, or a table's rows with ids."""
    tensors = {"gates_x": rows, "weight_hh": weight_hh, "h": state.h, "c": state.c}
    if ids is not None:
        tensors["ids"] = ids
    for name, x in tensors.items():
        dtypes = DTYPES.get(name, (torch.float32,))
        if x.device.type != "cpu" or x.dtype not in dtypes:
            allowed = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
            raise InputError(
                f"kernel cpu: {name} must be {allowed} on the CPU, got {x.dtype} on {x.device}; use kernel reference"
            )
    steps = rows.shape[:-1] if ids is None else ids.shape  # (T, B)
    hidden_size, batch_size = weight_hh.shape[-1], steps[-1] if len(steps) == 2 else 0
    if (
        min(*steps, *rows.shape, *weight_hh.shape, batch_size) < 1
        or rows.dim() != (3 if ids is None else 2)
        or rows.shape[-1] != 4 * hidden_size
        or weight_hh.shape != (4 * hidden_size, hidden_size)
        or any(x.shape != (batch_size, hidden_size) for x in state)
    ):
        whole, looked_up = "(T, B, 4H), (4H, H), (B, H), (B, H)", "(V, 4H), (4H, H), (B, H), (B, H), (T, B)"
        expected = whole if ids is None else looked_up
        shapes = ", ".join(str(tuple(x.shape)) for x in tensors.values())
        raise InputError(f"kernel cpu: expected shapes {expected}, each size at least 1, got {shapes}")
    if ids is not None and not 0 <= int(ids.min()) <= int(ids.max()) < len(rows):
        raise InputError(f"kernel cpu: ids must be in 0..{len(rows) - 1}, got {int(ids.min())}..{int(ids.max())}")


def call(name: str, **arguments: Tensor | int | None) -> None:
    """Call a C function with the fields of ``native.Sequence``; None becomes the null pointer."""
    sequence = native.Sequence(num_threads=torch.get_num_threads())
    for field, value in arguments.items():
        setattr(sequence, field, value.data_ptr() if isinstance(value, Tensor) else value)
    if getattr(native.load_library(), name)(ctypes.byref(sequence)) != 0:
        raise CharlmError(f"out of memory in {name}")


def run_forward(
    rows: Tensor, ids: Tensor | None, weight_hh: Tensor, state: LSTMState, instruction_set: str, needs_backward: bool
) -> tuple[Tensor, ...]:
    """Compute all steps; return hidden, the last h and c (B, H), and with ``needs_backward`` also gates and cells.

    hidden and cells (T + 1, B, H) are h and c before the first step and after every step. gates (T, B, 4H) are i, f,
    g, o after the activation functions.
    """
    (T, B), H = rows.shape[:-1] if ids is None else ids.shape, weight_hh.shape[1]
    rows, weight_hh = rows.contiguous(), weight_hh.contiguous()
    h_first, c_first = state.h.contiguous(), state.c.contiguous()
    h_last, c_last = torch.empty_like(h_first), torch.empty_like(c_first)
    hidden = rows.new_empty(T + 1, B, H)
    gates = rows.new_empty(T, B, 4 * H) if needs_backward else None
    cells = torch.empty_like(hidden) if needs_backward else None
    call(
        f"lstm_forward_{instruction_set}",
        T=T, B=B, H=H, is_bf16=rows.dtype == torch.bfloat16,
        gates_x=rows, ids=None if ids is None else ids.contiguous(),
        weight_hh=weight_hh, h_first=h_first, c_first=c_first,
        hidden=hidden, gates=gates, cells=cells, h_last=h_last, c_last=c_last,
    )  # fmt: skip
    return (hidden, h_last, c_last) if gates is None or cells is None else (hidden, h_last, c_last, gates, cells)


def run_backward(
    gates: Tensor, cells: Tensor, weight_hh: Tensor, grads: tuple[Tensor | None, ...], instruction_set: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of gates_x (T, B, 4H), and of h and c before the first step, (B, H).

    ``grads`` are those of hidden (T, B, H), and of h and c after the last step, (B, H); None stands for zeros. The
    gates and cells are those of ``run_forward``.
    """
    T, B, H = gates.shape[0], gates.shape[1], weight_hh.shape[1]
    weight_hh = weight_hh.contiguous()
    grad_hidden, grad_h_last, grad_c_last = (None if grad is None else grad.contiguous() for grad in grads)
    grad_gates = torch.empty_like(gates)
    grad_h_first, grad_c_first = weight_hh.new_empty(2, B, H).unbind()
    call(
        f"lstm_backward_{instruction_set}",
        T=T, B=B, H=H, is_bf16=gates.dtype == torch.bfloat16,
        weight_hh=weight_hh, gates=gates, cells=cells,
        grad_hidden=grad_hidden, grad_h_last=grad_h_last, grad_c_last=grad_c_last,
        grad_gates_x=grad_gates, grad_h_first=grad_h_first, grad_c_first=grad_c_first,
    )  # fmt: skip
    return grad_gates, grad_h_first, grad_c_first


class SequenceFunction(torch.autograd.Function):
    """The recurrence over whole sequences, with a hand-written backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        ids: Tensor | None,
        weight_hh: Tensor,
        h: Tensor,
        c: Tensor,
        instruction_set: str,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return hidden (T, B, H) and the state after the last step; save the gates and the cell states."""
        hidden, h, c, *saved = run_forward(rows, ids, weight_hh, LSTMState(h, c), instruction_set, needs_backward=True)
        ctx.save_for_backward(ids, weight_hh, hidden, *saved)
        ctx.num_rows = len(rows)
        ctx.instruction_set = instruction_set
        ctx.set_materialize_grads(False)
        return hidden[1:], h, c

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_hidden: Tensor | None, grad_h: Tensor | None, grad_c: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs; that of weight_hh is a single product over all steps."""
        ids, weight_hh, hidden, gates, cells = ctx.saved_tensors
        grads = (grad_hidden, grad_h, grad_c)
        grad_gates, grad_h_first, grad_c_first = run_backward(gates, cells, weight_hh, grads, ctx.instruction_set)
        grad_weight, _ = multiply_transposed(  # (4H, T B) (T B, H)
            grad_gates.flatten(0, 1), hidden[:-1].flatten(0, 1), ctx.instruction_set
        )
        grad_rows = grad_gates if ids is None else sum_rows(grad_gates, ids, ctx.num_rows, ctx.instruction_set)
        return grad_rows, None, grad_weight, grad_h_first, grad_c_first, None
