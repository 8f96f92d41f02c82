"""What a reading holds equals what the model computes by other ways."""

import numpy as np
import pytest
import torch
from tolerances import PARITY, assert_near
from torch.nn import functional as F

from charlm.errors import InputError
from charlm.inference import reading as module
from charlm.inference.activations import Activations, record_activations
from charlm.inference.evaluation import evaluate
from charlm.inference.reading import read_text
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

IDS = torch.tensor([0, 3, 1, 4, 4, 2, 9, 5, 5, 0, 1, 7])


@pytest.fixture(params=[3, 1024], ids=["several chunks", "one chunk"])
def reading(
    request: pytest.FixtureRequest, model: CharLM, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> module.Reading:
    """Return the reading of a short text, scored in chunks of several lengths."""
    monkeypatch.setattr(module, "CHUNK_LENGTH", request.param)
    return read_text(model, vocabulary, IDS)


def reference_log_probs(model: CharLM) -> torch.Tensor:
    """Return the log-probabilities (T, V) of the character after each place, by the reference kernel."""
    logits, _ = model.eval()(IDS[None], model.initial_state(1))
    return logits[0].detach().log_softmax(-1)


def test_predictions_are_those_of_the_reference_kernel(reading: module.Reading, model: CharLM) -> None:
    """Surprise, probability, rank and the likeliest characters belong to the character that they are about."""
    log_probs = reference_log_probs(model)[:-1]
    taken = log_probs[torch.arange(len(IDS) - 1), IDS[1:]]
    tolerance = PARITY[torch.float32]
    assert_near(torch.from_numpy(reading.surprise_bits[1:]), -taken / np.log(2), tolerance)
    assert_near(torch.from_numpy(reading.probability[1:]), taken.exp(), tolerance)
    order = log_probs.argsort(dim=-1, descending=True)
    assert reading.rank[1:].tolist() == [
        row.tolist().index(target) + 1 for row, target in zip(order, IDS[1:].tolist(), strict=True)
    ]
    assert reading.likeliest_ids[1:].tolist() == order[:, :5].tolist()
    assert_near(torch.from_numpy(reading.likeliest_probability[1:]), log_probs.exp().gather(1, order[:, :5]), tolerance)


def test_nothing_predicts_the_first_character(reading: module.Reading) -> None:
    """The entries of the first character are NaN or -1, and every array has an entry for each character."""
    assert np.isnan(reading.surprise_bits[0]) and np.isnan(reading.probability[0])
    assert np.isnan(reading.likeliest_probability[0]).all()
    assert (reading.rank[0], *reading.likeliest_ids[0]) == (-1,) * 6
    assert reading.symbols == ["\n", "b", " ", "c", "c", "a", "h", "d", "d", "\n", " ", "f"]
    assert reading.ids.tolist() == IDS.tolist()
    columns = (reading.surprise_bits, reading.probability, reading.rank, reading.likeliest_ids)
    assert {len(column) for column in columns} == {len(IDS)}


def test_the_mean_surprise_is_the_exact_loss(reading: module.Reading, model: CharLM) -> None:
    """The mean of the surprise is the loss that charlm eval gives for the same text."""
    assert reading.bits_per_char == pytest.approx(evaluate(model, IDS).bits_per_char, rel=1e-6)


def test_activations_are_stacked_by_layer(reading: module.Reading, model: CharLM) -> None:
    """Each array has the values of record_activations, (L, T, H), and the last hidden state gives the prediction."""
    layers = record_activations(model, IDS)
    assert reading.activations.keys() == {*Activations._fields}
    for name, values in reading.activations.items():
        assert values.shape == (2, len(IDS), 16)
        assert torch.equal(torch.from_numpy(values), torch.stack([getattr(layer, name) for layer in layers]))
    logits = model.output(torch.from_numpy(reading.activations["h"][-1]))
    losses = F.cross_entropy(logits[:-1], IDS[1:], reduction="none") / np.log(2)
    torch.testing.assert_close(torch.from_numpy(reading.surprise_bits[1:]), losses.detach())


def test_a_small_vocabulary_has_fewer_likeliest_characters() -> None:
    """With three characters, all three are listed and their probabilities add up to 1."""
    small = CharLM(3, num_layers=1, hidden_size=4, embed_size=2, kernel="reference")
    reading = read_text(small, Vocabulary("char", "abc"), torch.tensor([0, 1, 2]))
    assert reading.likeliest_ids.shape == (3, 3)
    assert reading.likeliest_probability[1:].sum(-1) == pytest.approx(1.0)


def test_a_text_of_one_character_is_refused(model: CharLM, vocabulary: Vocabulary) -> None:
    """One character has nothing to predict."""
    with pytest.raises(InputError, match="give at least 2"):
        read_text(model, vocabulary, IDS[:1])
