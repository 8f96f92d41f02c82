"""Runs on the workers of a Dask cluster that share the directory of a comparison.

A task of the cluster waits for the process of one run on its worker. It stops the run when nobody wants it any longer,
and Dask gives the runs of a worker that leaves to others, where they go on from their checkpoints.
"""

import asyncio
import contextlib
import logging
import pickle
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from ssl import SSLError
from typing import TYPE_CHECKING

from charlm.comparison.process import POLL_S, Task
from charlm.comparison.remote import find_active, refuse_unfit, train_on_worker
from charlm.comparison.stored_plan import FILE_NAME
from charlm.comparison.workers import lost_cluster
from charlm.config import Config
from charlm.errors import ArgumentError, InputError
from charlm.system.version import __version__

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 10
"""How long to wait for a scheduler."""

GONE = (OSError, RuntimeError)
"""What calls of a client raise when its scheduler does not answer."""


@contextlib.contextmanager
def open_cluster(address: str, directory: Path, warn: Callable[[str], None]) -> Iterator["ClusterPool"]:
    """Connect to a cluster within the context.

    Args:
        address: of its scheduler, as in ``tcp://host:8786``.
        directory: of the comparison, an absolute path.
        warn: called with one line where there is no worker.

    Raises:
        InputError: Dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise InputError("--cluster needs Dask. Install it with: pip install 'charlm[cluster]'") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # a lost scheduler would leave a traceback
    try:
        asyncio.run(_reach(address))
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, OverflowError) as error:  # the last one for a port that no machine has
        raise ArgumentError("cluster", _explain(address, error)) from None
    with client:
        yield ClusterPool(client, directory, warn)


async def _reach(address: str) -> None:
    """Connect to a scheduler, and close the connection.

    A client that cannot connect stays half made until garbage collection closes it, and where that happens while
    another client starts, both wait for one lock for ever. So a client is made only where a scheduler answers.

    Raises:
        OSError, ValueError, OverflowError: there is none, or the address is none.
        SSLError, FileNotFoundError: Dask's settings of TLS are wrong, missing, or demand another address.
    """
    from distributed import Security
    from distributed.comm import connect

    settings = Security().get_connection_args("client")
    try:
        connection = await connect(address, timeout=CONNECT_S, **settings)
    except (TypeError, RuntimeError) as error:
        raise SSLError(1, str(error)) from None
    await connection.close()


def _explain(address: str, error: Exception) -> str:
    """Return why no scheduler was reached, and what to do."""
    if any(isinstance(cause, SSLError | FileNotFoundError) for cause in (error, error.__cause__)):
        return (
            f"Dask cannot connect to {address!r} with its settings of TLS: {str(error).rstrip('.')}. Give it ca-file, "
            "client.cert and client.key below distributed.comm.tls in ~/.config/dask/*.yaml, or the first one as "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE; the others have such names too."
        )
    return (
        f"no scheduler of Dask answers at {address!r} within {CONNECT_S} seconds. Start one with 'dask scheduler', "
        "or give the address that it prints, as in tcp://host:8786."
    )


class ClusterPool:
    """Trains on the workers of a cluster, one run for each of their threads.

    Args:
        client: connected to the scheduler.
        directory: of the comparison, an absolute path.
        warn: called with one line when there is no worker.
    """

    def __init__(self, client: "Client", directory: Path, warn: Callable[[str], None]) -> None:
        self._client, self._directory, self._warn = client, directory, warn
        self._executor = client.get_executor(pure=False)
        self._workers: set[str] | None = None
        self._keys: dict[Future[None], str] = {}

    def count_places(self) -> int:
        """Return the number of threads of all workers, at least 1: a task waits for the first worker.

        Raises:
            InputError: a worker cannot train the runs of this comparison.
            CharlmError: the scheduler has ended, or cannot be reached.
        """
        try:
            threads: dict[str, int] = self._client.nthreads()
            self._refuse_unfit(set(threads) - (self._workers or set()))
        except GONE:
            raise lost_cluster() from None
        if not threads and self._workers != set():
            self._warn("the cluster has no worker; waiting for one.")
        self._workers = set(threads)
        return max(1, sum(threads.values()))

    def _refuse_unfit(self, workers: set[str]) -> None:
        """Check workers that have joined the cluster."""
        plan = self._directory / FILE_NAME
        found = self._client.run(refuse_unfit, __version__, plan, workers=list(workers), on_error="return")
        for worker, problem in found.items():
            if isinstance(problem, InputError | ImportError):
                raise InputError(f"the worker {worker} cannot train: {problem}.")

    def submit(self, task: Task) -> "Future[None]":
        """Give a task to the cluster; Dask shows it under the name of its run."""
        task = replace(task, config=_make_absolute(task.config))
        name = task.directory.relative_to(self._directory)
        key = f"{name}-{secrets.token_hex(4)}"  # another comparison may have the same names
        future: Future[None] = self._executor.submit(train_on_worker, pickle.dumps(task), key=key)
        self._keys[future] = key
        return future

    def stop(self) -> None:
        """Let every run save its state and end, and wait for that.

        Where the scheduler is gone, the workers stop the runs by themselves.
        """
        keys = [key for future, key in self._keys.items() if future.cancel()]
        with contextlib.suppress(*GONE):
            while keys and self._client.status == "running" and self._are_active(keys):
                time.sleep(POLL_S)

    def _are_active(self, keys: list[str]) -> bool:
        return any(self._client.run(find_active, keys, on_error="ignore").values())


def _make_absolute(config: Config) -> Config:
    """Return a configuration that means the same in every working directory."""
    if config.data.path.startswith("builtin:"):
        return config
    return config.replace("data", path=str(Path(config.data.path).expanduser().absolute()))
