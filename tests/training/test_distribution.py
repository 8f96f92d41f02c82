"""What processes can share, before they exchange anything."""

import pytest
import torch

from charlm.errors import InputError
from charlm.system.launch import Launch
from charlm.training.distribution import ALONE, Group, refuse_group
from charlm.training.process_group import LaunchedGroup


def make_group(size: int, local_size: int) -> Group:
    """Return a group without processes."""
    group = Group()
    group.size, group.local_size = size, local_size
    return group


def test_a_process_alone_changes_nothing() -> None:
    """A process that torchrun did not start is the first one, has all streams, and keeps what it exchanges."""
    tensor = torch.rand(3)
    before = tensor.clone()
    ALONE.average([tensor], 1.0)
    assert torch.equal(tensor, before)
    assert ALONE.is_first
    assert ALONE.find_maxima(15, 0) == [15, 0]
    assert ALONE.join_streams(tensor, 3) is tensor is ALONE.hand_out(tensor)
    assert list(range(5))[ALONE.own] == [0, 1, 2, 3, 4]


def test_processes_have_different_streams() -> None:
    """Stream i belongs to process i mod N."""
    group = make_group(3, 3)
    group.rank = 1
    assert list(range(8))[group.own] == [1, 4, 7]
    assert not group.is_first


@pytest.mark.parametrize(("size", "is_refused"), [(4, False), (5, True)])
def test_more_processes_than_streams_are_refused(size: int, is_refused: bool) -> None:
    """Each process needs a stream; the message gives both numbers."""
    if is_refused:
        with pytest.raises(InputError, match=r"started 5 processes, more than the 4 streams of train\.batch_size"):
            refuse_group(make_group(size, size), 4, torch.device("cpu"))
    else:
        refuse_group(make_group(size, size), 4, torch.device("cpu"))


@pytest.mark.parametrize(
    ("device", "local_size", "is_refused"),
    [("cuda", 2, False), ("cuda", 3, True), ("cuda:1", 2, True), ("cuda:1", 1, False), ("cpu", 3, False)],
)
def test_each_process_needs_a_gpu_of_its_own(
    device: str, local_size: int, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More processes than GPUs, or a GPU that all would share, are refused; one process may take any GPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    if is_refused:
        with pytest.raises(InputError, match=f"started {local_size} processes on this machine, which has 2 NVIDIA GPU"):
            refuse_group(make_group(4, local_size), 8, torch.device(device))
    else:
        refuse_group(make_group(4, local_size), 8, torch.device(device))


def test_processes_on_different_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one machine has a GPU and another one has none, the processes could not exchange anything."""
    group = make_group(2, 1)
    refuse_group(group, 8, torch.device("cpu"))
    monkeypatch.setattr(group, "find_maxima", lambda *_: [1, 1])
    with pytest.raises(InputError, match="some of the processes that torchrun started train on the CPU, others on GPU"):
        refuse_group(group, 8, torch.device("cpu"))


def test_a_torch_with_cuda_but_without_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes talk by gloo where torch has CUDA but not NCCL."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    store = torch.distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    group = LaunchedGroup(Launch(0, 1, 0, 1, "localhost", store.port))
    assert group.find_maxima(3) == [3]
    torch.distributed.destroy_process_group()
