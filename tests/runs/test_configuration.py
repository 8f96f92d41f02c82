"""The configuration of a resumed run: the user's over the run's own, never silently the defaults."""

import re
from pathlib import Path

import pytest

from charlm.config import Config, load_config
from charlm.errors import ConfigError, InputError
from charlm.runs.configuration import load_run_config
from charlm.runs.directory import RunDirectory
from charlm.text.corpus import load_corpus
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint


@pytest.fixture
def run(config: Config, tmp_path: Path) -> RunDirectory:
    """Return the directory of a run with two saves; the corpus is in the cache."""
    run = RunDirectory(tmp_path / "run")
    with run.locked():
        run.begin(config.to_yaml(), 0)
        session = Session(config, load_corpus(config.data.path, config.data.level))
        checkpoint = make_checkpoint(session, is_resumable=True)
        run.save_last(checkpoint)
        run.save_last(checkpoint)
    return run


def write(path: Path, text: str) -> Path:
    """Write a text and return its path."""
    path.write_text(text, encoding="utf-8")
    return path


def remove_saves(run: RunDirectory) -> None:
    """Delete every checkpoint of a run."""
    for path in run.path.glob("*.pt"):
        path.unlink()


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


@pytest.mark.parametrize("damaged", ["config.yaml", "last.pt"])
def test_a_missing_or_damaged_part_is_replaced_by_the_other(run: RunDirectory, config: Config, damaged: str) -> None:
    """The configuration is found without config.yaml, without last.pt, and where either is damaged."""
    (run.path / damaged).write_bytes(b"\0{")
    assert load_run_config(run, None, [], resume=True) == config
    (run.path / damaged).unlink()
    assert load_run_config(run, None, [], resume=True, warn=pytest.fail) == config


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_config_yaml_serves_without_a_sound_checkpoint(run: RunDirectory, config: Config, content: bytes) -> None:
    """The configuration is that of config.yaml where there is no checkpoint, or all are damaged."""
    for path in run.path.glob("*.pt"):
        path.write_bytes(content) if content else path.unlink()
    assert load_run_config(run, None, [], resume=True) == config


def test_an_older_config_yaml_lacks_later_keys(run: RunDirectory) -> None:
    """A key that is newer than config.yaml has the value that says what the run did before."""
    remove_saves(run)
    run.config_path.write_text("train: {seed: 7}", encoding="utf-8")
    expected = Config().replace("train", seed=7, reset_probability=0.0, average_decay=0.0)
    assert load_run_config(run, None, [], resume=True) == expected


def test_a_newer_config_yaml_counts(run: RunDirectory, config: Config) -> None:
    """A run that was made longer and killed before its next save stays longer."""
    longer = config.replace("train", max_steps=50, log_every=5).replace("sample", length=7)
    run.config_path.write_text(longer.to_yaml(), encoding="utf-8")
    assert load_run_config(run, None, [], resume=True) == longer


def test_keys_that_config_yaml_lacks_come_from_the_checkpoint(run: RunDirectory, config: Config) -> None:
    """A config.yaml without some keys, beside a checkpoint that has them, leaves them as the run trained with them."""
    run.config_path.write_text("train: {log_every: 9}", encoding="utf-8")
    assert load_run_config(run, None, [], resume=True) == config.replace("train", log_every=9)


def test_a_changed_config_yaml_is_not_used(run: RunDirectory, config: Config) -> None:
    """The checkpoint is used, with a warning that names the change, where config.yaml belongs to another course."""
    run.config_path.write_text(config.replace("train", seed=8).to_yaml(), encoding="utf-8")
    warnings: list[str] = []
    assert load_run_config(run, None, [], resume=True, warn=warnings.append) == config
    [warning] = warnings
    assert re.search(r"config.yaml: train.seed was 1 and is now 8. The configuration of the newest checkpoint", warning)


def test_a_damaged_config_yaml_is_told(run: RunDirectory) -> None:
    """A config.yaml that cannot be read is named in a warning, with the line and the mistake."""
    run.config_path.write_text("train:\n  sead: 3\n", encoding="utf-8")
    warnings: list[str] = []
    load_run_config(run, None, [], resume=True, warn=warnings.append)
    [warning] = warnings
    assert "line 2, train.sead: unknown key. Did you mean 'seed'?" in warning


@pytest.mark.parametrize("name", ["metrics.jsonl", "best.pt"])
@pytest.mark.parametrize("has_file", [True, False])
def test_defaults_never_stand_in_for_a_lost_configuration(tmp_path: Path, name: str, has_file: bool) -> None:
    """A directory with parts of a run but no configuration is refused, with and without the user's file."""
    path = write(tmp_path / "my.yaml", Config().to_yaml()) if has_file else None
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"has neither a config\.yaml nor a last\.pt to resume from"):
        load_run_config(RunDirectory(tmp_path), path, [], resume=True)


def test_damaged_checkpoints_alone_are_refused(tmp_path: Path) -> None:
    """Where all checkpoints are damaged and there is no config.yaml, the message says what is wrong with them."""
    (tmp_path / "last.pt").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"all checkpoints of the run are damaged.\n.*last.pt: "):
        load_run_config(RunDirectory(tmp_path), None, [], resume=True)


def test_a_faulty_config_yaml_alone_is_refused(run: RunDirectory) -> None:
    """Where there is no checkpoint, a mistake in config.yaml is refused with its line."""
    remove_saves(run)
    run.config_path.write_text("train:\n  sead: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line 2, train\.sead"):
        load_run_config(run, None, [], resume=True)


def test_what_is_loaded_can_be_stored(run: RunDirectory, config: Config, tmp_path: Path) -> None:
    """The configuration is a whole one: its YAML reads back as an equal one over today's defaults."""
    loaded = load_run_config(run, None, [], resume=True)
    assert load_config(write(tmp_path / "again.yaml", loaded.to_yaml())) == loaded == config
