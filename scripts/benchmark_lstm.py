"""Compares the speed of charlm's LSTM with ``nn.Embedding + nn.LSTM + nn.Linear`` in one run.

Measured are whole training steps (forward, loss, backward, gradient clipping, AdamW), evaluation without gradients,
and torch's large matrix product, whose FLOP/s the training steps are compared with. benchmark_sampling.py measures
sampling.

Dimensions: L layers, H hidden width, B batch, T time, V vocabulary.
"""

import functools
import itertools
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from side_by_side import SideBySide, Tasks, TorchLM, V, parse_numbers
from torch import nn
from torch.nn import functional as F

from charlm.config import TrainConfig
from charlm.model import CharLM
from charlm.text.streams import Batch
from charlm.training.optimization import Precision, build_optimizer, train_step

PRECISIONS = ("fp32", "bf16")


class Cell(NamedTuple):
    """One cell of the grid."""

    L: int
    H: int
    B: int
    T: int

    @property
    def useful_flops(self) -> int:
        """The necessary FLOPs of a training step, with a table lookup in the first layer."""
        per_character = sum(8 * self.H * self.H * (1 if layer == 0 else 2) for layer in range(self.L))
        return 3 * self.B * self.T * (per_character + 2 * self.H * V)


def torch_train_step(model: TorchLM, optimizer: torch.optim.Optimizer, batch: Batch, precision: str) -> None:
    """Perform one training step as a user of torch.nn would write it."""
    with torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits, _ = model(batch.inputs, model.initial_state(len(batch.inputs)))
        loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


@torch.no_grad()
def evaluate(model: TorchLM | CharLM, batch: Batch) -> None:
    """Compute the loss of a batch in float32 without gradients."""
    logits, _ = model(batch.inputs, model.initial_state(len(batch.inputs)))
    F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())


def build_tasks(implementation: str, cell: Cell | None, kernel: str, device: str) -> Tasks:
    """Return the tasks to time in a cell of the grid, by name; without a cell, the matrix products."""
    if cell is None:
        dtypes = {"product fp32": torch.float32, "product bf16": torch.bfloat16}
        return {name: matrix_product(dtype, device) for name, dtype in dtypes.items()}
    torch.manual_seed(0)
    ids = torch.randint(V, (cell.B, cell.T + 1)).to(device)
    batch = Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), True)
    if implementation == "torch":
        torch_model = TorchLM(cell.L, cell.H).to(device)
        optimizer = torch.optim.AdamW(torch_model.parameters(), fused=True)
        model: TorchLM | CharLM = torch_model
        train: Callable[[Precision], object] = functools.partial(torch_train_step, torch_model, optimizer, batch)
    else:
        model = CharLM(V, cell.L, cell.H, cell.H, kernel=kernel).to(device)
        optimizer = build_optimizer(model, TrainConfig())
        train = functools.partial(train_step, model, optimizer, batch, model.initial_state(cell.B), 1e-3, 1.0)
    return {
        "train fp32": lambda: train("fp32"),
        "train bf16": lambda: train("bf16"),
        "evaluate": lambda: evaluate(model, batch),
    }


def matrix_product(dtype: torch.dtype, device: str, size: int = 2048) -> Callable[[], Any]:
    """Return a function that computes torch's product of two size × size matrices."""
    left, right = torch.randn(2, size, size).to(device, dtype)
    return lambda: left @ right


def measure(processes: SideBySide, cell: Cell, num_turns: int, product_s: dict[str, float]) -> dict[str, Any]:
    """Return the measurements of one cell of the grid."""
    names = ("train fp32", "train bf16", "evaluate")
    tasks = [(implementation, name) for name in names for implementation in ("torch", "charlm")]
    median_s = processes.time_tasks(cell, tasks, num_turns)
    row: dict[str, Any] = cell._asdict()
    for (implementation, name), seconds in median_s.items():
        row[f"{implementation} {name} ms"] = round(1e3 * seconds, 3)
    for name in names:
        row[f"{name} ratio"] = round(median_s["torch", name] / median_s["charlm", name], 2)
    row["bf16 against fp32 ratio"] = round(median_s["torch", "train fp32"] / median_s["charlm", "train bf16"], 2)
    for precision in PRECISIONS:
        flops_per_s = cell.useful_flops / median_s["charlm", f"train {precision}"]
        row[f"share of product {precision}"] = round(flops_per_s * product_s[precision] / (2 * 2048**3), 2)
    return row


def print_summary(rows: list[dict[str, Any]]) -> None:
    """Print the median and minimum of the ratios by number of layers."""
    for L in sorted({row["L"] for row in rows}):
        for name in ("train fp32", "train bf16", "bf16 against fp32", "evaluate"):
            ratios = [row[f"{name} ratio"] for row in rows if row["L"] == L]
            click.echo(f"{L} layers  {name:18} median {statistics.median(ratios):5.2f}  min {min(ratios):5.2f}")


def draw_figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the ratios of the training steps for all cells."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, precision in zip(figure.subplots(1, 2, sharey=True), PRECISIONS, strict=True):
        for L in sorted({row["L"] for row in rows}):
            chosen = [row for row in rows if row["L"] == L]
            labels = [f"{row['H']}·{row['B']}·{row['T']}" for row in chosen]
            axes.plot(labels, [row[f"train {precision} ratio"] for row in chosen], "o-", label=f"{L} layers")
        axes.axhline(1, color="grey", linewidth=1)
        axes.tick_params(axis="x", rotation=90)
        axes.set(
            title=f"training step, {precision}", xlabel="width · batch · length", ylabel="speed relative to nn.LSTM"
        )
        axes.legend()
    figure.savefig(path, dpi=150)


@click.command()
@click.option("--layers", default="1,2,3", callback=parse_numbers, show_default=True)
@click.option("--widths", default="128,256,512", callback=parse_numbers, show_default=True)
@click.option("--batches", default="32,64,128", callback=parse_numbers, show_default=True)
@click.option("--lengths", default="64,128", callback=parse_numbers, show_default=True)
@click.option("--turns", default=5, show_default=True, help="Turns of each process; medians are over all their steps.")
@click.option("--kernel", default="auto", show_default=True, help="charlm's kernel: auto, cpu, torch or reference.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--quick", is_flag=True, help="Only two cells and few turns, in under a minute.")
@click.option(
    "--same-allocator", is_flag=True, help="Let the process of nn.LSTM keep freed memory too, as charlm's does."
)
@click.option("--out", default="benchmark_lstm", show_default=True, help="Write OUT.jsonl and OUT.png.")
def main(
    layers: list[int],
    widths: list[int],
    batches: list[int],
    lengths: list[int],
    turns: int,
    kernel: str,
    device: str,
    quick: bool,
    same_allocator: bool,
    out: str,
) -> None:
    """Compare the speed of charlm's LSTM with torch.nn.LSTM in training and evaluation."""
    grid = [Cell(*cell) for cell in itertools.product(layers, widths, batches, lengths)]
    if quick:
        grid, turns = [Cell(1, 128, 32, 64), Cell(2, 256, 32, 64)], 3
    processes = SideBySide(functools.partial(build_tasks, kernel=kernel, device=device), same_allocator, device)
    products = processes.time_tasks(None, [("torch", f"product {precision}") for precision in PRECISIONS], 11)
    product_s = {precision: products["torch", f"product {precision}"] for precision in PRECISIONS}
    for precision, seconds in product_s.items():
        click.echo(f"2048 x 2048 product, {precision}: {2 * 2048**3 / seconds / 1e9:.0f} GFLOP/s")
    rows = []
    with Path(f"{out}.jsonl").open("w", encoding="utf-8") as file:
        for cell in grid:
            rows.append(measure(processes, cell, turns, product_s))
            print(json.dumps(rows[-1]), file=file, flush=True)
            click.echo("  ".join(f"{key} {value}" for key, value in rows[-1].items() if "ms" not in key))
    processes.close()
    print_summary(rows)
    draw_figure(rows, Path(f"{out}.png"))


if __name__ == "__main__":
    main()
