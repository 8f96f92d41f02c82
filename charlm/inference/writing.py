"""How text is written: by the kernel's sampler in C, or by its readable twin, which steps the cells one by one.

Dimensions: N characters of a prompt, T characters of a block, B samples, V vocabulary, L layers, H hidden width.
"""

import time
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from charlm.errors import CharlmError
from charlm.inference.sampling import BROKEN_LOGITS, Sampling
from charlm.lstm import LSTMCell, LSTMState
from charlm.lstm.kernels.sampler import Sampler
from charlm.lstm.layers import States
from charlm.model import CharLM

PROMPT_CHUNK = 1024
"""Characters of a prompt that are read at a time; limits the memory that a long prompt takes."""


TRIAL_EVERY, MIN_TRIAL_LENGTH = 16, 64
"""One in so many blocks of a single sample, of at least this length, begins with a trial on one and on all threads.

Whether the threads gain by sharing a single sample depends on the model, the caches and other processes on the cores:
beside one that kept both cores busy, two threads were up to ten times slower than one.
"""


class Writer(Protocol):
    """Continues a prompt with B samples, without dropout; the model's mode does not change."""

    def write(self, uniforms: Tensor) -> Tensor:
        """Return the next T characters of each sample, (T, B) int64, given a number in [0, 1) for each, (T, B) float64.

        Raises:
            CharlmError: the model's logits are not finite.
        """
        ...


def open_writer(model: CharLM, prompt_ids: Tensor, num_samples: int, sampling: Sampling) -> Writer:
    """Return the writer of the model's kernel.

    Args:
        model: any model.
        prompt_ids: the beginning of the text, (N,), N at least 1.
        num_samples: B.
        sampling: how to choose.
    """
    sampler = model.lstm.kernel.sampler
    if sampler is None:
        return StepWriter(model, prompt_ids, num_samples, sampling)
    return SamplerWriter(sampler, model, prompt_ids, num_samples, sampling)


class StepWriter:
    """Steps the cells, on any device; the arguments are those of ``open_writer``."""

    def __init__(self, model: CharLM, prompt_ids: Tensor, num_samples: int, sampling: Sampling) -> None:
        self._model, self._sampling = model, sampling
        states = _read_prompt(model, prompt_ids[:-1].to(model.output.weight.device))
        self._states = tuple(LSTMState(*(x.expand(num_samples, -1) for x in state)) for state in states)
        self._ids = prompt_ids[-1:].expand(num_samples)  # the last characters, not yet in the states

    @torch.no_grad()
    def write(self, uniforms: Tensor) -> Tensor:
        """Write a block, as ``Writer`` describes it."""
        return torch.stack([self._write_one(row) for row in uniforms])

    def _write_one(self, uniforms: Tensor) -> Tensor:
        logits, self._states = self._model.step(self._ids.to(self._model.output.weight.device), self._states)
        self._ids = self._sampling.choose(logits.float().cpu(), uniforms)
        return self._ids


@torch.no_grad()
def _read_prompt(model: CharLM, ids: Tensor) -> States:
    """Return the states after ids (N,), N at least 0, each (1, H), without dropout; the memory it takes is limited."""
    was_training = model.training
    model.eval()
    states = model.initial_state(1)
    for start in range(0, len(ids), PROMPT_CHUNK):
        _, states = model.run_layers(ids[None, start : start + PROMPT_CHUNK], states)
    model.train(was_training)
    return states


class SamplerWriter:
    """Writes with a kernel's sampler; the other arguments are those of ``open_writer``."""

    def __init__(
        self, sampler: type[Sampler], model: CharLM, prompt_ids: Tensor, num_samples: int, sampling: Sampling
    ) -> None:
        cells: Sequence[LSTMCell] = model.lstm.cells  # type: ignore[assignment]  # a ModuleList has no element type
        self._sampler = sampler(model.embedding.weight, cells, model.output.weight, model.output.bias)
        self._sampling = sampling
        zeros = LSTMState(*(torch.stack(tensors) for tensors in zip(*model.initial_state(1), strict=True)))
        # The sampler also reads the prompt, since its sums do not depend on the number of threads.
        state = self._sampler.read(prompt_ids[:-1, None], zeros)
        self._state = LSTMState(*(x.expand(-1, num_samples, -1) for x in state))  # (L, B, H)
        self._ids = prompt_ids[-1:].expand(num_samples)
        self._num_threads = 1 if num_samples == 1 else torch.get_num_threads()
        self._num_blocks = 0

    def write(self, uniforms: Tensor) -> Tensor:
        """Write a block, as ``Writer`` describes it."""
        if uniforms.shape[1] > 1 or torch.get_num_threads() == 1 or len(uniforms) < MIN_TRIAL_LENGTH:
            return self._write(uniforms)
        trials, self._num_blocks = [], self._num_blocks + 1
        if self._num_blocks % TRIAL_EVERY == 1:
            trials = list(uniforms[: len(uniforms) // 4].chunk(2))
            uniforms = uniforms[len(uniforms) // 4 :]
        return torch.cat([*self._try_threads(trials), self._write(uniforms)])

    def _try_threads(self, trials: list[Tensor]) -> list[Tensor]:
        """Write two short blocks, on one thread and on all threads; keep to the number that took less time."""
        ids, durations_s = [], {}
        for uniforms, num_threads in zip(trials, (1, torch.get_num_threads()), strict=False):
            self._num_threads, began_at_s = num_threads, time.perf_counter()
            ids.append(self._write(uniforms))
            durations_s[num_threads] = (time.perf_counter() - began_at_s) / len(uniforms)
        self._num_threads = min(durations_s, key=durations_s.__getitem__, default=self._num_threads)
        return ids

    def _write(self, uniforms: Tensor) -> Tensor:
        options = self._sampling.temperature, self._sampling.top_k, self._sampling.top_p, self._num_threads
        try:
            ids, self._state = self._sampler.write(self._ids, self._state, uniforms, *options)
        except FloatingPointError:
            raise CharlmError(BROKEN_LOGITS) from None
        self._ids = ids[-1]
        return ids
