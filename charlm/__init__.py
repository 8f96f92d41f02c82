"""Character-level LSTM language models: train, sample, evaluate and compare.

import charlm
model = charlm.load("runs/x")
print(model.sample(prompt="Once", length=200))
"""

from pathlib import Path
from typing import TYPE_CHECKING

from charlm.system.version import __version__

if TYPE_CHECKING:
    from charlm.inference.trained import TrainedModel

__all__ = ["__version__", "load"]


def load(run: str | Path, device: str = "auto") -> "TrainedModel":
    """Return the trained model of a run directory (its best checkpoint) or of a checkpoint file.

    Args:
        run: the path.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        charlm.errors.InputError: there is no sound checkpoint, or the device is not there.
    """
    from charlm.inference import trained  # torch is loaded when it is needed

    return trained.load(run, device)
