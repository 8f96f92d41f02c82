"""Compares the speed of sampling with stepping ``nn.Embedding + nn.LSTM + nn.Linear``, in one run.

Both make characters with the same options: a temperature of 0.8, without and with top-p, one sample and several side by
side. charlm's time includes the packing of the weights, once for so many characters as ``LENGTHS`` has.

Dimensions: L layers, H hidden width, B samples side by side, V vocabulary.
"""

import functools
import itertools
import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from side_by_side import SideBySide, Tasks, TorchLM, V, parse_numbers
from torch import Tensor

from charlm.inference.generation import generate
from charlm.inference.sampling import Sampling
from charlm.model import CharLM

LENGTHS = {"torch": 20, "charlm": 1000}
"""Characters of a timed step."""

OPTIONS = {"": Sampling(0.8), " top-p": Sampling(0.8, top_p=0.9)}


class Cell(NamedTuple):
    """One cell of the grid."""

    L: int
    H: int


def keep_likeliest(probabilities: Tensor, top_p: float) -> Tensor:
    """Return the probabilities (B, V) with zeros for all but the likeliest that together reach top_p."""
    ordered, order = probabilities.sort(dim=-1, descending=True)
    is_beyond = ordered.cumsum(dim=-1) - ordered >= top_p
    return probabilities.masked_fill(torch.zeros_like(is_beyond).scatter(1, order, is_beyond), 0.0)


@torch.no_grad()
def step_torch(model: TorchLM, B: int, sampling: Sampling) -> None:
    """Make characters as a user of torch.nn would."""
    ids, state = torch.zeros(B, dtype=torch.int64), model.initial_state(B)
    for _ in range(LENGTHS["torch"]):
        logits, state = model.step(ids, state)
        probabilities = (logits / sampling.temperature).softmax(dim=-1)
        if sampling.top_p is not None:
            probabilities = keep_likeliest(probabilities, sampling.top_p)
        ids = torch.multinomial(probabilities, 1).squeeze(1)


def sample(model: CharLM, B: int, sampling: Sampling) -> None:
    """Make characters with charlm."""
    for _ in generate(model, torch.zeros(1, dtype=torch.int64), range(B), LENGTHS["charlm"], sampling, seed=1):
        pass


def build_tasks(implementation: str, cell: Cell, batches: tuple[int, ...]) -> Tasks:
    """Return the tasks to time in a cell of the grid, by name."""
    torch.manual_seed(0)
    is_torch = implementation == "torch"
    model: Any = TorchLM(*cell) if is_torch else CharLM(V, cell.L, cell.H, cell.H)
    run: Any = step_torch if is_torch else sample
    return {
        f"{B}{name}": functools.partial(run, model, B, sampling) for B in batches for name, sampling in OPTIONS.items()
    }


def measure(processes: SideBySide, cell: Cell, batches: list[int], num_turns: int) -> dict[str, Any]:
    """Return the measurements of one cell of the grid."""
    names = [f"{B}{name}" for B in batches for name in OPTIONS]
    tasks = [(implementation, name) for name in names for implementation in LENGTHS]
    row: dict[str, Any] = cell._asdict()
    step_s = {task: s / LENGTHS[task[0]] for task, s in processes.time_tasks(cell, tasks, num_turns).items()}
    for name in names:
        for implementation in LENGTHS:
            row[f"{implementation} {name} us"] = round(1e6 * step_s[implementation, name], 2)
        row[f"{name} ratio"] = round(step_s["torch", name] / step_s["charlm", name], 1)
    for B in batches:
        row[f"{B} top-p cost"] = round(step_s["charlm", f"{B} top-p"] / step_s["charlm", str(B)], 2)
    return row


@click.command()
@click.option("--layers", default="1,2,3", callback=parse_numbers, show_default=True)
@click.option("--widths", default="128,256,512", callback=parse_numbers, show_default=True)
@click.option("--batches", default="1,32", callback=parse_numbers, show_default=True, help="Samples side by side.")
@click.option("--turns", default=5, show_default=True, help="Turns of each process; medians are over all their steps.")
@click.option("--out", default="benchmark_sampling", show_default=True, help="Write OUT.jsonl.")
def main(layers: list[int], widths: list[int], batches: list[int], turns: int, out: str) -> None:
    """Compare the speed of sampling with stepping torch.nn.LSTM."""
    processes = SideBySide(functools.partial(build_tasks, batches=tuple(batches)))
    rows = []
    with Path(f"{out}.jsonl").open("w", encoding="utf-8") as file:
        for cell in itertools.starmap(Cell, itertools.product(layers, widths)):
            rows.append(measure(processes, cell, batches, turns))
            print(json.dumps(rows[-1]), file=file, flush=True)
            click.echo("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    processes.close()
    for key in rows[0]:
        if key.endswith(("ratio", "cost")):
            values = [row[key] for row in rows]
            click.echo(
                f"{key:18} median {statistics.median(values):6.2f}  min {min(values):6.2f}  max {max(values):6.2f}"
            )


if __name__ == "__main__":
    main()
