"""What a run takes over from its base: the same function of the same text, and rows matched by symbol."""

from pathlib import Path

import pytest
import torch
from recording import equal

from charlm.config import Config
from charlm.inference.evaluation import evaluate
from charlm.runs.checkpoint import Checkpoint, save_checkpoint
from charlm.text.corpus import Corpus, load_corpus
from charlm.training.inheritance import Inheritance, describe_inheritance
from charlm.training.optimization import compute_loss
from charlm.training.origin import find_origin
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint

ROWS = ("embedding.weight", "output.weight")


def begin(config: Config) -> tuple[Session, Session, Checkpoint]:
    """Return a session that begins with its base, one of the same configuration with new weights, and the base."""
    origin = find_origin(config, None, pytest.fail)
    corpus = load_corpus(config.data.path, config.data.level).extend(origin.symbols)
    assert origin.base is not None
    sessions = [Session(origin.config, corpus, base) for base in (origin.base.checkpoint, None)]
    return sessions[0], sessions[1], origin.base.checkpoint


@pytest.mark.parametrize("vocabulary", ["union", "text"])
@pytest.mark.parametrize("kernel", ["cpu", "torch", "reference"])
def test_the_same_text(next_config: Config, config: Config, kernel: str, vocabulary: str) -> None:
    """On the text of the base the weights, the first loss and the validation loss are those of the base, to the bit."""
    settings = {"kernel": kernel, "reset_probability": 0.0}
    data = config.data.model_dump() | {"vocabulary": vocabulary}
    config = next_config.replace("data", **data).replace("model", dropout=0.0).replace("train", **settings)
    session, _, base = begin(config)
    model = base.build_model(torch.device("cpu"), kernel)
    assert equal(session.model.state_dict(), model.state_dict())
    assert evaluate(session.shown, session.splits.val) == evaluate(model, session.splits.val)
    states = model.initial_state(config.train.batch_size)
    loss, _ = compute_loss(model, session.streams.batch(0), states, "fp32", None)
    session.take_step()
    assert session.interval.loss_nats == loss.item()


@pytest.mark.parametrize("vocabulary", ["union", "text"])
def test_rows_are_matched_by_symbol(next_config: Config, vocabulary: str) -> None:
    """A symbol that both know has the rows of the base, another those of a new model; the layers are the base's."""
    session, new, base = begin(next_config.replace("data", vocabulary=vocabulary))
    known, symbols = base.vocabulary.ids, session.corpus.vocabulary.symbols
    weights, new_weights = session.model.state_dict(), new.model.state_dict()
    assert set("Güßö:") <= set(symbols) - set(known)
    for name in ROWS:
        for index, symbol in enumerate(symbols):
            expected = base.weights[name][known[symbol]] if symbol in known else new_weights[name][index]
            assert torch.equal(weights[name][index], expected), (name, symbol)
    assert all(torch.equal(weights[name], base.weights[name]) for name in weights if name.startswith("lstm."))


def test_ids_of_the_text_stay(next_config: Config) -> None:
    """With ``union`` the text has the ids that it has alone, and the symbols that it lacks follow its own."""
    session, _, base = begin(next_config)
    text = load_corpus(next_config.data.path, "char")
    assert torch.equal(session.corpus.ids, text.ids)
    assert session.corpus.vocabulary.symbols[: len(text.vocabulary)] == text.vocabulary.symbols
    rest = session.corpus.vocabulary.symbols[len(text.vocabulary) :]
    assert rest == [symbol for symbol in base.vocabulary.symbols if symbol not in text.vocabulary.ids]
    assert "w" in rest


def test_text_has_the_symbols_of_the_text_alone(next_config: Config) -> None:
    """With ``text`` what the text lacks goes."""
    session, _, _ = begin(next_config.replace("data", vocabulary="text"))
    assert session.corpus.vocabulary == load_corpus(next_config.data.path, "char").vocabulary


def test_new_symbols_are_as_likely_as_they_are_frequent(next_config: Config) -> None:
    """With a zero projection each new symbol has its frequency, beside the symbols that both know."""
    session, _, base = begin(next_config)
    counts, ids = session.count_training_symbols(), session.corpus.vocabulary.ids
    probabilities = session.model.output.bias.detach().double().softmax(0)
    shared = [ids[symbol] for symbol in base.vocabulary.symbols]
    for symbol in "Güßö":
        share = probabilities[ids[symbol]] / probabilities[shared].sum()
        assert share.item() == pytest.approx(float(counts[ids[symbol]] / counts[shared].clamp(min=1).sum()), rel=1e-5)
    base_bias = base.weights["output.bias"]
    assert torch.equal(session.model.output.bias.detach()[shared], base_bias)


def test_no_symbol_in_common(next_config: Config, tmp_path: Path) -> None:
    """A text of other symbols alone begins with new rows, and with finite numbers."""
    (tmp_path / "tally.txt").write_text("ÄÖÜ" * 400, encoding="utf-8")
    session, new, _ = begin(next_config.replace("data", path=str(tmp_path / "tally.txt"), vocabulary="text"))
    for name in (*ROWS, "output.bias"):
        assert torch.equal(session.model.state_dict()[name], new.model.state_dict()[name])
    session.take_step()
    assert session.interval.num_steps == 1


def test_an_added_layer_is_new(next_config: Config) -> None:
    """The layers of the base are the lower ones; one more on top has the weights of a new model."""
    session, new, base = begin(next_config.replace("model", num_layers=3))
    weights, new_weights = session.model.state_dict(), new.model.state_dict()
    for name in ("weight_ih", "weight_hh", "bias"):
        assert torch.equal(weights[f"lstm.cells.1.{name}"], base.weights[f"lstm.cells.1.{name}"])
        assert torch.equal(weights[f"lstm.cells.2.{name}"], new_weights[f"lstm.cells.2.{name}"])


def test_the_average_begins_with_the_base(next_config: Config) -> None:
    """The moving average of the weights starts from the base too."""
    session, _, base = begin(next_config.replace("train", average_decay=0.9))
    assert session.shown is not session.model
    assert torch.equal(session.shown.lstm.state_dict()["cells.0.bias"], base.weights["lstm.cells.0.bias"])


def describe(config: Config) -> Inheritance:
    """Return what a new run takes over."""
    corpus: Corpus = load_corpus(config.data.path, config.data.level)
    inheritance = describe_inheritance(find_origin(config, None, pytest.fail), corpus.vocabulary)
    assert inheritance is not None
    return inheritance


def test_everything_that_differs_is_described(next_config: Config, config: Config, base_path: Path) -> None:
    """The description has each setting, the parameters and the symbols of the base and of the run."""
    told = describe(next_config.replace("model", num_layers=3))
    session, _, base = begin(next_config.replace("model", num_layers=3))
    assert told.path == str(base_path)
    assert (told.step, told.loss_nats) == (3, None)
    assert told.settings["model.num_layers"] == (2, 3)
    assert told.settings["data.path"] == (config.data.path, next_config.data.path)
    assert told.settings["train.max_steps"] == (30, 12)
    assert told.settings.keys() == {
        "data.path", "data.test_frac", "model.num_layers", "model.dropout", "model.dropconnect",
        "model.embedding_dropout", "train.max_steps",
    }  # fmt: skip
    counts = [sum(w.numel() for w in weights.values()) for weights in (base.weights, session.model.state_dict())]
    assert told.num_parameters == tuple(counts)
    assert told.num_symbols == (len(base.vocabulary), len(session.corpus.vocabulary))
    assert told.new == sorted(set(session.corpus.vocabulary.symbols) - set(base.vocabulary.symbols))
    assert told.absent == session.corpus.vocabulary.symbols[-len(told.absent) :]
    assert told.is_absent_kept
    assert not describe(next_config.replace("data", vocabulary="text")).is_absent_kept


def test_bytes_are_all_known(next_config: Config, config: Config, tmp_path: Path) -> None:
    """A base of bytes has the 256 symbols of every run of bytes, in the same order."""
    base = Session(config.replace("data", level="byte"), load_corpus(config.data.path, "byte"))
    save_checkpoint(make_checkpoint(base, is_resumable=False), tmp_path / "bytes.pt")
    config = next_config.replace("train", init_from=str(tmp_path / "bytes.pt")).replace("data", level="byte")
    told = describe(config)
    assert (told.num_symbols, told.new, told.absent) == ((256, 256), [], [])
    session, _, checkpoint = begin(config)
    assert equal(session.model.state_dict(), checkpoint.weights)


def test_a_base_that_is_a_continuation(next_config: Config, tmp_path: Path) -> None:
    """A model that knows two texts begins on the second again with the same symbols in the same order."""
    middle, _, first = begin(next_config)
    save_checkpoint(make_checkpoint(middle, is_resumable=False), tmp_path / "middle.pt")
    again, _, _ = begin(next_config.replace("train", init_from=str(tmp_path / "middle.pt")))
    assert again.corpus.vocabulary == middle.corpus.vocabulary
    assert equal(again.model.state_dict(), middle.model.state_dict())
    assert len(again.corpus.vocabulary) > len(first.vocabulary)
