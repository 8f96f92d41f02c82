"""What a run needs: parameters as the built model has, memory, and a refusal where it does not fit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import Config, ModelConfig
from charlm.errors import InputError
from charlm.model import CharLM
from charlm.training import estimates
from charlm.training.distribution import Group
from charlm.training.estimates import count_parameters, describe_shortage, estimate_memory, refuse_shortage


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_counts_are_those_of_the_built_model(
    num_layers: int, hidden_size: int, embed_size: int, vocabulary_size: int
) -> None:
    """Each part has as many parameters as the part of a model that is built, and they add up to the whole."""
    config = ModelConfig(num_layers=num_layers, hidden_size=hidden_size, embed_size=embed_size)
    with torch.device("meta"):
        model = CharLM(vocabulary_size, **config.model_dump(), kernel="reference")
    parts = {"embedding": model.embedding, "output": model.output, "whole": model}
    parts |= {f"layer {number}": cell for number, cell in enumerate(model.lstm.cells, start=1)}
    built = {name: sum(weight.numel() for weight in part.parameters()) for name, part in parts.items()}
    assert count_parameters(config, vocabulary_size) == built


@pytest.mark.parametrize(("average_decay", "num_copies"), [(0.0, 4), (0.99, 5)])
def test_weights_are_counted_with_their_copies(config: Config, average_decay: float, num_copies: int) -> None:
    """Weights, gradients, the optimizer's two averages and a weight average take 4 bytes a parameter each."""
    config = config.replace("train", average_decay=average_decay)
    whole = count_parameters(config.model, 30)["whole"]
    assert estimate_memory(config, 30)["weights, gradients, optimizer"] == 4 * num_copies * whole


@pytest.mark.parametrize(("precision", "num_bytes"), [("fp32", 4), ("bf16", 2)])
def test_activations_grow_with_the_batch(config: Config, precision: str, num_bytes: int) -> None:
    """11 numbers a hidden unit are kept for each character in the precision of training, and the logits twice."""
    config = config.replace("train", precision=precision)
    per_char = num_bytes * 11 * 2 * 12 + 8 * 30  # 2 layers of 12 units, a vocabulary of 30
    assert estimate_memory(config, 30)["activations of a step"] == 4 * 16 * per_char
    larger = config.replace("train", batch_size=8, seq_length=48)
    assert estimate_memory(larger, 30)["activations of a step"] == 8 * 48 * per_char


@pytest.mark.parametrize("difference", [-1, 0, None])
def test_a_run_is_refused_where_it_does_not_fit(
    config: Config, difference: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that needs more than is available is refused with the numbers; an unknown limit refuses nothing."""
    needed = sum(estimate_memory(config, 30).values())
    available = None if difference is None else needed + difference
    monkeypatch.setattr(estimates, "available_memory", lambda _: available)
    if difference == -1:
        with pytest.raises(
            InputError, match=r"not enough memory: a model of [\d,]+ parameters needs about .* GiB to tra"
        ):
            refuse_shortage(config, 30)
    else:
        assert describe_shortage(config, 30) is None
        refuse_shortage(config, 30)


def test_processes_share_the_batch_and_the_memory(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes on a machine each has half of the batch and half of the memory, and a model of its own."""
    copies, activations = estimate_memory(config, 30).values()
    group = Group()
    group.size = group.local_size = 2
    monkeypatch.setattr(estimates, "available_memory", lambda _: 2 * copies + activations)
    assert describe_shortage(config, 30, group) is None
    monkeypatch.setattr(estimates, "available_memory", lambda _: 2 * copies + activations - 2)
    assert describe_shortage(config, 30, group) is not None
