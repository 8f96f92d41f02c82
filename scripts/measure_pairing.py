#!/usr/bin/env python3
"""Measure what runs of equal seeds share: train depths under many seeds, and correlate their losses.

Once the text is read in its order, as charlm does, and once in an order that is drawn from the seed: the text is
rotated, by the same number of characters for all depths. docs/statistics.md has the figures.
"""

import statistics
from itertools import combinations
from pathlib import Path

import click
import torch

from charlm.comparison.arms import Arm, plan_arms
from charlm.comparison.table import format_table
from charlm.config import Config
from charlm.inference.evaluation import evaluate
from charlm.text.corpus import Corpus, load_corpus
from charlm.text.streams import ParallelStreams
from charlm.training.session import Session

DEPTHS = (1, 2, 3)


def train(config: Config, corpus: Corpus, arm: Arm, seed: int, is_rotated: bool) -> float:
    """Return the validation loss in nats per character after all steps."""
    sized = config.replace("model", num_layers=arm.num_layers, hidden_size=arm.hidden_size)
    session = Session(sized.replace("train", seed=seed), corpus)
    if is_rotated:
        ids = session.splits.train
        offset = int(torch.randint(len(ids), (), generator=torch.Generator().manual_seed(seed)))
        session.streams = ParallelStreams(ids.roll(offset), config.train.batch_size, config.train.seq_length)
    while not session.is_finished:
        session.take_step()
    return evaluate(session.model, session.splits.val).loss_nats


@click.command()
@click.argument("text", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--budget", default=10_000, show_default=True, help="Parameters of every depth.")
@click.option("--steps", default=300, show_default=True, help="Steps of 16 streams of 32 characters.")
@click.option("--seeds", "num_seeds", default=24, show_default=True, help="Runs of each depth.")
def main(text: Path, budget: int, steps: int, num_seeds: int) -> None:
    """Print the standard deviations over seeds and the correlations between depths, on TEXT."""
    config = Config().replace("data", path=str(text), val_frac=0.05).replace("model", embed_size=16, dropout=0.0)
    config = config.replace("train", batch_size=16, seq_length=32, max_steps=steps, eval_every=steps, warmup_steps=20)
    corpus = load_corpus(config.data.path, config.data.level)
    arms = plan_arms(DEPTHS, "parameters", [budget], len(corpus.vocabulary), config.model.embed_size)
    pairs = list(combinations(range(len(arms)), 2))
    rows = []
    for name, is_rotated in (("that of the text", False), ("drawn from the seed", True)):
        losses = [[train(config, corpus, arm, seed, is_rotated) for seed in range(num_seeds)] for arm in arms]
        spreads = [f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}" for values in losses]
        correlations = [f"{statistics.correlation(losses[first], losses[second]):+.2f}" for first, second in pairs]
        rows.append([name, *spreads, *correlations])
    titles = ["order", *(f"{depth} deep" for depth in DEPTHS)]
    titles += [f"correlation {DEPTHS[first]}, {DEPTHS[second]}" for first, second in pairs]
    click.echo(format_table(titles, rows))


if __name__ == "__main__":
    main()
