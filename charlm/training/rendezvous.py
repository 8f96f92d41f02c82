"""How the processes that torchrun started find each other in its key-value store, also after a restart.

The store outlives a restart, with what the killed processes wrote into it, and torchrun's number of restarts may differ
between machines: it counts only failures on the machine itself. So the first process gives all of them a new name.
"""

import secrets
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from torch import distributed

from charlm.system.launch import Launch

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

POLL_S = 0.02
"""How often the first process looks whether another one has got the name."""


def connect(launch: Launch, timeout: timedelta) -> "Store":
    """Return a connection to torchrun's store.

    Raises:
        RuntimeError: the launcher has ended, or cannot be reached.
    """
    return distributed.TCPStore(launch.host, launch.port, is_master=False, timeout=timeout)  # type: ignore[attr-defined]


def agree_on_name(store: "Store", rank: int, size: int, timeout: timedelta) -> str:
    """Return a new name, which is the same in all processes that were started together; each of them calls this.

    Raises:
        RuntimeError: another process does not answer within the timeout.
    """
    own = secrets.token_hex(8)
    if rank > 0:
        store.set(f"start of {rank}", own)
        name = store.get(f"name for {own}").decode()  # waits
        store.set(f"{name} is known to {rank}", "")
        return name
    gives_up_at_s = time.monotonic() + timeout.total_seconds()
    for other in range(1, size):
        while not store.check([f"{own} is known to {other}"]):
            start = store.get(f"start of {other}").decode()  # of a process that was killed, until the new one writes
            store.set(f"name for {start}", own)
            if time.monotonic() > gives_up_at_s:
                raise RuntimeError(f"timed out: rank {other} has not started")
            time.sleep(POLL_S)
    return own
