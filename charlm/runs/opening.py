"""What a user names as a trained model: a run directory, a checkpoint file, or an exported model."""

from pathlib import Path

from charlm.runs.checkpoint import Checkpoint, load_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.runs.portable import CONFIG_NAME, WEIGHTS_NAME, read_export
from charlm.runs.recovery import load_best


def open_model(path: Path) -> tuple[Checkpoint, dict[Path, str]]:
    """Read a trained model to the CPU.

    Args:
        path: a run directory, of which the best checkpoint is read; a checkpoint file; a directory that
            ``charlm export`` wrote, or its safetensors file.

    Returns:
        The checkpoint, which has no training state where it comes from an export; and what is wrong with each
        checkpoint of a run directory in whose place this one was read.

    Raises:
        InputError: nothing is there, or nothing there is usable.
        OutOfMemoryError: it does not fit in memory.
    """
    if is_export(path):
        return read_export(path), {}
    if path.is_dir():
        return load_best(RunDirectory(path))
    return load_checkpoint(path), {}


def is_export(path: Path) -> bool:
    """Return whether a path is that of an exported model, sound or not."""
    if path.suffix == Path(WEIGHTS_NAME).suffix:
        return not path.is_dir()
    has_export = any((path / name).exists() for name in (WEIGHTS_NAME, CONFIG_NAME))
    return has_export and not RunDirectory(path).has_run
