"""Compares the speed of charlm's LSTM with ``nn.Embedding + nn.LSTM + nn.Linear`` in one run.

Each implementation runs in its own process, as a user would run it. The processes take turns of a few steps; the
reported times are medians over all steps. Measured are whole training steps (forward, loss, backward, gradient
clipping, AdamW), evaluation without gradients, sampling of one stream, and torch's large matrix product, whose FLOP/s
the training steps are compared with.

Dimensions: L layers, H hidden width, B batch, T time, V vocabulary.
"""

import functools
import itertools
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.config import TrainConfig
from charlm.model import CharLM
from charlm.system.process import keep_freed_memory, limit_openmp_spinning
from charlm.text.streams import Batch
from charlm.training.optimization import Precision, build_optimizer, train_step

V = 65
PRECISIONS = ("fp32", "bf16")
NUM_SAMPLED = 50

SETTLING_S = 0.02
"""Pause before a turn: idle OpenMP threads of the other process spin for some milliseconds on a core of this one."""

TURN_S = 0.05
"""Minimum duration of the timed steps of a turn."""


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


class TorchLM(nn.Module):
    """The model as a user of torch.nn would write it."""

    def __init__(self, L: int, H: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, H)
        self.lstm = nn.LSTM(H, H, num_layers=L, batch_first=True)
        self.output = nn.Linear(H, V)
        self.L, self.H = L, H

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Return the zero state."""
        weight = self.output.weight
        return weight.new_zeros(self.L, batch_size, self.H), weight.new_zeros(self.L, batch_size, self.H)

    def forward(self, ids: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the logits (B, T, V) of ids (B, T), and the state after the last step."""
        hidden, state = self.lstm(self.embedding(ids), state)
        return self.output(hidden), state

    def step(self, ids: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Advance by one step: return the logits (B, V) of ids (B,), and the new state."""
        logits, state = self(ids[:, None], state)
        return logits[:, 0], state


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
def sample(model: TorchLM | CharLM) -> None:
    """Sample one stream of characters."""
    ids = torch.zeros(1, dtype=torch.int64, device=model.output.weight.device)
    state: Any = model.initial_state(1)  # each model has its own kind
    for _ in range(NUM_SAMPLED):
        logits, state = model.step(ids, state)
        ids = torch.multinomial(logits.softmax(dim=-1), 1).squeeze(1)


@torch.no_grad()
def evaluate(model: TorchLM | CharLM, batch: Batch) -> None:
    """Compute the loss of a batch in float32 without gradients."""
    logits, _ = model(batch.inputs, model.initial_state(len(batch.inputs)))
    F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())


def build_tasks(implementation: str, cell: Cell, kernel: str, device: str) -> dict[str, Callable[[], Any]]:
    """Return the tasks to time in a cell of the grid, by name."""
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
        "sample": lambda: sample(model),
    }


def matrix_product(dtype: torch.dtype, device: str, size: int = 2048) -> Callable[[], Any]:
    """Return a function that computes torch's product of two size × size matrices."""
    left, right = torch.randn(2, size, size).to(device, dtype)
    return lambda: left @ right


def serve(connection: Connection, implementation: str, keeps_memory: bool, kernel: str, device: str) -> None:
    """Run turns on request, in a separate process: receive (cell, task), send the seconds of each timed step."""
    if keeps_memory:
        keep_freed_memory()
    wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
    dtypes = {"product fp32": torch.float32, "product bf16": torch.bfloat16}
    products = {name: matrix_product(dtype, device) for name, dtype in dtypes.items()}
    tasks, current = products, None
    for cell, task in iter(connection.recv, None):
        if cell != current:
            tasks, current = products | build_tasks(implementation, cell, kernel, device), cell
        time.sleep(SETTLING_S)
        tasks[task]()  # wakes the threads and fills the caches, which the other process used
        wait()
        moments_s = [time.perf_counter()]
        while moments_s[-1] < moments_s[0] + TURN_S:
            tasks[task]()
            wait()
            moments_s.append(time.perf_counter())
        connection.send([after - before for before, after in itertools.pairwise(moments_s)])


def time_tasks(
    servers: dict[str, Connection], cell: Cell | None, tasks: list[tuple[str, str]], num_turns: int
) -> dict[tuple[str, str], float]:
    """Return the median seconds of each (implementation, task), without a first turn for warm-up."""
    seconds: dict[tuple[str, str], list[float]] = {task: [] for task in tasks}
    for turn in range(num_turns + 1):
        for implementation, task in tasks:
            servers[implementation].send((cell, task))
            steps_s = servers[implementation].recv()
            if turn > 0:
                seconds[implementation, task] += steps_s
    return {task: statistics.median(values) for task, values in seconds.items()}


def measure(servers: dict[str, Connection], cell: Cell, num_turns: int, product_s: dict[str, float]) -> dict[str, Any]:
    """Return the measurements of one cell of the grid."""
    names = ("train fp32", "train bf16", "evaluate", "sample")
    tasks = [(implementation, name) for name in names for implementation in ("torch", "charlm")]
    median_s = time_tasks(servers, cell, tasks, num_turns)
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
        for name in ("train fp32", "train bf16", "bf16 against fp32", "evaluate", "sample"):
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


def parse_numbers(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """Parse a list such as ``1,2,3``."""
    return [int(number) for number in value.split(",")]


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
    """Compare the speed of charlm's LSTM with torch.nn.LSTM in training, evaluation and sampling."""
    grid = [Cell(*cell) for cell in itertools.product(layers, widths, batches, lengths)]
    if quick:
        grid, turns = [Cell(1, 128, 32, 64), Cell(2, 256, 32, 64)], 3
    spawn = multiprocessing.get_context("spawn")
    servers = {}
    for implementation in ("torch", "charlm"):
        servers[implementation], theirs = spawn.Pipe()
        keeps_memory = same_allocator or implementation == "charlm"
        if implementation == "charlm":
            limit_openmp_spinning()  # sets the environment of the new process, as charlm's command line does
        spawn.Process(target=serve, args=(theirs, implementation, keeps_memory, kernel, device), daemon=True).start()
    products = time_tasks(servers, None, [("torch", f"product {precision}") for precision in PRECISIONS], 11)
    product_s = {precision: products["torch", f"product {precision}"] for precision in PRECISIONS}
    for precision, seconds in product_s.items():
        click.echo(f"2048 x 2048 product, {precision}: {2 * 2048**3 / seconds / 1e9:.0f} GFLOP/s")
    rows = []
    with Path(f"{out}.jsonl").open("w", encoding="utf-8") as file:
        for cell in grid:
            rows.append(measure(servers, cell, turns, product_s))
            print(json.dumps(rows[-1]), file=file, flush=True)
            click.echo("  ".join(f"{key} {value}" for key, value in rows[-1].items() if "ms" not in key))
    for connection in servers.values():
        connection.send(None)
    print_summary(rows)
    draw_figure(rows, Path(f"{out}.png"))


if __name__ == "__main__":
    main()
