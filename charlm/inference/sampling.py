"""Text from a model, one character at a time.

Dimensions: B samples made side by side, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.lstm.layers import States
from charlm.model import CharLM
from charlm.text.vocabulary import OnUnknown, Vocabulary

PROMPT_CHUNK = 1024
"""Characters of a prompt that are read at a time; bounds the memory that a long one takes."""


@dataclass(frozen=True)
class Sampling:
    """How to choose the next character.

    Attributes:
        temperature: what the logits are divided by, at least 0; 0 always takes the likeliest character.
        top_k: choose among the k likeliest only, at least 1; None for all.
        top_p: choose among the likeliest that together have this probability, above 0 to 1; None for all.

    Raises:
        InputError: a value is out of its range.

    Source of top_p: Holtzman et al., ICLR 2020.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature: expected a number of at least 0, got {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top_k: expected a whole number of at least 1, got {self.top_k}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p: expected a number above 0 and at most 1, got {self.top_p}.")

    def choose(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the next character's id for each row of logits (B, V) on the CPU; ids (B,).

        Raises:
            CharlmError: the logits are not finite.
        """
        if not bool(logits.isfinite().all()):
            raise CharlmError("the model's logits are not finite: its weights are broken, take an earlier checkpoint.")
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        # Shifted before the division, so that a tiny temperature cannot overflow.
        logits = (logits.double() - logits.double().amax(dim=-1, keepdim=True)) / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            likeliest = logits.topk(self.top_k, dim=-1).indices  # (B, k), however many tie with the last of them
            logits = torch.full_like(logits, -torch.inf).scatter(1, likeliest, logits.gather(1, likeliest))
        probabilities = logits.softmax(dim=-1)
        if self.top_p is not None:
            probabilities = _keep_likeliest(probabilities, self.top_p)
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)


def _keep_likeliest(probabilities: Tensor, top_p: float) -> Tensor:
    """Zero all but the likeliest symbols of (B, V) that together reach top_p; at least one is left."""
    ordered, order = probabilities.sort(dim=-1, descending=True)
    is_beyond = ordered.cumsum(dim=-1) - ordered >= top_p
    return probabilities.masked_fill(torch.zeros_like(is_beyond).scatter(1, order, is_beyond), 0.0)


def encode_prompt(vocabulary: Vocabulary, prompt: str, on_unknown: OnUnknown = "error") -> tuple[Tensor, str]:
    """Return the ids to begin from, (N,) with N at least 1, and the prompt as the model reads it.

    An empty prompt stands for the beginning of a line: after a line break where the vocabulary has one, else after its
    first symbol.

    Raises:
        InputError: a character is unknown and ``on_unknown`` is ``error``.
    """
    ids = vocabulary.encode(prompt, on_unknown, where="the prompt")
    if len(ids) == 0:
        return torch.tensor([vocabulary.ids.get("\n", 0)]), ""
    return ids, vocabulary.decode(ids)


@torch.no_grad()
def generate(
    model: CharLM, prompt_ids: Tensor, num_samples: int, length: int | None, sampling: Sampling, seed: int
) -> Iterator[Tensor]:
    """Yield the ids that follow a prompt, (B,) at a time, stepping the cells themselves, without dropout.

    The model's mode and every other source of randomness are left as they are.

    Args:
        model: any model.
        prompt_ids: what the text begins with, (N,), N at least 1.
        num_samples: B, each going its own way from the prompt.
        length: characters to make; None for no end.
        sampling: how to choose.
        seed: equal seeds give equal samples.

    Raises:
        CharlmError: the model's logits are not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    device = model.output.weight.device
    logits, states = _read_prompt(model, prompt_ids.to(device))
    logits = logits.expand(num_samples, -1)
    states = tuple(type(state)(*(tensor.expand(num_samples, -1) for tensor in state)) for state in states)
    made = 0
    while length is None or made < length:
        ids = sampling.choose(logits.float().cpu(), generator)  # (B,)
        yield ids
        made += 1
        if made != length:
            logits, states = model.step(ids.to(device), states)


def _read_prompt(model: CharLM, prompt_ids: Tensor) -> tuple[Tensor, States]:
    """Return the logits after a prompt, (1, V), and the states, in passes of bounded memory without dropout."""
    was_training = model.training
    model.eval()
    states = model.initial_state(1)
    for start in range(0, len(prompt_ids), PROMPT_CHUNK):
        logits, states = model(prompt_ids[None, start : start + PROMPT_CHUNK], states)
    model.train(was_training)
    return logits[:, -1], states


def sample_texts(
    model: CharLM,
    vocabulary: Vocabulary,
    prompt: str = "",
    length: int = 300,
    num_samples: int = 1,
    sampling: Sampling | None = None,
    seed: int = 0,
    stop: str | None = None,
    on_unknown: OnUnknown = "error",
) -> list[str]:
    """Return whole samples, each beginning with the prompt.

    Args:
        model: any model.
        vocabulary: its symbols.
        prompt: text to go on from.
        length: characters (or bytes) to make for each sample, at least 1.
        num_samples: how many samples, made side by side.
        sampling: how to choose; by default with temperature 1.
        seed: equal seeds give equal samples.
        stop: end a sample before this text.
        on_unknown: what to do with a character of the prompt that the vocabulary has not.

    Raises:
        InputError: the prompt has an unknown character.
        CharlmError: the model's logits are not finite.
    """
    prompt_ids, shown = encode_prompt(vocabulary, prompt, on_unknown)
    steps = generate(model, prompt_ids, num_samples, length, sampling or Sampling(), seed)
    columns = torch.stack(list(steps), dim=1)  # (B, length)
    texts = [vocabulary.decode(column) for column in columns]
    return [shown + (text.split(stop, 1)[0] if stop else text) for text in texts]


def stream_text(ids: Iterator[Tensor], vocabulary: Vocabulary, stop: str | None = None) -> Iterator[str]:
    """Yield one sample's text as its ids come, (1,) at a time, up to a stop text.

    What could be the beginning of the stop text is held back until it is clear that it is not.
    """
    decoder = vocabulary.decoder()
    held = ""
    for one in ids:
        held += decoder.decode(vocabulary.to_bytes(one))
        if stop and stop in held:
            yield held.split(stop, 1)[0]
            return
        keep = next((n for n in range(len(stop) - 1, 0, -1) if held.endswith(stop[:n])), 0) if stop else 0
        yield held[: len(held) - keep]
        held = held[len(held) - keep :]
    yield held + decoder.decode(b"", final=True)
