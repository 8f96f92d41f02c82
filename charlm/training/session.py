"""The state of a run in memory: the model in training, and everything else that a step changes.

Dimensions: B batch, T time.
"""

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from charlm.config import Config
from charlm.errors import DivergedError
from charlm.lstm import LSTMState
from charlm.lstm.dropout import StreamGenerator
from charlm.lstm.layers import States
from charlm.model import CharLM
from charlm.runs.checkpoint import Checkpoint
from charlm.system.device import choose_device
from charlm.text.corpus import Corpus
from charlm.text.streams import ParallelStreams, count_symbols, split_ids
from charlm.training.averaging import WeightAverage
from charlm.training.distribution import ALONE, Group
from charlm.training.inheritance import inherit_weights
from charlm.training.optimization import build_optimizer, choose_precision, train_step
from charlm.training.schedule import cool_down, learning_rate_at, plan_decay

MAX_SKIPPED_STEPS = 5
"""Number of consecutive steps without a finite gradient after which a run fails."""


@dataclass
class Interval:
    """Sums over the steps since the last line of training metrics."""

    num_steps: int = 0
    loss_nats: float = 0.0
    grad_norm: float = 0.0
    training_s: float = 0.0


class Session:
    """A model in training, with the state of its run.

    Attributes:
        step: number of steps taken.
        decay: the fall of the learning rate at the end of the run.
        best: lowest validation loss in nats per character, and the step at which it was reached.
        best_garbage_frac: fraction of garbage in text that the best model generates without a prompt; None before the
            first validation.
        last_loss_nats: the latest validation loss; infinite before the first.
        elapsed_s: duration of the run so far in seconds, without interruptions.
        interval: sums since the last line of training metrics.

    Args:
        config: the configuration of the run.
        corpus: the text to train on.
        base: the model whose weights the run begins with, of the sizes that the configuration has; None for new ones.

    Raises:
        InputError: the corpus is too short, or the device is not available.
    """

    def __init__(self, config: Config, corpus: Corpus, base: Checkpoint | None = None) -> None:
        self.config = config
        self.corpus = corpus
        self.splits = split_ids(corpus.ids, config.data.val_frac, config.data.test_frac)
        self.streams = ParallelStreams(self.splits.train, config.train.batch_size, config.train.seq_length)
        self.device = choose_device(config.train.device, "train.device")
        self.generator = StreamGenerator(config.train.batch_size)
        self.generator.manual_seed(config.train.seed)
        sizes, kernel = config.model.model_dump(), config.train.kernel
        model = CharLM(len(corpus.vocabulary), **sizes, kernel=kernel, generator=self.generator)
        model.start_from_frequencies(self.count_training_symbols())
        if base is not None:
            inherit_weights(model, corpus.vocabulary, base)
        self.model = model.to(self.device).train()
        self.precision = choose_precision(config.train.precision, self.model)
        self.optimizer = build_optimizer(self.model, config.train)
        decay = config.train.average_decay
        self.average = WeightAverage(self.model, decay) if decay > 0 else None
        self.group = ALONE
        self.states = self.model.initial_state(config.train.batch_size)
        self.step = 0
        self.decay = plan_decay(config.train)
        self.best = (math.inf, 0)
        self.best_garbage_frac: float | None = None
        self.last_loss_nats = math.inf
        self.elapsed_s = 0.0
        self.skipped_in_a_row = 0
        self.interval = Interval()

    def join(self, group: Group) -> None:
        """Share every step with other processes from now on; all of their sessions have the same state."""
        self.group = group
        self.streams = replace(self.streams, own=group.own)
        self.generator.own = group.own
        self.states = tuple(LSTMState(*(tensor[group.own] for tensor in state)) for state in self.states)

    def whole_states(self) -> States:
        """Return the states of the streams of all processes."""
        batch_size = self.config.train.batch_size
        return tuple(
            LSTMState(*(self.group.join_streams(tensor, batch_size) for tensor in state)) for state in self.states
        )

    def take_over_record(self) -> None:
        """Take over what the first process knows of validations, which it alone makes."""
        own = (self.last_loss_nats, *self.best, self.best_garbage_frac)
        self.last_loss_nats, loss_nats, step, self.best_garbage_frac = self.group.hand_out(own)
        self.best = (loss_nats, step)

    def count_training_symbols(self) -> Tensor:
        """Return the number of occurrences of each symbol in the training part, (V,)."""
        V = len(self.corpus.vocabulary)
        return self.corpus.counts - count_symbols(self.splits.val, V) - count_symbols(self.splits.test, V)

    @property
    def shown(self) -> CharLM:
        """The model that is validated, sampled and saved to best.pt."""
        return self.model if self.average is None else self.average.model

    @property
    def chars_per_step(self) -> int:
        """The number of characters per step, B T."""
        return self.config.train.batch_size * self.config.train.seq_length

    @property
    def is_finished(self) -> bool:
        """Whether all steps were taken."""
        return self.step >= self.last_step

    @property
    def last_step(self) -> int:
        """Number of steps at the end of the run: ``max_steps``, or fewer in a run that stops early."""
        return self.decay.end

    @property
    def early_stop_step(self) -> int | None:
        """Step after which the patience ran out; None if the run takes ``max_steps``."""
        return self.decay.start if self.last_step < self.config.train.max_steps else None

    @property
    def learning_rate(self) -> float:
        """The learning rate of the latest step."""
        return learning_rate_at(max(0, self.step - 1), self.config.train, self.decay)

    def take_step(self) -> bool:
        """Train on the next batch; return False if its gradient is not finite, in which case the weights do not change.

        Raises:
            DivergedError: the gradient was not finite in too many consecutive steps.
        """
        started_at_s = time.monotonic()
        settings = self.config.train
        batch = self.streams.batch(self.step)
        states = self._reset_some(self.states)
        if batch.is_pass_start:
            states = self.model.initial_state(len(batch.inputs))
        learning_rate = learning_rate_at(self.step, settings, self.decay)
        result = train_step(
            self.model,
            self.optimizer,
            batch,
            states,
            learning_rate,
            settings.grad_clip,
            self.precision,
            self.generator,
            self.group,
        )
        self.step += 1
        self.interval.training_s += time.monotonic() - started_at_s
        if not result.is_finite:
            self._skip()
            return False
        self.states = result.states
        if self.average is not None:
            self.average.update(self.model, self.step)
        self.skipped_in_a_row = 0
        self.interval.num_steps += 1
        self.interval.loss_nats += result.loss_nats
        self.interval.grad_norm += result.grad_norm
        return True

    def _reset_some(self, states: States) -> States:
        """Set the state of each stream to zero with the configured probability.

        This trains the model to start from the zero state, as it does when it samples without a prompt.
        """
        probability = self.config.train.reset_probability
        if probability == 0:
            return states
        kept = torch.rand(self.config.train.batch_size, 1, generator=self.generator) >= probability  # (B, 1)
        kept = kept[self.generator.own].to(self.device)
        return tuple(LSTMState(*(tensor.where(kept, 0) for tensor in state)) for state in states)

    def _skip(self) -> None:
        self.states = tuple(LSTMState(*map(torch.zeros_like, state)) for state in self.states)  # may contain NaN
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row == MAX_SKIPPED_STEPS:
            raise DivergedError(
                f"the gradient was not finite in {MAX_SKIPPED_STEPS} steps in a row, up to step {self.step}; earlier "
                "saves are intact. Lower train.learning_rate or train.grad_clip (above 0), or raise "
                "train.warmup_steps, and train in another directory."
            )

    def cool_down_if_due(self) -> bool:
        """Begin the cool-down if the patience has run out, and return whether it did; called after each validation.

        The number of validations since the best one follows from the steps, because ``eval_every`` is constant.
        """
        settings = self.config.train
        if settings.patience == 0 or self.step >= self.decay.start:
            return False
        if self.step // settings.eval_every - self.best[1] // settings.eval_every < settings.patience:
            return False
        self.decay = cool_down(self.step, settings, self.decay)
        return True

    def begin_interval(self) -> Interval:
        """Return the sums since the last line of training metrics, and reset them."""
        interval, self.interval = self.interval, Interval()
        return interval
