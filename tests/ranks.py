"""Commands that run as several processes, as torchrun starts them, but without the seconds that torchrun takes."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from command_line import Outcome
from torch.distributed import TCPStore

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["charlm.cli", "charlm.training.process_group", "charlm.training.tensorboard"])

Prepare = Callable[[int], None]
"""What a process does first, given its rank; a function of a module."""


def do_nothing(rank: int) -> None:
    """Prepare nothing."""


class Ranks:
    """Several processes with the same charlm command.

    Args:
        size: number of processes.
        directory: where their output goes.
        arguments: of the command.
        prepare: what each process does first.
        store: of processes of which these are the restart; None for a new one.
    """

    def __init__(
        self,
        size: int,
        directory: Path,
        *arguments: object,
        prepare: Prepare = do_nothing,
        store: TCPStore | None = None,
    ) -> None:
        self.store = store or TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        self._directory = directory
        directory.mkdir(exist_ok=True)
        line = [str(argument) for argument in arguments]
        places = [_environment(rank, size, self.store.port) for rank in range(size)]
        self.processes: list[BaseProcess] = [
            CONTEXT.Process(target=_serve, args=(place, directory, line, prepare)) for place in places
        ]
        for process in self.processes:
            process.start()

    def wait(self) -> list[Outcome]:
        """Return what the processes left behind, once all have ended; the status of a killed one is negative."""
        outcomes = []
        for rank, process in enumerate(self.processes):
            process.join(120)
            process.kill()
            texts = [(self._directory / f"rank-{rank}.{name}").read_text() for name in ("out", "err")]
            outcomes.append(Outcome(-signal.SIGKILL if process.exitcode is None else process.exitcode, *texts))
        return outcomes


def run_ranks(size: int, directory: Path, *arguments: object, prepare: Prepare = do_nothing) -> list[Outcome]:
    """Run a command as several processes, and return what each left behind."""
    return Ranks(size, directory, *arguments, prepare=prepare).wait()


def _environment(rank: int, size: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }


def _serve(environment: dict[str, str], directory: Path, arguments: list[str], prepare: Prepare) -> None:
    """Run a command in a new process, with its output in files."""
    from charlm.cli import run

    os.environ.update(environment)
    rank = int(environment["RANK"])
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(directory / f"rank-{rank}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
    torch.set_num_threads(1)
    prepare(rank)
    status = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
