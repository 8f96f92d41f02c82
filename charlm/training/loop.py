"""The training loop, which can be resumed after any step."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from charlm.config import Config
from charlm.errors import StoppedError
from charlm.runs.directory import RunDirectory
from charlm.system.signals import catch_signals
from charlm.text.baselines import measure_baselines
from charlm.text.corpus import load_corpus
from charlm.training.checks import check_prompt
from charlm.training.diagnosis import judge_result
from charlm.training.estimates import count_parameters, refuse_shortage
from charlm.training.inheritance import Inheritance, describe_inheritance
from charlm.training.observer import Observer
from charlm.training.origin import find_origin
from charlm.training.reporter import Reporter, RunDescription
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint
from charlm.training.start import begin

PASSAGE_LENGTH = 256
"""Number of characters of the validation part that reporters may use as input of the model."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of a finished run.

    Attributes:
        steps: total number of optimizer steps.
        best_loss_nats: lowest validation loss, nats per character.
        best_step: step at which the lowest validation loss was reached.
        last_loss_nats: validation loss after the last step.
        num_chars: number of characters trained on, including repetitions.
        elapsed_s: duration of the run in seconds, without interruptions.
        baselines_bits: loss of simple predictors on the same validation part, bits per character.
        num_parameters: number of parameters of each part of the model; the total is last.
        garbage_frac: fraction of garbage in text that the best model generates without a prompt, 0 to 1.
        early_stop_step: step after which ``train.patience`` ran out; None if the run took ``train.max_steps``.
        problems: problems of the training result, one sentence with advice each.
    """

    steps: int
    best_loss_nats: float
    best_step: int
    last_loss_nats: float
    num_chars: int
    elapsed_s: float
    baselines_bits: dict[str, float]
    num_parameters: dict[str, int]
    garbage_frac: float | None
    early_stop_step: int | None
    problems: list[str]

    @property
    def best_bits_per_char(self) -> float:
        """The lowest validation loss in bits per character; in bits per byte for a byte vocabulary."""
        return self.best_loss_nats / math.log(2)


def train(config: Config, directory: Path, resume: bool = False, reporter: Reporter | None = None) -> TrainingResult:
    """Train a model and write the results to a run directory.

    Args:
        config: the configuration of the run.
        directory: the run directory; it is created.
        resume: resume the run in the directory, or start one if there is none.
        reporter: receives every event.

    Raises:
        InputError: the corpus, the device, the directory or a change of configuration cannot be used, or the run does
            not fit in memory; nothing is written.
        StoppedError: the process received a signal; the state was saved.
        CharlmError: the run failed; its last checkpoint is intact.
    """
    reporter = reporter or Reporter()
    run = RunDirectory(directory)
    if not resume:
        run.refuse_old_run()
    run.refuse_second_writer(reporter.warn)
    session, inheritance = _prepare(config, run, resume, reporter)
    with run.locked(reporter.warn) as is_alone:
        if not is_alone:
            reporter.warn("this system cannot lock the run directory; make sure that no second process trains in it.")
        if not resume:
            run.refuse_old_run()  # another process may have started one in the meantime
        begin(session, run, reporter)
        baselines_bits = measure_baselines(session.splits.train, session.splits.val, session.corpus.vocabulary)
        with catch_signals(run.mark_ending) as caught_signal:
            try:
                reporter.start(_describe_run(session, baselines_bits, inheritance))
                observer = Observer(session, run, reporter)
                _validate_base(session, run, observer)
                _run_to_end(session, run, observer, reporter, caught_signal)
            finally:
                reporter.close()
    return _describe_result(session, baselines_bits)


def _prepare(config: Config, run: RunDirectory, resume: bool, reporter: Reporter) -> tuple[Session, Inheritance | None]:
    """Return the session of a run before any save is restored, and what it takes over from its base.

    Raises:
        InputError: the base, the corpus, the device or the prompt cannot be used, or the run does not fit in memory.
    """
    origin = find_origin(config, run if resume else None, reporter.warn)
    config, base = origin.config, origin.base
    text = load_corpus(config.data.path, config.data.level, reporter.read)
    corpus = text.extend(origin.symbols)
    refuse_shortage(config, len(corpus.vocabulary))
    check_prompt(config, corpus.vocabulary, reporter.warn if resume and run.has_run else None)
    session = Session(config, corpus, base.checkpoint if base else None)
    return session, describe_inheritance(origin, text.vocabulary)


def _describe_run(
    session: Session, baselines_bits: dict[str, float], inheritance: Inheritance | None
) -> RunDescription:
    kernel = session.model.lstm.kernel
    return RunDescription(
        config=session.config,
        step=session.step,
        last_step=session.last_step,
        best_loss_nats=session.best[0],
        device=str(session.device),
        precision=session.precision,
        kernel=f"{kernel.name} ({kernel.note})",
        num_parameters=count_parameters(session.config.model, len(session.corpus.vocabulary)),
        baselines_bits=baselines_bits,
        vocabulary=session.corpus.vocabulary,
        passage=session.splits.val[:PASSAGE_LENGTH],
        inheritance=inheritance,
    )


def _validate_base(session: Session, run: RunDirectory, observer: Observer) -> None:
    """Validate the base of a run on its text, unless that is done; it may remain the best model."""
    if session.config.train.init_digest and session.step == 0 and math.isinf(session.best[0]):
        observer.validate()
        run.save_last(make_checkpoint(session, is_resumable=True))


def _run_to_end(
    session: Session,
    run: RunDirectory,
    observer: Observer,
    reporter: Reporter,
    caught_signal: Callable[[], int | None],
) -> None:
    """Take all remaining steps, with logging, validation and saving when they are due."""
    settings = session.config.train
    began_at_s = time.monotonic() - session.elapsed_s
    saved_at_s = time.monotonic()
    while not session.is_finished:
        if not session.take_step():
            reporter.warn(f"step {session.step} was skipped: its gradient is not finite.")
        session.elapsed_s = time.monotonic() - began_at_s
        reporter.advance(session.step, session.chars_per_step)

        signal_number = caught_signal()
        if session.is_finished or session.step % settings.log_every == 0:
            observer.log_training()
        if session.is_finished or session.step % settings.eval_every == 0:
            observer.validate()
            session.elapsed_s = time.monotonic() - began_at_s  # the last validation is part of the run
            if session.cool_down_if_due():
                reporter.begin_cool_down(session.step, session.last_step)
        if signal_number or _is_save_due(session, time.monotonic() - saved_at_s):
            run.save_last(make_checkpoint(session, is_resumable=True))
            saved_at_s = time.monotonic()
        if signal_number and not session.is_finished:
            raise StoppedError(
                f"after step {session.step} of {session.last_step}; everything is saved. "
                f"Resume with: charlm train --out {run.path} --resume",
                signal_number,
            )


def _is_save_due(session: Session, unsaved_s: float) -> bool:
    settings = session.config.train
    is_long_ago = 0 < settings.checkpoint_minutes <= unsaved_s / 60
    return session.is_finished or session.step % settings.checkpoint_every == 0 or is_long_ago


def _describe_result(session: Session, baselines_bits: dict[str, float]) -> TrainingResult:
    best_loss_nats, best_step = session.best
    return TrainingResult(
        steps=session.step,
        best_loss_nats=best_loss_nats,
        best_step=best_step,
        last_loss_nats=session.last_loss_nats,
        num_chars=session.step * session.chars_per_step,
        elapsed_s=session.elapsed_s,
        baselines_bits=baselines_bits,
        num_parameters=count_parameters(session.config.model, len(session.corpus.vocabulary)),
        garbage_frac=session.best_garbage_frac,
        early_stop_step=session.early_stop_step,
        problems=judge_result(best_loss_nats / math.log(2), baselines_bits, session.best_garbage_frac),
    )
