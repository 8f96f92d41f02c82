"""Recovery from damaged saves: the first undamaged checkpoint of a list."""

from collections.abc import Callable, Iterable
from pathlib import Path

from charlm.errors import DamagedError, InputError
from charlm.runs.checkpoint import Checkpoint, load_checkpoint


def load_first_sound(
    paths: Iterable[Path], accept: Callable[[Checkpoint], None] = lambda _: None
) -> tuple[Checkpoint | None, dict[Path, str]]:
    """Return the first undamaged checkpoint of a list.

    Args:
        paths: paths in order of preference; some may not exist.
        accept: called with each readable checkpoint; raises DamagedError to reject it.

    Returns:
        The checkpoint, or None if no file exists; and a dictionary with the error of each damaged file before it.

    Raises:
        InputError: files exist, but all are damaged; or ``accept`` raised it.
    """
    damaged: dict[Path, str] = {}
    for path in filter(Path.exists, paths):
        try:
            checkpoint = load_checkpoint(path)
        except InputError as error:
            damaged[path] = str(error)
            continue
        try:
            accept(checkpoint)
        except DamagedError as error:
            damaged[path] = f"{path}: {error}"
            continue
        return checkpoint, damaged
    if damaged:
        raise InputError("all checkpoints of the run are damaged.\n  " + "\n  ".join(damaged.values()))
    return None, damaged
