"""What is checked before a run starts: the prompt of its samples."""

from pathlib import Path

import pytest
from recording import Recorder

from charlm.config import Config
from charlm.errors import InputError
from charlm.text.corpus import load_corpus
from charlm.text.vocabulary import Vocabulary
from charlm.training.checks import check_prompt
from charlm.training.dry_run import plan_run
from charlm.training.loop import train


def with_prompt(config: Config, prompt: str) -> Config:
    """Return a short run whose samples begin with a prompt."""
    return config.replace("sample", prompt=prompt).replace("train", max_steps=2)


@pytest.mark.parametrize("level", ["char", "byte"])
def test_a_known_prompt_passes(config: Config, level: str) -> None:
    """A prompt of known characters passes without a warning, and any prompt does in a byte vocabulary."""
    vocabulary = Vocabulary("char", "abc") if level == "char" else Vocabulary("byte")
    prompt = "cab" if level == "char" else "√"
    check_prompt(with_prompt(config, prompt), vocabulary)
    check_prompt(with_prompt(config, ""), vocabulary, pytest.fail)


def test_an_unknown_character_is_named(config: Config) -> None:
    """The error says the key, its value, each unknown character and the nearest known one."""
    message = (
        r"sample\.prompt='aB√a': not in the text .*: 'B' \(nearest known: 'b'\), '√' \(nearest .*Give a prompt whose"
    )
    with pytest.raises(InputError, match=message):
        check_prompt(with_prompt(config, "aB√a"), Vocabulary("char", "ab"))


def test_a_new_run_is_refused_before_anything_is_written(config: Config, tmp_path: Path) -> None:
    """Training and the dry run refuse an unknown prompt, with --resume too where there is no run yet."""
    wrong = with_prompt(config, "Q")
    for resume in (False, True):
        with pytest.raises(InputError, match=r"sample\.prompt='Q'"):
            train(wrong, tmp_path / "run", resume)
    with pytest.raises(InputError, match=r"sample\.prompt='Q'"):
        plan_run(wrong, load_corpus(config.data.path, "char"))
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_is_warned_once(config: Config, tmp_path: Path) -> None:
    """A run that was started earlier is resumed, with one warning about the prompt that is used instead."""
    train(with_prompt(config, "g"), tmp_path / "run")
    recorder = Recorder()
    resumed = with_prompt(config, "G").replace("train", max_steps=8, eval_every=2)
    train(resumed, tmp_path / "run", resume=True, reporter=recorder)
    [warning] = recorder.warnings
    assert "'G' (nearest known: 'g')" in warning
    assert (tmp_path / "run" / "samples" / "step-0000008.txt").read_text().startswith("g")
