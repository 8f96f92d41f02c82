#!/usr/bin/env python3
"""Measure the encoding of a large text: MB/s of one core, and the memory that encoding and training take.

The text is made by repeating real ones: the documentation that comes with Python for ASCII, and the same with
letters of other scripts in it for other UTF-8. Each measurement is a process of its own with an empty cache.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from pydoc_data.topics import topics

import click

MEASURE = """
import resource, sys, time
import torch
torch.set_num_threads(1)
from charlm.config import Config
from charlm.session import Session
from charlm.text.corpus import load_corpus
def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before_mib, cpu_s, wall_s = peak_mib(), time.process_time(), time.perf_counter()
corpus = load_corpus(sys.argv[1], "char")
cpu_s, wall_s, encoded_mib = time.process_time() - cpu_s, time.perf_counter() - wall_s, peak_mib()
config = Config().replace("train", device="cpu", precision="fp32", batch_size=16)
session = Session(config, corpus)
for _ in range(20):
    session.take_step()
print(cpu_s, wall_s, before_mib, encoded_mib, peak_mib(), len(corpus.vocabulary))
"""

CYRILLIC = str.maketrans("abcdeghiklmnoprstuvz", "абцдегхиклмнопрстувз")


def make_text(path: Path, num_bytes: int, is_ascii: bool) -> None:
    """Write a text of about so many bytes."""
    text = "\n\n".join(topics[name] for name in sorted(topics))
    part = text.encode("ascii", "ignore") if is_ascii else text.translate(CYRILLIC).encode()
    with path.open("wb") as stream:
        for _ in range(max(1, num_bytes // len(part))):
            stream.write(part)


def measure(path: Path, folder: Path) -> str:
    """Return the figures of one text in words."""
    environment = os.environ | {"CHARLM_CACHE_DIR": str(folder / f"cache-{path.stem}")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], env=environment, check=True, capture_output=True, text=True
    )
    cpu_s, wall_s, before, encoded, trained, vocabulary_size = map(float, done.stdout.split())
    megabytes = path.stat().st_size / 1e6
    return (
        f"{path.stem}: {megabytes:,.0f} MB, {vocabulary_size:.0f} symbols: {megabytes / cpu_s:.0f} MB/s of one core "
        f"({megabytes / wall_s:.0f} MB/s by the clock); largest resident set {before:.0f} MiB with nothing read, "
        f"{encoded:.0f} MiB after encoding, {trained:.0f} MiB after 20 training steps"
    )


@click.command()
@click.option("--megabytes", type=click.IntRange(1), default=400, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the text and the cache go, for a while.")
def main(megabytes: int, folder: Path | None) -> None:
    """Print the figures for ASCII and for other UTF-8."""
    for name in ("ascii", "other-utf-8"):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            path = Path(scratch) / f"{name}.txt"
            make_text(path, megabytes * 10**6, name == "ascii")
            click.echo(measure(path, Path(scratch)))


if __name__ == "__main__":
    main()
