#!/usr/bin/env python3
"""Measure how cell states grow along a text far longer than a stream, what it costs, and whether remedies pay.

Each run trains the default configuration with one variant, measures it on the test part, and appends one JSON line to
a file. Runs that the file already holds are left out, so a study can be stopped and resumed. Seeds are the outermost
loop and variants the next, so a study that is stopped early is a smaller complete one.

    study_cells.py results.jsonl --text a.txt --text b.txt --byte-text c.txt --seeds 2

Dimensions: N characters, B batch, T time, H hidden width.
"""

import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.config import Config
from charlm.lstm import LSTM, LSTMState
from charlm.lstm.cell import lstm_step, split_gates
from charlm.lstm.initialization import FIRST_FORGET_BIASES
from charlm.lstm.kernels import Kernel, LSTMKernel, choose_kernel
from charlm.lstm.kernels.lookup import Characters
from charlm.model import CharLM
from charlm.text.corpus import Corpus, load_corpus
from charlm.training.session import Session

WINDOWS = (4096, 16384)
"""Lengths of the windows that are scored from the zero state."""

SETTLING = 1024
"""Characters after the zero state that are left out of the drift, which is then free of the cost of a cold start."""

MAX_CHARS = 300_000
"""Maximum number of characters of the test part that are scored."""

INTERVAL = 16
"""Characters between two records of c."""

EARLY = slice(1000 // INTERVAL, 5000 // INTERVAL)
"""Records of the beginning of the text: characters 1,000 to 5,000."""

NUM_TRACKED, NUM_POINTS = 4, 100
"""Cells whose c is kept along the text, and the points of each."""

CELL_LIMIT = 3.0
"""Limit of |c| in the variant `clipped`: tanh(3) is 0.995."""


def couple(gates: Tensor) -> Tensor:
    """Return stacked pre-activations or weights (..., 4H) with i = 1 - f, because 1 - σ(z) = σ(-z)."""
    _, f, g, o = split_gates(gates)
    return torch.cat([-f, f, g, o], dim=-1)


def run_coupled(
    x: Tensor | Characters, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, state: LSTMState
) -> tuple[Tensor, LSTMState]:
    """Run a layer whose input gate is 1 - f, as a kernel does; the weights of the input gate are not used."""
    weight_ih, weight_hh, bias = couple(weight_ih.T).T, couple(weight_hh.T).T, couple(bias)
    return choose_kernel("auto").run_layer(x, weight_ih, weight_hh, bias, state)


def run_clipped(
    x: Tensor | Characters,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor,
    state: LSTMState,
    limit: float = CELL_LIMIT,
) -> tuple[Tensor, LSTMState]:
    """Run a layer as a kernel does; the c passed to the next step is clipped to [-limit, limit], also for autograd."""
    x = x.materialize() if isinstance(x, Characters) else x
    outputs = []
    for step in F.linear(x, weight_ih, bias):  # (B, 4H)
        h, c = lstm_step(step, weight_hh, state)
        state = LSTMState(h, c.clamp(-limit, limit))
        outputs.append(h)
    return torch.stack(outputs), state


class Variant(NamedTuple):
    """What a variant changes.

    Attributes:
        reset_probability: train.reset_probability.
        run_layer: replaces the kernel; None for no change.
        decay_factor: multiplies the weight decay of U.
    """

    reset_probability: float = 0.02
    run_layer: LSTMKernel | None = None
    decay_factor: float = 1.0


VARIANTS = {
    "resets": Variant(),
    "no-resets": Variant(reset_probability=0.0),
    "coupled": Variant(run_layer=run_coupled),
    "decay-u": Variant(decay_factor=10.0),
    "clipped": Variant(run_layer=run_clipped),
}


class AlteredLSTM(LSTM):
    """The cells of another stack, which are shared, run by another function over time."""

    def __init__(self, original: LSTM, run_layer: LSTMKernel) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(original.__dict__)
        self._altered = original.kernel._replace(run_layer=run_layer)

    @property
    def kernel(self) -> Kernel:
        """The kernel, its computation of a layer replaced."""
        return self._altered


def separate_recurrent_weights(session: Session, weight_decay: float) -> None:
    """Give U of every layer a weight decay of its own."""
    recurrent = [cell.weight_hh for cell in session.model.lstm.cells]
    [matrices, _] = session.optimizer.param_groups
    matrices["params"] = [p for p in matrices["params"] if not any(p is weight for weight in recurrent)]
    session.optimizer.add_param_group({"params": recurrent, "weight_decay": weight_decay})


def train(config: Config, corpus: Corpus, variant: Variant) -> Session:
    """Return the session of a finished run."""
    config = config.replace("train", reset_probability=variant.reset_probability)
    session = Session(config, corpus)
    if variant.run_layer is not None:
        session.model.lstm = AlteredLSTM(session.model.lstm, variant.run_layer)
    if variant.decay_factor != 1:
        separate_recurrent_weights(session, variant.decay_factor * config.train.weight_decay)
    while not session.is_finished:
        session.take_step()
    return session


@torch.no_grad()
def score(model: CharLM, ids: Tensor, window: int, chunk_length: int) -> tuple[Tensor, Tensor]:
    """Score a text in windows side by side, each from the zero state.

    Args:
        model: the model, in evaluation mode.
        ids: the text, (N + 1,), N a multiple of the window.
        window: characters from one zero state to the next; N to carry the state through the text.
        chunk_length: characters between two records of c, a divisor of the window.

    Returns:
        The loss of each character in nats, (N,), and c of all layers after each chunk, (window / chunk_length, number
        of windows, L H).
    """
    inputs, targets = ids[:-1].view(-1, window), ids[1:].view(-1, window)
    states = model.initial_state(len(inputs))
    losses, cells = [], []
    for first in range(0, window, chunk_length):
        here = slice(first, first + chunk_length)
        logits, states = model(inputs[:, here], states)
        losses.append(F.cross_entropy(logits.transpose(1, 2), targets[:, here], reduction="none"))
        cells.append(torch.cat([state.c for state in states], dim=1))
    return torch.cat(losses, dim=1).flatten().double(), torch.stack(cells)


def by_tenth(values: Tensor) -> list[float]:
    """Return the means of the tenths of a text's values (N,)."""
    return [round(float(part.mean()), 4) for part in values.tensor_split(10)]


def summarize_cells(c: Tensor) -> dict[str, Any]:
    """Return the sizes of each cell's c (N, cells) along a text, and the course of the cells with the largest."""
    size = c.abs()
    tenths = size.tensor_split(10)
    last = tenths[-1].mean(0)
    tracked = last.argsort(descending=True)[:NUM_TRACKED]
    points = torch.stack([part.mean(0) for part in c[:, tracked].tensor_split(NUM_POINTS)])
    sizes = {"early": size[EARLY].mean(0), "middle": torch.cat(tenths[4:6]).mean(0), "last": last, "max": size.amax(0)}
    return {
        **{name: [round(value, 2) for value in values.tolist()] for name, values in sizes.items()},
        "tracked": {
            str(cell): [round(value, 2) for value in course.tolist()]
            for cell, course in zip(tracked.tolist(), points.T, strict=True)
        },
    }


def measure(model: CharLM, test: Tensor) -> dict[str, Any]:
    """Return the losses of a text by carried and by windowed states, and the sizes of c along it."""
    num_chars = min(MAX_CHARS, len(test) - 1) // max(WINDOWS) * max(WINDOWS)
    ids = test[: num_chars + 1].long()
    model.eval()
    carried, c = score(model, ids, num_chars, INTERVAL)
    windowed = {window: score(model, ids, window, 64)[0] for window in WINDOWS}
    drift = (carried - windowed[WINDOWS[0]]).view(-1, WINDOWS[0])[:, SETTLING:]  # (windows, characters)
    by_window = drift.mean(1)
    return {
        "num_chars": num_chars,
        "carried": round(float(carried.mean()), 4),
        "windowed": {str(window): round(float(losses.mean()), 4) for window, losses in windowed.items()},
        "carried_tenths": by_tenth(carried),
        "windowed_tenths": by_tenth(windowed[WINDOWS[0]]),
        "drift": round(float(drift.mean()), 5),
        "drift_error": round(float(by_window.std() / len(by_window) ** 0.5), 5),
        "drift_tenths": by_tenth(by_window),
        "cells": summarize_cells(c[:, 0]),
    }


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--text", "texts", multiple=True, help="A text, as in data.path.")
@click.option("--byte-text", "byte_texts", multiple=True, help="A text that is read as bytes.")
@click.option("--variant", "variants", multiple=True, type=click.Choice(list(VARIANTS)), default=list(VARIANTS))
@click.option("--seeds", type=int, default=2, help="Number of seeds, from 1.")
@click.option("--steps", type=int, default=2000)
@click.option("--width", type=int, default=128)
def main(
    out: Path,
    texts: tuple[str, ...],
    byte_texts: tuple[str, ...],
    variants: tuple[str, ...],
    seeds: int,
    steps: int,
    width: int,
) -> None:
    """Train and measure every variant on every text that OUT does not hold yet, and append the results to OUT."""
    known = [json.loads(line)["run"] for line in out.read_text().splitlines()] if out.exists() else []
    corpora = {text: load_corpus(text, "char") for text in texts} | {
        text: load_corpus(text, "byte") for text in byte_texts
    }
    for seed, name, text in itertools.product(range(1, seeds + 1), variants, corpora):
        run = {"variant": name, "text": Path(text).name, "seed": seed, "steps": steps, "width": width}
        run["first_forget_biases"] = list(FIRST_FORGET_BIASES)  # the rule of the initial weights changes over time
        if run in known:
            continue
        # fp32, so that the loop over time and the kernels differ in nothing else.
        config = Config().replace("data", val_frac=0.05, test_frac=0.3).replace("model", hidden_size=width)
        config = config.replace("train", max_steps=steps, seed=seed, device="cpu", precision="fp32")
        session = train(config, corpora[text], VARIANTS[name])
        line = {"run": run, **measure(session.model, session.splits.test)}
        with out.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        click.echo(f"{name:10} {Path(text).stem[:20]:20} seed {seed}: carried {line['carried']:.4f}, "
                   f"windowed {line['windowed']}, drift {line['drift']:+.5f}")  # fmt: skip


if __name__ == "__main__":
    main()
