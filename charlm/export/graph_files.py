"""The ONNX files of an export: the graphs, compared with the model, and their quantized copies."""

from dataclasses import dataclass
from pathlib import Path

import onnxruntime
from torch import Tensor

from charlm.export.graphs import OPSET, build_sequence_model, build_step_model
from charlm.export.quantization import Int8Loss, compare_losses, quantize
from charlm.export.verification import CHECK_LENGTH, Agreement, check_graphs
from charlm.inference.trained import TrainedModel


@dataclass(frozen=True)
class OnnxReport:
    """What was measured about the graphs of a model.

    Attributes:
        agreement: with the model.
        int8: what the quantization costs; None without it.
        num_checked: characters of each text on which they were compared.
        opset: version of ONNX's operators.
        runtime_version: of onnxruntime.
    """

    agreement: Agreement
    int8: Int8Loss | None
    num_checked: int = CHECK_LENGTH
    opset: int = OPSET
    runtime_version: str = onnxruntime.__version__


def write_graphs(trained: TrainedModel, directory: Path, int8: bool, val: Tensor | None) -> OnnxReport:
    """Write the graphs of a model into an existing directory, and compare them with the model.

    Args:
        trained: the model, on the CPU.
        directory: where the files go.
        int8: whether to write quantized graphs too.
        val: the ids of the validation part, (N,), on which their loss is measured; None to measure it on a sample.

    Raises:
        InputError: the model is too large for an ONNX file.
        CharlmError: a graph computes something else than the model.
        OSError: a file cannot be written.
    """
    step, sequence = directory / "step.onnx", directory / "sequence.onnx"
    step.write_bytes(build_step_model(trained.checkpoint).SerializeToString())
    sequence.write_bytes(build_sequence_model(trained.checkpoint).SerializeToString())
    agreement = check_graphs(trained, step, sequence)
    if not int8:
        return OnnxReport(agreement, None)
    for path in (step, sequence):
        quantize(path, quantized_path(path))
    return OnnxReport(agreement, compare_losses(trained, sequence, quantized_path(sequence), val))


def quantized_path(path: Path) -> Path:
    """Return the path of the quantized copy of a graph."""
    return path.with_stem(f"{path.stem}_int8")
