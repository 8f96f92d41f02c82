"""Dropout for recurrent networks: one mask for all steps of a sequence.

What is kept is divided by 1 - p, so that its expectation does not change. All masks are drawn on the CPU, so that they
are the same on every device.

Dimensions: T time, B batch, H hidden width, E embedding, V vocabulary.
"""

import torch
from torch import Tensor


class StreamGenerator(torch.Generator):
    """Random generator on the CPU for a batch whose streams several processes share.

    All processes draw the same numbers for the whole batch, and each takes those of its own streams, so that they do
    not depend on the number of processes.

    Attributes:
        own: the streams of this process; all at first.

    Args:
        batch_size: number of streams of the whole batch.
    """

    def __new__(cls, batch_size: int) -> "StreamGenerator":
        """Hide the argument from ``torch.Generator``, which takes a device."""
        return super().__new__(cls)

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.own = slice(None)


def apply_locked_dropout(hidden: Tensor, dropout: float, generator: torch.Generator | None = None) -> Tensor:
    """Drop features of a layer's output, the same ones at all steps of a sequence.

    Args:
        hidden: output of a layer, (T, B, H).
        dropout: probability of zeroing a feature, 0 to below 1.
        generator: random generator on the CPU; None for torch's default generator.

    Source: Gal & Ghahramani, NeurIPS 2016.
    """
    if dropout == 0:
        return hidden
    B, H = hidden.shape[1:]
    if not isinstance(generator, StreamGenerator):
        return hidden * _draw_mask(hidden, (1, B, H), dropout, generator)
    return hidden * _draw_mask(hidden, (1, generator.batch_size, H), dropout, generator)[:, generator.own]


def drop_connections(weight: Tensor, dropout: float, generator: torch.Generator | None = None) -> Tensor:
    """Drop single weights of a recurrent matrix; used for a whole sequence and all its streams.

    Args:
        weight: recurrent weights U, (4H, H); not modified.
        dropout: probability of zeroing a weight, 0 to below 1, rounded to a multiple of 2**-16.
        generator: random generator on the CPU; None for torch's default generator.

    Sources:
        Wan, Zeiler, Zhang, LeCun & Fergus, ICML 2013: DropConnect.
        Merity, Keskar & Socher, ICLR 2018: DropConnect on the recurrent weights of an LSTM.
    """
    if dropout == 0:
        return weight
    # The mask is as large as the matrix; a random number of 64 bits serves for four weights, which saves time.
    bits = torch.empty(-(-weight.numel() // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    is_kept = bits.view(torch.int16)[: weight.numel()].view(weight.shape) >= round(dropout * 2**16) - 2**15
    return torch.where(is_kept.to(weight.device), weight, 0) / (1 - dropout)


def drop_symbols(embedding: Tensor, dropout: float, generator: torch.Generator | None = None) -> Tensor:
    """Drop whole symbols: all occurrences of a symbol in a batch have the embedding zero.

    Args:
        embedding: embeddings of all symbols, (V, E); not modified.
        dropout: probability of zeroing the embedding of a symbol, 0 to below 1.
        generator: random generator on the CPU; None for torch's default generator.

    Source: Gal & Ghahramani, NeurIPS 2016.
    """
    if dropout == 0:
        return embedding
    return embedding * _draw_mask(embedding, (len(embedding), 1), dropout, generator)


def _draw_mask(x: Tensor, shape: tuple[int, ...], dropout: float, generator: torch.Generator | None) -> Tensor:
    """Return a mask of 0 and 1 / (1 - dropout), in the dtype and on the device of x."""
    mask = torch.empty(shape, dtype=x.dtype).bernoulli_(1 - dropout, generator=generator)
    return (mask / (1 - dropout)).to(x.device)
