"""The processes that torchrun started: how they exchange gradients, decisions and the reason of a failure.

The gradients are averaged by one all-reduce of one flat tensor. DistributedDataParallel regroups the gradients after
its first step, and with them the order in which those of more than two processes are added: a resumed run would differ
from an unbroken one in rounding.

Dimensions: B streams of the whole batch, H hidden width.
"""

import io
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from charlm.errors import CharlmError, DivergedError, PeerError, StoppedError
from charlm.inference.evaluation import Text
from charlm.system.launch import Launch, read_launch
from charlm.system.memory import explain_shortage
from charlm.training.distribution import ALONE, Group
from charlm.training.rendezvous import agree_on_name, connect

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others without a sign of life; then the run fails."""

SIGN_INTERVAL_S = 10.0
"""How often the first process shows a sign of life while it validates."""


class LaunchedGroup(Group):
    """The processes that torchrun started.

    They talk by gloo about what is on the CPU, and by NCCL, where torch has it, about what is on GPUs. Every method but
    ``has_begun`` and ``note_beginning`` is called by all processes in the same order.

    Args:
        launch: the place of this process.

    Raises:
        CharlmError: from any method, if another process has ended or does not answer.
    """

    def __init__(self, launch: Launch) -> None:
        self.rank, self.size, self.local_size = launch.rank, launch.size, launch.local_size
        self._local_rank = launch.local_rank
        self._signed_at_s = time.monotonic()
        has_nccl = torch.cuda.is_available() and distributed.is_nccl_available()
        if launch.local_rank < torch.cuda.device_count():
            torch.cuda.set_device(launch.local_rank)
        with self._talking():
            self._store = connect(launch, TIMEOUT)
            name = agree_on_name(self._store, self.rank, self.size, TIMEOUT)
            self._notes = distributed.PrefixStore(name, self._store)  # type: ignore[attr-defined]
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if has_nccl else "gloo",
                store=self._notes,
                rank=self.rank,
                world_size=self.size,
                timeout=TIMEOUT,
            )

    def average(self, tensors: Sequence[Tensor], share: float) -> None:
        """Replace tensors by their weighted averages; see ``Group``."""
        flat = parameters_to_vector(tensors).mul_(share)
        with self._talking():
            distributed.all_reduce(flat)
        vector_to_parameters(flat, tensors)

    def find_maxima(self, *numbers: int) -> list[int]:
        """Return the maximum of each number over the processes."""
        maxima = torch.tensor(numbers)
        with self._talking():
            distributed.all_reduce(maxima, distributed.ReduceOp.MAX)
        return maxima.tolist()

    def join_streams(self, rows: Tensor, batch_size: int) -> Tensor:
        """Return a tensor of the whole batch on the CPU; see ``Group``."""
        whole = torch.zeros(batch_size, rows.shape[1], dtype=rows.dtype)
        whole[self.own] = rows.cpu()
        with self._talking():
            distributed.all_reduce(whole)
        return whole

    def hand_out(self, content: Any) -> Any:
        """Return what the first process gives; see ``Group``. It is read as safely as a checkpoint."""
        buffer = io.BytesIO()
        if self.is_first:
            torch.save(content, buffer)
        num_bytes = torch.tensor([buffer.tell()])
        self._broadcast(num_bytes)
        while num_bytes == 0:  # a sign of life
            self._broadcast(num_bytes)
        data = torch.empty(int(num_bytes), dtype=torch.uint8)
        if self.is_first:
            data = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        self._broadcast(data)
        return torch.load(io.BytesIO(data.numpy().tobytes()), map_location="cpu", weights_only=True)

    def watch(self, text: Text) -> Text:
        """Return the same text; see ``Group``."""
        return _WatchedText(text, self._show_life)

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """Let one process of each machine go first; see ``Group``."""
        if self._local_rank > 0:
            self.find_maxima(0)
        yield
        if self._local_rank == 0:
            self.find_maxima(0)

    def has_begun(self, directory: Path) -> bool:
        """Return whether this torchrun has begun the run; see ``Group``."""
        with self._talking():
            return bool(self._store.check([f"charlm {directory.resolve()}"]))

    def note_beginning(self, directory: Path) -> None:
        """Note that this torchrun has begun the run; see ``Group``."""
        with self._talking():
            self._store.set(f"charlm {directory.resolve()}", "")

    def settle(self, error: CharlmError) -> CharlmError:
        """Return the error to raise for one: one process tells why the run ends, and the others end silently."""
        if not self.is_first and isinstance(error, StoppedError | DivergedError):  # the first process raises it too
            return PeerError(error.exit_status)
        own = f"{error.exit_status} {self.rank}"
        try:
            told = self._notes.compare_set("failure", "", own).decode()
        except RuntimeError:  # the launcher has ended
            told = own
        if told != own:
            return PeerError(int(told.split()[0]))
        if not self.is_first:
            error.label = f"{error.label} in rank {self.rank} on {socket.gethostname()}"
        return error

    def _broadcast(self, tensor: Tensor) -> None:
        """Replace a tensor by that of the first process."""
        with self._talking():
            distributed.broadcast(tensor, 0)

    def _show_life(self) -> None:
        if self.is_first and time.monotonic() - self._signed_at_s >= SIGN_INTERVAL_S:
            self._broadcast(torch.tensor([0]))
            self._signed_at_s = time.monotonic()

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn a failure of the exchange into an error that says what it means."""
        try:
            yield
        except RuntimeError as error:
            raise CharlmError(
                f"rank {self.rank} of {self.size} lost the other processes of the run: {describe_loss(error)}. "
                "What was saved before is intact; start the same command again with --resume."
            ) from None


def describe_loss(error: RuntimeError) -> str:
    """Return what the failure of an exchange says of the other processes."""
    message = str(error).lower()
    if ("timed out" in message or "timeout" in message) and "refused" not in message:  # gloo: timed out ... refused
        return f"no answer in {TIMEOUT.total_seconds() / 60:g} minutes"
    return "one has ended, or cannot be reached"


class _WatchedText:
    """A text that calls a function whenever a part of it is read."""

    def __init__(self, text: Text, on_read: Callable[[], None]) -> None:
        self._text, self._on_read = text, on_read

    def __len__(self) -> int:
        return len(self._text)

    def __getitem__(self, place: slice, /) -> Tensor:
        self._on_read()
        return self._text[place]


@contextmanager
def join() -> Iterator[Group]:
    """Yield the processes that train together: those that torchrun started, or this one alone.

    Raises:
        PeerError: another process has failed, and has told why.
        CharlmError: an error from the context, or another process has ended or does not answer.
    """
    launch = read_launch()
    if launch is None:
        yield ALONE
        return
    group = LaunchedGroup(launch)
    try:
        with explain_shortage():
            yield group
    except CharlmError as error:
        raise group.settle(error) from None
    distributed.destroy_process_group()
