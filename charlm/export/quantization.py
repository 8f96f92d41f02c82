"""Graphs with weights of 8 bits, by onnxruntime, and what they cost.

Dimension: N characters of a text.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor
from torch.nn import functional as F

from charlm.export.verification import Runner, write_ids
from charlm.inference.trained import TrainedModel

QUANTIZED = ["MatMul", "LSTM"]
"""Operators whose weights become int8; they have all but the embedding and the biases."""

MAX_MEASURED = 20_000
"""Characters on which the loss of the graphs is measured, at most."""

CHUNK_LENGTH = 1000
"""Characters that are scored at a time."""


@dataclass(frozen=True)
class Int8Loss:
    """What the quantization costs.

    Attributes:
        text: the text that both graphs were measured on.
        num_chars: how many characters were predicted.
        float_bits: the loss of the graph in bits per character.
        int8_bits: the loss of the quantized graph.
    """

    text: str
    num_chars: int
    float_bits: float
    int8_bits: float


def quantize(path: Path, quantized: Path) -> None:
    """Write a copy of a graph with int8 weights, a scale for each matrix; inputs are rounded as they come.

    A scale for each row was no better on two models, and larger. Seven of the eight bits are used: without instructions
    for such products, processors overflow at eight.

    Args:
        path: the ONNX file.
        quantized: the file of the copy.
    """
    with _no_advice():
        quantize_dynamic(path, quantized, QUANTIZED, reduce_range=True, weight_type=QuantType.QInt8)


def compare_losses(trained: TrainedModel, path: Path, quantized: Path, val: Tensor | None) -> Int8Loss:
    """Measure a sequence graph and its quantized copy on the same text, from the zero state.

    Args:
        trained: the model of the graph.
        path: the ONNX file of the graph.
        quantized: that of the copy.
        val: the ids of the validation part, (N,), of which the beginning is measured; None for a sample of the model.
    """
    if val is None:
        text, ids = "a sample at temperature 1", write_ids(trained, MAX_MEASURED, 1.0)
    else:
        text, ids = "the beginning of the validation part", val[: MAX_MEASURED + 1].long()
    bits = [_measure_loss(Runner(each, trained), ids) / math.log(2) for each in (path, quantized)]
    return Int8Loss(text, len(ids) - 1, *bits)


def _measure_loss(runner: Runner, ids: Tensor) -> float:
    """Return the mean loss on ids (N,), N at least 2, in nats per character."""
    total = 0.0
    for start in range(0, len(ids) - 1, CHUNK_LENGTH):
        targets = ids[start + 1 : start + 1 + CHUNK_LENGTH]
        logits = runner.run(ids[None, start : start + len(targets)])[0]
        total += float(F.cross_entropy(logits, targets, reduction="sum"))
    return total / (len(ids) - 1)


@contextmanager
def _no_advice() -> Iterator[None]:
    """Keep onnxruntime from logging that graphs may be preprocessed; those of charlm need not be."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
