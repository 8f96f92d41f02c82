"""Text from a model: samples, streams, and what a seed determines."""

import math
from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.inference import generation
from charlm.inference.generation import encode_prompt, generate, sample_texts, stream_text
from charlm.inference.sampling import Sampling
from charlm.model import CharLM
from charlm.text.vocabulary import Level, Vocabulary

BYTES = Vocabulary("byte")


def pieces_of(text: str, vocabulary: Vocabulary, stop: str | None = None) -> list[str]:
    """Return the pieces in which a text is streamed, one id at a time."""
    return list(stream_text(iter(vocabulary.encode(text)[:, None].split(1)), vocabulary, stop))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_broken_logits_are_told(temperature: float, value: float, model: CharLM, vocabulary: Vocabulary) -> None:
    """Logits that are not finite end the sampling with the run's failure, not with some text."""
    with torch.no_grad():
        model.output.bias[2] = value
    with pytest.raises(CharlmError, match=r"logits are not finite.*take an earlier checkpoint") as raised:
        list(sample_texts(model, vocabulary, "abc", 3, sampling=Sampling(temperature)))
    assert raised.value.exit_status == 1


def test_equal_seeds_give_equal_texts(model: CharLM, vocabulary: Vocabulary) -> None:
    """A seed decides the samples, and another seed gives others."""
    first, again, other = (list(sample_texts(model, vocabulary, "ab", 50, 2, seed=seed)) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert first[0] != first[1]


def larger_model(num_layers: int, hidden_size: int, vocabulary_size: int, seed: int) -> CharLM:
    """Return a model with clear preferences among many characters, in float64.

    In float32 the last bits of the logits may depend on the batch, and with them a rare draw.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CharLM(vocabulary_size, num_layers, hidden_size, embed_size=16, kernel="reference").double()
    with torch.no_grad():
        model.output.weight *= 4
    return model


@pytest.mark.parametrize("sampling", [Sampling(0.8), Sampling(1.2, top_k=9), Sampling(1.0, top_p=0.8)])
@pytest.mark.parametrize(
    ("num_layers", "hidden_size", "vocabulary_size", "length", "seed"),
    [(1, 7, 5, 120, 0), (2, 48, 97, 120, 7), (3, 32, 256, 80, 2**63 - 1)],
)
def test_a_sample_does_not_depend_on_the_others(
    num_layers: int, hidden_size: int, vocabulary_size: int, length: int, seed: int, sampling: Sampling
) -> None:
    """Sample i of a seed is the same alone, among others of any number, and in any order."""
    model = larger_model(num_layers, hidden_size, vocabulary_size, seed % 1000)

    def make(*indices: int) -> list[list[int]]:
        """Return the ids of some samples."""
        return torch.cat(list(generate(model, torch.tensor([1]), indices, length, sampling, seed))).T.tolist()

    samples = make(*range(9))
    assert len({tuple(ids) for ids in samples}) > 1
    assert [make(index)[0] for index in range(9)] == samples
    assert make(*range(4)) == samples[:4]
    assert make(8, 3) == [samples[8], samples[3]]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_a_batch_does_not_change_the_samples(
    batch_size: int, model: CharLM, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples that are made in several batches are those that are made in one, and come in order."""
    model.double()
    expected = list(sample_texts(model, vocabulary, "ab", 60, 7, seed=5))
    monkeypatch.setattr(generation, "MAX_BATCH_SIZE", batch_size)
    assert list(sample_texts(model, vocabulary, "ab", 60, 7, seed=5)) == expected
    assert list(sample_texts(model, vocabulary, "ab", 60, 1, seed=5)) == expected[:1]


def test_any_number_of_samples_begins_at_once(model: CharLM, vocabulary: Vocabulary) -> None:
    """The first samples of a thousand million come as soon as they are made."""
    assert len(list(islice(sample_texts(model, vocabulary, "", 2, 10**9), 3))) == 3


@pytest.mark.parametrize(("limit", "expected"), [(2**24, 64), (64 * 10, 10), (64 * 3 + 63, 3), (1, 1)])
def test_a_batch_is_limited_in_memory(
    limit: int, expected: int, model: CharLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch has as many samples as the limit allows for its states, its probabilities and its ids, at least one."""
    monkeypatch.setattr(generation, "MAX_BATCH_NUMBERS", limit)
    sizes = [(2 * 2 * 16, 9, 1), (2 * 2 * 4, 64, 1), (2 * 2 * 4, 9, 64)]  # states, vocabulary, length
    for state_size, vocabulary_size, length in sizes:
        tiny = CharLM(vocabulary_size, num_layers=2, hidden_size=state_size // 4, embed_size=2, kernel="reference")
        assert generation._choose_batch_size(tiny, length) == expected


def test_without_a_seed_texts_differ(model: CharLM, vocabulary: Vocabulary) -> None:
    """Two calls without a seed give two texts."""
    assert list(sample_texts(model, vocabulary, "", 40)) != list(sample_texts(model, vocabulary, "", 40))


@pytest.mark.parametrize("is_training", [True, False])
def test_sampling_leaves_no_trace(is_training: bool, model: CharLM, vocabulary: Vocabulary) -> None:
    """The global random state, the model's mode, weights and gradients stay as they were, in between as after."""
    model.train(is_training)
    state = torch.get_rng_state()
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    steps = generate(model, vocabulary.encode("abc"), range(2), 10, Sampling(), seed=1)
    for ids in steps:
        assert not ids.requires_grad
        assert torch.is_grad_enabled()
        assert [module.training for module in model.modules()] == [is_training] * len(list(model.modules()))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_dropout_is_off(model: CharLM, vocabulary: Vocabulary) -> None:
    """A model in the middle of its training writes what it writes in evaluation."""
    texts = [list(sample_texts(model.train(mode), vocabulary, "abcdefgh", 40, seed=3)) for mode in (True, False)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_samples_are_made_side_by_side(num_samples: int, model: CharLM, vocabulary: Vocabulary) -> None:
    """Every step gives one id for each sample, known to the vocabulary, for as many steps as were asked."""
    ids = torch.cat(list(generate(model, vocabulary.encode("ab"), range(num_samples), 7, Sampling(), seed=1)))
    assert (ids.shape, ids.dtype) == ((7, num_samples), torch.int64)
    assert 0 <= ids.min() <= ids.max() < len(vocabulary)
    assert list(map(len, sample_texts(model, vocabulary, "ab", 7, num_samples))) == num_samples * [9]


def test_greedy_samples_are_the_argmax_of_the_whole_text(model: CharLM, vocabulary: Vocabulary) -> None:
    """At temperature 0 every character is the likeliest after all before it, for each sample alike."""
    texts = list(sample_texts(model, vocabulary, "abc", 20, 3, Sampling(0.0)))
    assert len(set(texts)) == 1
    ids = vocabulary.encode(texts[0])
    with torch.no_grad():
        logits, _ = model.eval()(ids[None], model.initial_state(1))
    assert torch.equal(logits[0, 2:-1].argmax(dim=-1), ids[3:])


def test_blocks_grow_to_a_fiftieth_of_a_second(
    model: CharLM, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first character comes alone; blocks grow while they are made quickly, and shrink when they take long."""
    times_s = iter([0, 0.001, 1, 1.009, 2, 2.02, 3, 3.05, 4, 4.05, 5, 5.05])
    monkeypatch.setattr(generation, "time", SimpleNamespace(perf_counter=lambda: next(times_s)))
    blocks = generate(model, vocabulary.encode("a"), range(1), None, Sampling(), seed=1)
    assert [len(ids) for ids in islice(blocks, 6)] == [1, 2, 4, 4, 2, 1]


def test_a_block_is_limited(model: CharLM, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block has a largest length, and the last one is as long as what is left."""
    monkeypatch.setattr(generation, "BLOCK_S", math.inf)
    monkeypatch.setattr(generation, "MAX_BLOCK_LENGTH", 4)
    blocks = generate(model, vocabulary.encode("a"), range(1), 13, Sampling(), seed=1)
    assert [len(ids) for ids in blocks] == [1, 2, 4, 4, 2]


def test_without_a_length_there_is_no_end(model: CharLM, vocabulary: Vocabulary) -> None:
    """A stream without a length goes on, and begins as one of that length does."""
    endless = islice(generate(model, vocabulary.encode("a"), range(1), None, Sampling(), seed=1), 10)
    ended = generate(model, vocabulary.encode("a"), range(1), 10, Sampling(), seed=1)
    assert torch.equal(torch.cat(list(endless))[:10], torch.cat(list(ended)))


@pytest.mark.parametrize(("symbols", "first"), [("\nab", 0), ("\t\nab", 1), ("ab", 0)])
def test_no_prompt_is_the_beginning_of_a_line(symbols: str, first: int) -> None:
    """An empty prompt reads a line break, or else the first symbol, and shows nothing."""
    ids, shown = encode_prompt(Vocabulary("char", symbols), "")
    assert (ids.tolist(), shown) == ([first], "")


def test_without_a_prompt_only_new_text_is_shown(model: CharLM, vocabulary: Vocabulary) -> None:
    """A sample from nothing has its length, and goes on from a line break that is not shown."""
    (text,) = sample_texts(model, vocabulary, "", 12, seed=4)
    assert len(text) == 12
    assert list(sample_texts(model, vocabulary, "\n", 12, seed=4)) == ["\n" + text]


def test_an_unknown_character_of_a_prompt_is_the_users() -> None:
    """Unknown characters are refused, skipped or replaced, and the prompt is shown as the model reads it."""
    ab = Vocabulary("char", "ab")
    with pytest.raises(InputError, match="character 2 of the prompt"):
        encode_prompt(ab, "aBx")
    assert encode_prompt(ab, "aBx", "skip")[1] == "a"
    assert encode_prompt(ab, "aB", "replace")[1] == "ab"
    assert encode_prompt(ab, "xy", "skip")[1] == ""


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=4), st.integers(1, 5))
def test_blocks_do_not_change_a_stream(text: str, stop: str, block_length: int) -> None:
    """A stream ends before its stop text also if that lies inside a block or across two."""
    ab = Vocabulary("char", "ab")
    blocks = ab.encode(text)[:, None].split(block_length)
    assert "".join(stream_text(iter(blocks), ab, stop)) == text.split(stop, 1)[0]


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=4) | st.none())
def test_a_stream_ends_before_its_stop_text(text: str, stop: str | None) -> None:
    """Joined pieces are the text up to the first stop text, whole where there is none."""
    expected = text.split(stop, 1)[0] if stop else text
    assert "".join(pieces_of(text, Vocabulary("char", "ab"), stop)) == expected


@given(st.text("é😀a", max_size=8), st.text("é😀a", min_size=1, max_size=2))
def test_a_stream_of_bytes_ends_before_its_stop_text(text: str, stop: str) -> None:
    """A stop text of several bytes is found as well."""
    assert "".join(pieces_of(text, BYTES, stop)) == text.split(stop, 1)[0]


def test_a_partial_stop_text_is_held_back() -> None:
    """A possible start of the stop text is held back until it cannot become it, or until the end."""
    letters = Vocabulary("char", "abcx")
    assert pieces_of("xabxabc", letters, "abc") == ["x", "", "", "abx", "", "", ""]
    assert pieces_of("xab", letters, "abc") == ["x", "", "", "ab"]
    assert pieces_of("aab", letters, "ab") == ["", "a", ""]


def test_a_stream_reads_no_further_than_its_stop_text() -> None:
    """After the stop text no further character is made."""
    ids: Iterator[Tensor] = iter(BYTES.encode("a.bcd")[:, None].split(1))
    assert "".join(stream_text(ids, BYTES, ".")) == "a"
    assert BYTES.decode(torch.cat(list(ids))[:, 0]) == "bcd"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=10), st.sampled_from(["char", "byte"]))
def test_a_stream_shows_whole_characters(text: str, level: Level) -> None:
    """However many bytes a character has, it comes in one piece."""
    vocabulary = Vocabulary(level, sorted(set(text)) or "a")
    assert [piece for piece in pieces_of(text, vocabulary) if piece] == list(text)


def test_a_character_cut_off_by_the_end_is_marked() -> None:
    """Bytes at the end that are no whole character become one U+FFFD."""
    ids = BYTES.encode("a😀")[:-1, None]
    assert list(stream_text(iter(ids.split(1)), BYTES)) == ["a", "", "", "", "\ufffd"]


def test_a_stream_is_a_sample(model: CharLM, vocabulary: Vocabulary) -> None:
    """A stream and a whole sample of one seed are the same text, and a stop text ends both."""
    (text,) = sample_texts(model, vocabulary, "ab", 60, seed=5)
    stop = text[30:32]
    assert stop not in "ab"
    (stopped,) = sample_texts(model, vocabulary, "ab", 60, seed=5, stop=stop)
    assert stopped == "ab" + text[2:].split(stop, 1)[0]
    steps = generate(model, vocabulary.encode("ab"), range(1), 60, Sampling(), seed=5)
    assert "ab" + "".join(stream_text(steps, vocabulary, stop)) == stopped
