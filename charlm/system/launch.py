"""How torchrun started this process, as its environment says."""

import os
from typing import NamedTuple


class Launch(NamedTuple):
    """The place of a process among those that torchrun started.

    Attributes:
        rank: its number among all processes, from 0.
        size: number of all processes.
        local_rank: its number among those of its machine, from 0.
        local_size: number of processes of its machine.
        host: machine of torchrun's key-value store.
        port: of the store.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    host: str
    port: int


def read_launch() -> Launch | None:
    """Return how torchrun started this process; None if it did not."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    return Launch(
        rank=int(os.environ["RANK"]),
        size=int(os.environ["WORLD_SIZE"]),
        local_rank=int(os.environ["LOCAL_RANK"]),
        local_size=int(os.environ["LOCAL_WORLD_SIZE"]),
        host=os.environ["MASTER_ADDR"],
        port=int(os.environ["MASTER_PORT"]),
    )
