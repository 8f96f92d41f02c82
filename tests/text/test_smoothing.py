"""Smoothed n-gram models, against plain dictionaries and searches of the training text."""

import itertools
import math
import random
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from charlm.text import ngrams
from charlm.text.ngrams import predict
from charlm.text.smoothing import FALLBACK_DISCOUNTS, estimate_discounts, kneser_ney, witten_bell

TEXT = st.text("abcd", min_size=1, max_size=60)
METHODS = pytest.mark.parametrize("method", [witten_bell, kneser_ney])
LONG = "".join(random.Random(3).choices("abcd", [8, 4, 2, 1], k=400))  # noqa: S311  # a text, no secret


def to_ids(text: str) -> Tensor:
    """Return ids of a text, 0 for a."""
    return torch.tensor([ord(symbol) - ord("a") for symbol in text])


def witten_bell_twin(train: str, context: str, symbol: str, V: int) -> float:
    """Return p(symbol | context) after Witten & Bell's method C."""
    shorter = witten_bell_twin(train, context[1:], symbol, V) if context else 1 / V
    n = len(context)
    follow = Counter(train[k + n] for k in range(len(train) - n) if train[k : k + n] == context)
    if not follow:
        return shorter
    return (follow[symbol] + len(follow) * shorter) / (follow.total() + len(follow))


class KneserNeyTwin:
    """Modified Kneser-Ney with plain dictionaries."""

    def __init__(self, train: str, order: int, V: int) -> None:
        self.V = V
        self.counts: list[dict[str, int]] = []
        for n in range(1, order):
            before = defaultdict(set)
            for k in range(len(train) - n + 1):
                before[train[k : k + n]] |= {train[k - 1]} if k else set()
            self.counts.append({gram: max(len(symbols), 1) for gram, symbols in before.items()})
        self.counts.append(dict(Counter(train[k : k + order] for k in range(len(train) - order + 1))))
        self.discounts = [self.estimate(list(counts.values())) for counts in self.counts]

    @staticmethod
    def estimate(counts: list[int]) -> tuple[float, float, float]:
        """Return Chen & Goodman's three discounts."""
        n1, n2, n3, n4 = (counts.count(k) for k in (1, 2, 3, 4))
        if n1 and n2 and n3 and n4:
            Y = n1 / (n1 + 2 * n2)
            discounts = (1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3)
            if min(discounts) > 0:
                return discounts
        return FALLBACK_DISCOUNTS

    def probability(self, context: str, symbol: str) -> float:
        """Return p(symbol | context) for a context of up to order - 1 symbols."""
        shorter = self.probability(context[1:], symbol) if context else 1 / self.V
        n = len(context)
        follow = {gram[-1]: count for gram, count in self.counts[n].items() if gram[:-1] == context}
        if not follow:
            return shorter
        taken = {y: self.discounts[n][min(count, 3) - 1] for y, count in follow.items()}
        direct = follow[symbol] - taken[symbol] if symbol in follow else 0.0
        return (direct + sum(taken.values()) * shorter) / sum(follow.values())


@given(TEXT, TEXT, st.integers(1, 4))
def test_witten_bell_equals_a_plain_search(train: str, val: str, order: int) -> None:
    """Each symbol has the probability that the formula gives after its context."""
    *_, measured = predict(witten_bell(to_ids(train), order, 4), to_ids(val), 4)
    expected = [witten_bell_twin(train, val[max(0, k - order + 1) : k], val[k], 4) for k in range(len(val))]
    assert measured.tolist() == pytest.approx(expected, rel=1e-9)


@given(st.one_of(TEXT, st.just(LONG)), st.one_of(TEXT, st.just(LONG[100:140])), st.integers(1, 6), st.integers(1, 70))
def test_kneser_ney_equals_plain_dictionaries(train: str, val: str, order: int, piece_length: int) -> None:
    """Each symbol has the twin's probability, whatever is sorted at a time."""
    twin = KneserNeyTwin(train, order, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "PIECE_LENGTH", piece_length)
        *_, measured = predict(kneser_ney(to_ids(train), order, 4), to_ids(val), 4)
    expected = [twin.probability(val[max(0, k - order + 1) : k], val[k]) for k in range(len(val))]
    assert measured.tolist() == pytest.approx(expected, rel=1e-9)


def test_the_twin_meets_estimated_discounts() -> None:
    """The long text has discounts of its own at several orders, so the comparison covers both cases."""
    discounts = KneserNeyTwin(LONG, 6, 4).discounts
    assert sum(of_order != FALLBACK_DISCOUNTS for of_order in discounts) >= 2


@METHODS
@given(st.one_of(TEXT, st.just(LONG)), TEXT)
def test_probabilities_sum_to_one(method, train: str, context: str) -> None:  # type: ignore[no-untyped-def]
    """After any context, seen or not, the probabilities of the vocabulary's symbols sum to one and are above zero."""
    probabilities = []
    for symbol in "abcd":
        *_, measured = predict(method(to_ids(train), 6, 4), to_ids(context + symbol), 4)
        probabilities.append(float(measured[-1]))
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-12)
    assert min(probabilities) > 0


@METHODS
def test_a_large_vocabulary_does_not_overflow(method) -> None:  # type: ignore[no-untyped-def]
    """Grams of the last 3,000 of 1,114,112 symbols do not collide; their numbers exceed 32 bits, and V**6 64 bits."""
    V = 1_114_112
    ids = torch.arange(V - 3000, V).repeat(3)
    *_, measured = predict(method(ids, 6, V), torch.cat([ids[-60:], ids[-6:].flip(0)]), V)
    assert float(measured[6:60].min()) > 0.9
    assert float(measured[61:].max()) < 0.2


@pytest.mark.parametrize(
    ("occurrences", "expected"),
    [
        ((40, 10, 4, 2), (2 / 3, 2 - 3 * (2 / 3) * 4 / 10, 3 - 4 * (2 / 3) * 2 / 4)),
        ((40, 10, 4, 0), FALLBACK_DISCOUNTS),
        ((0, 10, 4, 2), FALLBACK_DISCOUNTS),
        ((40, 1, 40, 2), FALLBACK_DISCOUNTS),
    ],
    ids=["estimated", "no fours", "no ones", "below zero"],
)
def test_discounts(occurrences: tuple[int, ...], expected: tuple[float, ...]) -> None:
    """They follow Chen & Goodman's formula, or are fixed where it gives none that can be used."""
    counts = list(itertools.chain(*(n * [k] for k, n in enumerate(occurrences, start=1)), [9]))
    assert estimate_discounts(torch.tensor(counts)) == pytest.approx(expected, rel=1e-12)
