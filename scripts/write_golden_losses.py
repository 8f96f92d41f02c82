#!/usr/bin/env python3
"""Write tests/training/golden_losses.json: the losses of a short run, for each kernel and precision.

Run it again only after a change that is meant to change the losses, such as another order of random draws.
"""

import json
import tempfile
from itertools import product
from pathlib import Path

import click
import torch

from charlm.config import Config
from charlm.inference.evaluation import evaluate
from charlm.lstm.kernels import KERNEL_NAMES
from charlm.text.corpus import load_corpus
from charlm.training.session import Session

GOLDEN_LOSSES = Path(__file__).resolve().parents[1] / "tests" / "training" / "golden_losses.json"

TEXT = "".join(f"{n} green bottles hanging on the wall, and if one should fall...\n" for n in range(100, 0, -1))

NUM_STEPS = 20

CONFIG = Config().replace(
    "model", num_layers=2, hidden_size=12, embed_size=6, dropout=0.2, dropconnect=0.1, embedding_dropout=0.1
)
CONFIG = CONFIG.replace(
    "train", batch_size=4, seq_length=16, max_steps=30, warmup_steps=5, learning_rate=6e-3, weight_decay=0.01,
    average_decay=0.8, reset_probability=0.1, device="cpu",
)  # fmt: skip
"""All kinds of dropout, averaging, clipping and random resets all take part."""

COMBINATIONS = list(product(KERNEL_NAMES, ("fp32", "bf16")))
"""Kernels and precisions."""


def measure_losses(kernel: str, precision: str) -> list[float]:
    """Return the training loss of each step, and the validation loss after the last, in nats per character.

    Raises:
        InputError: the kernel cannot run here.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "text.txt"
        path.write_text(TEXT, encoding="utf-8")
        config = CONFIG.replace("data", path=str(path)).replace("train", kernel=kernel, precision=precision)
        session = Session(config, load_corpus(str(path), "char"))
        losses = []
        for _ in range(NUM_STEPS):
            session.take_step()
            losses.append(session.begin_interval().loss_nats)
        return [*losses, evaluate(session.shown, session.splits.val).loss_nats]


@click.command()
def main() -> None:
    """Write tests/training/golden_losses.json with the losses that this machine finds."""
    torch.set_num_threads(1)  # as in the tests
    golden = {f"{kernel}/{precision}": measure_losses(kernel, precision) for kernel, precision in COMBINATIONS}
    GOLDEN_LOSSES.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
