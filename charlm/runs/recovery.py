"""Recovery from damaged saves: the first checkpoint of a list that is sound."""

from collections.abc import Callable, Iterable
from pathlib import Path

from charlm.errors import DamagedError, InputError
from charlm.runs.checkpoint import Checkpoint, load_checkpoint


def load_first_sound(
    paths: Iterable[Path], accept: Callable[[Checkpoint], None] = lambda _: None
) -> tuple[Checkpoint | None, dict[Path, str]]:
    """Return the first sound checkpoint of a list.

    Args:
        paths: where to look, the dearest first; not all need be there.
        accept: raises DamagedError where a checkpoint that can be read is not good enough.

    Returns:
        The checkpoint, or None where there is no file; and of each file before it what is wrong with it.

    Raises:
        InputError: there are files, and none is sound; or ``accept`` raised it.
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
        raise InputError("no checkpoint of the run is sound.\n  " + "\n  ".join(damaged.values()))
    return None, damaged
