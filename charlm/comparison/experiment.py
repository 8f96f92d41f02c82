"""Running a comparison: every arm under every seed, each an ordinary run directory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charlm.comparison.arms import Arm, plan_arms
from charlm.config import Config
from charlm.dry_run import measure_speed
from charlm.reporter import Reporter
from charlm.run_directory import RunDirectory
from charlm.session import Session
from charlm.text.corpus import Corpus, load_corpus
from charlm.training import TrainingResult, train

MakeReporter = Callable[[Path, str], Reporter]
"""Makes the reporter of one run from its directory and its name."""


@dataclass(frozen=True)
class Plan:
    """A comparison before it runs.

    Attributes:
        config: what all runs share; depth, width and seed are each run's own.
        arms: the depths.
        seeds: one run of every arm each; equal seeds read the same text in the same order.
        duration_s: expected for all runs together, validations left out.
    """

    config: Config
    arms: list[Arm]
    seeds: list[int]
    duration_s: float


@dataclass(frozen=True)
class ArmRun:
    """One arm under one seed, trained.

    Attributes:
        arm: the depth and width.
        seed: of the initial weights and of dropout.
        directory: the run directory.
        result: what it reached.
        curve: characters seen and validation loss in nats per character, at each validation.
    """

    arm: Arm
    seed: int
    directory: Path
    result: TrainingResult
    curve: list[tuple[int, float]]


def plan_comparison(
    config: Config, depths: Sequence[int], seeds: Sequence[int], budget: int | None, reporter: Reporter
) -> Plan:
    """Find the arms, and measure how long they will take.

    Args:
        config: what all runs share.
        depths: numbers of layers.
        seeds: one run of every arm each.
        budget: parameters of every arm; None for as many as the configured model has.
        reporter: hears of the reading of the corpus.

    Raises:
        InputError: the corpus cannot be used, or the budget is too small.
    """
    corpus = load_corpus(config.data.path, config.data.level, reporter.read)
    vocabulary_size, embed_size = len(corpus.vocabulary), config.model.embed_size
    if budget is None:
        model = Session(config, corpus).model
        budget = sum(parameter.numel() for parameter in model.parameters())
    arms = plan_arms(depths, budget, vocabulary_size, embed_size)
    duration_s = sum(_expect_duration(configure_arm(config, arm, seeds[0]), corpus) for arm in arms) * len(seeds)
    return Plan(config, arms, list(seeds), duration_s)


def _expect_duration(config: Config, corpus: Corpus) -> float:
    session = Session(config, corpus)
    return config.train.max_steps * session.chars_per_step / measure_speed(session)


def configure_arm(config: Config, arm: Arm, seed: int) -> Config:
    """Return the configuration of one run of a comparison."""
    sized = config.replace("model", num_layers=arm.num_layers, hidden_size=arm.hidden_size)
    return sized.replace("train", seed=seed)


def run_comparison(plan: Plan, directory: Path, make_reporter: MakeReporter) -> list[ArmRun]:
    """Train every arm under every seed; runs that are there already go on where they stood.

    Args:
        plan: what to run.
        directory: where the run directories go.
        make_reporter: makes the reporter of each run.

    Raises:
        InputError: a directory holds a run of another configuration.
        StoppedError: a signal came; the state was saved.
        CharlmError: a run failed.
    """
    runs = []
    for seed in plan.seeds:
        for arm in plan.arms:
            name = f"layers-{arm.num_layers}-hidden-{arm.hidden_size}-seed-{seed}"
            config = configure_arm(plan.config, arm, seed)
            result = train(config, directory / name, resume=True, reporter=make_reporter(directory / name, name))
            runs.append(ArmRun(arm, seed, directory / name, result, _read_curve(directory / name, config)))
    return runs


def _read_curve(directory: Path, config: Config) -> list[tuple[int, float]]:
    chars_per_step = config.train.batch_size * config.train.seq_length
    rows = RunDirectory(directory).read_rows()
    return [(row["step"] * chars_per_step, row["loss_nats"]) for row in rows if row["split"] == "val"]
