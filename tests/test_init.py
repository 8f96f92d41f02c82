"""The Python interface: what ``charlm`` exports, when it is imported, and that it trains."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recording import Recorder

import charlm
from charlm.cli import run as run_command_line
from charlm.config import Config
from charlm.inference.generation import sample_texts
from charlm.inference.trained import TrainedModel


@pytest.mark.parametrize("name", charlm.__all__)
def test_every_name_is_there(name: str) -> None:
    """Every name of __all__ can be imported and is listed by dir; what is no constant has a docstring."""
    value = getattr(charlm, name)
    assert name in dir(charlm)
    assert value is charlm.__dict__[name]
    assert isinstance(value, str) or (inspect.getdoc(value) and value.__module__.startswith("charlm"))


def test_type_checkers_see_what_is_imported_lazily() -> None:
    """The imports for type checkers are those that happen at the first use, and all are exported."""
    [block] = [
        node
        for node in ast.parse(inspect.getsource(charlm)).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    ]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == charlm._LAZY
    assert seen.keys() < set(charlm.__all__)
    assert len(set(charlm.__all__)) == len(charlm.__all__)


def test_another_name_is_an_attribute_error() -> None:
    """A name that is not exported is reported as any module does."""
    with pytest.raises(AttributeError, match="module 'charlm' has no attribute 'trian'"):
        charlm.trian  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", ["CharlmError", "InputError", "load", "train", "Config", "load_config"])
def test_light_names_load_no_torch(name: str) -> None:
    """Errors, configurations and the functions themselves come without torch."""
    check = f"import charlm, sys; charlm.{name}; dir(charlm); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_training_from_python(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run from Python writes TensorBoard's events, shows its progress on stderr, resumes, and can be loaded."""
    result = charlm.train(config.replace("train", max_steps=4), str(tmp_path / "run"))
    assert result.steps == 4
    assert list((tmp_path / "run").glob("events.out.tfevents*"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "step 4/4" in err
    with pytest.raises(charlm.InputError, match="already holds a run"):
        charlm.train(config, tmp_path / "run")
    assert charlm.train(config.replace("train", max_steps=4), tmp_path / "run", resume=True).steps == 4
    assert isinstance(charlm.load(tmp_path / "run"), charlm.TrainedModel)


def test_a_reporter_replaces_the_default_ones(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a reporter of one's own nothing is printed, and no events are written."""
    recorder = Recorder()
    charlm.train(config.replace("train", max_steps=3), tmp_path / "run", reporter=recorder)
    assert recorder.steps == [1, 2, 3]
    assert capsys.readouterr() == ("", "")
    assert not list((tmp_path / "run").glob("events*"))


def test_a_failed_allocation_is_a_charlm_error(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python gets the same clear error as the command line where memory runs out."""
    monkeypatch.setattr("charlm.training.loop.refuse_shortage", lambda *_: None)
    large = config.replace("model", hidden_size=10**6).replace("train", kernel="reference")
    with pytest.raises(charlm.OutOfMemoryError, match="out of memory: an allocation of"):
        charlm.train(large, tmp_path / "run", reporter=charlm.Reporter())


@pytest.mark.parametrize("as_text", [True, False])
def test_load_config(config: Config, tmp_path: Path, as_text: bool) -> None:
    """A configuration is read from a path, given as text or as a Path, with overrides."""
    (tmp_path / "small.yaml").write_text(config.to_yaml())
    path = tmp_path / "small.yaml"
    loaded = charlm.load_config(str(path) if as_text else path, ["train.max_steps=7"])
    assert loaded == config.replace("train", max_steps=7)


@pytest.mark.parametrize(
    "function",
    [
        TrainedModel.sample,
        TrainedModel.sample_many,
        TrainedModel.iterate_samples,
        TrainedModel.stream,
        sample_texts,
    ],
)
def test_defaults_are_those_of_the_command_line(function: Callable[..., object]) -> None:
    """Each way to sample has the defaults of the configuration, as the command line does."""
    defaults = charlm.SampleConfig().model_dump()
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in defaults.keys() & parameters.keys()} == {
        name: value for name, value in defaults.items() if name in parameters
    }
    assert {"prompt", "length"} <= parameters.keys()


def test_python_and_the_command_line_write_the_same(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing but a seed given, Python's sample is what the command line prints."""
    charlm.train(config.replace("train", max_steps=2), tmp_path / "run", reporter=charlm.Reporter())
    assert run_command_line(["sample", str(tmp_path / "run"), "--seed", "5"]) == 0
    text = charlm.load(tmp_path / "run").sample(seed=5)
    assert capsys.readouterr().out == text + "\n"
