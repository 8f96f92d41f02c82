"""Optuna studies in a file: one journal for each arm, in the format of Optuna's JournalStorage."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.errors import InputError
from charlm.system.files import cannot_write

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import JournalStorage
    from optuna.study import Study

VERSION = 1
"""Version of what the trials of a study mean, kept among its attributes."""

VERSION_NAME = "charlm_version"


def open_study(
    path: Path, name: str, sampler: "BaseSampler | None" = None, pruner: "BasePruner | None" = None
) -> "Study":
    """Return the study of a journal; both are created where they do not exist.

    Args:
        path: the journal.
        name: of the study.
        sampler: draws the values of trials.
        pruner: decides which trials end early.

    Raises:
        InputError: the journal is damaged, or another version of charlm has written the study.
        CharlmError: the journal cannot be written.
    """
    import optuna  # takes half a second to import

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = _open_storage(path)
    with report_full_disk(path):
        is_there = any(study.study_name == name for study in storage.get_all_studies())
        get = optuna.load_study if is_there else optuna.create_study
        study = get(study_name=name, storage=storage, sampler=sampler, pruner=pruner)
        version = study.user_attrs.get(VERSION_NAME)
        if version is None and not study.trials:
            study.set_user_attr(VERSION_NAME, VERSION)
        elif version != VERSION:
            raise InputError(
                f"{path}: its study has version {version}, and this charlm reads version {VERSION}. "
                "Give another directory with --out."
            )
    return study


def _open_storage(path: Path) -> "JournalStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    with report_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        backend = JournalFileBackend(str(path), JournalFileOpenLock(str(path)))  # links need a privilege on Windows
    try:
        return JournalStorage(backend)
    except Exception as error:  # Optuna raises many kinds for a journal that it cannot read
        raise InputError(
            f"{path}: cannot be read as a journal of Optuna ({type(error).__name__}). Restore the file, or give "
            "another directory with --out."
        ) from None


@contextlib.contextmanager
def report_full_disk(path: Path) -> Iterator[None]:
    """Raise a CharlmError where a journal cannot be written."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from None


def drop_unfinished_line(path: Path) -> None:
    """Cut off a last line without its end, which a process left that died while it wrote; no other may be writing."""
    content = path.read_bytes() if path.exists() else b""
    kept = content[: content.rfind(b"\n") + 1]
    if len(kept) < len(content):
        with report_full_disk(path), path.open("r+b") as stream:
            stream.truncate(len(kept))
