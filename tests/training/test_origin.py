"""What a run begins with: the base that its configuration names fits it, and is the same whenever it resumes."""

from pathlib import Path

import pytest

from charlm.config import Config
from charlm.errors import ConfigError, InputError
from charlm.runs.base import read_base
from charlm.runs.checkpoint import load_checkpoint
from charlm.training.origin import Origin, find_origin


def refuse_warning(message: str) -> None:
    """Fail."""
    pytest.fail(message)


def find(config: Config) -> Origin:
    """Return the origin of a new run."""
    return find_origin(config, None, refuse_warning)


def test_no_base(config: Config) -> None:
    """A configuration that names no base stays as it is."""
    assert find(config) == Origin(config)


def test_sizes_come_from_the_base(next_config: Config, base_path: Path) -> None:
    """Depth and widths that are not given are those of the base; the other keys are those of the run."""
    model = find(next_config).config.model
    assert (model.num_layers, model.hidden_size, model.embed_size) == (2, 12, 6)
    assert (model.dropout, model.dropconnect) == (0.1, 0.0)


def test_the_digest_is_filled_in(next_config: Config, base_path: Path) -> None:
    """The configuration of the run has the digest of its base."""
    origin = find(next_config)
    assert origin.base is not None
    assert origin.config.train.init_digest == origin.base.digest == read_base(str(base_path), refuse_warning).digest
    assert find(origin.config).config == origin.config


def test_layers_may_be_added(next_config: Config) -> None:
    """A depth that is given may be greater than that of the base."""
    assert find(next_config.replace("model", num_layers=3)).config.model.num_layers == 3


def test_every_misfit_is_named_at_once(next_config: Config, base_path: Path) -> None:
    """Fewer layers, other widths and another level are refused in one message, with both values of each."""
    config = next_config.replace("model", num_layers=1, hidden_size=128, embed_size=7).replace("data", level="byte")
    with pytest.raises(ConfigError) as raised:
        find(config)
    assert str(raised.value).splitlines() == [
        f"a configuration that begins with the model of {base_path} has 4 problems; nothing was written.",
        "  data.level: expected 'char', got 'byte'.",
        "  model.num_layers: expected 2 or more, because layers can only be added on top, got 1.",
        "  model.hidden_size: expected 12, or the key omitted, got 128.",
        "  model.embed_size: expected 6, or the key omitted, got 7.",
    ]


def test_a_default_that_is_given_counts(next_config: Config) -> None:
    """A width that is given must agree also if it is the default."""
    with pytest.raises(ConfigError, match="hidden_size: expected 12, or the key omitted, got 128"):
        find(next_config.replace("model", hidden_size=Config().model.hidden_size))


def test_another_model_than_the_configuration_says(next_config: Config) -> None:
    """A configuration with a digest is refused with another model, and without init_from."""
    pinned = next_config.replace("train", init_digest="0" * 64)
    with pytest.raises(InputError, match=r"its digest is [0-9a-f]{64}, and train\.init_digest is 0{64}"):
        find(pinned)
    with pytest.raises(InputError, match=r"train\.init_digest: given without train\.init_from"):
        find(pinned.replace("train", init_from=""))


@pytest.mark.parametrize(("vocabulary", "is_kept"), [("union", True), ("text", False)])
def test_symbols_of_the_base(next_config: Config, base_path: Path, vocabulary: str, is_kept: bool) -> None:
    """With ``union`` a run knows the symbols of its base, with ``text`` those of its text alone."""
    symbols = find(next_config.replace("data", vocabulary=vocabulary)).symbols
    assert list(symbols) == (load_checkpoint(base_path).vocabulary.symbols if is_kept else [])
