"""A run that fails to learn says so, once, with advice."""

import math
from pathlib import Path

import pytest
from recording import Recorder

from charlm.config import Config
from charlm.training.diagnosis import Diagnosis, judge_result
from charlm.training.loop import train

BASELINES = {"uniform": 6.0, "unigram": 4.5, "trigram": 3.0, "kneser_ney_6": 2.2, "gzip": 3.2, "gzip_primed": 3.1}


def test_divergence_is_reported_once() -> None:
    """A training loss far above that of a uniform guess is reported when it is first seen."""
    diagnosis = Diagnosis(64)
    assert diagnosis.check_training(math.log(64) + 0.9, 10) is None
    problem = diagnosis.check_training(7.0, 20)
    assert problem is not None
    assert "step 20" in problem
    assert "train.learning_rate" in problem
    assert diagnosis.check_training(8.0, 30) is None


def test_overfitting_is_reported_once() -> None:
    """A validation loss well above its minimum is reported with the step of the minimum."""
    diagnosis = Diagnosis(64)
    assert diagnosis.check_validation(1.5, math.inf, 0) is None
    assert diagnosis.check_validation(1.55, 1.5, 400) is None
    problem = diagnosis.check_validation(1.65, 1.5, 400)
    assert problem is not None
    assert "risen by 0.15 nats since step 400" in problem
    assert diagnosis.check_validation(1.7, 1.5, 400) is None


@pytest.mark.parametrize(
    ("bits", "garbage_frac", "expected"),
    [
        (2.0, 0.0, []),
        (2.0, 0.5, ["without a prompt"]),
        (3.1, None, ["trigram"]),
        (4.5, 0.0, ["unigram"]),
        (13.2, 1.0, ["uniform", "without a prompt"]),
    ],
)
def test_result_is_compared_with_the_baselines(bits: float, garbage_frac: float | None, expected: list[str]) -> None:
    """The weakest baseline that a model does not beat is named, and garbage."""
    problems = judge_result(bits, BASELINES, garbage_frac)
    assert len(problems) == len(expected)
    assert all(word in problem for word, problem in zip(expected, problems, strict=True))


def test_a_run_that_diverges_warns_and_ends_with_its_problems(config: Config, tmp_path: Path) -> None:
    """A learning rate that is far too high is a warning on the way and problems of the result, and no failure."""
    recorder = Recorder()
    config = config.replace("train", learning_rate=30.0, warmup_steps=0, average_decay=0.0)
    result = train(config, tmp_path / "run", reporter=recorder)
    assert any("training diverges" in warning for warning in recorder.warnings)
    assert any("baseline" in problem for problem in result.problems)


def test_best_garbage_frac_survives_a_stop(config: Config, tmp_path: Path) -> None:
    """A finished run that is resumed reports the same problems."""
    first = train(config, tmp_path / "run")
    assert first.garbage_frac is not None
    assert train(config, tmp_path / "run", resume=True) == first
