"""The first layer's gates, when its input is a character: rows of a table by their numbers.

Dimensions: T time, B batch, V rows of the table, G columns (four gates of every hidden unit).
"""

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.lstm.kernels import native


class Lookup(NamedTuple):
    """The input's share of the gates, (T, B, G), as the rows of a table that it consists of.

    Attributes:
        table: W x + b of every character x, (V, G).
        ids: the characters, (T, B), int64 in 0..V-1.
    """

    table: Tensor
    ids: Tensor

    def write_out(self) -> Tensor:
        """Return ``table[ids]``, (T, B, G)."""
        return F.embedding(self.ids, self.table)


def sum_rows(grad: Tensor, ids: Tensor, num_rows: int) -> Tensor:
    """Return the gradient of a table (V, G): the sums of grad (T, B, G) over the places of each row.

    It is summed in float32 and rounded once to the dtype of ``grad``. It must run where the kernel cpu does.
    """
    ids, grad = ids.contiguous(), grad.contiguous()
    sums = torch.zeros(num_rows, grad.shape[-1])
    add_rows = getattr(native.load_library(), f"lookup_sum_rows_{native.fastest_instruction_set()}")
    numbers = (ids.numel(), grad.shape[-1], torch.get_num_threads(), grad.dtype == torch.bfloat16)
    add_rows(*(ctypes.c_void_p(x.data_ptr()) for x in (ids, grad, sums)), *(ctypes.c_int64(int(n)) for n in numbers))
    return sums.to(grad.dtype)
