"""A configuration for a text and a time: how wide a model, how many steps, how much dropout.

docs/proposal.md states the rule with the measurements that it comes from.

Dimensions: B batch, T time, V vocabulary.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from charlm.config import Config
from charlm.errors import InputError
from charlm.inference.evaluation import evaluate
from charlm.system.device import choose_device
from charlm.text.corpus import Corpus
from charlm.text.streams import split_ids
from charlm.training.dry_run import measure_speed
from charlm.training.estimates import count_parameters, describe_shortage
from charlm.training.session import Session

WIDTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Hidden widths that are tried, in this order."""

MIN_CHARS_PER_PARAMETER = 4
"""Characters that the run reads for each parameter, at least; presets for one and ten minutes read 4.6 and 4.3."""

MIN_TEXT_PER_PARAMETER = 0.3
"""Characters of text for each parameter, at least, as in the preset with the lowest loss; more memorizes."""

MAX_PASSES = 40
"""Passes over the training text, at most; the preset with the lowest loss takes 33 and overfits a little."""

MAX_STRAINS = 6, 36
"""Passes times parameters for each character, at most, for dropout 0.1 and for 0.3: the geometric means of what was
measured, 2.3 with dropout 0.1, 15 with 0.3 and 86 with DropConnect."""

MAX_VAL_CHARS, MAX_VAL_CHARS_PER_MINUTE = 500_000, 50_000
"""Length of the validation part, at most, also for each minute; it is read character by character, which is slow."""

VALIDATION_SHARE, SPARE_SHARE = 0.1, 0.05
"""Shares of the time for validations, and for the start, samples and saves."""

MAX_VALIDATIONS = 10

TRIAL_LENGTH = 2048
"""Characters that are read to measure the speed of validations."""


@dataclass(frozen=True)
class Proposal:
    """A configuration and what it is based on.

    Attributes:
        config: the configuration; what is not proposed has its default.
        num_chars: characters of the text.
        num_parameters: number of parameters of the model.
        num_passes: passes over the training part.
        chars_per_s: training speed, measured over a few steps.
        num_validations: validations in the run.
        duration_s: expected duration in seconds, validations included.
    """

    config: Config
    num_chars: int
    num_parameters: int
    num_passes: float
    chars_per_s: float
    num_validations: int
    duration_s: float


def propose(config: Config, corpus: Corpus, minutes: float, widths: Sequence[int] = WIDTHS) -> Proposal:
    """Return the widest model of one layer that a text and a time can train, with its steps and regularization.

    Args:
        config: has the path and the level of the text.
        corpus: the text.
        minutes: time for the whole run, above 0.
        widths: hidden widths to try, growing; the first needs only to fit in memory.

    Raises:
        InputError: the text is too short, or not even the smallest model fits in memory.
    """
    config = _fit_text(config, corpus, minutes)
    best: Proposal | None = None
    for width in widths:
        shortage = describe_shortage(_set_width(config, width), len(corpus.vocabulary))
        if shortage and best is None:
            raise InputError(shortage)
        candidate = None if shortage else _plan(_set_width(config, width), corpus, minutes)
        if candidate is None or (best is not None and not _is_trainable(candidate)):
            break
        best = candidate
    assert best is not None  # noqa: S101  # the first width always gives one
    return best


def _fit_text(config: Config, corpus: Corpus, minutes: float) -> Config:
    """Return the configuration with a validation part and a batch that suit the text's length and the device."""
    num_val_chars = min(MAX_VAL_CHARS, MAX_VAL_CHARS_PER_MINUTE * max(minutes, 1.0))
    val_frac = min(0.1, float(f"{num_val_chars / len(corpus.ids):.2g}"))
    config = config.replace("data", val_frac=val_frac)
    num_chars = len(split_ids(corpus.ids, val_frac, 0.0).train)
    device = choose_device(config.train.device, "train.device")
    batch_size = 32 if device.type == "cpu" else 128
    while batch_size > 1 and num_chars < 16 * batch_size * config.train.seq_length:
        batch_size //= 2
    return config.replace("train", batch_size=batch_size)


def _set_width(config: Config, width: int) -> Config:
    """Return the configuration with a width, and the learning rate for it."""
    rate = round(0.01 * min(1.0, 384 / width), 4)
    config = config.replace("model", num_layers=1, hidden_size=width, embed_size=min(width, 64))
    return config.replace("train", learning_rate=rate)


def _plan(config: Config, corpus: Corpus, minutes: float) -> Proposal:
    """Return the proposal for one width: the speeds of training and of validation are measured."""
    session = Session(config, corpus)
    chars_per_s = measure_speed(session)
    validation_s = len(session.splits.val) / _measure_reading(session)
    share = int(VALIDATION_SHARE * 60 * minutes / validation_s)
    num_validations = min(MAX_VALIDATIONS, max(1, share))
    training_s = (1 - SPARE_SHARE) * 60 * minutes - num_validations * validation_s
    num_chars = min(training_s * chars_per_s, MAX_PASSES * len(session.splits.train))
    steps = max(num_validations, round(num_chars / session.chars_per_step))
    num_passes = steps * session.chars_per_step / len(session.splits.train)
    num_parameters = count_parameters(config.model, len(corpus.vocabulary))["whole"]
    strain = num_passes * num_parameters / len(session.splits.train)
    return Proposal(
        config=_regularize(_set_steps(config, steps, num_validations), num_passes, strain),
        num_chars=len(corpus.ids),
        num_parameters=num_parameters,
        num_passes=num_passes,
        chars_per_s=chars_per_s,
        num_validations=num_validations,
        duration_s=steps * session.chars_per_step / chars_per_s + num_validations * validation_s,
    )


def _measure_reading(session: Session) -> float:
    """Return the speed of a validation in characters per second."""
    ids = session.splits.train[:TRIAL_LENGTH]
    evaluate(session.shown, ids[: TRIAL_LENGTH // 8])  # the first call allocates memory
    began_at_s = time.perf_counter()
    evaluate(session.shown, ids)
    return len(ids) / (time.perf_counter() - began_at_s)


def _set_steps(config: Config, steps: int, num_validations: int) -> Config:
    every = -(-steps // num_validations)
    return config.replace(
        "train",
        max_steps=steps,
        warmup_steps=min(100, steps // 10),
        log_every=max(1, min(25, steps // 20)),
        eval_every=every,
        checkpoint_every=every,
    )


def _regularize(config: Config, num_passes: float, strain: float) -> Config:
    """Return the configuration with as much dropout, averaging and time at the peak rate as a text calls for.

    Args:
        config: the configuration.
        num_passes: passes over the training part.
        strain: passes times the parameters for each character of the training part; a model memorizes if it is high.
    """
    if num_passes <= 2:
        return config
    # the average must be short beside the fall of the rate
    config = config.replace("train", average_decay=0.99 if config.train.max_steps < 10000 else 0.998)
    if num_passes > 4:
        config = config.replace("train", decay_frac=0.2)
    if strain <= MAX_STRAINS[0]:
        return config.replace("model", dropout=0.1)
    if strain <= MAX_STRAINS[1]:
        return config.replace("model", dropout=0.3)
    return config.replace("model", dropout=0.2, dropconnect=0.2)


def _is_trainable(proposal: Proposal) -> bool:
    """Return whether the time and the text suffice for a model."""
    settings = proposal.config.train
    num_read = settings.max_steps * settings.batch_size * settings.seq_length
    return (
        num_read >= MIN_CHARS_PER_PARAMETER * proposal.num_parameters
        and proposal.num_chars >= MIN_TEXT_PER_PARAMETER * proposal.num_parameters
    )
