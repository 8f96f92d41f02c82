#!/usr/bin/env python3
"""Measure the encoding of a large text: MB/s, and the memory use of encoding, training and evaluation.

The text is Python's documentation, repeated: unchanged for ASCII, and with Cyrillic letters for other UTF-8. Each
measurement runs in its own process, and each text has a new cache. A text in several files is encoded by as many
processes as there are processors.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from pydoc_data.topics import topics

import click

MEASURE = """
import os, resource, sys, time
import torch
torch.set_num_threads(int(sys.argv[2]))
from charlm.config import Config
from charlm.system.process import keep_freed_memory
from charlm.training.session import Session
from charlm.text.corpus import load_corpus
keep_freed_memory()  # as every command does
def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def used_cpu_s():
    return sum(os.times()[:4])  # with the processes that this one has waited for
before_mib, cpu_s, wall_s = peak_mib(), used_cpu_s(), time.perf_counter()
corpus = load_corpus(sys.argv[1], "char")
cpu_s, wall_s, encoded_mib = used_cpu_s() - cpu_s, time.perf_counter() - wall_s, peak_mib()
torch.set_num_threads(1)
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


def make_text(folder: Path, num_files: int, num_bytes: int, is_ascii: bool) -> None:
    """Write a text of about ``num_bytes`` bytes into equal files of a directory."""
    folder.mkdir()
    text = "\n\n".join(topics[name] for name in sorted(topics))
    part = text.encode("ascii", "ignore") if is_ascii else text.translate(CYRILLIC).encode()
    for number in range(num_files):
        with (folder / f"{number}.txt").open("wb") as stream:
            for _ in range(max(1, num_bytes // num_files // len(part))):
                stream.write(part)


def peak_mib(arguments: list[str]) -> int:
    """Return the maximum resident set of a charlm command, in MiB."""
    process = subprocess.Popen([sys.executable, "-m", "charlm", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"charlm {arguments[0]} failed")
    return usage.ru_maxrss // 1024


def measure(path: Path, folder: Path, num_processes: int) -> str:
    """Return the measurements of one text as a sentence."""
    command = [sys.executable, "-c", MEASURE, str(path), str(num_processes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    cpu_s, wall_s, before, encoded, trained, vocabulary_size = map(float, done.stdout.split())
    run = str(folder / "run")
    train = ["train", *SMALL_RUN, f"--set=data.path={path}"]
    planned, run_mib, evaluated = map(peak_mib, ([*train, "--dry-run"], [*train, "--out", run], ["eval", run]))
    megabytes = sum(file.stat().st_size for file in path.iterdir()) / 1e6
    return (
        f"{path.name}: {megabytes:,.0f} MB, {vocabulary_size:.0f} symbols, {num_processes} processes: "
        f"{megabytes / cpu_s:.0f} MB/s of CPU time ({megabytes / wall_s:.0f} MB/s of elapsed time); maximum resident "
        f"set {before:.0f} MiB before encoding, {encoded:.0f} MiB after encoding, {trained:.0f} MiB after 20 training "
        f"steps; of whole commands {planned} MiB train --dry-run, {run_mib} MiB train, {evaluated} MiB eval"
    )


@click.command()
@click.option("--megabytes", type=click.IntRange(1), default=400, show_default=True)
@click.option("--files", type=click.IntRange(1), default=1, show_default=True, help="Files of each text.")
@click.option("--folder", type=click.Path(path_type=Path), help="Directory for the temporary text and cache.")
def main(megabytes: int, files: int, folder: Path | None) -> None:
    """Print the measurements for ASCII and for other UTF-8."""
    for name in ("ascii", "other-utf-8"):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            path = Path(scratch) / name
            make_text(path, files, megabytes * 10**6, name == "ascii")
            os.environ["CHARLM_CACHE_DIR"] = f"{scratch}/cache"
            click.echo(measure(path, Path(scratch), min(files, os.cpu_count() or 1)))


if __name__ == "__main__":
    main()
