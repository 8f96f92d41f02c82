"""What a run measures along the way: rows of training metrics, validations, the best model, samples, and warnings."""

import math
import time

from charlm.inference.coherence import CoherenceJudge
from charlm.inference.evaluation import evaluate
from charlm.inference.generation import encode_prompt, sample_texts
from charlm.inference.sampling import Sampling
from charlm.runs.directory import RunDirectory
from charlm.runs.metrics import Row
from charlm.training.diagnosis import Diagnosis
from charlm.training.reporter import Reporter
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint


class Observer:
    """Measures a session, and writes what it finds to the run directory and to a reporter.

    It never changes the training, only the session's record of the best model.

    Args:
        session: the run in memory.
        run: the run on disk.
        reporter: is told of every row, sample and warning.
    """

    def __init__(self, session: Session, run: RunDirectory, reporter: Reporter) -> None:
        self._session, self._run, self._reporter = session, run, reporter
        vocabulary, splits = session.corpus.vocabulary, session.splits
        first_id = int(encode_prompt(vocabulary, "")[0][0])
        self._judge = CoherenceJudge(splits.train, splits.val, len(vocabulary), first_id)
        self._diagnosis = Diagnosis(len(vocabulary))

    def log_training(self) -> None:
        """Write the means of the steps since the last such row."""
        session = self._session
        interval = session.begin_interval()
        if interval.num_steps:
            num_chars = interval.num_steps * session.chars_per_step
            loss_nats = interval.loss_nats / interval.num_steps
            row = {
                "step": session.step,
                "split": "train",
                "loss_nats": loss_nats,
                "bits_per_char": loss_nats / math.log(2),
                "chars_per_s": round(num_chars / interval.training_s, 1),
                "learning_rate": session.learning_rate,
                "grad_norm": interval.grad_norm / interval.num_steps,
                "elapsed_s": round(session.elapsed_s, 3),
            }
            self._write(row)
            self._warn(self._diagnosis.check_training(loss_nats, session.step))

    def validate(self) -> None:
        """Measure the exact validation loss, keep the best model, and show a sample."""
        session, run = self._session, self._run
        row = self._measure()
        session.last_loss_nats = row["loss_nats"]
        self._write(row)
        self._reporter.show_model(session.step, session.shown)
        self._warn(self._diagnosis.check_validation(session.last_loss_nats, *session.best))
        if session.last_loss_nats < session.best[0]:
            session.best = (session.last_loss_nats, session.step)
            session.best_garbage_frac = row["garbage_frac"]
            run.save_best(make_checkpoint(session, is_resumable=False))
        self._show_sample()

    def _measure(self) -> Row:
        """Return the row of a validation: the loss of the shown model, and of the trained one where it differs."""
        session = self._session
        began_at_s = time.monotonic()
        val = session.group.watch(session.splits.val)
        evaluation = evaluate(session.shown, val)
        chars_per_s = evaluation.num_chars / (time.monotonic() - began_at_s)
        row = {
            "step": session.step,
            "split": "val",
            "loss_nats": evaluation.loss_nats,
            "bits_per_char": evaluation.bits_per_char,
            "garbage_frac": self._judge.judge(session.shown, session.config.train.seed).garbage_frac,
            "chars_per_s": round(chars_per_s, 1),
            "learning_rate": session.learning_rate,
            "elapsed_s": round(session.elapsed_s, 3),
        }
        if session.shown is not session.model:
            row["trained_loss_nats"] = evaluate(session.model, val).loss_nats
        return row

    def _show_sample(self) -> None:
        session, settings = self._session, self._session.config.sample
        [text] = sample_texts(
            session.shown,
            session.corpus.vocabulary,
            prompt=settings.prompt,
            length=settings.length,
            sampling=Sampling(settings.temperature),
            seed=session.config.train.seed,
            on_unknown="replace",
        )
        self._run.save_sample(session.step, text)
        self._reporter.show_sample(session.step, text)

    def _write(self, row: Row) -> None:
        self._run.append_row(row)
        self._reporter.log(row)

    def _warn(self, problem: str | None) -> None:
        if problem is not None:
            self._reporter.warn(problem)
