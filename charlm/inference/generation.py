"""Text from a model, a block of characters at a time.

Dimensions: B samples made side by side, N characters of a prompt, T characters of a block, L layers, H hidden width.
"""

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from charlm.inference.randomness import UniformStreams, random_seed
from charlm.inference.sampling import DEFAULTS, Sampling
from charlm.inference.writing import open_writer
from charlm.model import CharLM
from charlm.text.vocabulary import OnUnknown, Vocabulary

BLOCK_S = 0.02
"""Time that a block of characters should take: a terminal shows them flow, and Python does little beside the kernel."""

MAX_BLOCK_LENGTH = 4096
"""Characters of a block, at most; limits its memory."""

MAX_BATCH_SIZE = 64
"""Samples that are made side by side, at most."""

MAX_BATCH_NUMBERS = 2**24
"""Numbers in the states, the probabilities or the ids of a batch, at most: 128 MiB, unless one sample needs more."""


def encode_prompt(vocabulary: Vocabulary, prompt: str, on_unknown: OnUnknown = "error") -> tuple[Tensor, str]:
    """Return the ids of a prompt, (N,) with N at least 1, and the prompt as the model reads it.

    An empty prompt stands for the beginning of a line: it is read as a line break where the vocabulary has one, else
    as the first symbol.

    Raises:
        InputError: a character is unknown and ``on_unknown`` is ``error``.
    """
    ids = vocabulary.encode(prompt, on_unknown, where="the prompt")
    if len(ids) == 0:
        return torch.tensor([vocabulary.ids.get("\n", 0)]), ""
    return ids, vocabulary.decode(ids)


def generate(
    model: CharLM, prompt_ids: Tensor, indices: Sequence[int], length: int | None, sampling: Sampling, seed: int
) -> Iterator[Tensor]:
    """Yield the ids that follow a prompt in blocks, (T, B) with T at least 1, without dropout.

    Sample i of a seed has its own random numbers, independent of the other samples. The size of the blocks depends on
    the speed and does not change the text. With the kernel ``cpu``, a sample also does not depend on the other samples
    and on the number of threads. Otherwise the logits can differ in their last bits with B, since a matrix product may
    add in another order; then a sample alone differs from the same one among others, from the first random number that
    falls between two such results. In float32 that was measured at about one draw in 70,000.

    The model's mode and every other source of randomness stay unchanged.

    Args:
        model: any model.
        prompt_ids: the beginning of the text, (N,), N at least 1.
        indices: the numbers of the samples, B of them, each at least 0.
        length: characters to make; None for no end.
        sampling: how to choose.
        seed: 0 to 2^63 - 1.

    Raises:
        InputError: the seed is out of range.
        CharlmError: the model's logits are not finite.
    """
    streams = UniformStreams(seed, indices)
    writer = open_writer(model, prompt_ids, len(indices), sampling)
    made, block_length = 0, 1
    while length is None or made < length:
        if length is not None:
            block_length = min(block_length, length - made)
        began_at_s = time.perf_counter()
        ids = writer.write(streams.draw(block_length))
        elapsed_s = time.perf_counter() - began_at_s
        yield ids
        made += block_length
        if elapsed_s < BLOCK_S / 2:
            block_length = min(2 * block_length, MAX_BLOCK_LENGTH)
        elif elapsed_s > 2 * BLOCK_S:
            block_length = max(block_length // 2, 1)


def sample_texts(
    model: CharLM,
    vocabulary: Vocabulary,
    prompt: str = DEFAULTS.prompt,
    length: int = DEFAULTS.length,
    num_samples: int = 1,
    sampling: Sampling | None = None,
    seed: int | None = None,
    stop: str | None = None,
    on_unknown: OnUnknown = "error",
) -> Iterator[str]:
    """Yield whole samples, each beginning with the prompt; they are made in batches of limited memory.

    Args:
        model: any model.
        vocabulary: its symbols.
        prompt: text to continue.
        length: characters (or bytes) to make for each sample, at least 1.
        num_samples: how many samples.
        sampling: how to choose; None for the defaults.
        seed: sample i of a seed is the same whatever ``num_samples`` is, as ``generate`` explains; None for a random
            seed.
        stop: end a sample before this text.
        on_unknown: what to do with characters of the prompt that the vocabulary does not have.

    Raises:
        InputError: the prompt has an unknown character, or the seed is out of range.
        CharlmError: the model's logits are not finite.
    """
    prompt_ids, shown = encode_prompt(vocabulary, prompt, on_unknown)
    seed = random_seed() if seed is None else seed
    batch_size = _choose_batch_size(model, length)
    for first in range(0, num_samples, batch_size):
        indices = range(first, min(first + batch_size, num_samples))
        blocks = generate(model, prompt_ids, indices, length, sampling or Sampling(), seed)
        for row in torch.cat([ids.int() for ids in blocks]).T:
            text = vocabulary.decode(row)
            yield shown + (text.split(stop, 1)[0] if stop else text)


def _choose_batch_size(model: CharLM, length: int) -> int:
    """Return how many samples of a length are made side by side, at least 1."""
    state_size = sum(tensor.numel() for state in model.initial_state(1) for tensor in state)  # 2 L H
    return max(1, min(MAX_BATCH_SIZE, MAX_BATCH_NUMBERS // max(state_size, model.output.out_features, length)))


def stream_text(ids: Iterator[Tensor], vocabulary: Vocabulary, stop: str | None = None) -> Iterator[str]:
    """Yield one sample's text as its ids arrive in blocks, (T, 1), up to a stop text.

    Text that could be the beginning of the stop text is held back until it is known not to be.
    """
    decoder = vocabulary.decoder()
    held = ""
    for block in ids:
        held += decoder.decode(vocabulary.to_bytes(block[:, 0]))
        if stop and stop in held:
            yield held.split(stop, 1)[0]
            return
        keep = next((n for n in range(len(stop) - 1, 0, -1) if held.endswith(stop[:n])), 0) if stop else 0
        yield held[: len(held) - keep]
        held = held[len(held) - keep :]
    yield held + decoder.decode(b"", final=True)
