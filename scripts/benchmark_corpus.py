#!/usr/bin/env python3
"""Measure the encoding of a large text: MB/s on one core, and the memory use of encoding, training and evaluation.

The text is Python's documentation, repeated: unchanged for ASCII, and with Cyrillic letters for other UTF-8. Each
measurement runs in its own process, and each text has a new cache.
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
from charlm.system.process import keep_freed_memory
from charlm.training.session import Session
from charlm.text.corpus import load_corpus
keep_freed_memory()  # as every command does
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

SMALL_RUN = [
    f"--set={setting}"
    for setting in (
        "model.num_layers=1", "model.hidden_size=8", "model.embed_size=4", "train.max_steps=3", "train.device=cpu",
        "data.val_frac=0.0001", "data.test_frac=0.0001",
    )
]  # fmt: skip
"""A very small run, so that the memory use depends mainly on the text."""

CYRILLIC = str.maketrans("abcdeghiklmnoprstuvz", "абцдегхиклмнопрстувз")


def make_text(path: Path, num_bytes: int, is_ascii: bool) -> None:
    """Write a text of about ``num_bytes`` bytes."""
    text = "\n\n".join(topics[name] for name in sorted(topics))
    part = text.encode("ascii", "ignore") if is_ascii else text.translate(CYRILLIC).encode()
    with path.open("wb") as stream:
        for _ in range(max(1, num_bytes // len(part))):
            stream.write(part)


def peak_mib(arguments: list[str]) -> int:
    """Return the maximum resident set of a charlm command, in MiB."""
    process = subprocess.Popen([sys.executable, "-m", "charlm", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"charlm {arguments[0]} failed")
    return usage.ru_maxrss // 1024


def measure(path: Path, folder: Path) -> str:
    """Return the measurements of one text as a sentence."""
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True)
    cpu_s, wall_s, before, encoded, trained, vocabulary_size = map(float, done.stdout.split())
    run = str(folder / "run")
    train = ["train", *SMALL_RUN, f"--set=data.path={path}"]
    planned, run_mib, evaluated = map(peak_mib, ([*train, "--dry-run"], [*train, "--out", run], ["eval", run]))
    megabytes = path.stat().st_size / 1e6
    return (
        f"{path.stem}: {megabytes:,.0f} MB, {vocabulary_size:.0f} symbols: {megabytes / cpu_s:.0f} MB/s of CPU time on "
        f"one core ({megabytes / wall_s:.0f} MB/s of elapsed time); maximum resident set {before:.0f} MiB before "
        f"encoding, {encoded:.0f} MiB after encoding, {trained:.0f} MiB after 20 training steps; "
        f"of whole commands {planned} MiB train --dry-run, {run_mib} MiB train, {evaluated} MiB eval"
    )


@click.command()
@click.option("--megabytes", type=click.IntRange(1), default=400, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Directory for the temporary text and cache.")
def main(megabytes: int, folder: Path | None) -> None:
    """Print the measurements for ASCII and for other UTF-8."""
    for name in ("ascii", "other-utf-8"):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            path = Path(scratch) / f"{name}.txt"
            make_text(path, megabytes * 10**6, name == "ascii")
            os.environ["CHARLM_CACHE_DIR"] = scratch
            click.echo(measure(path, Path(scratch)))


if __name__ == "__main__":
    main()
