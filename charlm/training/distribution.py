"""The processes that train one run together, as the rest of training sees them.

Process r of N trains the streams r, r + N, r + 2N and so on of the batch. All of them hold the same weights and draw
the same random numbers, and the gradients are averaged in every step, so that the result does not depend on N beyond
rounding. The first process alone reads and writes the run directory, validates and reports.

Dimensions: N processes, B streams of the whole batch, H hidden width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from charlm.errors import InputError
from charlm.inference.evaluation import Text


class Group:
    """The processes of a run; this class is a process that trains alone.

    Attributes:
        rank: the number of this process, from 0.
        size: number of processes, N.
        local_size: number of processes on this machine.
    """

    rank = 0
    size = 1
    local_size = 1

    @property
    def is_first(self) -> bool:
        """Whether this process reads and writes the run directory, validates and reports."""
        return self.rank == 0

    @property
    def own(self) -> slice:
        """The streams of the batch that this process trains."""
        return slice(self.rank, None, self.size)

    def average(self, tensors: Sequence[Tensor], share: float) -> None:
        """Replace tensors by their weighted averages over the processes, in place.

        Args:
            tensors: of the same shapes in all processes, on the same device.
            share: weight of this process; the weights of all processes sum to 1.
        """

    def find_maxima(self, *numbers: int) -> list[int]:
        """Return the maximum of each number over the processes."""
        return [*numbers]

    def join_streams(self, rows: Tensor, batch_size: int) -> Tensor:
        """Return a tensor of the whole batch, (B, H), from what each process has of its own streams."""
        return rows

    def hand_out(self, content: Any) -> Any:
        """Return what the first process gives, plain values and tensors; the others wait while it shows signs of life.

        Args:
            content: what this process gives; it is ignored in all but the first one.
        """
        return content

    def watch(self, text: Text) -> Text:
        """Return the same text; reading it is a sign of life of the first process, for others in ``hand_out``."""
        return text

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """Let one process of each machine finish the context before the others enter it: it fills the caches."""
        yield

    def has_begun(self, directory: Path) -> bool:
        """Return whether the run in a directory was begun by the same torchrun, which has restarted the processes."""
        return False

    def note_beginning(self, directory: Path) -> None:
        """Let the processes after a restart by torchrun know that they are to resume the run in a directory."""


ALONE = Group()
"""A process that torchrun did not start."""


def refuse_group(group: Group, batch_size: int, device: torch.device) -> None:
    """Make sure that the processes can share a batch and the devices of their machines; each of them calls this.

    Raises:
        InputError: there are fewer streams than processes, or fewer GPUs than processes on this machine, or some
            processes train on the CPU and others on GPUs.
    """
    if group.size > batch_size:
        raise InputError(
            f"torchrun started {group.size} processes, more than the {batch_size} streams of train.batch_size. "
            "Start fewer processes, or raise train.batch_size."
        )
    num_gpus = torch.cuda.device_count()
    if group.local_size > 1 and device.type != "cpu" and (device.index is not None or group.local_size > num_gpus):
        raise InputError(
            f"torchrun started {group.local_size} processes on this machine, which has {num_gpus} NVIDIA GPUs, to "
            f"train on {device}. Each needs a GPU of its own: set train.device=cuda, and --nproc-per-node to at most "
            "the number of GPUs; or train.device=cpu."
        )
    if sum(group.find_maxima(int(device.type == "cpu"), int(device.type != "cpu"))) > 1:
        raise InputError(
            "some of the processes that torchrun started train on the CPU, others on GPUs. Set train.device=cpu, or "
            "train.device=cuda where every machine has NVIDIA GPUs."
        )
