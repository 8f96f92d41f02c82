#!/usr/bin/env python3
"""Compare ways to train a model: one JSON line per run, appended to docs/STUDY/results.jsonl as runs end.

Two studies: `regularization` of texts that are read many times, and `defaults`, which changes one default at a time.
Runs that the file already holds are left out, so a study can be stopped and resumed. Seeds are the outermost loop, so a
study that is stopped early is a smaller complete one.

    study_training.py regularization --text a.txt --text b.txt --seeds 2
    study_training.py regularization --table
"""

import itertools
import json
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

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

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        keys: values by full name of the configuration keys that differ from the base of the study.
        output_dropout: dropout of the last layer's output alone; None for ``model.dropout``.
        is_tied: whether the output layer is a projection to the width of the embeddings, then the embeddings.
        betas: decay of AdamW's averages of the gradient and of its square; None for charlm's.
    """

    keys: dict[str, float] = field(default_factory=dict)
    output_dropout: float | None = None
    is_tied: bool = False
    betas: tuple[float, float] | None = None


class Study(NamedTuple):
    """Variants that are compared on the same texts.

    Attributes:
        base: the configuration that the variants change.
        variants: by a name that says what differs; the first is what the others are compared with.
        num_chars: characters of each text that are used, its first ones.
    """

    base: Config
    variants: dict[str, Variant]
    num_chars: int

    def configure(self, name: str, steps: int, seed: int) -> Config:
        """Return the configuration of a run of a variant."""
        config = self.base.replace("train", max_steps=steps, seed=seed)
        for full_name, value in self.variants[name].keys.items():
            section, key = full_name.split(".")
            config = config.replace(section, **{key: value})
        return config


REGULARIZATION = {
    "dropout 0.3": Variant(),
    "dropconnect 0.2": Variant({"model.dropconnect": 0.2}),
    "embedding_dropout 0.05": Variant({"model.embedding_dropout": 0.05}),
    "dropout 0.2, dropconnect 0.2": Variant({"model.dropout": 0.2, "model.dropconnect": 0.2}),
    "output dropout 0.4": Variant(output_dropout=0.4),
    "output dropout 0.2": Variant(output_dropout=0.2),
    "tied": Variant(is_tied=True),
    "dropout 0.4": Variant({"model.dropout": 0.4}),
    "no resets": Variant({"train.reset_probability": 0.0}),
    "dropout 0.2, dropconnect 0.3": Variant({"model.dropout": 0.2, "model.dropconnect": 0.3}),
    "no dropout": Variant({"model.dropout": 0.0}),
    "no dropout, patience 2": Variant({"model.dropout": 0.0, "train.patience": 2}),
    "patience 2": Variant({"train.patience": 2}),
}

DEFAULTS = {
    "defaults": Variant(),
    **{f"weight_decay {value}": Variant({"train.weight_decay": value}) for value in (0.3, 0.03, 0.01, 0.0)},
    **{f"average_decay {value}": Variant({"train.average_decay": value}) for value in (0.99, 0.998)},
    **{f"learning_rate {value}": Variant({"train.learning_rate": value}) for value in (0.006, 0.015)},
    **{f"floor_frac {value}": Variant({"train.learning_rate_floor_frac": value}) for value in (0.0, 0.2)},
    **{f"grad_clip {value}": Variant({"train.grad_clip": value}) for value in (0.3, 0.0)},
    **{f"warmup_steps {value}": Variant({"train.warmup_steps": value}) for value in (30, 300)},
    **{f"embed_size {value}": Variant({"model.embed_size": value}) for value in (32, 128)},
    **{f"betas {betas}": Variant(betas=betas) for betas in ((0.9, 0.95), (0.9, 0.999), (0.8, 0.99), (0.95, 0.99))},
}

OVERFITTING = Config().replace("data", val_frac=0.2).replace("model", dropout=0.3)
OVERFITTING = OVERFITTING.replace("train", max_steps=2500, average_decay=0.998, eval_every=250, device="cpu")
"""Two layers of 128; with 150,000 characters a run reads the training part 42 times."""

STUDIES = {
    "regularization": Study(OVERFITTING, REGULARIZATION, num_chars=150_000),
    "defaults": Study(Config().replace("train", device="cpu"), DEFAULTS, num_chars=1_000_000),
}


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
    if variant.betas is not None:
        for group in session.optimizer.param_groups:
            group["betas"] = variant.betas
    if variant.output_dropout is not None:
        session.model.output_dropout = variant.output_dropout
    if variant.is_tied:
        session.model = TiedCharLM(len(corpus.vocabulary), config.model, session.generator)
        session.model.start_from_frequencies(session.count_training_symbols())
        session.optimizer = build_optimizer(session.model, config.train)
        session.average = WeightAverage(session.model, config.train.average_decay)
    return session


def train(config: Config, corpus: Corpus, variant: Variant) -> dict[str, Any]:
    """Return losses in nats per character, the lowest in validation and those of the last step, and the steps taken."""
    session = prepare(config, corpus, variant)
    loss, trained = math.nan, 0.0
    while not session.is_finished:
        session.take_step()
        if session.step % config.train.eval_every == 0 or session.is_finished:
            loss = evaluate(session.shown, session.splits.val).loss_nats
            session.best = min(session.best, (loss, session.step))
            session.cool_down_if_due()
            interval = session.begin_interval()
            trained = interval.loss_nats / interval.num_steps
    last = {
        "best": session.best[0],
        "last": loss,
        "last_not_averaged": evaluate(session.model, session.splits.val).loss_nats,
        "last_windowed_256": evaluate(session.shown, session.splits.val, window=256).loss_nats,
        "training": trained,
    }
    return {name: round(loss, 4) for name, loss in last.items()} | {"steps": session.step}


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


def make_table(study: Study, records: list[dict[str, Any]]) -> str:
    """Return a Markdown table: mean losses over seeds, and for each seed the difference to the first variant.

    Variants without records are left out.
    """
    runs = {(record["run"]["text"], record["run"]["variant"], record["run"]["seed"]): record for record in records}
    texts, seeds = (list(dict.fromkeys(key[index] for key in runs)) for index in (0, 2))
    names = [name for name in study.variants if any(key[1] == name for key in runs)]
    rows = []
    for text, name in itertools.product(texts, names):
        own = [runs[text, name, seed] for seed in seeds]
        first = [runs[text, names[0], seed] for seed in seeds]
        gaps = ", ".join(f"{run['best'] - base['best']:+.4f}" for run, base in zip(own, first, strict=True))
        means = {key: f"{statistics.mean(run[key] for run in own):.4f}" for key in ("best", *COLUMNS)}
        num_steps = ", ".join(str(run["steps"]) for run in own)
        rows.append([text, name, means["best"], gaps, *(means[key] for key in COLUMNS), num_steps])
    return format_table(["text", "variant", "best", "difference", *COLUMNS.values(), "steps"], rows)


@click.command()
@click.argument("study_name", metavar="STUDY", type=click.Choice(list(STUDIES)))
@click.option("--text", "texts", multiple=True, type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option("--variant", "names", multiple=True, help="Name of a variant; all without it.")
@click.option("--seeds", type=int, default=2, show_default=True, help="Number of seeds, from 1.")
@click.option("--steps", type=int, help="Steps of a run.  [default: those of the study]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="[default: docs/STUDY/results.jsonl]")
@click.option("--table", is_flag=True, help="Print the table of what the file holds, and train nothing.")
def main(
    study_name: str,
    texts: tuple[Path, ...],
    names: tuple[str, ...],
    seeds: int,
    steps: int | None,
    out: Path | None,
    table: bool,
) -> None:
    """Train every variant of STUDY that has no record yet on the start of each text, and append its losses."""
    study, out = STUDIES[study_name], out or REPOSITORY / "docs" / study_name / "results.jsonl"
    if table:
        click.echo(make_table(study, read_records(out)))
        return
    torch.set_num_threads(1)
    known, steps = [record["run"] for record in read_records(out)], steps or study.base.train.max_steps
    for seed, text, name in itertools.product(range(1, seeds + 1), texts, names or study.variants):
        run = {"variant": name, "text": text.stem, "chars": study.num_chars, "steps": steps, "seed": seed}
        if run in known:
            continue
        corpus = read_start(text, study.num_chars)
        losses = train(study.configure(name, steps, seed), corpus, study.variants[name])
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a") as stream:
            stream.write(json.dumps({"run": run, **losses}) + "\n")
        click.echo(f"{name:24} {text.stem[:20]:20} seed {seed}: {losses}")


if __name__ == "__main__":
    main()
