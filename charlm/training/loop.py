"""The training loop, which can be resumed after any step."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from charlm.config import Config
from charlm.errors import StoppedError
from charlm.runs.directory import RunDirectory
from charlm.system.signals import catch_signals
from charlm.text.baselines import measure_baselines
from charlm.text.corpus import load_corpus
from charlm.training.checks import check_prompt
from charlm.training.distribution import ALONE, Group, refuse_group
from charlm.training.estimates import count_parameters, refuse_shortage
from charlm.training.inheritance import Inheritance, describe_inheritance
from charlm.training.observer import Observer
from charlm.training.origin import find_origin
from charlm.training.reporter import Reporter, RunDescription
from charlm.training.result import TrainingResult, describe_result
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint, share
from charlm.training.start import begin

PASSAGE_LENGTH = 256
"""Number of characters of the validation part that reporters may use as input of the model."""


def train(
    config: Config,
    directory: Path,
    resume: bool = False,
    reporter: Reporter | None = None,
    group: Group = ALONE,
) -> TrainingResult:
    """Train a model and write the results to a run directory.

    Args:
        config: the configuration of the run.
        directory: the run directory; it is created.
        resume: resume the run in the directory, or start one if there is none.
        reporter: receives every event; only that of the first process is used.
        group: the processes that train the run; each calls this function.

    Raises:
        InputError: the corpus, the device, the directory or a change of configuration cannot be used, or the run does
            not fit in memory; nothing is written.
        StoppedError: the process received a signal; the state was saved.
        CharlmError: the run failed; its last checkpoint is intact.
    """
    run = RunDirectory(directory)
    if not group.is_first:
        return _follow(run, group)
    reporter = reporter or Reporter()
    resume = resume or group.has_begun(directory)
    if not resume:
        run.refuse_old_run()
    run.refuse_second_writer(reporter.warn)
    session, inheritance = _prepare(config, run, resume, reporter, group)
    with run.locked(reporter.warn) as is_alone:
        if not is_alone:
            reporter.warn("this system cannot lock the run directory; make sure that no second process trains in it.")
        if not resume:
            run.refuse_old_run()  # another process may have started one in the meantime
        begin(session, run, reporter)
        group.note_beginning(directory)
        share(session, group)
        baselines_bits = measure_baselines(session.splits.train, session.splits.val, session.corpus.vocabulary)
        group.hand_out(baselines_bits)
        with catch_signals(run.mark_ending) as caught_signal:
            try:
                reporter.start(_describe_run(session, baselines_bits, inheritance))
                _run_to_end(session, run, reporter, caught_signal, Observer(session, run, reporter))
            finally:
                reporter.close()
    return describe_result(session, baselines_bits)


def _prepare(
    config: Config, run: RunDirectory, resume: bool, reporter: Reporter, group: Group
) -> tuple[Session, Inheritance | None]:
    """Return the session of a run before any save is restored, and what it takes over from its base.

    Raises:
        InputError: the base, the corpus, the device or the prompt cannot be used, or the run does not fit in memory.
    """
    origin = find_origin(config, run if resume else None, reporter.warn)
    config, base = origin.config, origin.base
    group.hand_out({"config": config.model_dump(), "symbols": [*origin.symbols]})
    with group.one_first():
        text = load_corpus(config.data.path, config.data.level, reporter.read)
        corpus = text.extend(origin.symbols)
        refuse_shortage(config, len(corpus.vocabulary), group)
        check_prompt(config, corpus.vocabulary, reporter.warn if resume and run.has_run else None)
        session = Session(config, corpus, base.checkpoint if base else None)
    refuse_group(group, config.train.batch_size, session.device)
    return session, describe_inheritance(origin, text.vocabulary)


def _follow(run: RunDirectory, group: Group) -> TrainingResult:
    """Train along with the first process of a group, without a word and without touching the run directory."""
    origin = group.hand_out(None)
    config = Config.model_validate(origin["config"])
    with group.one_first():
        corpus = load_corpus(config.data.path, config.data.level).extend(origin["symbols"])
        refuse_shortage(config, len(corpus.vocabulary), group)
        session = Session(config, corpus)
    refuse_group(group, config.train.batch_size, session.device)
    share(session, group)
    baselines_bits = group.hand_out(None)
    with catch_signals() as caught_signal:
        _run_to_end(session, run, Reporter(), caught_signal)
    return describe_result(session, baselines_bits)


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


def _run_to_end(
    session: Session,
    run: RunDirectory,
    reporter: Reporter,
    caught_signal: Callable[[], int | None],
    observer: Observer | None = None,
) -> None:
    """Take all remaining steps, with logging, validation and saving when they are due.

    All processes of a group decide together when to save and to stop; one of them has an observer, and writes.
    """
    settings, group = session.config.train, session.group
    if settings.init_digest and session.step == 0 and math.isinf(session.best[0]):
        _validate(session, reporter, observer)  # the base of the run, which may remain the best model
        _save(session, run, observer)
    began_at_s = time.monotonic() - session.elapsed_s
    saved_at_s = time.monotonic()
    while not session.is_finished:
        if not session.take_step():
            reporter.warn(f"step {session.step} was skipped: its gradient is not finite.")
        session.elapsed_s = time.monotonic() - began_at_s
        reporter.advance(session.step, session.chars_per_step)
        if _is_due(session, settings.log_every) and observer:
            observer.log_training()
        if _is_due(session, settings.eval_every):
            _validate(session, reporter, observer)
            session.elapsed_s = time.monotonic() - began_at_s  # the last validation is part of the run

        wants_save = _is_save_due(session, time.monotonic() - saved_at_s)
        signal_number, is_save_due = group.find_maxima(caught_signal() or 0, int(wants_save))
        if signal_number or is_save_due:
            _save(session, run, observer)
            saved_at_s = time.monotonic()
        if signal_number and not session.is_finished:
            group.find_maxima(0)  # waits: torchrun ends all processes as soon as one has ended, and one is still saving
            raise StoppedError(
                f"after step {session.step} of {session.last_step}; everything is saved. "
                f"Resume with: charlm train --out {run.path} --resume",
                signal_number,
            )


def _is_due(session: Session, every: int) -> bool:
    """Return whether something that happens at regular steps and at the end of the run happens now."""
    return session.is_finished or session.step % every == 0


def _validate(session: Session, reporter: Reporter, observer: Observer | None) -> None:
    """Let the process that has the observer validate, and begin the cool-down if the patience has run out."""
    if observer:
        observer.validate()
    session.take_over_record()
    if session.cool_down_if_due():
        reporter.begin_cool_down(session.step, session.last_step)


def _save(session: Session, run: RunDirectory, observer: Observer | None) -> None:
    """Let the process that has the observer save the state of all."""
    checkpoint = make_checkpoint(session, is_resumable=True)
    if observer:
        run.save_last(checkpoint)


def _is_save_due(session: Session, unsaved_s: float) -> bool:
    settings = session.config.train
    is_long_ago = 0 < settings.checkpoint_minutes <= unsaved_s / 60
    return _is_due(session, settings.checkpoint_every) or is_long_ago
