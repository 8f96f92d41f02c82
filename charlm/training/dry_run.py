"""The dry run: the sizes, the memory and the expected duration of a run."""

import time
from dataclasses import dataclass

import torch

from charlm.config import Config
from charlm.text.baselines import measure_baselines
from charlm.text.corpus import Corpus
from charlm.text.streams import split_ids
from charlm.training.checks import check_prompt
from charlm.training.estimates import count_parameters, describe_shortage, estimate_memory
from charlm.training.session import Session

MEASURED_STEPS = 8
WARM_UP_STEPS = 2


@dataclass(frozen=True)
class DryRun:
    """Properties of a run that are known before it starts.

    Attributes:
        num_parameters: number of parameters of each part of the model; the total is last.
        split_sizes: number of characters in the train, val and test parts.
        vocabulary_size: number of symbols, V.
        rarest: the ten rarest characters and the number of occurrences of each.
        memory_bytes: memory of weights, gradients and optimizer averages, and estimated memory of the activations.
        shortage: why the run does not fit the available memory and what to change; None if it fits.
        chars_per_s: training speed, measured over a few steps, without validations; None if the run does not fit.
        duration_s: expected duration of all steps in seconds, without validations; None if the run does not fit.
        baselines_bits: loss of simple predictors on the val part, bits per character.
    """

    num_parameters: dict[str, int]
    split_sizes: dict[str, int]
    vocabulary_size: int
    rarest: list[tuple[str, int]]
    memory_bytes: dict[str, int]
    shortage: str | None
    chars_per_s: float | None
    duration_s: float | None
    baselines_bits: dict[str, float]


def measure_speed(session: Session) -> float:
    """Return the median speed of a few training steps in characters per second; the steps change the session."""
    durations_s = []
    for step in range(min(WARM_UP_STEPS + MEASURED_STEPS, session.config.train.max_steps)):
        started_at_s = time.perf_counter()
        session.take_step()
        if step >= WARM_UP_STEPS or step == 0:
            durations_s.append(time.perf_counter() - started_at_s)
    return session.chars_per_step / sorted(durations_s)[len(durations_s) // 2]


def plan_run(config: Config, corpus: Corpus) -> DryRun:
    """Return the properties of a run; the model is not built if it does not fit in the available memory.

    Raises:
        InputError: the corpus is too short, the device is not available, or the prompt has an unknown character.
    """
    vocabulary_size = len(corpus.vocabulary)
    splits = split_ids(corpus.ids, config.data.val_frac, config.data.test_frac)
    check_prompt(config, corpus.vocabulary)
    shortage = describe_shortage(config, vocabulary_size)
    chars_per_s = None if shortage else measure_speed(Session(config, corpus))
    num_chars = config.train.max_steps * config.train.batch_size * config.train.seq_length
    order = [index for index in torch.argsort(corpus.counts).tolist() if corpus.counts[index] > 0]
    return DryRun(
        num_parameters=count_parameters(config.model, vocabulary_size),
        split_sizes={name: len(part) for name, part in splits._asdict().items()},
        vocabulary_size=vocabulary_size,
        rarest=[(corpus.vocabulary.symbols[index], int(corpus.counts[index])) for index in order[:10]],
        memory_bytes=estimate_memory(config, vocabulary_size),
        shortage=shortage,
        chars_per_s=chars_per_s,
        duration_s=num_chars / chars_per_s if chars_per_s else None,
        baselines_bits=measure_baselines(splits.train, splits.val, corpus.vocabulary),
    )
