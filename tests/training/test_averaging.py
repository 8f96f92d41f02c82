"""The moving average of the weights."""

import dataclasses
from pathlib import Path

import torch

from charlm.config import Config
from charlm.inference.evaluation import evaluate
from charlm.model import CharLM
from charlm.runs.checkpoint import load_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.text.corpus import load_corpus
from charlm.text.streams import split_ids
from charlm.training.averaging import WeightAverage
from charlm.training.loop import train
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint


def test_average_is_the_weighted_sum_of_all_steps(model: CharLM) -> None:
    """After every step the average is what the recurrence gives in float64, number by number."""
    average = WeightAverage(model, 0.9)
    expected = [weight.detach().double() for weight in model.parameters()]
    for step in range(1, 120):
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.1 * torch.randn_like(weight)
        average.update(model, step)
        decay = min(0.9, step / (step + 9))
        expected = [
            decay * mean + (1 - decay) * weight.detach().double()
            for mean, weight in zip(expected, model.parameters(), strict=True)
        ]
    for mean, weight in zip(expected, average.model.parameters(), strict=True):
        torch.testing.assert_close(weight.double(), mean, rtol=1e-5, atol=1e-5)


def test_the_average_is_shown_and_the_weights_are_trained(config: Config) -> None:
    """A session shows the averaged model, which has no dropout and no gradients, and trains another."""
    session = Session(config, load_corpus(config.data.path, config.data.level))
    session.take_step()
    assert not session.shown.training
    assert session.model.training
    shown, trained = session.shown.state_dict(), session.model.state_dict()
    assert all(not torch.equal(shown[name], trained[name]) for name in shown)
    checkpoint = make_checkpoint(session, is_resumable=True)
    assert all(torch.equal(checkpoint.weights[name], shown[name]) for name in shown)
    assert all(torch.equal(checkpoint.training["weights"][name], trained[name]) for name in trained)


def test_both_losses_are_logged(config: Config, tmp_path: Path) -> None:
    """A validation row has the loss of the average, which best.pt has too, and that of the trained weights."""
    train(config, tmp_path / "run")
    rows = [row for row in RunDirectory(tmp_path / "run").read_rows() if row["split"] == "val"]
    last = load_checkpoint(tmp_path / "run" / "last.pt")
    ids = load_corpus(config.data.path, config.data.level).ids
    val = split_ids(ids, config.data.val_frac, config.data.test_frac).val
    for weights, key in ((last.weights, "loss_nats"), (last.training["weights"], "trained_loss_nats")):
        model = dataclasses.replace(last, weights=weights).build_model(torch.device("cpu"))
        assert evaluate(model, val).loss_nats == rows[-1][key]
    assert rows[-1]["loss_nats"] != rows[-1]["trained_loss_nats"]


def test_without_an_average_both_are_one(config: Config) -> None:
    """With a decay of 0 the model that is trained is the one that is shown."""
    session = Session(config.replace("train", average_decay=0.0), load_corpus(config.data.path, config.data.level))
    assert session.shown is session.model
