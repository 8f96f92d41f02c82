"""ONNX graphs as onnxruntime computes them, beside the model that they were made from.

Dimensions: T time, V vocabulary, L layers, H hidden width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from charlm.errors import CharlmError
from charlm.inference.generation import encode_prompt, generate
from charlm.inference.sampling import Sampling
from charlm.inference.trained import TrainedModel
from charlm.model import CharLM

CHECK_LENGTH = 1000
"""Characters of each text on which the graphs are compared with the model."""

TOLERANCE = 1e-5
"""Maximum difference of a logit, relative to the largest one where that is above 1."""

MAX_ERRORS = 10
"""Maximum difference in units of the model's own rounding error, for models that magnify it from step to step."""

SEED = 1


@dataclass(frozen=True)
class Agreement:
    """How near the graphs are to the model.

    Attributes:
        difference: the largest difference of a logit, of both graphs and both texts.
        num_equal: how many characters of the model's greedy text both graphs write too, before the first other one;
            CHECK_LENGTH unless two characters are equally likely within the tolerance.
    """

    difference: float
    num_equal: int


class Runner:
    """A graph in onnxruntime, on the CPU, with the state after what it has read.

    Args:
        path: the ONNX file.
        trained: the model of the graph.
    """

    def __init__(self, path: Path, trained: TrainedModel) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        sizes = trained.checkpoint.config.model
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._states = [np.zeros((sizes.num_layers, 1, sizes.hidden_size), np.float32) for _ in "hc"]

    def run(self, ids: Tensor) -> Tensor:
        """Read ids, (1,) by a step graph or (1, T), and return the logits of the next ones, (1, V) or (1, T, V)."""
        inputs = {"ids": ids.long().numpy()} | dict(zip("hc", self._states, strict=True))
        logits, *self._states = self._session.run(["logits", "h_after", "c_after"], inputs)
        return torch.from_numpy(logits)


def check_graphs(trained: TrainedModel, step: Path, sequence: Path) -> Agreement:
    """Compare both graphs with the model on a text that it samples, and on the one that it writes greedily.

    Args:
        trained: the model, on the CPU.
        step: the file of the step graph.
        sequence: the file of the sequence graph.

    Raises:
        CharlmError: a logit differs by more than TOLERANCE, and by more than MAX_ERRORS times what the model's float32
            logits differ from its float64 ones.
    """
    largest, num_equal = 0.0, CHECK_LENGTH
    for temperature in (1.0, 0.0):
        ids = write_ids(trained, CHECK_LENGTH, temperature)  # (T + 1,)
        expected = _compute_logits(trained.model, ids[:-1])  # (T, V)
        limit = _find_limit(trained, ids[:-1], expected)
        for path, logits in _run_graphs(trained, step, sequence, ids[:-1]):
            difference = float((logits - expected).abs().max())
            if not difference <= limit:  # also if it is not a number
                raise CharlmError(
                    f"{path.name}: a logit differs from the model's by {difference:.1e}, over {limit:.1e}."
                )
            largest = max(largest, difference)
            if temperature == 0:
                others = (logits.argmax(-1) != ids[1:]).nonzero()
                num_equal = min([num_equal, *others[:1, 0].tolist()])
    return Agreement(largest, num_equal)


def write_ids(trained: TrainedModel, length: int, temperature: float) -> Tensor:
    """Return the ids of a text of the model, (length + 1,); the first one is the prompt of an empty text."""
    prompt_ids, _ = encode_prompt(trained.vocabulary, "")
    blocks = generate(trained.model, prompt_ids, range(1), length, Sampling(temperature), SEED)
    return torch.cat([prompt_ids, *(ids[:, 0] for ids in blocks)])


def _find_limit(trained: TrainedModel, ids: Tensor, expected: Tensor) -> float:
    """Return how far a logit may be from the model's, (T, V), on ids (T,)."""
    exact = _compute_logits(trained.checkpoint.build_model(torch.device("cpu"), "reference").double(), ids)
    own_error = float((expected - exact).abs().max())
    return max(TOLERANCE * max(1.0, float(exact.abs().max())), MAX_ERRORS * own_error)


@torch.no_grad()
def _compute_logits(model: CharLM, ids: Tensor) -> Tensor:
    """Return a model's logits (T, V) of ids (T,)."""
    logits: Tensor = model(ids[None], model.initial_state(1))[0]
    return logits[0]


def _run_graphs(trained: TrainedModel, step: Path, sequence: Path, ids: Tensor) -> Iterator[tuple[Path, Tensor]]:
    """Yield the logits (T, V) of ids (T,): in T runs of the step graph, and in one run of the sequence graph."""
    runner = Runner(step, trained)
    yield step, torch.cat([runner.run(one) for one in ids[:, None]])
    yield sequence, Runner(sequence, trained).run(ids[None])[0]
