"""The dry run: its results are correct, and it writes no files."""

import math

import pytest

from charlm.config import Config
from charlm.model import CharLM
from charlm.text.corpus import load_corpus
from charlm.training import dry_run
from charlm.training.dry_run import plan_run


def test_plan(config: Config) -> None:
    """The plan counts parameters, characters and rare symbols exactly, and measures a speed."""
    corpus = load_corpus(config.data.path, "char")
    plan = plan_run(config, corpus)
    model = CharLM(len(corpus.vocabulary), **config.model.model_dump())
    assert plan.num_parameters["whole"] == sum(weight.numel() for weight in model.parameters())
    assert sum(count for part, count in plan.num_parameters.items() if part != "whole") == plan.num_parameters["whole"]
    assert sum(plan.split_sizes.values()) == len(corpus.ids)
    assert plan.rarest[0][1] == int(corpus.counts.min())
    assert plan.baselines_bits["uniform"] == pytest.approx(math.log2(len(corpus.vocabulary)))
    assert plan.shortage is None
    assert plan.chars_per_s is not None
    assert plan.duration_s == pytest.approx(30 * 64 / plan.chars_per_s)
    assert plan.memory_bytes["weights, gradients, optimizer"] == 20 * plan.num_parameters["whole"]


def test_a_model_that_does_not_fit_is_not_built(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of a run that is too large has its numbers but for the speed, and says that it does not fit."""
    monkeypatch.setattr(dry_run, "Session", lambda *_: pytest.fail("a model was built"))
    plan = plan_run(config.replace("model", hidden_size=2**20), load_corpus(config.data.path, "char"))
    assert plan.num_parameters["whole"] > 10**13
    assert plan.shortage is not None
    assert "not enough memory" in plan.shortage
    assert plan.chars_per_s is None
    assert plan.duration_s is None
    assert plan.baselines_bits
