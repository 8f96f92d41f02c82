"""Export directories: all files are written, or none is."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from charlm.errors import CharlmError, InputError, WriteError
from charlm.export.card import write_card
from charlm.inference.trained import TrainedModel
from charlm.runs.directory import RunDirectory
from charlm.runs.metrics import Row
from charlm.runs.portable import read_export, write_description, write_export
from charlm.system.files import create_atomically

if TYPE_CHECKING:
    from charlm.export.graph_files import OnnxReport

Format = Literal["safetensors", "onnx"]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        sizes: of the files in bytes, by name.
        no_text_reason: why the card has no baselines and no measure of copies; None if it has them.
        onnx: what was measured about the ONNX graphs; None for an export of the weights.
    """

    sizes: dict[str, int]
    no_text_reason: str | None
    onnx: "OnnxReport | None"


def check_export(out: Path, kind: Format, int8: bool) -> None:
    """Refuse an export that cannot be made, before any work is done for it.

    Raises:
        InputError: something is at ``out``, the libraries of ONNX are not installed, or int8 is asked for elsewhere.
    """
    refuse_existing(out)
    if int8 and kind != "onnx":
        raise InputError("--int8: only ONNX graphs are quantized; give --format onnx too.")
    missing = [name for name in ("onnx", "onnxruntime") if kind == "onnx" and find_spec(name) is None]
    if missing:
        raise InputError(f"--format onnx needs {' and '.join(missing)}; install with: pip install 'charlm[onnx]'")


def refuse_existing(out: Path) -> None:
    """Raise an InputError if anything is at a path, also a dangling link."""
    if out.is_symlink() or out.exists():
        raise InputError(f"--out {out}: exists already; give a directory that does not.")


def export_model(trained: TrainedModel, out: Path, kind: Format, int8: bool, rows: Sequence[Row] = ()) -> Exported:
    """Write a trained model in another format, with its model card.

    Args:
        trained: the model, on the CPU.
        out: the directory, which must not exist; its parents are created.
        kind: ``safetensors`` for the weights, ``onnx`` for graphs.
        int8: whether to write quantized copies of the graphs too.
        rows: the metrics of its run, for the curve of the card.

    Raises:
        InputError: the model is too large for an ONNX file.
        CharlmError: the directory cannot be written, or a graph computes something else than the model.
    """
    no_text_reason = _find_reason(trained)
    has_text = no_text_reason is None
    try:
        with create_atomically(out) as unfinished:
            unfinished.mkdir()
            onnx = None
            if kind == "onnx":
                from charlm.export.graph_files import write_graphs

                onnx = write_graphs(trained, unfinished, int8, trained.load_split("val") if has_text else None)
                write_description(trained.checkpoint, unfinished)
            else:
                write_export(trained.checkpoint, unfinished)
            card = write_card(trained, out.name, rows, has_text, onnx)
            (unfinished / "README.md").write_text(card, encoding="utf-8", errors="replace")
            sizes = {path.name: path.stat().st_size for path in sorted(unfinished.iterdir())}
    except OSError as error:
        raise _cannot_create(out, error.strerror or str(error)) from None
    return Exported(sizes, no_text_reason, onnx)


def import_model(path: Path, out: Path) -> None:
    """Make a run directory of an exported model; its best checkpoint is the model.

    Args:
        path: the export directory, or its safetensors file.
        out: the run directory, which must not exist; its parents are created.

    Raises:
        InputError: it is no export, or something is at ``out``.
        CharlmError: the directory cannot be written.
    """
    refuse_existing(out)
    checkpoint = read_export(path)
    try:
        with create_atomically(out) as unfinished:
            unfinished.mkdir()
            run = RunDirectory(unfinished)
            run.save_best(checkpoint)
            run.write_config(checkpoint.config.to_yaml())
    except WriteError as error:  # names the temporary directory
        raise _cannot_create(out, error.reason) from None
    except OSError as error:
        raise _cannot_create(out, error.strerror or str(error)) from None


def _find_reason(trained: TrainedModel) -> str | None:
    """Return why the parts of the training text cannot be read; None if they can."""
    try:
        for split in ("train", "val"):
            trained.load_split(split)
    except InputError as error:
        return str(error)
    return None


def _cannot_create(out: Path, reason: str) -> CharlmError:
    return CharlmError(f"--out {out}: cannot be written: {reason}; free disk space or give another.")
