"""Implementations that are timed side by side: each runs in its own process, and the processes take turns.

The times are medians over all steps of all turns. Steps of two implementations that share the cores in time would
disturb each other: idle OpenMP threads of one process spin for some milliseconds on a core of the other.

Dimensions: L layers, H hidden width, B batch, T time, V vocabulary.
"""

import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import click
import torch
from torch import Tensor, nn

from charlm.system.idle_threads import watch_idle_threads
from charlm.system.process import keep_freed_memory

V = 65

SETTLING_S = 0.02
"""Pause before a turn, until the idle threads of the other process sleep."""

TURN_S = 0.05
"""Minimum duration of the timed steps of a turn."""

Tasks = dict[str, Callable[[], Any]]


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


def serve(
    connection: Connection, implementation: str, build_tasks: Callable[[str, Any], Tasks], keeps: bool, device: str
) -> None:
    """Run turns on request, in a separate process: receive (cell, task), send the seconds of each timed step."""
    if implementation == "charlm":
        watch_idle_threads()  # as charlm's command line does
    if keeps:
        keep_freed_memory()
    wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
    tasks: Tasks = {}
    current = ()
    for cell, task in iter(connection.recv, None):
        if cell != current:
            tasks, current = build_tasks(implementation, cell), cell
        time.sleep(SETTLING_S)
        tasks[task]()  # wakes the threads and fills the caches, which the other process used
        wait()
        moments_s = [time.perf_counter()]
        while moments_s[-1] < moments_s[0] + TURN_S:
            tasks[task]()
            wait()
            moments_s.append(time.perf_counter())
        connection.send([after - before for before, after in itertools.pairwise(moments_s)])


class SideBySide:
    """Two processes, one with nn.LSTM and one with charlm as its command line would run it.

    Args:
        build_tasks: returns the tasks of an implementation, ``torch`` or ``charlm``, in a cell of the grid.
        same_allocator: let the process of nn.LSTM keep freed memory too, as charlm's does.
        device: where the tasks run, ``cpu`` or ``cuda``.
    """

    def __init__(
        self, build_tasks: Callable[[str, Any], Tasks], same_allocator: bool = False, device: str = "cpu"
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connections = {}
        for implementation in ("torch", "charlm"):
            self._connections[implementation], theirs = spawn.Pipe()
            arguments = (theirs, implementation, build_tasks, same_allocator or implementation == "charlm", device)
            spawn.Process(target=serve, args=arguments, daemon=True).start()

    def time_tasks(
        self, cell: tuple[int, ...] | None, tasks: list[tuple[str, str]], num_turns: int
    ) -> dict[tuple[str, str], float]:
        """Return the median seconds of each (implementation, task), without a first turn for warm-up."""
        seconds: dict[tuple[str, str], list[float]] = {task: [] for task in tasks}
        for turn in range(num_turns + 1):
            for implementation, task in tasks:
                self._connections[implementation].send((cell, task))
                steps_s = self._connections[implementation].recv()
                if turn > 0:
                    seconds[implementation, task] += steps_s
        return {task: statistics.median(values) for task, values in seconds.items()}

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections.values():
            connection.send(None)


def parse_numbers(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """Parse a list such as ``1,2,3``."""
    return [int(number) for number in value.split(",")]
