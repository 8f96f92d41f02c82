"""The initial weights: every layer's pre-activations and the logits start at a stated size, and deep models learn."""

import pytest
import torch

from charlm.config import Config
from charlm.lstm.cell import LSTMState, lstm_step
from charlm.lstm.initialization import draw_normal, draw_uniform
from charlm.model import CharLM
from charlm.text.corpus import load_corpus
from charlm.training.session import Session

SKIPPED_STEPS = 16
"""Steps after the zero state that are left out: h is smaller there."""

WIDE, NARROW = ((0.8, 1.25), (0.35, 0.7)), ((0.5, 2.0), (0.1, 1.6))
"""Bands of W x and of the logits: for usual sizes, and where few units or symbols make the mean uncertain."""


def root_mean_square(x: torch.Tensor) -> float:
    """Return the root mean square of all numbers."""
    return x.square().mean().sqrt().item()


@torch.no_grad()
def measure(model: CharLM, ids: torch.Tensor) -> tuple[list[float], float]:
    """Return the size of W x by layer, and of the logits without their bias, on ids (B, T)."""
    x, sizes = model.embedding(ids.T), []
    for cell, state in zip(model.lstm.cells, model.initial_state(len(ids)), strict=True):
        sizes.append(root_mean_square((x @ cell.weight_ih.T)[SKIPPED_STEPS:]))
        hidden, after = [], LSTMState(*state)
        for gates_x in cell.project(x):
            after = lstm_step(gates_x, cell.weight_hh, after)
            hidden.append(after.h)
        x = torch.stack(hidden)
    return sizes, root_mean_square(x[SKIPPED_STEPS:] @ model.output.weight.T)


@pytest.mark.parametrize(
    ("num_layers", "hidden_size", "vocabulary_size", "embed_size", "bands"),
    [
        (8, 64, 65, 64, WIDE),
        (8, 256, 65, 64, WIDE),
        (6, 512, 1000, 256, WIDE),
        (8, 64, 20_000, 64, WIDE),
        (2, 2048, 65, 64, WIDE),
        (3, 320, 65, 1024, WIDE),
        (1, 128, 65, 64, WIDE),
        (8, 16, 65, 64, NARROW),
        (8, 16, 65, 1, NARROW),
        (8, 64, 2, 4, NARROW),
        (8, 16, 2, 1, NARROW),
        (2, 2048, 2, 512, NARROW),
    ],
)
def test_signal_has_the_stated_size_in_every_layer(
    num_layers: int,
    hidden_size: int,
    vocabulary_size: int,
    embed_size: int,
    bands: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    """For any depth, width, vocabulary and embedding, W x starts near 1 and the logits near 0.5."""
    generator = torch.Generator().manual_seed(1)
    model = CharLM(vocabulary_size, num_layers, hidden_size, embed_size, kernel="reference", generator=generator)
    ids = torch.randint(vocabulary_size, (8, 48), generator=generator)
    sizes, logit_size = measure(model, ids)
    (low, high), (logits_low, logits_high) = bands
    assert low < min(sizes) <= max(sizes) < high
    assert logits_low < logit_size < logits_high


def test_equal_generators_give_equal_weights() -> None:
    """The weights depend on the generator alone."""
    first, second, other = (
        CharLM(9, 2, 8, 4, generator=torch.Generator().manual_seed(seed)).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])


def test_draws_have_the_stated_spread() -> None:
    """Uniform weights have standard deviation gain / sqrt(fan-in), and embeddings a root mean square of exactly 1."""
    weight, embedding = torch.empty(300, 200), torch.empty(7, 3)
    draw_uniform(weight, 2.0, None)
    assert root_mean_square(weight) == pytest.approx(2 / 200**0.5, rel=0.02)
    assert weight.abs().max().item() <= 2 * (3 / 200) ** 0.5
    draw_normal(embedding, None)
    assert root_mean_square(embedding) == pytest.approx(1, rel=1e-6)


def test_first_prediction_is_the_unigram_of_the_training_part(config: Config) -> None:
    """With the output weights at zero a new model predicts each symbol by its frequency in the training part alone."""
    corpus = load_corpus(config.data.path, config.data.level)
    session = Session(config, corpus)
    counts = torch.bincount(session.splits.train.long(), minlength=len(corpus.vocabulary))
    assert torch.equal(session.count_training_symbols(), counts)
    assert not torch.equal(counts, corpus.counts)
    predicted = session.model.output.bias.softmax(0)
    torch.testing.assert_close(predicted, counts.clamp(min=1) / counts.clamp(min=1).sum())


def loss_after_100_steps(num_layers: int) -> float:
    """Return the mean training loss of steps 91 to 100 of a small model on the documentation of Python."""
    config = Config().replace("model", num_layers=num_layers, hidden_size=48, embed_size=32)
    config = config.replace(
        "train", batch_size=32, seq_length=32, max_steps=100, warmup_steps=20, learning_rate=0.01, device="cpu"
    )
    session = Session(config, load_corpus(config.data.path, config.data.level))
    for step in range(100):
        if step == 90:
            session.begin_interval()
        session.take_step()
    return session.begin_interval().loss_nats / 10


def test_early_loss_does_not_grow_with_depth() -> None:
    """After 100 steps six layers are at most 0.1 nats behind one."""
    assert loss_after_100_steps(6) < loss_after_100_steps(1) + 0.1
