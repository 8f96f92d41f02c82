"""The rule of charlm init: what it proposes for texts, times and speeds."""

from pathlib import Path

import pytest

from charlm.config import Config
from charlm.errors import InputError
from charlm.text.corpus import Corpus, load_corpus
from charlm.training import proposal
from charlm.training.estimates import count_parameters
from charlm.training.proposal import MAX_PASSES, MIN_CHARS_PER_PARAMETER, MIN_TEXT_PER_PARAMETER, WIDTHS, propose
from charlm.training.session import Session

NUM_PARAMETERS_PER_S = 2e10
"""Characters per second times parameters: about what one core does."""


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the machine have a known speed: each parameter takes its time; return the widths that are measured."""
    widths: list[int] = []

    def measure(session: Session) -> float:
        widths.append(session.config.model.hidden_size)
        size = sum(parameter.numel() for parameter in session.model.parameters())
        return NUM_PARAMETERS_PER_S / size

    monkeypatch.setattr(proposal, "measure_speed", measure)
    monkeypatch.setattr(proposal, "_measure_reading", lambda session: 1e5)
    return widths


def make_corpus(path: Path, num_chars: int) -> Corpus:
    """Return a corpus of a length."""
    path.write_text("the quick brown fox jumps over the lazy dog.\n" * (num_chars // 45))
    return load_corpus(str(path), "char")


def num_read(config: Config) -> int:
    """Return the characters that a run reads."""
    return config.train.max_steps * config.train.batch_size * config.train.seq_length


@pytest.mark.parametrize("minutes", [0.2, 1, 10, 60])
def test_the_widest_model_that_gets_far_enough(tmp_path: Path, measured: list[int], minutes: float) -> None:
    """Time and text suffice for the proposed width, and not for the next one, which was the last to be measured."""
    corpus = make_corpus(tmp_path / "text", 4_000_000)
    found = propose(Config(), corpus, minutes)
    width = found.config.model.hidden_size
    assert measured == list(WIDTHS[: WIDTHS.index(width) + 2])
    assert found.num_parameters == count_parameters(found.config.model, len(corpus.vocabulary))["whole"]
    assert num_read(found.config) >= MIN_CHARS_PER_PARAMETER * found.num_parameters
    wider = count_parameters(found.config.model.model_copy(update={"hidden_size": measured[-1]}), 29)["whole"]
    most_read = 60 * minutes * NUM_PARAMETERS_PER_S / wider
    assert most_read < 1.3 * MIN_CHARS_PER_PARAMETER * wider


def test_a_given_width(tmp_path: Path, measured: list[int]) -> None:
    """A single width to try is planned for the time, also if it is too wide for it, so that it can be compared."""
    corpus = make_corpus(tmp_path / "text", 4_000_000)
    found = propose(Config(), corpus, 0.2, (512,))
    assert measured == [found.config.model.hidden_size] == [512]
    assert num_read(found.config) < MIN_CHARS_PER_PARAMETER * found.num_parameters
    assert 0.9 * 12 < found.duration_s <= 12


@pytest.mark.parametrize("minutes", [0.2, 1, 10])
def test_the_time_is_used(tmp_path: Path, minutes: float) -> None:
    """Training and validations together take nearly the minutes, and not more; validations take a small share."""
    corpus = make_corpus(tmp_path / "text", 4_000_000)
    found = propose(Config(), corpus, minutes)
    assert 0.93 * 60 * minutes < found.duration_s <= 60 * minutes
    training_s = num_read(found.config) / found.chars_per_s
    assert found.duration_s - training_s <= 0.11 * 60 * minutes
    settings = found.config.train
    assert -(-settings.max_steps // settings.eval_every) == found.num_validations <= 10
    assert settings.checkpoint_every == settings.eval_every


def test_a_short_text_is_not_read_without_end(tmp_path: Path, measured: list[int]) -> None:
    """The passes over a short text are limited however long the time is, and so is the size of its model."""
    corpus = make_corpus(tmp_path / "text", 100_000)
    found = propose(Config(), corpus, 600)
    assert found.num_passes == pytest.approx(MAX_PASSES, rel=0.01)
    assert found.duration_s < 600
    assert found.num_parameters * MIN_TEXT_PER_PARAMETER <= found.num_chars
    wider = count_parameters(found.config.model.model_copy(update={"hidden_size": measured[-1]}), 29)["whole"]
    assert wider * MIN_TEXT_PER_PARAMETER > found.num_chars
    assert (found.config.model.dropout, found.config.model.dropconnect) == (0.2, 0.2)


@pytest.mark.parametrize(
    ("num_chars", "minutes", "dropout", "dropconnect"),
    [(8_000_000, 1, 0.0, 0.0), (1_000_000, 1, 0.1, 0.0), (1_000_000, 5, 0.3, 0.0), (200_000, 5, 0.2, 0.2)],
)
def test_dropout_follows_the_passes(
    tmp_path: Path, num_chars: int, minutes: float, dropout: float, dropconnect: float
) -> None:
    """A text that is read few times needs no dropout, one that is read often needs some."""
    found = propose(Config(), make_corpus(tmp_path / "text", num_chars), minutes)
    assert (found.config.model.dropout, found.config.model.dropconnect) == (dropout, dropconnect)
    assert (found.config.train.average_decay > 0) == (found.num_passes > 2) == (dropout > 0)
    assert found.config.train.decay_frac == (0.2 if found.num_passes > 4 else 1.0)


@pytest.mark.parametrize(("width", "dropout", "dropconnect"), [(64, 0.1, 0.0), (256, 0.3, 0.0), (512, 0.2, 0.2)])
def test_dropout_follows_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, dropout: float, dropconnect: float
) -> None:
    """Of models that read a text as often as each other, a small one cannot memorize it, and needs less dropout."""
    monkeypatch.setattr(proposal, "measure_speed", lambda _: 1e5)
    found = propose(Config(), make_corpus(tmp_path / "text", 500_000), 3, (width,))
    assert found.num_passes > 30
    assert (found.config.model.dropout, found.config.model.dropconnect) == (dropout, dropconnect)


def test_validation_part(tmp_path: Path) -> None:
    """A tenth validates, but no more than can be read in a small share of the time."""
    corpus = make_corpus(tmp_path / "text", 4_000_000)
    assert propose(Config(), corpus, 1).config.data.val_frac == pytest.approx(50_000 / len(corpus.ids), rel=0.05)
    assert propose(Config(), corpus, 100).config.data.val_frac == 0.1


@pytest.mark.parametrize(("num_chars", "batch_size", "width"), [(450, 1, 32), (9_000, 4, 48), (40_000, 32, 128)])
def test_tiny_texts(tmp_path: Path, num_chars: int, batch_size: int, width: int) -> None:
    """A tiny text has fewer streams, and its run can be started."""
    corpus = make_corpus(tmp_path / "text", num_chars)
    found = propose(Config(), corpus, 1)
    assert found.config.train.batch_size == batch_size
    assert found.config.model.hidden_size == width
    Session(found.config, corpus).take_step()


def test_learning_rate_falls_with_the_width(tmp_path: Path) -> None:
    """Wider models have the rates of the presets."""
    corpus = make_corpus(tmp_path / "text", 4_000_000)
    rates = {minutes: propose(Config(), corpus, minutes).config for minutes in (0.2, 60)}
    assert rates[0.2].train.learning_rate == 0.01
    assert rates[60].model.hidden_size > 384
    assert rates[60].train.learning_rate == pytest.approx(3.84 / rates[60].model.hidden_size, abs=1e-4)


def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does not fit the memory is not proposed; if none fits, the message says what is missing."""
    corpus = make_corpus(tmp_path / "text", 4_000_000)
    config = Config().replace("train", precision="fp32")
    monkeypatch.setattr("charlm.training.estimates.available_memory", lambda _: 50e6)
    assert propose(config, corpus, 600).config.model.hidden_size == 384
    monkeypatch.setattr("charlm.training.estimates.available_memory", lambda _: 1e6)
    with pytest.raises(InputError, match="not enough memory"):
        propose(config, corpus, 600)
