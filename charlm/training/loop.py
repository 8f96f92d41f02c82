"""Training: one visible loop, resumable after any step."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

from charlm.config import Config
from charlm.errors import StoppedError
from charlm.inference.evaluation import evaluate
from charlm.inference.generation import sample_texts
from charlm.inference.sampling import Sampling
from charlm.runs.directory import Row, RunDirectory
from charlm.system.signals import catch_signals
from charlm.text.baselines import measure_baselines
from charlm.text.corpus import load_corpus
from charlm.training.checks import check_prompt
from charlm.training.estimates import count_parameters, refuse_shortage
from charlm.training.reporter import Reporter, RunDescription
from charlm.training.session import Session

PASSAGE_LENGTH = 256
"""Characters of the validation part that reporters may run the model on."""


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run reached.

    Attributes:
        steps: optimizer steps in all.
        best_loss_nats: lowest validation loss, nats per character.
        best_step: when it was reached.
        last_loss_nats: validation loss after the last step.
        num_chars: characters trained on, repetitions counted.
        elapsed_s: time it took, interruptions left out.
        baselines_bits: bits per character of simple predictors on the same validation part.
        num_parameters: by part of the model, the whole last.
    """

    steps: int
    best_loss_nats: float
    best_step: int
    last_loss_nats: float
    num_chars: int
    elapsed_s: float
    baselines_bits: dict[str, float]
    num_parameters: dict[str, int]

    @property
    def best_bits_per_char(self) -> float:
        """The lowest validation loss in bits; of a byte, in a byte vocabulary."""
        return self.best_loss_nats / math.log(2)


def train(config: Config, directory: Path, resume: bool = False, reporter: Reporter | None = None) -> TrainingResult:
    """Train a model into a run directory.

    Args:
        config: what to train.
        directory: the run directory; it is created.
        resume: go on with the run that the directory holds, or begin it where there is none.
        reporter: is told of every event.

    Raises:
        InputError: the corpus, the device, the directory or a change of configuration cannot be used, or the run does
            not fit the memory; nothing is written.
        StoppedError: a signal came; the state was saved.
        CharlmError: the run failed; its last checkpoint stands.
    """
    reporter = reporter or Reporter()
    run = RunDirectory(directory)
    if not resume:
        run.refuse_old_run()
    run.refuse_second_writer()
    corpus = load_corpus(config.data.path, config.data.level, reporter.read)
    refuse_shortage(config, len(corpus.vocabulary))
    check_prompt(config, corpus.vocabulary, reporter.warn if resume and run.has_run else None)
    session = Session(config, corpus)
    with run.locked() as is_alone:
        if not is_alone:
            reporter.warn("this system cannot lock the run directory; see that no second process trains into it.")
        if not resume:
            run.refuse_old_run()  # another process may have begun one meanwhile
        _begin(session, run, reporter)
        try:
            baselines_bits = measure_baselines(session.splits.train, session.splits.val, session.corpus.vocabulary)
            reporter.start(_describe_run(session, baselines_bits))
            _run_to_end(session, run, reporter)
        finally:
            reporter.close()
    return _describe_result(session, baselines_bits)


def _begin(session: Session, run: RunDirectory, reporter: Reporter) -> None:
    """Stand where the run was saved last, if it was, and make its directory ready."""
    _, damaged = run.load_newest(session.restore)
    for path, reason in reversed(damaged.items()):
        reporter.warn(f"{reason} The run goes on from the save before it, of step {session.step}.")
        run.set_aside(path)
    run.begin(session.config.to_yaml(), session.step)


def _describe_run(session: Session, baselines_bits: dict[str, float]) -> RunDescription:
    kernel = session.model.lstm.kernel
    return RunDescription(
        config=session.config,
        step=session.step,
        best_loss_nats=session.best[0],
        device=str(session.device),
        precision=session.precision,
        kernel=f"{kernel.name} ({kernel.note})",
        num_parameters=count_parameters(session.config.model, len(session.corpus.vocabulary)),
        baselines_bits=baselines_bits,
        passage=session.splits.val[:PASSAGE_LENGTH],
    )


def _run_to_end(session: Session, run: RunDirectory, reporter: Reporter) -> None:
    """Take every step that is left, and do after each what is due."""
    settings = session.config.train
    began_at_s = time.monotonic() - session.elapsed_s
    saved_at_s = time.monotonic()
    with catch_signals() as caught_signal:
        while not session.is_finished:
            if not session.take_step():
                reporter.warn(f"step {session.step} was skipped: its gradient is not finite.")
            session.elapsed_s = time.monotonic() - began_at_s
            reporter.advance(session.step, session.chars_per_step)

            signal_number = caught_signal()
            if session.is_finished or session.step % settings.log_every == 0:
                _log_training(session, run, reporter)
            if session.is_finished or session.step % settings.eval_every == 0:
                _validate(session, run, reporter)
            if signal_number or _is_save_due(session, time.monotonic() - saved_at_s):
                run.save_last(session.checkpoint(is_resumable=True))
                saved_at_s = time.monotonic()
            if signal_number and not session.is_finished:
                raise StoppedError(
                    f"after step {session.step} of {settings.max_steps}; everything is saved. "
                    f"Go on with: charlm train --out {run.path} --resume",
                    signal_number,
                )


def _is_save_due(session: Session, unsaved_s: float) -> bool:
    settings = session.config.train
    is_long_ago = 0 < settings.checkpoint_minutes <= unsaved_s / 60
    return session.is_finished or session.step % settings.checkpoint_every == 0 or is_long_ago


def _log_training(session: Session, run: RunDirectory, reporter: Reporter) -> None:
    """Write the means since the last such line."""
    interval = session.begin_interval()
    if interval.num_steps:
        num_chars = interval.num_steps * session.chars_per_step
        row = {
            "step": session.step,
            "split": "train",
            "loss_nats": interval.loss_nats / interval.num_steps,
            "bits_per_char": interval.loss_nats / interval.num_steps / math.log(2),
            "chars_per_s": round(num_chars / interval.training_s, 1),
            "learning_rate": session.learning_rate,
            "grad_norm": interval.grad_norm / interval.num_steps,
            "elapsed_s": round(session.elapsed_s, 3),
        }
        run.append_row(row)
        reporter.log(row)


def _validate(session: Session, run: RunDirectory, reporter: Reporter) -> None:
    """Measure the exact validation loss, keep the best model, and show a sample."""
    row = _measure(session)
    session.last_loss_nats = row["loss_nats"]
    run.append_row(row)
    reporter.log(row)
    reporter.show_model(session.step, session.shown)
    if session.last_loss_nats < session.best[0]:
        session.best = (session.last_loss_nats, session.step)
        run.save_best(session.checkpoint(is_resumable=False))
    settings = session.config.sample
    [text] = sample_texts(
        session.shown,
        session.corpus.vocabulary,
        prompt=settings.prompt,
        length=settings.length,
        sampling=Sampling(settings.temperature),
        seed=session.config.train.seed,
        on_unknown="replace",
    )
    run.save_sample(session.step, text)
    reporter.show_sample(session.step, text)


def _measure(session: Session) -> Row:
    """Return the row of a validation: the loss of the model that is shown, and of the trained one where it differs."""
    began_at_s = time.monotonic()
    evaluation = evaluate(session.shown, session.splits.val)
    row = {
        "step": session.step,
        "split": "val",
        "loss_nats": evaluation.loss_nats,
        "bits_per_char": evaluation.bits_per_char,
        "chars_per_s": round(evaluation.num_chars / (time.monotonic() - began_at_s), 1),
        "learning_rate": session.learning_rate,
        "elapsed_s": round(session.elapsed_s, 3),
    }
    if session.shown is not session.model:
        row["trained_loss_nats"] = evaluate(session.model, session.splits.val).loss_nats
    return row


def _describe_result(session: Session, baselines_bits: dict[str, float]) -> TrainingResult:
    return TrainingResult(
        steps=session.step,
        best_loss_nats=session.best[0],
        best_step=session.best[1],
        last_loss_nats=session.last_loss_nats,
        num_chars=session.step * session.chars_per_step,
        elapsed_s=session.elapsed_s,
        baselines_bits=baselines_bits,
        num_parameters=count_parameters(session.config.model, len(session.corpus.vocabulary)),
    )
