"""plan.json: a comparison resumes with its own plan, and another plan in its directory is an error."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from charlm.comparison.experiment import run_comparison
from charlm.comparison.plan import Plan, plan_comparison
from charlm.comparison.stored_plan import read_plan, refuse_other_arguments, refuse_other_plan, store_plan
from charlm.comparison.workers import LocalPool
from charlm.config import Config
from charlm.errors import InputError


def plan(config: Config, **changes: Any) -> Plan:
    """Plan a comparison of two depths at 4,000 parameters under two seeds, but for the changes."""
    options = {"depths": [1, 2], "seeds": [1, 2], "match": "parameters", "budgets": [4000], "num_trials": 0}
    return plan_comparison(config, **(options | changes))


def test_plan_is_stored(config: Config, tmp_path: Path) -> None:
    """The file holds the configuration, the text's digest, and every option that makes the plan."""
    planned = replace(plan(config, num_trials=3), command="charlm compare-layers a.yaml")
    store_plan(planned, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert stored.pop("config") == config.model_dump()
    assert stored.pop("corpus_digest") == planned.corpus_digest
    assert stored.pop("vocabulary_size") == planned.arms[0].vocabulary_size
    assert stored.pop("command") == "charlm compare-layers a.yaml"
    options = {"match": "parameters", "budgets": [4000], "lengths": [], "layers": [1, 2], "seeds": [1, 2]}
    assert stored == options | {"num_trials": 3}


@pytest.mark.parametrize(
    "changes",
    [{"seeds": [1, 2, 3]}, {"depths": [3]}, {"budgets": [4000, 6000]}, {"seeds": [2]}, {"lengths": [640]}],
    ids=str,
)
@pytest.mark.parametrize("num_trials", [0, 2])
def test_depths_budgets_and_seeds_may_change(
    config: Config, tmp_path: Path, changes: dict[str, Any], num_trials: int
) -> None:
    """Other depths, budgets and seeds are the same plan, because their runs have different names."""
    store_plan(plan(config, num_trials=num_trials), tmp_path)
    store_plan(plan(config, **changes, num_trials=num_trials), tmp_path)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("train", "device", "auto"), ("train", "log_every", 3), ("train", "seed", 7), ("sample", "length", 9),
     ("model", "hidden_size", 30)],
)  # fmt: skip
def test_keys_without_influence_may_change(
    config: Config, tmp_path: Path, section: str, key: str, value: int | str
) -> None:
    """Settings that change no run, or differ between runs, may change between two calls."""
    store_plan(plan(config), tmp_path)
    store_plan(plan(config.replace(section, **{key: value})), tmp_path)


@pytest.mark.parametrize(
    ("section", "key", "value", "num_trials"),
    [("train", "max_steps", 31, 0), ("train", "max_steps", 29, 0), ("train", "learning_rate", 0.5, 0),
     ("train", "eval_every", 3, 0), ("model", "embed_size", 7, 0), ("data", "val_frac", 0.2, 0),
     ("train", "seed", 7, 2)],
)  # fmt: skip
def test_another_configuration_is_refused(
    config: Config, tmp_path: Path, section: str, key: str, value: float, num_trials: int
) -> None:
    """A key that makes other runs is named with both values, and plan.json stays; a longer run is another run."""
    store_plan(plan(config, num_trials=num_trials), tmp_path)
    before = (tmp_path / "plan.json").read_bytes()
    with pytest.raises(InputError, match=rf"another plan; {section}.{key} was .* and is now {value}\. Repeat"):
        store_plan(plan(config.replace(section, **{key: value}), num_trials=num_trials), tmp_path)
    assert (tmp_path / "plan.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"match": "compute"}, "--match was parameters and is now compute"),
        ({"num_trials": 3}, "--tune was 2 and is now 3"),
        ({"seeds": [0, 1]}, "the seed of the trials, the lowest one not in --seeds, was 0 and is now 2"),
    ],
)
def test_other_options_are_refused(config: Config, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """An option that makes other runs or trials is named with both values."""
    store_plan(plan(config, num_trials=2), tmp_path)
    with pytest.raises(InputError, match=message):
        refuse_other_plan(plan(config, **({"num_trials": 2} | changes)), tmp_path)


def test_another_text_is_refused(config: Config, tmp_path: Path) -> None:
    """Another text under the same path is noticed; the same text under another path is not another plan."""
    store_plan(plan(config), tmp_path / "out")
    path = Path(config.data.path)
    copy = path.rename(tmp_path / "moved.txt")
    store_plan(plan(config.replace("data", path=str(copy))), tmp_path / "out")
    path.write_text(copy.read_text() + "and no more green bottles hanging on the wall\n")
    with pytest.raises(InputError, match=r"the text of data\.path has changed"):
        store_plan(plan(config), tmp_path / "out")


def test_nothing_is_trained_under_another_plan(config: Config, tmp_path: Path) -> None:
    """A comparison in the directory of another one fails before any run begins."""
    store_plan(plan(config), tmp_path / "out")
    with pytest.raises(InputError, match="another plan"):
        run_comparison(plan(config.replace("train", max_steps=31)), tmp_path / "out", LocalPool(1), lambda _: None)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plan.json"]


@pytest.mark.parametrize("num_trials", [0, 2])
def test_runs_without_a_plan_are_refused(config: Config, tmp_path: Path, num_trials: int) -> None:
    """A run or a trial of an unknown plan is not used for this plan."""
    planned = plan(config, num_trials=num_trials)
    name = planned.run_names[1]
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(InputError, match=f"{name}: this run belongs to no plan"):
        store_plan(planned, tmp_path)


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]"])
def test_damaged_plan_is_refused(config: Config, tmp_path: Path, content: str) -> None:
    """A file that is no plan is named."""
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(InputError, match=r"plan\.json: cannot be read as a plan"):
        store_plan(plan(config), tmp_path)
    with pytest.raises(InputError, match=r"plan\.json: cannot be read as a plan"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    "changes", [{"seeds": []}, {"layers": [0]}, {"vocabulary_size": 0}, {"match": "depth"}, {"num_trials": -1}], ids=str
)
def test_impossible_plan_is_refused(config: Config, tmp_path: Path, changes: dict[str, Any]) -> None:
    """A plan that no command can have stored is named as a file that cannot be read."""
    store_plan(plan(config), tmp_path)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=r"plan\.json: cannot be read as a plan"):
        read_plan(tmp_path)


@pytest.mark.parametrize("changes", [{}, {"match": "compute", "depths": [3, 1]}, {"num_trials": 2}], ids=str)
def test_stored_plan_is_read_without_the_text(config: Config, tmp_path: Path, changes: dict[str, Any]) -> None:
    """What is read is the plan that was stored, in its order, though the text is gone."""
    planned = replace(plan(config, budgets=[6000, 4000], **changes), command="charlm compare-layers")
    store_plan(planned, tmp_path / "out")
    Path(config.data.path).unlink()
    assert read_plan(tmp_path / "out") == planned


def test_directory_without_a_plan_is_refused(tmp_path: Path) -> None:
    """A directory that is not there holds no comparison, and is not made."""
    with pytest.raises(InputError, match=r"there is no comparison here, for .*plan\.json is missing"):
        read_plan(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_arguments_of_the_plan_are_accepted(config: Config, tmp_path: Path) -> None:
    """Arguments that say what is stored are accepted, lists in any order, and keys that change no run."""
    options = {"--layers": [2, 1], "--seeds": [2, 1], "--match": "parameters", "--budget": [4000], "--tune": 0}
    refuse_other_arguments(plan(config), tmp_path, options, config.replace("train", log_every=3))
    refuse_other_arguments(plan(config), tmp_path, {}, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--layers": [1]}, "--layers was 1,2 and is now 1"),
        ({"--seeds": [3, 1, 2]}, "--seeds was 1,2 and is now 1,2,3"),
        ({"--match": "width"}, "--match was parameters and is now width"),
        ({"--budget": [4000, 5000]}, "--budget was 4000 and is now 4000,5000"),
        ({"--tune": 3, "--layers": [1, 2]}, "arguments; --tune was 0 and is now 3. Leave"),
    ],
)
def test_other_arguments_are_refused(config: Config, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """A part of the comparison, or more than it, is refused with both values."""
    with pytest.raises(InputError, match=message):
        refuse_other_arguments(plan(config), tmp_path, options, None)


def test_another_configuration_beside_the_plan_is_refused(config: Config, tmp_path: Path) -> None:
    """A configuration that would make other runs is refused with the key and both values."""
    with pytest.raises(InputError, match=r"train\.max_steps was \d+ and is now 31"):
        refuse_other_arguments(plan(config), tmp_path, {}, config.replace("train", max_steps=31))
