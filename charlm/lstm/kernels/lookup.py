"""The input projection of the first layer as a table lookup by character id.

Dimensions: T time, B batch, V rows of the table, G = 4H columns.
"""

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.lstm.kernels import native


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


def sum_rows(grad: Tensor, ids: Tensor, num_rows: int) -> Tensor:
    """Return the gradient of a table, (V, G): the rows of grad (T, B, G) summed by id (scatter-add).

    Sums are float32, rounded once to the dtype of ``grad``. Needs the C library, as the kernel cpu does.
    """
    ids, grad = ids.contiguous(), grad.contiguous()
    sums = torch.zeros(num_rows, grad.shape[-1])
    add_rows = getattr(native.load_library(), f"lookup_sum_rows_{native.fastest_instruction_set()}")
    numbers = (ids.numel(), grad.shape[-1], torch.get_num_threads(), grad.dtype == torch.bfloat16)
    add_rows(*(ctypes.c_void_p(x.data_ptr()) for x in (ids, grad, sums)), *(ctypes.c_int64(int(n)) for n in numbers))
    return sums.to(grad.dtype)
