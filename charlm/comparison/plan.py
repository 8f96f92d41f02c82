"""The plan of a comparison: its arms, and the trials and runs of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from charlm.comparison.arms import Arm, Match, plan_arms
from charlm.comparison.lengths import count_steps, set_length
from charlm.comparison.search import apply_values
from charlm.comparison.tuning import MAX_EXTENSIONS, Trial, tuning_seed
from charlm.config import Config
from charlm.errors import ConfigError, InputError
from charlm.text.corpus import load_corpus
from charlm.text.drafts import Progress
from charlm.training.checks import check_prompt
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
        arms: the depths at each length and budget.
        seeds: one run of every arm each; equal seeds read the same text in the same order.
        num_trials: trials of the tuning of each arm, without extensions; 0 for no tuning.
        command: the command line that trains them, for the report.
    """

    config: Config
    corpus_digest: str
    arms: list[Arm]
    seeds: list[int]
    num_trials: int
    command: str = ""

    def take_share(self, index: int, count: int) -> "Plan":
        """Return the plan of one of several shares of the arms, assigned in turn.

        Args:
            index: of the share, 1 to count.
            count: how many shares there are.
        """
        return replace(self, arms=self.arms[index - 1 :: count])

    def name(self, arm: Arm) -> str:
        """Return the name of an arm; arms of one name have the same runs."""
        length = f"-{count_steps(self.config, arm.num_chars)}-steps" if arm.num_chars else ""
        return f"{arm.num_layers}x{arm.hidden_size}{length}"

    def configure(self, arm: Arm) -> Config:
        """Return the configuration of an arm with the seed of its trials, before any value is tuned."""
        sized = self.config.replace("model", num_layers=arm.num_layers, hidden_size=arm.hidden_size)
        if arm.num_chars:
            sized = set_length(sized, arm.num_chars)
        return sized.replace("train", seed=tuning_seed(self.seeds))

    def count_chars(self, arm: Arm) -> int:
        """Return the characters that the runs of an arm train on, repetitions counted."""
        train = self.configure(arm).train
        return train.max_steps * train.batch_size * train.seq_length

    def journal(self, arm: Arm) -> str:
        """Return the path of the study of an arm inside the directory of the comparison."""
        return f"{TUNING_DIRECTORY}/{self.name(arm)}.journal"

    def trial_run(self, arm: Arm, trial: Trial) -> Run:
        """Return the training of a trial."""
        return Run(self.name_trial(arm, trial.number), arm, apply_values(self.configure(arm), trial.values))

    def runs(self, arm: Arm, best: Trial | None = None) -> list[Run]:
        """Return the runs of an arm that are compared, one for each seed.

        Args:
            arm: the depth and width.
            best: the trial whose values they have; None for the configured values.
        """
        config = apply_values(self.configure(arm), best.values if best else {})
        return [
            Run(self._name_run(arm, seed, best.number if best else 0), arm, config.replace("train", seed=seed))
            for seed in self.seeds
        ]

    @property
    def run_names(self) -> list[str]:
        """The name of every possible run, for any result of the tuning."""
        trials = range(1, self.num_trials + MAX_EXTENSIONS + 1) if self.num_trials else []
        return [
            *(self.name_trial(arm, number) for arm in self.arms for number in trials),
            *(
                self._name_run(arm, seed, number)
                for arm in self.arms
                for number in trials or [0]
                for seed in self.seeds
            ),
        ]

    def name_trial(self, arm: Arm, number: int) -> str:
        """Return the name of the run directory of a trial."""
        return f"{TUNING_DIRECTORY}/{self.name(arm)}-trial-{number:02}"

    def _name_run(self, arm: Arm, seed: int, trial_number: int) -> str:
        return f"{self.name(arm)}-seed-{seed}" + (f"-trial-{trial_number:02}" if trial_number else "")

    @property
    def has_test(self) -> bool:
        """Whether the compared runs measure a test part."""
        return self.config.data.test_frac > 0


def plan_comparison(
    config: Config,
    depths: Sequence[int],
    seeds: Sequence[int],
    match: Match,
    budgets: Sequence[int],
    num_trials: int,
    progress: Progress = lambda _, chunks: chunks,
    lengths: Sequence[int] = (),
) -> Plan:
    """Find the arms.

    Args:
        config: the common configuration.
        depths: numbers of layers.
        seeds: one run of every arm each.
        match: the quantity that is equal in all arms.
        budgets: amounts of it, each a separate comparison; if empty, the amount of the configured model.
        num_trials: trials to tune each arm with; 0 for none.
        progress: shows how much of the corpus has been read.
        lengths: characters to train on, each a separate comparison; if empty, ``train.max_steps`` decides.

    Raises:
        InputError: the corpus cannot be used, a budget is too small, a depth, width or seed is out of range, or a run
            does not fit the memory; or ``train.patience`` is above 0, or ``train.init_from`` is given.
    """
    if config.train.patience > 0:
        raise InputError(
            f"train.patience: expected 0 in a comparison, got {config.train.patience}; every arm is trained for "
            "the same number of steps, train.max_steps."
        )
    if config.train.init_from or config.train.init_digest:
        raise InputError(
            f"train.init_from: expected no base in a comparison, got {config.train.init_from!r}; arms of different "
            "depths and widths begin with new weights. Omit the key."
        )
    corpus = load_corpus(config.data.path, config.data.level, progress)
    vocabulary_size, model = len(corpus.vocabulary), config.model
    configured = Arm(model.num_layers, model.hidden_size, vocabulary_size, model.embed_size, match, 1)
    arms = plan_arms(depths, match, budgets or [configured.size], vocabulary_size, model.embed_size, lengths)
    check_prompt(config, corpus.vocabulary)
    refuse_shortage(config, vocabulary_size)
    Session(config, corpus)  # an unusable corpus or device is reported before any run starts
    plan = Plan(config, corpus.digest, arms, list(seeds), num_trials)
    try:
        for arm in arms:
            refuse_shortage(plan.runs(arm)[0].config, vocabulary_size)
    except ConfigError as error:
        raise InputError(
            f"the runs cannot be trained: {error.problems[0]} Choose other --layers, --seeds or --budget."
        ) from None
    return plan
