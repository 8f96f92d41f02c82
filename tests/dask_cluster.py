"""A Dask cluster for tests: a scheduler and workers as processes of their own, on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

from processes import wait_until


class Cluster:
    """A scheduler and its workers, each with one thread and in a working directory of its own.

    Attributes:
        address: of the scheduler.
        scheduler: its process.
        workers: their processes.

    Args:
        folder: for what they write.
        num_workers: how many.
    """

    def __init__(self, folder: Path, num_workers: int) -> None:
        self._folder = folder
        folder.mkdir()
        self._file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", self._file)
        wait_until(self._is_ready)
        self.address = str(json.loads(self._file.read_text())["address"])
        self.workers = [self._start_worker(number) for number in range(num_workers)]

    def _is_ready(self) -> bool:
        assert self.scheduler.poll() is None, (self._folder / "log").read_text()
        return self._file.exists() and self._file.read_text().endswith("}")

    def _start_worker(self, number: int) -> "subprocess.Popen[bytes]":
        options = ["--scheduler-file", self._file, "--nthreads", "1", "--no-nanny"]
        return self._start("worker", *options, directory=self._folder / f"worker-{number}")

    def _start(self, kind: str, *options: object, directory: Path | None = None) -> "subprocess.Popen[bytes]":
        directory = directory or self._folder
        directory.mkdir(exist_ok=True)
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1", "--no-dashboard"]
        with (directory / "log").open("wb") as log:
            return subprocess.Popen(
                [*command, *map(str, options)],
                cwd=directory,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        """End all of it."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
