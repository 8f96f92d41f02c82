"""An exported model: its weights in a safetensors file under the names of torch.nn, and all else in config.json.

Reading executes nothing: a safetensors file holds numbers alone, and the library checks that they lie inside the file.
Dimensions: V vocabulary, E embedding, H hidden width, L layers.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from charlm.config import ModelConfig
from charlm.errors import ConfigError, DamagedError, InputError
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.description import Description, check_format, describe, parse_description
from charlm.system.reading import open_regular

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"

MAX_HEADER_BYTES = 1 << 20
"""Maximum size of the list of tensors; that of 100 layers takes 50 KB."""

MAX_CONFIG_BYTES = 1 << 23
"""Maximum size of config.json; a vocabulary of all characters of Unicode takes 5 MB."""

REMEDY = "Give a directory that charlm export wrote, or see docs/export.md for what one holds."
"""The remedy in errors about files that are no export."""

DEFAULTS = {"corpus_digest": "", "step": 0, "loss_nats": None}
"""Values of the keys that the config.json of a model from elsewhere may lack."""

MAX_LISTED = 5
"""Maximum number of tensors that an error lists."""


def write_export(checkpoint: Checkpoint, directory: Path) -> None:
    """Write the weights and config.json of an export into an existing directory.

    Raises:
        OSError: they cannot be written.
    """
    num_layers = checkpoint.config.model.num_layers
    weights = {name: weight.cpu().contiguous() for name, weight in to_torch(checkpoint.weights, num_layers).items()}
    content = save(weights, metadata={"format": "pt"})  # the key that other readers look for
    (directory / WEIGHTS_NAME).write_bytes(content)  # save_file would let nobody else read the file
    write_description(checkpoint, directory)


def write_description(checkpoint: Checkpoint, directory: Path) -> None:
    """Write config.json: configuration, vocabulary, and where the weights come from.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(describe(checkpoint), indent=2, allow_nan=False)
    (directory / CONFIG_NAME).write_text(text + "\n", encoding="ascii")


def read_export(path: Path) -> Checkpoint:
    """Read an exported model to the CPU. Nothing in it is executed, whatever its content.

    Args:
        path: the directory, or the safetensors file; config.json is beside it.

    Raises:
        DamagedError: a file is damaged, or is no model: it has other tensors than its config.json says.
        InputError: a file is missing or cannot be read, or has a format that this charlm cannot read.
        OutOfMemoryError: it does not fit in memory.
    """
    weights_path = path / WEIGHTS_NAME if path.is_dir() else path
    config_path = weights_path.with_name(CONFIG_NAME)
    description = _read_description(config_path)
    try:
        with open_regular(weights_path) as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
        if header_bytes > MAX_HEADER_BYTES:
            raise ValueError("it is no safetensors file, or lists far more tensors than a model has")
        return Checkpoint(**vars(description), weights=_read_weights(weights_path, description))
    except FileNotFoundError:
        raise InputError(f"{weights_path}: there is no such file. {REMEDY}") from None
    except OSError as error:
        raise InputError(f"{weights_path}: cannot be read: {error.strerror or error}.") from None
    except (safetensors.SafetensorError, ValueError) as error:
        reason = str(error).split("\n", 1)[0][:600].rstrip(".")
        raise DamagedError(f"{weights_path}: refused: {reason}. {REMEDY}") from None


def to_torch(weights: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Return a model's weights under the names of ``torch.nn`` modules ``embedding``, ``lstm`` and ``output``.

    The gates have the order of ``torch.nn.LSTM``, which has two biases for each layer; the second one is zero.
    """
    named = {"embedding.weight": weights["embedding.weight"]}
    for layer in range(num_layers):
        parts = {name: weights[f"lstm.cells.{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias")}
        named[f"lstm.weight_ih_l{layer}"] = parts["weight_ih"]
        named[f"lstm.weight_hh_l{layer}"] = parts["weight_hh"]
        named[f"lstm.bias_ih_l{layer}"] = parts["bias"]
        named[f"lstm.bias_hh_l{layer}"] = torch.zeros_like(parts["bias"])
    return named | {name: weights[name] for name in ("output.weight", "output.bias")}


def from_torch(named: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Return the weights that ``to_torch`` named; the two biases of a layer are added."""
    weights = {name: named[name] for name in ("embedding.weight", "output.weight", "output.bias")}
    for layer in range(num_layers):
        weights[f"lstm.cells.{layer}.weight_ih"] = named[f"lstm.weight_ih_l{layer}"]
        weights[f"lstm.cells.{layer}.weight_hh"] = named[f"lstm.weight_hh_l{layer}"]
        first, second = named[f"lstm.bias_ih_l{layer}"], named[f"lstm.bias_hh_l{layer}"]
        weights[f"lstm.cells.{layer}.bias"] = torch.where(second == 0, first, first + second)  # -0.0 + 0.0 is 0.0
    return weights


def _read_description(path: Path) -> Description:
    """Return the description of a model that a config.json has."""
    try:
        with open_regular(path) as stream:
            content = stream.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            raise ValueError(f"it has over {MAX_CONFIG_BYTES:,} bytes")
        plain = json.loads(content.decode("utf-8"))
        if not isinstance(plain, dict) or not {"format", "config", "vocabulary"} <= plain.keys():
            raise ValueError("expected an object with the keys format, config and vocabulary")
        check_format(plain, path, REMEDY)
        return parse_description(DEFAULTS | plain, str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file, and a model needs it beside its weights. {REMEDY}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ConfigError) as error:
        reason = " ".join(error.problems) if isinstance(error, ConfigError) else str(error)
        raise DamagedError(f"{path}: refused: {reason[:600].rstrip('.')}. {REMEDY}") from None


def _read_weights(path: Path, description: Description) -> dict[str, Tensor]:
    """Return the weights of a safetensors file, whose tensors are those of the configuration and the vocabulary.

    Names, types and shapes are compared before the numbers are read.

    Raises:
        ValueError: there are others, or a number is not finite.
        SafetensorError: the file is damaged.
    """
    expected = _expected_shapes(description.config.model, len(description.vocabulary))
    with safe_open(path, framework="pt", device="cpu") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        found = {name: (part.get_dtype(), list(part.get_shape())) for name, part in parts.items()}
        _compare(found, {name: ("F32", shape) for name, shape in expected.items()})
        tensors = {name: file.get_tensor(name).clone() for name in expected}  # copied: the file may be changed later
    weights = from_torch(tensors, description.config.model.num_layers)
    for name, tensor in (tensors | weights).items():  # the sum of two biases may be infinite
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name!r} has numbers that are not finite")
    return weights


def _expected_shapes(sizes: ModelConfig, vocabulary_size: int) -> dict[str, list[int]]:
    """Return the shape of each tensor, by its name."""
    with torch.device("meta"):
        modules = nn.ModuleDict(
            {
                "embedding": nn.Embedding(vocabulary_size, sizes.embed_size),
                "lstm": nn.LSTM(sizes.embed_size, sizes.hidden_size, sizes.num_layers),
                "output": nn.Linear(sizes.hidden_size, vocabulary_size),
            }
        )
    return {name: list(tensor.shape) for name, tensor in modules.state_dict().items()}


Described = Mapping[str, tuple[str, list[int]]]
"""Type and shape of tensors, by their names."""


def _compare(found: Described, expected: Described) -> None:
    """Raise a ValueError that lists the tensors that are missing, too many, or of another type or shape."""
    problems = [f"{name!r} is missing" for name in expected.keys() - found.keys()]
    problems += [f"{name[:80]!r} is no part of the model" for name in found.keys() - expected.keys()]
    problems += [
        f"{name!r} should be {_show(*expected[name])} and is {_show(*found[name])}"
        for name in expected.keys() & found.keys()
        if found[name] != expected[name]
    ]
    if problems:
        more = [f"and {len(problems) - MAX_LISTED} more differences"] if len(problems) > MAX_LISTED else []
        listed = "; ".join(sorted(problems)[:MAX_LISTED] + more)
        raise ValueError(f"its tensors are not those of its config.json: {listed}")


def _show(dtype: str, shape: list[int]) -> str:
    return f"{dtype} {shape}"
