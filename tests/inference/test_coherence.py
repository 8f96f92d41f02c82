"""The judge of what a model writes without a prompt."""

import pytest
import torch
from texts import TEXT
from torch import Tensor

from charlm.inference import coherence
from charlm.inference.coherence import Coherence, CoherenceJudge, describe_garbage
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary("char", sorted(set(TEXT)))
IDS = VOCABULARY.encode(TEXT)


@pytest.fixture
def judge() -> CoherenceJudge:
    """Return a judge of the small text."""
    return CoherenceJudge(IDS[:5000], IDS[5000:], len(VOCABULARY), VOCABULARY.ids["\n"])


def write(monkeypatch: pytest.MonkeyPatch, samples: Tensor) -> None:
    """Let every model write these samples, (B, T)."""
    monkeypatch.setattr(coherence, "generate", lambda *_: iter(samples.T.split(7)))


@pytest.mark.parametrize("num_garbage", [0, 1, 5, 16])
def test_random_symbols_are_garbage_and_text_is_not(
    judge: CoherenceJudge, model: CharLM, monkeypatch: pytest.MonkeyPatch, num_garbage: int
) -> None:
    """Of samples that are pieces of the text or random symbols, the random ones are found."""
    samples = torch.stack([IDS[start : start + 150] for start in range(0, 1600, 100)])
    generator = torch.Generator().manual_seed(1)
    samples[:num_garbage] = torch.randint(len(VOCABULARY), (num_garbage, 150), generator=generator)
    write(monkeypatch, samples)
    assert judge.judge(model, 1).garbage_frac == num_garbage / 16


def test_untrained_model_writes_garbage_from_the_zero_state(judge: CoherenceJudge) -> None:
    """A fresh model's samples are garbage; they depend on the seed alone, and the model's mode is left as it was."""
    fresh = CharLM(len(VOCABULARY), 1, 8, 4, generator=torch.Generator().manual_seed(1)).train()
    found = judge.judge(fresh, 1)
    assert found.garbage_frac > 0.9
    assert judge.judge(fresh, 1) == found != judge.judge(fresh, 2)
    assert fresh.training


@pytest.mark.parametrize(
    ("frac", "is_reported"), [(None, False), (0.0, False), (0.25, False), (0.3, True), (1.0, True)]
)
def test_only_much_garbage_is_reported(frac: float | None, is_reported: bool) -> None:
    """Up to a quarter of unusual samples is normal; more is a sentence with the fraction and the remedy."""
    problem = describe_garbage(frac)
    assert (problem is not None) == is_reported
    if problem and frac:
        assert f"{frac:.0%}" in problem
        assert "train.reset_probability" in problem


def test_the_limit_is_relative_to_the_text() -> None:
    """A sample is garbage above 1.6 times the bits of the validation text."""
    assert Coherence(2.0, (3.1, 3.3, 9.0, 1.0)).garbage_frac == 0.5
