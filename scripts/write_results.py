#!/usr/bin/env python3
"""Write the tables of docs/results.md from docs/results/results.jsonl, which scripts/measure_results.py writes."""

import json
import math
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from charlm.comparison.table import format_table
from charlm.config import parse_config

DOCS = Path(__file__).resolve().parents[1] / "docs"

MARKED = re.compile(r"(<!-- table ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

NOT_MEASURED = "There are no records of these runs yet."

FIRST_STEP = 150
"""The first validation of the group ``depth-at-start``."""

KARPATHY_NATS = {
    "1 x 64": 1.449, "2 x 64": 1.442, "1 x 128": 1.277, "2 x 128": 1.227, "1 x 256": 1.189, "2 x 256": 1.137,
}  # fmt: skip
"""Test loss of LSTMs on War and Peace. Source: Karpathy, Johnson & Fei-Fei, arXiv:1506.02078, 2015, table 1."""

NANOGPT_GPU_NATS, NANOGPT_GPU_PARAMETERS = 1.4697, 10_650_000
"""The best validation loss in windows of 256 of nanoGPT's train_shakespeare_char preset. Source: its README."""

NANOGPT_CPU_NATS, NANOGPT_CPU_S = 1.874, 55
"""Validation loss of nanoGPT's preset for a CPU, and its seconds on two cores."""

Record = dict[str, Any]

Found = dict[tuple[str, str], list[Record]]
"""Runs by text and model."""


def read_records(path: Path) -> list[Record]:
    """Return the records of a file, with keys that were added after they were measured; none if there is no file."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    for record in records:
        record["run"]["config"] = parse_config(record["run"]["config"], "a record").model_dump()
    return records


def select(records: Sequence[Record], group: str) -> Found:
    """Return the runs of a group by text and model, ordered by seed.

    Where a preset has changed, only runs with the newest configuration are returned, so that no row mixes two.
    """
    found: Found = {}
    for record in records:
        if record["run"]["group"] == group:
            found.setdefault((record["run"]["text"], record["run"]["model"]), []).append(record)
    for key, runs in found.items():
        newest = _settings(runs[-1])
        found[key] = sorted((run for run in runs if _settings(run) == newest), key=_seed)
    return found


def _seed(record: Record) -> int:
    return int(record["run"]["config"]["train"]["seed"])


def _settings(record: Record) -> dict[str, Any]:
    """Return the configuration of a run without its seed."""
    config = record["run"]["config"]
    return {**config, "train": {**config["train"], "seed": None}}


def format_loss(loss_nats: float | None) -> str:
    """Return a loss in nats and in bits per character; empty for None."""
    return "" if loss_nats is None else f"{loss_nats:.4f} / {loss_nats / math.log(2):.4f}"


def format_mean(losses_nats: Sequence[float]) -> str:
    """Return the mean loss in nats, with the lowest and the highest if there are several runs."""
    mean = f"{statistics.fmean(losses_nats):.4f}"
    return mean if len(losses_nats) == 1 else f"{mean} ({min(losses_nats):.4f} to {max(losses_nats):.4f})"


def tabulate_shakespeare(found: Found) -> str:
    """Return a row for each seed, and one for nanoGPT's GPU preset."""
    titles = [
        "run",
        "parameters",
        "carried",
        "windows of 256",
        "dynamic",
        "last step, not averaged",
        "minutes",
        "threads",
    ]
    rows = []
    for run in next(iter(found.values())):
        results = run["results"]
        losses = [results.get(f"{name}loss_nats") for name in ("", "windowed_", "dynamic_")]
        losses.append(run["validations"][-1].get("trained_loss_nats"))
        time_cells = [f"{results['elapsed_s'] / 60:.1f}", str(run["machine"]["num_threads"])]
        rows.append([f"seed {_seed(run)}", f"{results['num_parameters']:,}", *map(format_loss, losses), *time_cells])
    nanogpt = ["nanoGPT, GPU preset", f"{NANOGPT_GPU_PARAMETERS:,}", "", format_loss(NANOGPT_GPU_NATS)]
    rows.append(nanogpt + [""] * (len(titles) - len(nanogpt)))
    shown = [column for column in range(len(titles)) if any(row[column] for row in rows)]
    return format_table([titles[column] for column in shown], [[row[column] for column in shown] for row in rows])


def tabulate_minute(found: Found) -> str:
    """Return a row for each seed, and one for nanoGPT's CPU preset."""
    titles = ["run", "parameters", f"carried, within {NANOGPT_CPU_S} s", "seconds of the run", "threads"]
    rows = []
    for run in next(iter(found.values())):
        results = run["results"]
        cells = [f"{results['elapsed_s']:.1f}", str(run["machine"]["num_threads"])]
        loss = format_loss(find_loss_within(run, NANOGPT_CPU_S)) or "none"
        rows.append([f"seed {_seed(run)}", f"{results['num_parameters']:,}", loss, *cells])
    nanogpt = ["nanoGPT, CPU preset", "", format_loss(NANOGPT_CPU_NATS), str(NANOGPT_CPU_S), "2"]
    return format_table(titles, [*rows, nanogpt])


def find_loss_within(run: Record, seconds: float) -> float | None:
    """Return the lowest loss of the validations that ended within some seconds of the run; None if there is none.

    ``elapsed_s`` of a row is the time before its validation, whose duration follows from its speed. That of the run is
    the time after its last one.
    """
    rows, num_predicted = run["validations"], run["results"]["num_val_chars"] - 1
    ends_s = [row["elapsed_s"] + num_predicted / row["chars_per_s"] for row in rows[:-1]]
    ends_s.append(run["results"]["elapsed_s"])
    losses = [row["loss_nats"] for row, end_s in zip(rows, ends_s, strict=True) if end_s <= seconds]
    return min(losses, default=None)


def tabulate_depth(found: Found) -> str:
    """Return a row for each depth: validation losses at the first validation and at the best."""
    titles = ["layers x width", "parameters", f"step {FIRST_STEP}", "best", "best, bits per character", "runs"]
    rows = []
    for (_, model), runs in found.items():
        first = [row["loss_nats"] for run in runs for row in run["validations"] if row["step"] == FIRST_STEP]
        best = [run["results"]["loss_nats"] for run in runs]
        bits = f"{statistics.fmean(best) / math.log(2):.4f}"
        size = f"{runs[0]['results']['num_parameters']:,}"
        rows.append([model, size, format_mean(first), format_mean(best), bits, str(len(runs))])
    return format_table(titles, rows)


def tabulate_warpeace(found: Found) -> str:
    """Return a row for each size: validation and test loss beside those of the paper."""
    titles = ["layers x width", "parameters", "validation", "test", "test, Karpathy et al.", "minutes", "runs"]
    rows = []
    for (_, model), runs in found.items():
        results = [run["results"] for run in runs]
        means = {
            key: statistics.fmean(result[key] for result in results)
            for key in ("loss_nats", "test_loss_nats", "elapsed_s")
        }
        losses = [format_loss(means["loss_nats"]), format_loss(means["test_loss_nats"])]
        cost = [f"{means['elapsed_s'] / 60:.1f}", str(len(runs))]
        rows.append([model, f"{results[0]['num_parameters']:,}", *losses, format_loss(KARPATHY_NATS[model]), *cost])
    return format_table(titles, rows)


def tabulate_coherence(found: Found) -> str:
    """Return a row for each text with and without random resets: garbage samples of all seeds by both rules."""
    titles = ["text", "training", "runs", "samples", "unreadable", "unlike the text", "validation loss"]
    rows = []
    for (text, model), runs in sorted(found.items()):
        counts = [
            str(sum(run["results"][name] for run in runs))
            for name in ("num_samples", "num_unreadable", "num_incoherent")
        ]
        losses = format_mean([run["results"]["loss_nats"] for run in runs])
        rows.append([Path(text).stem, model, str(len(runs)), *counts, losses])
    return format_table(titles, rows)


TABLES: dict[str, Callable[[Found], str]] = {
    "tinyshakespeare": tabulate_shakespeare,
    "tinyshakespeare-best": tabulate_shakespeare,
    "minute": tabulate_minute,
    "depth-at-start": tabulate_depth,
    "warpeace": tabulate_warpeace,
    "coherence": tabulate_coherence,
}


def describe_machines(found: Found) -> str:
    """Return on what the runs of a table were measured, a sentence for each combination."""
    machines = [run["machine"] for runs in found.values() for run in runs]
    sentences = [
        f"Measured with charlm {machine['charlm']}, torch {machine['torch']} and Python {machine['python']} on "
        f"{machine['device']} ({machine['processor']}), {machine['precision']}, kernel {machine['kernel']}, "
        f"{machine['num_threads']} thread{'s' if machine['num_threads'] > 1 else ''}."
        for machine in machines
    ]
    return "\n".join(dict.fromkeys(sentences))


def format_page(page: str, records: Sequence[Record]) -> str:
    """Return the page with the tables of the records between its markers."""

    def format_group(match: re.Match[str]) -> str:
        found = select(records, match[2])
        content = f"{TABLES[match[2]](found)}\n\n{describe_machines(found)}" if found else NOT_MEASURED
        return f"{match[1]}\n{content}\n\n{match[3]}"

    return MARKED.sub(format_group, page)


@click.command()
def main() -> None:
    """Write the tables of docs/results.md."""
    path = DOCS / "results.md"
    page = format_page(path.read_text(encoding="utf-8"), read_records(DOCS / "results" / "results.jsonl"))
    path.write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
