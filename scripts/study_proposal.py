#!/usr/bin/env python3
"""Try the rule of `charlm init`: train what it proposes, and half and twice that width in the same minutes.

One JSON line per run is appended to docs/proposal/results.jsonl as runs end; runs that the file already holds are left
out. Times are those of the processor, so that other work on the machine counts little: use one thread.

    OMP_NUM_THREADS=1 study_proposal.py --text a.txt --text b.txt --minutes 1 --minutes 2
    study_proposal.py --table
"""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import click

from charlm.comparison.table import format_table
from charlm.config import Config
from charlm.text.corpus import Corpus, load_corpus
from charlm.training.loop import train
from charlm.training.proposal import Proposal, propose

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "proposal" / "results.jsonl"

FACTORS = (0.5, 1.0, 2.0)
"""Widths that are trained, as multiples of the one that is proposed."""

NUM_MEASUREMENTS = 3
"""Measurements of the speed of each width, of which the median counts."""


def plan_widths(config: Config, corpus: Corpus, minutes: float) -> dict[float, Proposal]:
    """Return the proposal and its neighbours, by their factor; all fill the same minutes."""
    proposed = propose(config, corpus, minutes).config.model.hidden_size
    widths = {factor: round(factor * proposed) for factor in FACTORS}
    plans: dict[float, list[Proposal]] = {factor: [] for factor in FACTORS}
    for _ in range(NUM_MEASUREMENTS):  # interleaved: the speed of the machine drifts
        for factor, width in widths.items():
            plans[factor].append(propose(config, corpus, minutes, (width,)))
    middle = NUM_MEASUREMENTS // 2
    return {factor: sorted(found, key=lambda plan: plan.chars_per_s)[middle] for factor, found in plans.items()}


def run(plan: Proposal) -> dict[str, Any]:
    """Train a plan; return its sizes, its validation loss in nats per character, and the time it took."""
    started_at_s = time.process_time()
    with TemporaryDirectory() as directory:
        result = train(plan.config, Path(directory) / "run")
    return {
        "width": plan.config.model.hidden_size,
        "parameters": plan.num_parameters,
        "steps": plan.config.train.max_steps,
        "passes": round(plan.num_passes, 2),
        "chars_per_s": round(plan.chars_per_s),
        "loss_nats": round(result.best_loss_nats, 4),
        "processor_s": round(time.process_time() - started_at_s, 1),
    }


def make_table(records: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the runs, a line for each width."""
    titles = ["text", "minutes", "of the proposed", "width", "parameters", "steps", "passes", "loss (nats)"]
    rows = [
        [
            record["text"],
            f"{record['minutes']:g}",
            f"{record['factor']:g}",
            str(record["width"]),
            f"{record['parameters']:,}",
            f"{record['steps']:,}",
            f"{record['passes']:.1f}",
            f"{record['loss_nats']:.4f}",
        ]
        for record in records
    ]
    return format_table(titles, rows)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the runs that a results file holds."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def study(text: Path, minutes: float, out: Path) -> None:
    """Train the proposal for a text and a time, and its neighbours, and append a record of each."""
    done = [record for record in read_records(out) if (record["text"], record["minutes"]) == (text.stem, minutes)]
    missing = [factor for factor in FACTORS if factor not in [record["factor"] for record in done]]
    if not missing:
        return
    plans = plan_widths(Config().replace("data", path=str(text)), load_corpus(str(text), "char"), minutes)
    for factor in missing:
        record = {"text": text.stem, "minutes": minutes, "factor": factor} | run(plans[factor])
        with out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        click.echo(record)


@click.command()
@click.option("--text", "texts", multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--minutes", "times", multiple=True, type=float, default=(1.0, 2.0), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--table", is_flag=True, help="Print the table of the records, and train nothing.")
def main(texts: tuple[Path, ...], times: tuple[float, ...], out: Path, table: bool) -> None:
    """Train what charlm init proposes, and its neighbours."""
    if table:
        click.echo(make_table(read_records(out)))
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with mock.patch("time.perf_counter", time.process_time):
        for minutes in times:
            for text in texts:
                study(text, minutes, out)


if __name__ == "__main__":
    main()
