"""What a run would be and cost, without running it.

Dimensions: B batch, T time, H hidden width, L layers, V vocabulary.
"""

import time
from dataclasses import dataclass

import torch
from torch import nn

from charlm.config import Config
from charlm.model import CharLM
from charlm.text.baselines import measure_baselines
from charlm.text.corpus import Corpus
from charlm.training.session import Session

MEASURED_STEPS = 8
WARM_UP_STEPS = 2


@dataclass(frozen=True)
class DryRun:
    """What is known of a run before it begins.

    Attributes:
        num_parameters: by part of the model, the whole last.
        split_sizes: characters of the train, val and test parts.
        rarest: the rarest characters and how often each occurs.
        memory_bytes: of weights, gradients and the optimizer's averages; and of a step's activations, estimated.
        chars_per_s: measured over a few real steps, the validations left out.
        duration_s: expected for all steps, the validations left out.
        baselines_bits: bits per character of simple predictors on the val part.
    """

    num_parameters: dict[str, int]
    split_sizes: dict[str, int]
    vocabulary_size: int
    rarest: list[tuple[str, int]]
    memory_bytes: dict[str, int]
    chars_per_s: float
    duration_s: float
    baselines_bits: dict[str, float]


def count_parameters(model: CharLM) -> dict[str, int]:
    """Return the number of parameters of each part of a model, and of the whole."""

    def count(part: nn.Module) -> int:
        return sum(parameter.numel() for parameter in part.parameters())

    parts = {"embedding": count(model.embedding)}
    parts |= {f"layer {depth}": count(cell) for depth, cell in enumerate(model.lstm.cells, start=1)}
    return parts | {"output": count(model.output), "whole": count(model)}


def measure_speed(session: Session) -> float:
    """Return the characters per second of real training steps, the median of a few; the session is used up."""
    durations_s = []
    for step in range(min(WARM_UP_STEPS + MEASURED_STEPS, session.config.train.max_steps)):
        started_at_s = time.perf_counter()
        session.take_step()
        if step >= WARM_UP_STEPS or step == 0:
            durations_s.append(time.perf_counter() - started_at_s)
    return session.chars_per_step / sorted(durations_s)[len(durations_s) // 2]


def plan_run(config: Config, corpus: Corpus) -> DryRun:
    """Find out what a run would be and cost.

    Raises:
        InputError: the corpus is too short, or the device is not there.
    """
    session = Session(config, corpus)
    num_parameters = count_parameters(session.model)
    chars_per_s = measure_speed(session)
    order = [index for index in torch.argsort(corpus.counts).tolist() if corpus.counts[index] > 0]
    return DryRun(
        num_parameters=num_parameters,
        split_sizes={name: len(part) for name, part in session.splits._asdict().items()},
        vocabulary_size=len(corpus.vocabulary),
        rarest=[(corpus.vocabulary.symbols[index], int(corpus.counts[index])) for index in order[:10]],
        memory_bytes=_estimate_memory(config, num_parameters["whole"], len(corpus.vocabulary)),
        chars_per_s=chars_per_s,
        duration_s=config.train.max_steps * session.chars_per_step / chars_per_s,
        baselines_bits=measure_baselines(session.splits.train, session.splits.val, corpus.vocabulary),
    )


def _estimate_memory(config: Config, num_parameters: int, vocabulary_size: int) -> dict[str, int]:
    """Return bytes: four float32 copies of the weights, and what back-propagation keeps of each character.

    A layer keeps its four pre-activations, four gates, c, tanh c and h; the output keeps logits and their softmax.
    """
    per_char = config.model.num_layers * 11 * config.model.hidden_size + 2 * vocabulary_size
    return {
        "weights, gradients, optimizer": 4 * 4 * num_parameters,
        "activations of a step": 4 * per_char * config.train.batch_size * config.train.seq_length,
    }
