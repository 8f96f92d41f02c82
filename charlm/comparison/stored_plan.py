"""plan.json: the plan of a comparison, kept in its directory.

Runs of two plans are never mixed, and a report needs nothing but the directory.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from charlm.comparison.arms import Match, plan_arms
from charlm.comparison.plan import Plan
from charlm.comparison.tuning import tuning_seed
from charlm.config import Config
from charlm.config.loading import parse_config
from charlm.errors import InputError
from charlm.runs.resumption import FREE_KEYS
from charlm.system.files import write_atomically

FILE_NAME = "plan.json"

OWN_KEYS = {"model.num_layers", "model.hidden_size", "train.seed"}
"""Keys whose values differ between the runs of a comparison."""

LOOSE_KEYS = OWN_KEYS | FREE_KEYS - {"train.eval_every"}
"""Keys that may change between two calls. ``eval_every`` decides which weights are the best, so it may not."""


class StoredPlan(BaseModel):
    """The content of plan.json.

    Attributes:
        match: the quantity that is equal for all depths.
        budgets: how much of it.
        lengths: characters to train on; empty for the steps of the configuration.
        layers: the depths.
        seeds: of the runs.
        num_trials: candidates that each arm is tuned with; 0 for none.
        corpus_digest: SHA-256 of the text.
        vocabulary_size: of the text.
        config: what all runs share, by section.
        command: the latest command line that trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: Match
    budgets: list[PositiveInt] = Field(min_length=1)
    lengths: list[PositiveInt]
    layers: list[PositiveInt] = Field(min_length=1)
    seeds: list[NonNegativeInt] = Field(min_length=1)
    num_trials: NonNegativeInt
    corpus_digest: str
    vocabulary_size: PositiveInt
    config: dict[str, dict[str, Any]]
    command: str


def refuse_other_plan(plan: Plan, directory: Path) -> None:
    """Check that a directory contains no runs of another plan. Further depths, budgets and seeds may be added.

    Raises:
        InputError: it contains some, or runs without a plan.
    """
    found = [name for name in plan.run_names if (directory / name).exists()]  # before the plan, which is written first
    stored = _read(directory / FILE_NAME)
    if stored is None and found:
        raise InputError(
            f"{directory / found[0]}: this run belongs to no plan, for {directory / FILE_NAME} is missing. "
            "Give another directory with --out."
        )
    changes = _find_changes(stored, plan, str(directory / FILE_NAME)) if stored else []
    if changes:
        raise InputError(
            f"{directory}: this directory holds a comparison with another plan; " + "; ".join(changes) + ". "
            "Repeat the command that it was started with, or give another directory with --out."
        )


def store_plan(plan: Plan, directory: Path) -> None:
    """Write plan.json.

    Raises:
        InputError: the directory holds runs of another plan.
        CharlmError: the file cannot be written.
    """
    refuse_other_plan(plan, directory)
    stored = StoredPlan(
        match=plan.arms[0].match,
        budgets=list(dict.fromkeys(arm.budget for arm in plan.arms)),
        lengths=list(dict.fromkeys(arm.num_chars for arm in plan.arms if arm.num_chars)),
        layers=list(dict.fromkeys(arm.num_layers for arm in plan.arms)),
        seeds=plan.seeds,
        num_trials=plan.num_trials,
        corpus_digest=plan.corpus_digest,
        vocabulary_size=plan.arms[0].vocabulary_size,
        config=plan.config.model_dump(),
        command=plan.command,
    )
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / FILE_NAME, (stored.model_dump_json(indent=2) + "\n").encode())


def read_plan(directory: Path) -> Plan:
    """Return the plan of the latest command that trained in a directory; the text is not needed.

    Raises:
        InputError: the directory holds no plan, or one that cannot be read.
    """
    path = directory / FILE_NAME
    stored = _read(path)
    if stored is None:
        raise InputError(
            f"{directory}: there is no comparison here, for {path} is missing. Name the directory of a comparison with "
            "--out, or train first, without --report-only."
        )
    config = parse_config(stored.config, str(path))
    sizes = stored.vocabulary_size, config.model.embed_size
    arms = plan_arms(stored.layers, stored.match, stored.budgets, *sizes, stored.lengths)
    return Plan(config, stored.corpus_digest, arms, stored.seeds, stored.num_trials, stored.command)


def refuse_other_arguments(plan: Plan, directory: Path, options: Mapping[str, object], config: Config | None) -> None:
    """Check that the arguments beside ``--report-only`` are those of the stored plan.

    A report of a part is refused: its verdicts would be corrected for that part alone, which was chosen by a person who
    may have seen the whole.

    Args:
        plan: the stored one.
        directory: of the comparison.
        options: the values of the options that were given, by their names; lists in any order.
        config: that of the command line; None if none was given.

    Raises:
        InputError: an argument differs.
    """
    stored: dict[str, object] = {
        "--layers": {arm.num_layers for arm in plan.arms},
        "--seeds": set(plan.seeds),
        "--match": plan.arms[0].match,
        "--budget": {arm.budget for arm in plan.arms},
        "--chars": {arm.num_chars for arm in plan.arms},
        "--tune": plan.num_trials,
    }
    changes = [
        f"{name} was {_show(stored[name])} and is now {_show(value)}"
        for name, value in options.items()
        if (set(value) if isinstance(value, list) else value) != stored[name]
    ]
    changes += _find_changed_keys(plan.config, config, LOOSE_KEYS) if config else []
    if changes:
        raise InputError(
            f"{directory}: --report-only reports the whole comparison of this directory, with its own arguments; "
            + "; ".join(changes)
            + ". Leave these arguments out, or repeat the command without --report-only."
        )


def _show(value: object) -> str:
    return ",".join(map(str, sorted(value))) if isinstance(value, set | list) else str(value)


def _read(path: Path) -> StoredPlan | None:
    try:
        return StoredPlan.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise InputError(f"{path}: cannot be read as a plan. Give another directory with --out.") from None


def _find_changes(stored: StoredPlan, plan: Plan, name: str) -> list[str]:
    """Return a line for each difference that would change the run of a given name."""
    loose_keys = LOOSE_KEYS - ({"train.seed"} if plan.num_trials else set())  # it draws the candidates
    changes = _find_changed_keys(parse_config(stored.config, name), plan.config, loose_keys)
    if stored.corpus_digest != plan.corpus_digest:
        changes.append("the text of data.path has changed")
    if stored.match != plan.arms[0].match:
        changes.append(f"--match was {stored.match} and is now {plan.arms[0].match}")
    if stored.num_trials != plan.num_trials:
        changes.append(f"--tune was {stored.num_trials} and is now {plan.num_trials}")
    seed_before, seed = tuning_seed(stored.seeds), tuning_seed(plan.seeds)
    if plan.num_trials and seed_before != seed:
        changes.append(f"the seed of the trials, the lowest one not in --seeds, was {seed_before} and is now {seed}")
    return changes


def _find_changed_keys(before: Config, now: Config, loose_keys: set[str]) -> list[str]:
    return [
        f"{key} was {value!r} and is now {new_value!r}"
        for key, (value, new_value) in before.find_differences(now).items()
        if key not in loose_keys and not key.startswith("sample.")
    ]
