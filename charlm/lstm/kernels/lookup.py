"""The input of a layer, and its projection; that of the first layer is a table lookup by character id.

Dimensions: T time, B batch, E input width, V symbols, G = 4H columns.
"""

import ctypes
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.lstm.kernels import native


class Characters(NamedTuple):
    """The input (T, B, E) of the first layer, not materialized: embeddings, and the character of each position.

    Attributes:
        embedding: x of every symbol, (V, E).
        ids: character ids, (T, B), int64 in 0..V-1.
    """

    embedding: Tensor
    ids: Tensor

    def materialize(self) -> Tensor:
        """Return ``embedding[ids]``, (T, B, E)."""
        return F.embedding(self.ids, self.embedding)


class Lookup(NamedTuple):
    """An input projection (T, B, G) that is not materialized: a table and the row index of each position.

    Attributes:
        table: W x + b for the embedding x of every character, (V, G).
        ids: character ids, (T, B), int64 in 0..V-1.
    """

    table: Tensor
    ids: Tensor

    def materialize(self) -> Tensor:
        """Return ``table[ids]``, (T, B, G)."""
        return F.embedding(self.ids, self.table)


Projection = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The product W x + b of all steps at once, given x (T, B, E), W (G, E) and b (G,)."""


def project_input(x: Tensor | Characters, weight: Tensor, bias: Tensor, project: Projection) -> Tensor | Lookup:
    """Return W x + b, (T, B, G).

    The x of a character is one of V embeddings, so W x + b is one of V rows: a table and a lookup, unless the table
    would have more rows than the batch has characters.

    Args:
        x: input of the layer, (T, B, E), or the characters whose embeddings it is.
        weight: W, (G, E).
        bias: b, (G,).
        project: computes the projection of a tensor.
    """
    if isinstance(x, Tensor):
        return project(x, weight, bias)
    if len(x.embedding) > x.ids.numel():
        return F.linear(x.materialize(), weight, bias)
    return Lookup(F.linear(x.embedding, weight, bias), x.ids)


def sum_rows(grad: Tensor, ids: Tensor, num_rows: int, instruction_set: str | None = None) -> Tensor:
    """Return the gradient of a table, (V, G): the rows of grad (T, B, G) summed by id (scatter-add).

    Sums are float32, rounded once to the dtype of ``grad``. Needs the C library, as the kernel cpu does.
    """
    ids, grad = ids.contiguous(), grad.contiguous()
    sums = torch.zeros(num_rows, grad.shape[-1])
    add_rows = getattr(native.load_library(), f"lookup_sum_rows_{instruction_set or native.fastest_instruction_set()}")
    numbers = (ids.numel(), grad.shape[-1], torch.get_num_threads(), grad.dtype == torch.bfloat16)
    add_rows(*(ctypes.c_void_p(x.data_ptr()) for x in (ids, grad, sums)), *(ctypes.c_int64(int(n)) for n in numbers))
    return sums.to(grad.dtype)
