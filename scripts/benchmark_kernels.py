"""Measures each part of a training step on every instruction set of this machine, and how a whole step adds up.

Shares are of the machine's own product: the faster of torch's and oneDNN's product of two 2048 × 2048 matrices in the
same dtype. The parts take turns. A time is the least of many calls, because other processes on the same cores can only
add to it; with --busy it is one thread's processor time, which they hardly change. The output is Markdown.

Dimensions: L layers, H hidden width, B batch, T time.
"""

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import click
import torch
from side_by_side import parse_numbers
from step_parts import PRODUCT_SIZE, Cell, large_products, list_parts, whole_step

from charlm.system.process import keep_freed_memory
from charlm.training.optimization import Precision

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")

TURN_S = 0.03
"""Minimum duration of the timed calls of a turn."""


class Measurement(NamedTuple):
    """The time of one part of a step; its other fields are those of ``step_parts.Part``."""

    name: str
    calls: int
    flops: int
    instruction_set: str | None
    seconds: float

    @property
    def flops_per_s(self) -> float:
        """The FLOP/s of a call."""
        return self.flops / self.seconds


class Result(NamedTuple):
    """The measurements of a cell: all parts, a whole step in seconds, and the FLOP/s of the machine's own product."""

    parts: list[Measurement]
    step_s: float
    product_flops_per_s: float

    def format_speed(self, part: Measurement) -> str:
        """Return the GFLOP/s of a part and its share of the machine's product."""
        share = part.flops_per_s / self.product_flops_per_s
        return f"{part.flops_per_s / 1e9:.0f} ({share:.2f})" if part.flops else ""


def time_least(
    functions: Sequence[Callable[[], object]], num_turns: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the least seconds of a call of each function; they take turns, their first calls are not timed."""
    least_s = [float("inf")] * len(functions)
    for _, (n, function) in itertools.product(range(num_turns), enumerate(functions)):
        function()
        calls_s: list[float] = []
        while not calls_s or sum(calls_s) < TURN_S:
            began_at_s = clock()
            function()
            calls_s.append(clock() - began_at_s)
        least_s[n] = min(least_s[n], *calls_s)
    return least_s


def measure(cell: Cell, num_turns: int, is_busy: bool = False) -> Result:
    """Measure a cell, in a process of its own that is set up as charlm's command line sets it up.

    On a busy machine one thread is measured, by its processor time.
    """
    if is_busy:
        torch.set_num_threads(1)
    clock = time.process_time if is_busy else time.perf_counter
    parts, products = list_parts(cell), large_products(cell.dtype)
    step_s, *seconds = time_least([whole_step(cell), *products, *(part.run for part in parts)], num_turns, clock)
    parts_s = seconds[len(products) :]
    measured = [
        Measurement(part.name, part.calls, part.flops, part.instruction_set, part_s)
        for part, part_s in zip(parts, parts_s, strict=True)
    ]
    return Result(measured, step_s, 2 * PRODUCT_SIZE**3 / min(seconds[: len(products)]))


def format_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [[*header], *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_instruction_sets(result: Result) -> str:
    """Return the table of the C library: GFLOP/s of its parts by instruction set."""
    by_name = {(part.name, part.instruction_set): part for part in result.parts if part.instruction_set}
    names, sets = (list(dict.fromkeys(values)) for values in zip(*by_name, strict=True))
    return format_table(
        ["GFLOP/s (share of the product)", *(f"`{name}`" for name in sets if name)],
        [[name, *(result.format_speed(by_name[name, each]) for each in sets)] for name in names],
    )


def format_step(result: Result) -> str:
    """Return the table of a step: its parts on the fastest instruction set, and what remains."""
    fastest = result.parts[0].instruction_set
    parts = [part for part in result.parts if part.calls and part.instruction_set in {None, fastest}]

    def row(name: str, calls: str, seconds: float, speed: str) -> list[str]:
        return [name, calls, f"{1e3 * seconds:.2f}", speed, f"{seconds / result.step_s:.2f}"]

    def rows() -> Iterator[list[str]]:
        for part in parts:
            yield row(part.name, str(part.calls), part.calls * part.seconds, result.format_speed(part))
        yield row("everything else", "", result.step_s - sum(part.calls * part.seconds for part in parts), "")
        whole = Measurement("whole step", 1, sum(part.calls * part.flops for part in parts), None, result.step_s)
        yield row(whole.name, "", whole.seconds, result.format_speed(whole))

    return format_table(["part", "calls", "ms", "GFLOP/s (share of the product)", "share of the step"], rows())


@click.command()
@click.option("--layers", default="1,2", callback=parse_numbers, show_default=True)
@click.option("--widths", default="128,256,512", callback=parse_numbers, show_default=True)
@click.option("--batch", default=64, show_default=True)
@click.option("--length", default=128, show_default=True)
@click.option("--turns", default=5, show_default=True, help="Turns of each part.")
@click.option(
    "--busy", is_flag=True, help="Measure the processor time of one thread: other processes use the cores too."
)
def main(layers: list[int], widths: list[int], batch: int, length: int, turns: int, busy: bool) -> None:
    """Measure the parts of a training step, and how they add up."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, keep_freed_memory) as pool:
        for precision, H, L in itertools.product(PRECISIONS, widths, layers):
            result = pool.submit(measure, Cell(L, H, batch, length, precision), turns, busy).result()
            speed = f"the machine's product: {result.product_flops_per_s / 1e9:.0f} GFLOP/s"
            click.echo(f"\n{L} layers of {H} units, {batch} × {length}, {precision}; {speed}\n")
            if layers[0] == L:
                click.echo(format_instruction_sets(result) + "\n")
            click.echo(format_step(result))


if __name__ == "__main__":
    main()
