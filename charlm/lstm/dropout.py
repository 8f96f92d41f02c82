"""Dropout for recurrent networks: one mask for all steps of a sequence.

What is kept is divided by 1 - p, so that its expectation does not change. All masks are drawn on the CPU, so that they
are the same on every device.

Dimensions: T time, B batch, H hidden width, E embedding, V vocabulary.
"""

import torch
from torch import Tensor


def apply_locked_dropout(hidden: Tensor, dropout: float, generator: torch.Generator | None = None) -> Tensor:
    """Drop features of a layer's output, the same ones at all steps of a sequence.

    Args:
        hidden: output of a layer, (T, B, H).
        dropout: probability of zeroing a feature, 0 to below 1.
        generator: random generator on the CPU; None for torch's default generator.

    Source: Gal & Ghahramani, NeurIPS 2016.
    """
    return _drop(hidden, (1, *hidden.shape[1:]), dropout, generator)  # the mask is (1, B, H)


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
    return _drop(embedding, (embedding.shape[0], 1), dropout, generator)


def _drop(x: Tensor, mask_shape: tuple[int, ...], dropout: float, generator: torch.Generator | None) -> Tensor:
    """Multiply by a mask that is broadcast to the shape of x; 0 and no dropout draw nothing."""
    if dropout == 0:
        return x
    mask = torch.empty(mask_shape, dtype=x.dtype).bernoulli_(1 - dropout, generator=generator)
    return x * (mask / (1 - dropout)).to(x.device)
