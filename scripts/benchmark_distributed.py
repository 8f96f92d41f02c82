"""Measures one run that several processes share on this machine, and what a larger batch costs.

    python scripts/benchmark_distributed.py configs/default.yaml --processes 1,2,4
    python scripts/benchmark_distributed.py configs/default.yaml --batch-sizes 32,64,128,256,512

Each row is one start of torchrun with that many processes, of one thread each, which take the same steps of the same
batch. A step without torchrun, with as many threads as processes, stands beside it. The bytes are those that the
loopback device counted, so other programs that use it at the same time are counted too. DDP is PyTorch's
DistributedDataParallel around the same model.

With --batch-sizes it trains in one process, once for each size and each of two learning rates, on as many characters as
the configuration says: what many processes with as many streams each would reach.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from charlm.config import Config, load_config
from charlm.system.process import keep_freed_memory
from charlm.text.corpus import load_corpus
from charlm.training.distribution import Group
from charlm.training.loop import train
from charlm.training.process_group import join
from charlm.training.session import Session
from charlm.training.session_checkpoint import share

WARM_UP_STEPS = 3

LOOPBACK = Path("/sys/class/net/lo/statistics/tx_bytes")


class Wrapped(DistributedDataParallel):
    """A model whose gradients DDP averages while they are computed."""

    def __getattr__(self, name: str) -> Any:
        """Return what is not DDP's own from the model."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.module, name)


def count_loopback_bytes() -> int:
    """Return how many bytes the loopback device has carried; 0 where the system does not say."""
    return int(LOOPBACK.read_text()) if LOOPBACK.exists() else 0


class Stopwatch:
    """Adds up the time that a group spends on the exchange of gradients.

    Args:
        group: of the processes; its ``average`` is replaced.
        is_ddp: whether DDP averages the gradients, so that only the loss is left to average.
    """

    def __init__(self, group: Group, is_ddp: bool) -> None:
        self.total_s = 0.0
        average = group.average

        def timed(tensors: Sequence[Tensor], share: float) -> None:
            began_at_s = time.perf_counter()
            average(tensors[-1:] if is_ddp else tensors, share)
            self.total_s += time.perf_counter() - began_at_s

        group.average = timed  # type: ignore[method-assign]


def measure(config: Config, num_steps: int, is_ddp: bool) -> None:
    """Take steps in one of several processes; the first one prints what it measured as JSON."""
    keep_freed_memory()
    with join() as group:
        record = take_steps(config, num_steps, is_ddp, group)  # DDP's objects end with it, before the group does
        if group.is_first:
            click.echo(json.dumps(record))


def take_steps(config: Config, num_steps: int, is_ddp: bool, group: Group) -> dict[str, float]:
    """Take steps with the other processes of a group, and return what was measured."""
    stopwatch = Stopwatch(group, is_ddp)
    session = Session(config, load_corpus(config.data.path, config.data.level))
    share(session, group)
    if is_ddp:
        session.model = Wrapped(session.model)  # type: ignore[assignment]
    for _ in range(WARM_UP_STEPS):
        session.take_step()
    group.find_maxima(0)
    bytes_before, stopwatch.total_s, durations_s = count_loopback_bytes(), 0.0, []
    for _ in range(num_steps):
        began_at_s = time.perf_counter()
        session.take_step()
        group.find_maxima(0, 0)
        durations_s.append(time.perf_counter() - began_at_s)
    group.find_maxima(0)
    return {
        "step_s": median(durations_s),
        "exchange_s": stopwatch.total_s / num_steps,
        "bytes": (count_loopback_bytes() - bytes_before) / num_steps,
        "chars_per_s": session.chars_per_step / median(durations_s),
    }


def launch(arguments: list[str], num_processes: int, num_threads: int) -> dict[str, float]:
    """Run this script in several processes, or for 0 in one without torchrun; return what the first one printed."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    command = [sys.executable, *(torchrun if num_processes else []), __file__, *arguments, "--worker"]
    environment = os.environ | {"OMP_NUM_THREADS": str(num_threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    record: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return record


def measure_losses(config: Config, batch_sizes: Sequence[int]) -> None:
    """Print the best validation loss for each batch size, on the same number of characters."""
    settings = config.train
    click.echo(f"| batch_size | steps | learning rate {settings.learning_rate:g} | times the root of the batch |")
    click.echo("| --- | --- | --- | --- |")
    for batch_size in batch_sizes:
        ratio = batch_size / settings.batch_size
        steps, losses = round(settings.max_steps / ratio), []
        for learning_rate in (settings.learning_rate, settings.learning_rate * ratio**0.5):
            scaled = {"batch_size": batch_size, "max_steps": steps, "learning_rate": learning_rate}
            scaled |= {"warmup_steps": round(settings.warmup_steps / ratio), "eval_every": max(1, steps // 4)}
            with tempfile.TemporaryDirectory() as directory:
                losses.append(train(config.replace("train", **scaled), Path(directory)).best_loss_nats)
        click.echo(f"| {batch_size} | {steps} | {losses[0]:.4f} | {losses[1]:.4f} |")


def measure_speeds(arguments: list[str], processes: Sequence[int]) -> None:
    """Print a row for each number of processes and each way to average gradients."""
    columns = "processes | threads of each | averaged by | characters/s | step, ms | in the exchange, ms | MB a step"
    click.echo(f"| {columns} |\n|{' --- |' * 7}")
    for number in processes:
        rows = [("no torchrun", 0, number, []), ("one all-reduce", number, 1, []), ("DDP", number, 1, ["--ddp"])]
        for name, num_processes, num_threads, options in rows:
            record = launch([*arguments, *options], num_processes, num_threads)
            click.echo(
                f"| {num_processes or 1} | {num_threads} | {name} | {record['chars_per_s']:,.0f} | "
                f"{1e3 * record['step_s']:.1f} | {1e3 * record['exchange_s']:.2f} | {record['bytes'] / 1e6:.2f} |"
            )


@click.command()
@click.argument("config_path", type=click.Path(path_type=Path, exists=True))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option("--processes", default="1,2,4", show_default=True, help="Numbers of processes.")
@click.option("--steps", default=40, show_default=True, type=click.IntRange(1), help="Steps that are measured.")
@click.option("--batch-sizes", help="Measure the loss by batch size instead.")
@click.option("--ddp", is_flag=True, help="Let DDP average the gradients in a worker.", hidden=True)
@click.option("--worker", is_flag=True, help="Measure in this process.", hidden=True)
def main(
    config_path: Path,
    overrides: tuple[str, ...],
    processes: str,
    steps: int,
    batch_sizes: str | None,
    ddp: bool,
    worker: bool,
) -> None:
    """Measure a run of CONFIG_PATH that several processes share."""
    config = load_config(config_path, overrides)
    if worker:
        measure(config, steps, ddp)
    elif batch_sizes:
        keep_freed_memory()
        measure_losses(config, [int(size) for size in batch_sizes.split(",")])
    else:
        arguments = [str(config_path), f"--steps={steps}", *(f"--set={text}" for text in overrides)]
        measure_speeds(arguments, [int(number) for number in processes.split(",")])


if __name__ == "__main__":
    main()
