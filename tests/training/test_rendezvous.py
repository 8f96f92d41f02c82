"""How processes find each other in a store that holds what killed ones left there."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import TCPStore

from charlm.system.launch import Launch
from charlm.training.rendezvous import agree_on_name, connect

TIMEOUT = timedelta(seconds=30)


@pytest.fixture
def store() -> TCPStore:
    """Return the store of a launcher, with what a killed process of rank 2 left there."""
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    store.set("start of 2", "killed")
    return store


def meet(store: TCPStore, size: int) -> list[str]:
    """Return the name that each of some processes knows."""

    def agree(rank: int) -> str:
        launch = Launch(rank, size, rank, size, "localhost", store.port)
        return agree_on_name(connect(launch, TIMEOUT), rank, size, TIMEOUT)

    with ThreadPoolExecutor(size) as executor:
        return list(executor.map(agree, range(size)))


def test_each_start_has_a_name_of_its_own(store: TCPStore) -> None:
    """All processes of a start know one name, and those of a restart, also if they are fewer, another one."""
    names = [meet(store, size) for size in (3, 3, 2)]
    assert [len(set(each)) for each in names] == [1, 1, 1]
    assert len({each[0] for each in names}) == 3


def test_a_process_that_does_not_start_is_not_waited_for_for_ever(store: TCPStore) -> None:
    """The first process gives up after the timeout, although a killed one has left its start."""
    store.set("start of 1", "killed")
    with pytest.raises(RuntimeError, match="timed out: rank 1"):
        agree_on_name(store, 0, 2, timedelta(seconds=0.1))
