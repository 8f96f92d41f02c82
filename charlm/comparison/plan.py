"""The plan of a comparison: its arms, trials and runs, and their expected duration."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from charlm.comparison.arms import Arm, Match, plan_arms
from charlm.comparison.tuning import Candidate, draw_candidates, tuning_seed
from charlm.config import Config
from charlm.errors import ConfigError, InputError
from charlm.text.corpus import Corpus, Progress, load_corpus
from charlm.training.checks import check_prompt
from charlm.training.dry_run import measure_speed
from charlm.training.estimates import refuse_shortage
from charlm.training.session import Session

TUNING_DIRECTORY = "tuning"
"""The directory of the trials, inside the directory of a comparison."""


@dataclass(frozen=True)
class Run:
    """One training of an arm, an ordinary run directory.

    Attributes:
        name: the path of its directory inside that of the comparison; unique for each configuration of a plan.
        arm: the depth and width.
        config: the configuration of this run.
    """

    name: str
    arm: Arm
    config: Config


@dataclass(frozen=True)
class Plan:
    """The runs of a comparison.

    Attributes:
        config: the common configuration; depth, width, seed and the tuned values differ between runs.
        corpus_digest: the digest of the text.
        arms: the depths at each budget.
        seeds: one run of every arm each; equal seeds read the same text in the same order.
        num_trials: candidates of the learning rate and the dropout tried for each arm; 0 for no tuning.
    """

    config: Config
    corpus_digest: str
    arms: list[Arm]
    seeds: list[int]
    num_trials: int

    def take_share(self, index: int, count: int) -> "Plan":
        """Return the plan of one of several shares of the arms, assigned in turn.

        Args:
            index: of the share, 1 to count.
            count: how many shares there are.
        """
        return replace(self, arms=self.arms[index - 1 :: count])

    @property
    def candidates(self) -> list[Candidate]:
        """The candidates that each arm is tuned with; without tuning, only the configured values."""
        return draw_candidates(self.config, max(1, self.num_trials))

    def trials(self, arm: Arm) -> list[Run]:
        """Return the trainings that tune an arm, one for each candidate; none without tuning."""
        seed = tuning_seed(self.seeds)
        return [
            self._run(f"{TUNING_DIRECTORY}/{_name_size(arm)}{self._name_trial(candidate)}", arm, candidate, seed)
            for candidate in (self.candidates if self.num_trials else [])
        ]

    def runs(self, arm: Arm, candidate: Candidate) -> list[Run]:
        """Return the runs of an arm that are compared, one for each seed."""
        return [
            self._run(f"{_name_size(arm)}-seed-{seed}{self._name_trial(candidate)}", arm, candidate, seed)
            for seed in self.seeds
        ]

    @property
    def run_names(self) -> list[str]:
        """The name of every possible run, for any choice of candidates."""
        possible = [
            *(run for arm in self.arms for run in self.trials(arm)),
            *(run for arm in self.arms for candidate in self.candidates for run in self.runs(arm, candidate)),
        ]
        return [run.name for run in possible]

    def _name_trial(self, candidate: Candidate) -> str:
        """Return the suffix of a name that identifies a candidate; empty without tuning."""
        return f"-trial-{self.candidates.index(candidate) + 1:02}" if self.num_trials else ""

    def _run(self, name: str, arm: Arm, candidate: Candidate, seed: int) -> Run:
        sized = self.config.replace("model", num_layers=arm.num_layers, hidden_size=arm.hidden_size)
        return Run(name, arm, candidate.apply(sized).replace("train", seed=seed))

    @property
    def has_test(self) -> bool:
        """Whether the compared runs measure a test part."""
        return self.config.data.test_frac > 0

    @property
    def num_runs(self) -> int:
        """The number of runs, trials included."""
        return len(self.arms) * (len(self.seeds) + self.num_trials)


def _name_size(arm: Arm) -> str:
    return f"{arm.num_layers}x{arm.hidden_size}"


def plan_comparison(
    config: Config,
    depths: Sequence[int],
    seeds: Sequence[int],
    match: Match,
    budgets: Sequence[int],
    num_trials: int,
    progress: Progress = lambda _, chunks: chunks,
) -> Plan:
    """Find the arms.

    Args:
        config: the common configuration.
        depths: numbers of layers.
        seeds: one run of every arm each.
        match: the quantity that is equal in all arms.
        budgets: amounts of it, each a separate comparison; if empty, the amount of the configured model.
        num_trials: candidates to tune each arm with; 0 for none.
        progress: shows how much of the corpus has been read.

    Raises:
        InputError: the corpus cannot be used, a budget is too small, a depth, width or seed is out of range, or a run
            does not fit the memory; or ``train.patience`` is above 0.
    """
    if config.train.patience > 0:
        raise InputError(
            f"train.patience: expected 0 in a comparison, got {config.train.patience}; every arm is trained for "
            "the same number of steps, train.max_steps."
        )
    corpus = load_corpus(config.data.path, config.data.level, progress)
    vocabulary_size, model = len(corpus.vocabulary), config.model
    configured = Arm(model.num_layers, model.hidden_size, vocabulary_size, model.embed_size, match, 1)
    arms = plan_arms(depths, match, budgets or [configured.size], vocabulary_size, model.embed_size)
    check_prompt(config, corpus.vocabulary)
    refuse_shortage(config, vocabulary_size)
    Session(config, corpus)  # an unusable corpus or device is reported before any run starts
    plan = Plan(config, corpus.digest, arms, list(seeds), num_trials)
    try:
        for arm in arms:
            first, *_ = plan.runs(arm, plan.candidates[0])
            refuse_shortage(first.config, vocabulary_size)
    except ConfigError as error:
        raise InputError(
            f"the runs cannot be trained: {error.problems[0]} Choose other --layers, --seeds or --budget."
        ) from None
    return plan


def expect_duration(plan: Plan, num_jobs: int) -> float:
    """Return the expected seconds of all runs, from a few steps of each arm, without validations.

    Args:
        plan: what is to be trained.
        num_jobs: how many are trained in parallel.
    """
    corpus = load_corpus(plan.config.data.path, plan.config.data.level)
    with _num_threads(threads_of_job(num_jobs)):
        duration_s = sum(_expect_duration(plan.runs(arm, plan.candidates[0])[0].config, corpus) for arm in plan.arms)
    return duration_s * (len(plan.seeds) + plan.num_trials) / num_jobs


def _expect_duration(config: Config, corpus: Corpus) -> float:
    session = Session(config, corpus)
    return config.train.max_steps * session.chars_per_step / measure_speed(session)


@contextmanager
def _num_threads(number: int) -> Iterator[None]:
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
