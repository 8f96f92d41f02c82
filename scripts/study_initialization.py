#!/usr/bin/env python3
"""Compare rules for the initial weights: one JSON line per run, appended to a file as runs end.

A rule states the root mean square of W x in the first layer and in the upper ones and of the logits, and the biases.
The sizes are reached by measuring the layer below on the first batch (LSUV: Mishkin & Matas, ICLR 2016), or by assuming
its size. Runs that the file already holds are left out, so a study can be stopped and resumed. Seeds are the outermost
loop, so a study that is stopped early is a smaller complete one.

    study_initialization.py results.jsonl --text a.txt --text b.txt --rule former --rule chosen --layers 1 --layers 3

Dimensions: B batch, T time, E embedding, H hidden width, V vocabulary.
"""

import itertools
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch import Generator, Tensor

from charlm.config import Config
from charlm.inference.evaluation import evaluate
from charlm.lstm.cell import LSTMCell, LSTMState, lstm_step, split_gates
from charlm.lstm.initialization import HIDDEN_RMS
from charlm.model import CharLM
from charlm.text.corpus import Corpus, load_corpus
from charlm.training.session import Session

SETTLING_STEPS = 16
"""Characters after the zero state that are left out of every measurement."""


@dataclass(frozen=True)
class Rule:
    """Sizes are root mean squares at the start of training.

    Attributes:
        first_size: of W x in the first layer.
        upper_size: of W x in the others.
        logit_size: of the logits without their bias.
        recurrent_gain: standard deviation of U times the square root of H.
        is_orthogonal: whether U is an orthogonal matrix per gate, times the gain.
        first_forget_biases: the range of the biases of the first layer's forget gates.
        upper_forget_bias: the bias of the others.
        is_unigram: whether the output bias starts at the logarithm of the symbols' frequencies; else at 0.
        embedding_size: of the embeddings.
        hidden_rms: the assumed size of hidden states; None to measure it.
    """

    first_size: float = 1.0
    upper_size: float = 1.0
    logit_size: float = 0.5
    recurrent_gain: float = 1 / math.sqrt(3)
    is_orthogonal: bool = False
    first_forget_biases: tuple[float, float] = (-1.0, 1.0)
    upper_forget_bias: float = -1.0
    is_unigram: bool = True
    embedding_size: float = 1.0
    hidden_rms: float | None = None


OPEN: dict[str, Any] = {"first_forget_biases": (1.0, 1.0), "upper_forget_bias": 1.0}
"""Forget gates that start open in all layers."""

RULES: dict[str, Rule | None] = {
    "chosen": None,
    # Every bound is 1/sqrt(fan-in), and the forget bias 1.
    "former": Rule(3**-0.5, 3**-0.5, 3**-0.5, **OPEN, is_unigram=False, hidden_rms=1.0),
    # The same, the bounds of the upper W and of the output layer times 4.
    "factor-4": Rule(3**-0.5, 4 * 3**-0.5, 4 * 3**-0.5, **OPEN, is_unigram=False, hidden_rms=1.0),
    "measured": Rule(),
    "forget-1": Rule(**OPEN),
    "forget-0": Rule(first_forget_biases=(0.0, 0.0), upper_forget_bias=0.0),
    "forget-minus-1": Rule(first_forget_biases=(-1.0, -1.0), hidden_rms=HIDDEN_RMS),
    "first-1": Rule(first_forget_biases=(1.0, 1.0)),
    "upper-half": Rule(upper_size=0.5),
    "logits-quarter": Rule(logit_size=0.25),
    "logits-1": Rule(logit_size=1.0),
    "no-unigram": Rule(is_unigram=False),
    "orthogonal": Rule(recurrent_gain=1.0, is_orthogonal=True),
    "embedding-0.3": Rule(embedding_size=0.3),
    "embedding-3": Rule(embedding_size=3.0),
}


def uniform(shape: torch.Size, std: float, generator: Generator) -> Tensor:
    """Return uniform numbers of mean 0 and a standard deviation."""
    return (2 * torch.rand(shape, generator=generator) - 1) * math.sqrt(3) * std


def orthogonal(size: int, generator: Generator) -> Tensor:
    """Return four orthogonal matrices one above the other, (4 size, size)."""
    parts = [torch.linalg.qr(torch.randn(size, size, generator=generator)) for _ in range(4)]
    return torch.cat([q * r.diagonal().sign() for q, r in parts])


def rms(x: Tensor) -> float:
    """Return the root mean square of all numbers."""
    return float(x.square().mean().sqrt())


def cells_of(model: CharLM) -> list[LSTMCell]:
    """Return the cells of a model, the lowest layer first."""
    return [cell for cell in model.lstm.cells if isinstance(cell, LSTMCell)]


def run_layer(cell: LSTMCell, x: Tensor) -> Tensor:
    """Return a layer's hidden states (T, B, H) for inputs (T, B, E), from the zero state."""
    zeros = x.new_zeros(x.shape[1], cell.hidden_size)
    state, hidden = LSTMState(zeros, zeros), []
    for gates_x in cell.project(x):
        state = lstm_step(gates_x, cell.weight_hh, state)
        hidden.append(state.h)
    return torch.stack(hidden)


@torch.no_grad()
def apply_rule(rule: Rule, model: CharLM, ids: Tensor, counts: Tensor, generator: Generator) -> None:
    """Draw a model's weights again by a rule; what it does not assume is measured on ids (B, T)."""

    def draw_reader(weight: Tensor, size: float, x: Tensor, assumed: float | None) -> None:
        input_rms = rms(x[SETTLING_STEPS:]) if assumed is None else assumed
        weight.copy_(uniform(weight.shape, size / input_rms / math.sqrt(weight.shape[1]), generator))

    embedding = model.embedding.weight
    embedding.copy_(rule.embedding_size * torch.randn(embedding.shape, generator=generator))
    x = model.embedding(ids.T)  # (T, B, E)
    assumed: float | None = rule.embedding_size
    size = rule.first_size
    for cell in cells_of(model):
        draw_reader(cell.weight_ih, size, x, assumed)
        std = rule.recurrent_gain / math.sqrt(cell.hidden_size)
        recurrent = (
            rule.recurrent_gain * orthogonal(cell.hidden_size, generator)
            if rule.is_orthogonal
            else uniform(cell.weight_hh.shape, std, generator)
        )
        cell.weight_hh.copy_(recurrent)
        low, high = rule.first_forget_biases if cell is model.lstm.cells[0] else (rule.upper_forget_bias,) * 2
        split_gates(cell.bias.zero_())[1].copy_(torch.linspace(low, high, cell.hidden_size))
        x = run_layer(cell, x)
        assumed, size = rule.hidden_rms, rule.upper_size
    draw_reader(model.output.weight, rule.logit_size, x, assumed)
    model.start_from_frequencies(counts if rule.is_unigram else torch.ones_like(counts))


@torch.no_grad()
def measure_signal(model: CharLM, ids: Tensor) -> dict[str, Any]:
    """Return the sizes of W x, U h and h by layer, and of the logits without their bias, on ids (B, T)."""
    x = model.embedding(ids.T)
    layers = []
    for cell in cells_of(model):
        read = x @ cell.weight_ih.T
        x = run_layer(cell, x)
        recurrent = x @ cell.weight_hh.T
        sizes = {"wx": read, "uh": recurrent, "h": x, "h_varying": x - x[SETTLING_STEPS:].mean((0, 1))}
        layers.append({name: round(rms(values[SETTLING_STEPS:]), 4) for name, values in sizes.items()})
    return {"layers": layers, "logits": round(rms(x[SETTLING_STEPS:] @ model.output.weight.T), 4)}


def train(config: Config, corpus: Corpus, rule: Rule | None, num_scored: int) -> dict[str, Any]:
    """Return the losses of a run in nats per character: in training by ten steps, and on the validation text."""
    session = Session(config, corpus)
    ids = session.streams.batch(0).inputs
    if rule is not None:
        generator = Generator().manual_seed(config.train.seed)
        counts = session.count_training_symbols()
        apply_rule(rule, session.model, ids, counts, generator)
    signal = measure_signal(session.model, ids)
    losses = []
    while not session.is_finished:
        session.take_step()
        losses.append(session.begin_interval().loss_nats)
    loss_nats = evaluate(session.model, session.splits.val[:num_scored]).loss_nats
    by_ten = [round(sum(losses[first : first + 10]) / 10, 4) for first in range(0, len(losses) - 9, 10)]
    return {"signal": signal, "losses": by_ten, "validation": round(loss_nats, 4)}


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--text", "texts", multiple=True, default=["builtin:python-docs"], help="A text, as in data.path.")
@click.option("--rule", "rules", multiple=True, type=click.Choice(list(RULES)), default=list(RULES))
@click.option("--layers", multiple=True, type=int, default=[1, 2, 3, 6])
@click.option("--width", "widths", multiple=True, type=int, default=[96])
@click.option("--rate", "rates", multiple=True, type=float, default=[0.01])
@click.option("--seeds", type=int, default=3, help="Number of seeds, from 1.")
@click.option("--steps", type=int, default=300)
@click.option("--scored", type=int, default=50_000, help="Characters of the validation part that are scored.")
def main(
    out: Path,
    texts: tuple[str, ...],
    rules: tuple[str, ...],
    layers: tuple[int, ...],
    widths: tuple[int, ...],
    rates: tuple[float, ...],
    seeds: int,
    steps: int,
    scored: int,
) -> None:
    """Train every model of the grid that OUT does not hold yet, and append its losses to OUT."""
    torch.set_num_threads(1)
    known = [json.loads(line)["run"] for line in out.read_text().splitlines()] if out.exists() else []
    corpora = {text: load_corpus(text, "char") for text in texts}
    grid = itertools.product(range(1, seeds + 1), rates, widths, texts, layers, rules)
    for seed, rate, width, text, num_layers, name in grid:
        run = {"rule": name, "text": Path(text).name, "layers": num_layers, "width": width, "rate": rate, "seed": seed}
        run["steps"] = steps
        if run in known:
            continue
        config = Config().replace("model", num_layers=num_layers, hidden_size=width)
        config = config.replace("train", max_steps=steps, learning_rate=rate, seed=seed, device="cpu")
        rule = RULES[name]
        result = train(config, corpora[text], rule, scored)
        line = {"run": run, "sizes": asdict(rule) if rule else None, **result}
        with out.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        click.echo(f"{name:16} {Path(text).stem[:20]:20} {num_layers} x {width}, rate {rate}, seed {seed}: "
                   f"validation {result['validation']:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
