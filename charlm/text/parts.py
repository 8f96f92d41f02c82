"""A text of several files in parts, each of which a process of its own writes as a draft.

What comes of the drafts does not depend on how many parts there are. Threads would not do: most of decoding and
counting holds Python's global lock.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from charlm.errors import CharlmError, InputError
from charlm.system.child import describe_death, start_child
from charlm.text.drafts import Draft, Progress, write_draft
from charlm.text.sources import Source
from charlm.text.threads import Report, run_together

if TYPE_CHECKING:
    from charlm.text.vocabulary import Level

MIN_PART_BYTES = 1 << 27
"""Bytes of files that are worth the start of a process, which takes as long as a third of them."""


@dataclass(frozen=True)
class Part:
    """What one process encodes.

    Attributes:
        sources: successive ones of the text.
        level: ``char`` or ``byte``.
        path: of the draft.
    """

    sources: Sequence[Source]
    level: "Level"
    path: Path


def write_drafts(
    sources: Sequence[Source], level: "Level", folder: Path, num_processes: int, progress: Progress
) -> list[Draft]:
    """Read a text once and write it as numbers, in one draft or several.

    Args:
        sources: the text.
        level: ``char`` or ``byte``.
        folder: where the drafts go.
        num_processes: how many to use at most.
        progress: shows the progress.

    Returns:
        The drafts in the order of the text.

    Raises:
        InputError: a source cannot be read, changes while it is read, or (level ``char``) is not UTF-8 text.
        CharlmError: a process was killed.
        OSError: a file cannot be written.
    """
    shares = split(sources, num_processes)
    if len(shares) == 1:
        return [write_draft(sources, level, folder / "draft", progress)]
    parts = [Part(share, level, folder / f"draft-{number}") for number, share in enumerate(shares)]
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(_start(part)) for part in parts]
        works = [partial(_follow, part, child) for part, child in zip(parts, children, strict=True)]

        def stop() -> None:
            for child in children:
                child.stdin.close()  # type: ignore[union-attr]

        return run_together(works, "encoding", progress, stop)


def split(sources: Sequence[Source], num_parts: int) -> list[list[Source]]:
    """Return the sources in order, in parts of about as many bytes: at most so many, and no more than are worth it."""
    num_bytes = sum(source.stored_bytes for source in sources)
    size = num_bytes / max(1, min(num_parts, num_bytes // MIN_PART_BYTES))
    parts: list[list[Source]] = [[]]
    filled = 0
    for source in sources:
        if parts[-1] and filled + source.stored_bytes / 2 > size * len(parts):
            parts.append([])
        parts[-1].append(source)
        filled += source.stored_bytes
    return parts


def _start(part: Part) -> "subprocess.Popen[bytes]":
    return start_child(encode_part, part, f"encoding from {part.sources[0].name}", subprocess.PIPE)


def encode_part(part: Part) -> None:
    """Write a draft in a process of its own; each line of its output counts bytes, and the last one describes it."""

    def tell(_: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            print(len(chunk), flush=True)
            yield chunk

    said: dict[str, Any]
    try:
        draft = write_draft(part.sources, part.level, part.path, tell)
        digests = [digest.hex() for digest in draft.digests]
        said = {"digests": digests, "codes": draft.codes.tolist(), "counts": draft.counts.tolist()}
    except InputError as error:
        said = {"problem": str(error)}
    except OSError as error:
        said = {"errno": error.errno, "strerror": error.strerror}
    with contextlib.suppress(BrokenPipeError):  # nobody wants it any longer
        print(json.dumps(said), flush=True)


def _follow(part: Part, child: "subprocess.Popen[bytes]", report: Report) -> Draft:
    """Wait for the process of a part, and return its draft."""
    said: Any = 0
    for line in child.stdout:  # type: ignore[union-attr]
        said = json.loads(line)
        if isinstance(said, int):
            report(said)
    if isinstance(said, int):
        raise CharlmError(f"{part.sources[0].name}: cannot be encoded: {describe_death(child.wait())}.")
    if "problem" in said:
        raise InputError(said["problem"])
    if "errno" in said:
        raise OSError(said["errno"], said["strerror"])
    digests = [bytes.fromhex(digest) for digest in said["digests"]]
    return Draft(part.path, digests, np.array(said["codes"]), np.array(said["counts"]))
