"""How long the trials and runs of a comparison will take: measured in a few steps, then corrected by those that end."""

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from charlm.config import Config
from charlm.inference.evaluation import evaluate
from charlm.text.corpus import Corpus
from charlm.training.dry_run import measure_speed
from charlm.training.session import Session

MEASURED_CHARS = 2000
"""Characters of the validation part whose evaluation is timed."""


class Forecast:
    """The expected duration of what is left.

    Where none of an arm's trials or runs has ended, its measured duration is corrected like that of the other arms.

    Args:
        measured_s: duration of one run of each arm by its name, in seconds.
        num_jobs: how many runs are trained at a time.
    """

    def __init__(self, measured_s: Mapping[str, float], num_jobs: int) -> None:
        self._measured_s, self._num_jobs = measured_s, num_jobs
        self._observed_s: dict[str, list[float]] = {}

    def observe(self, arm_name: str, duration_s: float) -> None:
        """Correct the forecast by the duration of a run, or of a trial that was not ended early."""
        self._observed_s.setdefault(arm_name, []).append(duration_s)

    def left_s(self, num_left: Mapping[str, int], under_way_s: float) -> float:
        """Return the expected seconds to the end, as if no trial ended early.

        Args:
            num_left: the number of runs and trials of each arm that have not ended.
            under_way_s: the summed time that those under way have taken.
        """
        total_s = sum(count * self._expect_s(name) for name, count in num_left.items() if count)
        return max(0.0, total_s - under_way_s) / self._num_jobs

    def _expect_s(self, arm_name: str) -> float:
        if arm_name in self._observed_s:
            return statistics.fmean(self._observed_s[arm_name])
        ratios = [statistics.fmean(all_s) / self._measured_s[name] for name, all_s in self._observed_s.items()]
        return self._measured_s[arm_name] * (statistics.fmean(ratios) if ratios else 1.0)


def measure_run(config: Config, corpus: Corpus, num_threads: int) -> float:
    """Return the expected seconds of a run, validations included, from a few steps and a short evaluation."""
    with _threads(num_threads):
        session = Session(config, corpus)
        training_s = config.train.max_steps * session.chars_per_step / measure_speed(session)
        ids = session.splits.val[:MEASURED_CHARS]
        began_at_s = time.perf_counter()
        evaluate(session.shown, ids)
        s_per_char = (time.perf_counter() - began_at_s) / len(ids)
    num_models = 1 if session.average is None else 2
    num_validations = -(-config.train.max_steps // config.train.eval_every)
    return training_s + num_validations * num_models * s_per_char * len(session.splits.val)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Set the number of threads of torch within the context."""
    former = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(former)


def threads_of_job(num_jobs: int) -> int:
    """Return the number of threads of each of ``num_jobs`` parallel runs, at least 1."""
    return max(1, torch.get_num_threads() // num_jobs)
