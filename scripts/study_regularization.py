#!/usr/bin/env python3
"""Compare ways to regularize a model on texts that it reads many times: one JSON line per run, appended as runs end.

Runs that the file already holds are left out, so a study can be stopped and resumed. Seeds are the outermost loop, so a
study that is stopped early is a smaller complete one.

    study_regularization.py docs/regularization/results.jsonl --text a.txt --text b.txt --seeds 2
    study_regularization.py docs/regularization/results.jsonl --table
"""

import itertools
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import torch
from torch import Tensor, nn

from charlm.comparison.table import format_table
from charlm.config import Config, ModelConfig
from charlm.inference.evaluation import evaluate
from charlm.lstm.initialization import HIDDEN_RMS, draw_uniform
from charlm.model import LOGIT_SIZE, CharLM
from charlm.text.corpus import Corpus, load_corpus
from charlm.training.averaging import WeightAverage
from charlm.training.optimization import build_optimizer
from charlm.training.session import Session


@dataclass(frozen=True)
class Variant:
    """One way to regularize.

    Attributes:
        keys: values by full name of the configuration keys that differ from ``BASE``.
        output_dropout: dropout of the last layer's output alone; None for ``model.dropout``.
        is_tied: whether the output layer is a projection to the width of the embeddings, then the embeddings.
    """

    keys: dict[str, float]
    output_dropout: float | None = None
    is_tied: bool = False


VARIANTS = {
    "dropout 0.3": Variant({}),
    "dropconnect 0.2": Variant({"model.dropconnect": 0.2}),
    "embedding_dropout 0.05": Variant({"model.embedding_dropout": 0.05}),
    "dropout 0.2, dropconnect 0.2": Variant({"model.dropout": 0.2, "model.dropconnect": 0.2}),
    "output dropout 0.4": Variant({}, output_dropout=0.4),
    "output dropout 0.2": Variant({}, output_dropout=0.2),
    "tied": Variant({}, is_tied=True),
    "dropout 0.4": Variant({"model.dropout": 0.4}),
    "no resets": Variant({"train.reset_probability": 0.0}),
}
"""By name; the first is what the others are compared with. A name says what differs from it."""

BASE = Config().replace("data", val_frac=0.2).replace("model", dropout=0.3)
BASE = BASE.replace("train", max_steps=2500, average_decay=0.998, eval_every=250, device="cpu")
"""Two layers of 128; with 150,000 characters a run reads the training part 42 times."""


class TiedCharLM(CharLM):
    """A model whose output layer is a projection of the hidden state to the embedding's width, then the embeddings.

    Source: Inan, Khosravi & Socher, ICLR 2017; the projection: Press & Wolf, EACL 2017.
    """

    def __init__(self, vocabulary_size: int, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__(vocabulary_size, **config.model_dump(), generator=generator)
        gain = LOGIT_SIZE / HIDDEN_RMS / math.sqrt(config.embed_size)  # an embedding has size 1
        self.down = nn.Linear(config.hidden_size, config.embed_size, bias=False)
        draw_uniform(self.down.weight, gain, generator)
        bias = self.output.bias
        self.output = nn.Linear(config.embed_size, vocabulary_size)
        self.output.weight, self.output.bias = self.embedding.weight, bias

    def project(self, hidden: Tensor) -> Tensor:
        """Return the logits (B, T, V) of hidden states (T, B, H)."""
        return self.output(self.down(hidden)).transpose(0, 1)  # type: ignore[no-any-return]


def prepare(config: Config, corpus: Corpus, variant: Variant) -> Session:
    """Return a session whose model has the variant's changes."""
    session = Session(config, corpus)
    if variant.output_dropout is not None:
        session.model.output_dropout = variant.output_dropout
    if variant.is_tied:
        session.model = TiedCharLM(len(corpus.vocabulary), config.model, session.generator)
        session.model.start_from_frequencies(session.count_training_symbols())
        session.optimizer = build_optimizer(session.model, config.train)
        session.average = WeightAverage(session.model, config.train.average_decay)
    return session


def train(config: Config, corpus: Corpus, variant: Variant) -> dict[str, Any]:
    """Return losses in nats per character: the lowest in validation, and those of the last step."""
    session = prepare(config, corpus, variant)
    losses, trained = [], 0.0
    while not session.is_finished:
        session.take_step()
        if session.step % config.train.eval_every == 0 or session.is_finished:
            losses.append(evaluate(session.shown, session.splits.val).loss_nats)
            interval = session.begin_interval()
            trained = interval.loss_nats / interval.num_steps
    last = {
        "best": min(losses),
        "last": losses[-1],
        "last_not_averaged": evaluate(session.model, session.splits.val).loss_nats,
        "last_windowed_256": evaluate(session.shown, session.splits.val, window=256).loss_nats,
        "training": trained,
    }
    return {name: round(loss, 4) for name, loss in last.items()}


def configure(variant: Variant, steps: int, seed: int) -> Config:
    """Return the configuration of a run."""
    config = BASE.replace("train", max_steps=steps, seed=seed)
    for name, value in variant.keys.items():
        section, key = name.split(".")
        config = config.replace(section, **{key: value})
    return config


def read_start(path: Path, num_chars: int) -> Corpus:
    """Return the first characters of a text file as a corpus."""
    with TemporaryDirectory() as directory:
        start = Path(directory) / path.name
        start.write_text(path.read_text(encoding="utf-8")[:num_chars], encoding="utf-8")
        return load_corpus(str(start), "char")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the runs that a results file holds."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


COLUMNS = {
    "last": "last",
    "last_not_averaged": "last, not averaged",
    "last_windowed_256": "last, windows of 256",
    "training": "training",
}
"""Losses beside the best one, by their titles."""


def make_table(records: list[dict[str, Any]]) -> str:
    """Return a Markdown table: mean losses over seeds, and for each seed the difference to the first variant."""
    runs = {(record["run"]["text"], record["run"]["variant"], record["run"]["seed"]): record for record in records}
    texts, seeds = (list(dict.fromkeys(key[index] for key in runs)) for index in (0, 2))
    rows = []
    for text, name in itertools.product(texts, VARIANTS):
        own = [runs[text, name, seed] for seed in seeds]
        first = [runs[text, next(iter(VARIANTS)), seed] for seed in seeds]
        gaps = ", ".join(f"{run['best'] - base['best']:+.4f}" for run, base in zip(own, first, strict=True))
        means = {key: f"{statistics.mean(run[key] for run in own):.4f}" for key in ("best", *COLUMNS)}
        rows.append([text, name, means["best"], gaps, *(means[key] for key in COLUMNS)])
    return format_table(["text", "variant", "best", "difference", *COLUMNS.values()], rows)


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--text", "texts", multiple=True, type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option("--variant", "variants", multiple=True, type=click.Choice(list(VARIANTS)), default=list(VARIANTS))
@click.option("--chars", type=int, default=150_000, show_default=True, help="Characters of each text, its first ones.")
@click.option("--seeds", type=int, default=2, show_default=True, help="Number of seeds, from 1.")
@click.option("--steps", type=int, default=BASE.train.max_steps, show_default=True)
@click.option("--table", is_flag=True, help="Print the table of what OUT holds, and train nothing.")
def main(
    out: Path, texts: tuple[Path, ...], variants: tuple[str, ...], chars: int, seeds: int, steps: int, table: bool
) -> None:
    """Train every variant that OUT does not hold yet on the start of each text, and append its losses to OUT."""
    if table:
        click.echo(make_table(read_records(out)))
        return
    torch.set_num_threads(1)
    known = [record["run"] for record in read_records(out)]
    for seed, text, name in itertools.product(range(1, seeds + 1), texts, variants):
        run = {"variant": name, "text": text.stem, "chars": chars, "steps": steps, "seed": seed}
        if run in known:
            continue
        losses = train(configure(VARIANTS[name], steps, seed), read_start(text, chars), VARIANTS[name])
        with out.open("a") as stream:
            stream.write(json.dumps({"run": run, **losses}) + "\n")
        click.echo(f"{name:24} {text.stem[:20]:20} seed {seed}: {losses}")


if __name__ == "__main__":
    main()
