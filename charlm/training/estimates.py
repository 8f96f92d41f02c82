"""What a run needs, computed from the configuration and the vocabulary before a model is built.

Dimensions: E embedding, H hidden width, L layers, V vocabulary.
"""

from charlm.config import Config, ModelConfig
from charlm.errors import InputError
from charlm.lstm.kernels import choose_kernel
from charlm.system.device import available_memory, choose_device
from charlm.training.distribution import ALONE, Group


def count_parameters(config: ModelConfig, vocabulary_size: int) -> dict[str, int]:
    """Return the number of parameters of each part of a model, and of the whole."""
    V, E, H = vocabulary_size, config.embed_size, config.hidden_size
    widths = [E] + [H] * (config.num_layers - 1)  # of each layer's input
    parts = {"embedding": V * E}
    parts |= {f"layer {number}": 4 * H * (width + H + 1) for number, width in enumerate(widths, start=1)}
    parts["output"] = V * (H + 1)
    return parts | {"whole": sum(parts.values())}


def estimate_memory(config: Config, vocabulary_size: int) -> dict[str, int]:
    """Return bytes: float32 copies of the weights, and what back-propagation keeps of each character.

    The copies are the weights, their gradients, the two averages of the optimizer, and the weight average if there is
    one. A layer keeps its four pre-activations, four gates, c, tanh c and h, in the precision of training; the output
    keeps the logits and their softmax.
    """
    num_copies = 4 + (config.train.average_decay > 0)
    num_activations = 11 * config.model.num_layers * config.model.hidden_size  # of a character
    activation_bytes = (2 if _is_bf16(config) else 4) * num_activations + 4 * 2 * vocabulary_size
    return {
        "weights, gradients, optimizer": 4 * num_copies * count_parameters(config.model, vocabulary_size)["whole"],
        "activations of a step": activation_bytes * config.train.batch_size * config.train.seq_length,
    }


def _is_bf16(config: Config) -> bool:
    if config.train.precision != "auto":
        return config.train.precision == "bf16"
    return choose_kernel(config.train.kernel, choose_device(config.train.device, "train.device")).is_bf16_fast


def describe_shortage(config: Config, vocabulary_size: int, group: Group = ALONE) -> str | None:
    """Return why a run does not fit the available memory and what to change; None if it fits or nothing is known.

    Args:
        config: of the run.
        vocabulary_size: V.
        group: the processes that share the batch, and some of them the main memory of a machine.

    Raises:
        InputError: the device or the kernel is not available.
    """
    device = choose_device(config.train.device, "train.device")
    available = available_memory(device)
    if available is None:
        return None
    available //= group.local_size if device.type == "cpu" else 1
    copies, activations = estimate_memory(config, vocabulary_size).values()
    needed = copies + activations // group.size
    if needed <= available:
        return None
    num_parameters = count_parameters(config.model, vocabulary_size)["whole"]
    return (
        f"not enough memory: a model of {num_parameters:,} parameters needs about {needed / 2**30:,.1f} GiB to train "
        f"with train.batch_size={config.train.batch_size} and train.seq_length={config.train.seq_length}, and "
        f"{available / 2**30:,.1f} GiB are available on {device}. Lower model.hidden_size, model.num_layers, "
        "train.batch_size or train.seq_length."
    )


def refuse_shortage(config: Config, vocabulary_size: int, group: Group = ALONE) -> None:
    """Make sure that a run fits the available memory, before a model is built.

    Raises:
        InputError: it does not fit, or the device or the kernel is not available.
    """
    shortage = describe_shortage(config, vocabulary_size, group)
    if shortage is not None:
        raise InputError(shortage)
