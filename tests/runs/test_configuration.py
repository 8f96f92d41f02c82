"""The configuration of a resumed run: the user's over that of its newest save, never silently the defaults."""

from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.config import Config, load_config
from charlm.errors import ConfigError, InputError
from charlm.runs.configuration import examine_config, load_run_config
from charlm.runs.directory import RunDirectory
from charlm.text.corpus import load_corpus
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint


@pytest.fixture
def run(config: Config, tmp_path: Path) -> RunDirectory:
    """Return the directory of a run with two saves; the corpus is in the cache."""
    run = RunDirectory(tmp_path / "run")
    with run.locked():
        session = Session(config, load_corpus(config.data.path, config.data.level))
        checkpoint = make_checkpoint(session, is_resumable=True)
        run.save_last(checkpoint)
        run.save_last(checkpoint)
        run.write_config(config.to_yaml())
    return run


def write(path: Path, text: str) -> Path:
    """Write a text and return its path."""
    path.write_text(text, encoding="utf-8")
    return path


def test_overrides_apply_over_the_own_configuration(run: RunDirectory, config: Config) -> None:
    """Without a file, --set changes one key of the run's own configuration, not of the defaults."""
    changed = load_run_config(run, None, ["train.log_every=5"], resume=True)
    assert changed == config.replace("train", log_every=5)


def test_a_file_leaves_its_missing_keys_to_the_run(run: RunDirectory, config: Config, tmp_path: Path) -> None:
    """Keys that the file and --set leave out have the values of the run, whatever the defaults are today."""
    path = write(tmp_path / "my.yaml", "model: {hidden_size: 12}\ntrain: {keep: 3}")
    changed = load_run_config(run, path, ["train.log_every=5"], resume=True)
    assert changed == config.replace("train", keep=3, log_every=5)


def test_a_mistake_of_the_user_is_named_as_such(run: RunDirectory) -> None:
    """A faulty --set is refused with its own name, over a run's configuration too."""
    with pytest.raises(ConfigError, match=r"^the command line has 1 problem.*\n  --set train.seed: expected"):
        load_run_config(run, None, ["train.seed=-1"], resume=True)


@pytest.mark.parametrize("resume", [True, False])
def test_defaults_are_for_a_new_run(tmp_path: Path, resume: bool) -> None:
    """A directory without a run has the defaults as its base."""
    run = RunDirectory(tmp_path / "new")
    assert load_run_config(run, None, ["train.seed=3"], resume) == Config().replace("train", seed=3)


def test_a_run_that_is_not_resumed_does_not_count(run: RunDirectory) -> None:
    """Without --resume the run in the directory has no influence."""
    assert load_run_config(run, None, [], resume=False) == Config()


@pytest.mark.parametrize("content", [b"", b"\0{", b"train: {seed: 7}\n", None])
def test_the_newest_save_has_the_configuration(run: RunDirectory, config: Config, content: bytes | None) -> None:
    """The configuration does not depend on config.yaml, which may be empty, damaged, another one or missing."""
    run.config_path.write_bytes(content) if content is not None else run.config_path.unlink()
    assert load_run_config(run, None, [], resume=True) == config


def test_the_configuration_of_an_older_save(run: RunDirectory, config: Config) -> None:
    """Where the newest save is damaged, the configuration is that of the one before it."""
    run.last_path.write_bytes(b"damaged")
    assert load_run_config(run, None, [], resume=True) == config


@pytest.mark.parametrize("name", ["metrics.jsonl", "best.pt", "config.yaml"])
@pytest.mark.parametrize("has_file", [True, False])
def test_defaults_never_stand_in_for_a_lost_configuration(tmp_path: Path, name: str, has_file: bool) -> None:
    """A directory with parts of a run but no save is refused, with and without the user's file."""
    path = write(tmp_path / "my.yaml", Config().to_yaml()) if has_file else None
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"no last\.pt to resume from"):
        load_run_config(RunDirectory(tmp_path), path, [], resume=True)


def test_damaged_checkpoints_alone_are_refused(tmp_path: Path) -> None:
    """Where all saves are damaged, the message says what is wrong with them."""
    (tmp_path / "last.pt").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"all checkpoints of the run are damaged.\n.*last.pt: "):
        load_run_config(RunDirectory(tmp_path), None, [], resume=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("seed: 1", "seed: 8"), "train.seed is 8 there and 1 in last.pt"),
        (lambda text: text[:-30], "sample."),
        (lambda text: text.replace("seed:", "sead:"), "train.sead: unknown key. Did you mean 'seed'?"),
        (lambda text: text.replace("\n  log_every", "\nlog_every"), ", column 13: invalid YAML"),
        (lambda _: "", "hidden_size is 128 there and 12 in last.pt; and 18 more differences."),
        (lambda _: "\0", "invalid YAML"),
    ],
    ids=["another value", "cut", "another key", "indentation", "empty", "binary"],
)
def test_damaged_config_yaml_is_found(
    run: RunDirectory, config: Config, damage: Callable[[str], str], message: str
) -> None:
    """A config.yaml that does not say what the save does is described in one line."""
    run.config_path.write_text(damage(config.to_yaml()), encoding="utf-8")
    problem = examine_config(run, config)
    assert problem is not None
    assert problem.startswith(f"{run.config_path}: ")
    assert message in problem
    assert "nothing was written" not in problem
    assert "\n" not in problem
    assert "invalid.." not in problem


def test_missing_config_yaml_is_found(run: RunDirectory, config: Config) -> None:
    """A config.yaml that is missing is reported, and one that says what the save does is not."""
    assert examine_config(run, config) is None
    run.config_path.unlink()
    assert examine_config(run, config) == f"{run.config_path}: missing."


def test_older_config_yaml_is_not_damaged(run: RunDirectory, config: Config) -> None:
    """A key that is newer than config.yaml may be missing in it; the run did what was done before the key."""
    saved = config.replace("train", average_decay=0.0, reset_probability=0.0)
    saved = saved.replace("model", dropconnect=0.0, embedding_dropout=0.0)
    keys = ("average_decay", "reset_probability", "dropconnect", "embedding_dropout", "patience")
    lines = [line for line in saved.to_yaml().splitlines() if line.strip().split(":")[0] not in keys]
    run.config_path.write_text("\n".join(lines), encoding="utf-8")
    assert examine_config(run, saved) is None


def test_what_is_loaded_can_be_stored(run: RunDirectory, config: Config, tmp_path: Path) -> None:
    """The configuration is a whole one: its YAML reads back as an equal one over today's defaults."""
    loaded = load_run_config(run, None, [], resume=True)
    assert load_config(write(tmp_path / "again.yaml", loaded.to_yaml())) == loaded == config
