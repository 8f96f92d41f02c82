"""Character-level LSTM language models: train, sample, evaluate and compare.

Example:
    import charlm

    config = charlm.Config().replace("train", max_steps=500)
    charlm.train(config, "runs/short")
    model = charlm.load("runs/short")
    print(model.sample(prompt="The ", length=200))
    print(model.evaluate_split("val").bits_per_char)

The names that need torch are imported when they are first used.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.errors import (
    ArgumentError,
    CharlmError,
    ConfigError,
    DamagedError,
    DivergedError,
    InputError,
    OutOfMemoryError,
    StoppedError,
)
from charlm.system.version import __version__

if TYPE_CHECKING:
    from charlm.config import Config, DataConfig, ModelConfig, SampleConfig, TrainConfig, load_config
    from charlm.inference.evaluation import Evaluation
    from charlm.inference.reading import Reading
    from charlm.inference.sampling import Sampling
    from charlm.inference.trained import TrainedModel
    from charlm.model import CharLM
    from charlm.text.vocabulary import Vocabulary
    from charlm.training.reporter import Reporter
    from charlm.training.result import TrainingResult

__all__ = [
    "ArgumentError",
    "CharLM",
    "CharlmError",
    "Config",
    "ConfigError",
    "DamagedError",
    "DataConfig",
    "DivergedError",
    "Evaluation",
    "InputError",
    "ModelConfig",
    "OutOfMemoryError",
    "Reading",
    "Reporter",
    "SampleConfig",
    "Sampling",
    "StoppedError",
    "TrainConfig",
    "TrainedModel",
    "TrainingResult",
    "Vocabulary",
    "__version__",
    "load",
    "load_config",
    "train",
]

_LAZY = {
    "CharLM": "charlm.model",
    "Config": "charlm.config",
    "DataConfig": "charlm.config",
    "Evaluation": "charlm.inference.evaluation",
    "ModelConfig": "charlm.config",
    "Reading": "charlm.inference.reading",
    "Reporter": "charlm.training.reporter",
    "SampleConfig": "charlm.config",
    "Sampling": "charlm.inference.sampling",
    "TrainConfig": "charlm.config",
    "TrainedModel": "charlm.inference.trained",
    "TrainingResult": "charlm.training.result",
    "Vocabulary": "charlm.text.vocabulary",
    "load_config": "charlm.config",
}
"""The module of each name that is imported when it is first used."""


def load(run: str | Path, device: str = "auto") -> "TrainedModel":
    """Return the trained model of a run directory (its best checkpoint), a checkpoint file, or an export.

    Args:
        run: the path of a run directory, of a checkpoint file, or of a directory that ``charlm export`` wrote.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        InputError: there is no usable model, or the device is not available.
        OutOfMemoryError: the model does not fit the memory.

    Example:
        model = charlm.load("runs/default")
        print(model.sample(prompt="The ", length=200, seed=1))
    """
    from charlm.inference import trained
    from charlm.system.memory import explain_shortage

    with explain_shortage():
        return trained.load(run, device)


def train(
    config: "Config", directory: str | Path, resume: bool = False, reporter: "Reporter | None" = None
) -> "TrainingResult":
    """Train a model into a run directory, as ``charlm train`` does; also in each process that torchrun starts.

    Args:
        config: what to train: ``Config()``, ``Config().replace(...)``, or what ``load_config`` returns.
        directory: the run directory; it is created.
        resume: continue the run that the directory holds, or start it if there is none.
        reporter: is told of every event; None for TensorBoard's events in the directory and the progress on stderr, a
            bar in a terminal and plain lines elsewhere, such as a notebook. ``Reporter()`` shows and writes nothing.

    Raises:
        InputError: the corpus, the device, the directory or a change of the configuration cannot be used, or the run
            does not fit the memory; nothing is written.
        StoppedError: Ctrl-C or SIGTERM; the state is saved.
        CharlmError: the run failed; its last checkpoint is intact.

    Example:
        config = charlm.load_config("configs/default.yaml", ["train.max_steps=500"])
        result = charlm.train(config, "runs/short")
        print(result.best_bits_per_char)
    """
    from charlm.cli.progress import make_reporter
    from charlm.system.memory import explain_shortage
    from charlm.training import loop
    from charlm.training.process_group import join

    with explain_shortage(), join() as group:
        return loop.train(config, Path(directory), resume, reporter or make_reporter(Path(directory)), group)


if not TYPE_CHECKING:  # type checkers and editors see the imports above, and report any other name

    def __getattr__(name: str) -> object:
        """Import a name when it is first used (PEP 562)."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(_LAZY[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
