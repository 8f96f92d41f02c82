"""A model as ONNX graphs: one step from its equations, and whole sequences with ONNX's own LSTM operator.

Dimensions: B batch, T time, V vocabulary, E embedding, H hidden width, L layers.
"""

import json
from collections.abc import Sequence
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from charlm.errors import InputError
from charlm.lstm.cell import split_gates
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.description import describe
from charlm.system.version import __version__

OPSET = 17
"""Version of ONNX's operators; runtimes since 2022 have it."""

IR_VERSION = 8
"""Version of the file format that belongs to this opset."""

MAX_BYTES = 2**31 - 2**24
"""Maximum size of the weights; protobuf, the format of the file, ends at 2 GiB."""


class _Graph:
    """A graph under construction."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Tensor) -> str:
        """Add a constant, and return its name."""
        self.constants.append(numpy_helper.from_array(value.contiguous().numpy(), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output, and return the name of that output."""
        return self.add_many(operator, inputs, [output], **attributes)[0]

    def add_many(self, operator: str, inputs: Sequence[str], outputs: list[str], **attributes: Any) -> list[str]:
        """Add a node, and return the names of its outputs."""
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=f"make_{outputs[0]}", **attributes))
        return outputs


def build_step_model(checkpoint: Checkpoint) -> onnx.ModelProto:
    """Return the graph of one step: ids (B,), h and c (L, B, H) to logits (B, V), h_after and c_after (L, B, H).

    It consists of elementary operators, since not every runtime has an LSTM.

    Raises:
        InputError: the model is too large for an ONNX file.
    """
    graph, weights = _start(checkpoint), checkpoint.weights
    x = graph.add("Gather", ["embedding", "ids"], "x")  # (B, E)
    after: list[tuple[str, str]] = []
    for layer in range(checkpoint.config.model.num_layers):
        cell = f"lstm.cells.{layer}"
        index = graph.constant(f"layer_{layer}", torch.tensor(layer))
        h = graph.add("Gather", ["h", index], f"h_{layer}")  # (B, H)
        c = graph.add("Gather", ["c", index], f"c_{layer}")  # (B, H)
        W = graph.constant(f"W_{layer}", weights[f"{cell}.weight_ih"].T)
        U = graph.constant(f"U_{layer}", weights[f"{cell}.weight_hh"].T)
        b = graph.constant(f"b_{layer}", weights[f"{cell}.bias"])
        products = [graph.add("MatMul", [x, W], f"Wx_{layer}"), graph.add("MatMul", [h, U], f"Uh_{layer}")]
        gates = graph.add("Add", [graph.add("Add", products, f"sum_{layer}"), b], f"gates_{layer}")  # (B, 4H)
        x, c = _add_cell(graph, gates, c, layer)
        after.append((x, c))
    logits = graph.add("MatMul", [x, "output_weight"], "product")
    graph.add("Add", [logits, "output_bias"], "logits")
    axis = graph.constant("axis_0", torch.tensor([0]))
    for place, name in enumerate(("h_after", "c_after")):
        rows = [graph.add("Unsqueeze", [pair[place], axis], f"row_{pair[place]}") for pair in after]
        graph.add("Concat", rows, name, axis=0)
    return _finish(graph, "step", checkpoint, ["batch"])


def build_sequence_model(checkpoint: Checkpoint) -> onnx.ModelProto:
    """Return the graph of a sequence: ids (B, T), h and c (L, B, H) to logits (B, T, V), h_after and c_after (L, B, H).

    Raises:
        InputError: the model is too large for an ONNX file.
    """
    graph, weights, sizes = _start(checkpoint), checkpoint.weights, checkpoint.config.model
    x = graph.add(
        "Gather", ["embedding", graph.add("Transpose", ["ids"], "ids_by_time", perm=[1, 0])], "x"
    )  # (T, B, E)
    axis = graph.constant("axis_1", torch.tensor([1]))
    after: list[list[str]] = []
    for layer in range(sizes.num_layers):
        cell = f"lstm.cells.{layer}"
        index = graph.constant(f"layer_{layer}", torch.tensor([layer]))
        states = [graph.add("Gather", [name, index], f"{name}_{layer}") for name in ("h", "c")]  # (1, B, H) each
        bias = weights[f"{cell}.bias"]
        parts = {
            "W": order_gates(weights[f"{cell}.weight_ih"]),
            "R": order_gates(weights[f"{cell}.weight_hh"]),
            "B": torch.cat([order_gates(bias), torch.zeros_like(bias)]),  # ONNX adds two biases, as torch does
        }
        constants = [graph.constant(f"{name}_{layer}", part[None]) for name, part in parts.items()]
        outputs = [f"hidden_{layer}", f"h_after_{layer}", f"c_after_{layer}"]
        hidden, *last = graph.add_many("LSTM", [x, *constants, "", *states], outputs, hidden_size=sizes.hidden_size)
        x = graph.add("Squeeze", [hidden, axis], f"x_{layer}")  # (T, 1, B, H) to (T, B, H)
        after.append(last)
    by_batch = graph.add("Transpose", [x], "x_by_batch", perm=[1, 0, 2])  # (B, T, H)
    graph.add("Add", [graph.add("MatMul", [by_batch, "output_weight"], "product"), "output_bias"], "logits")
    for place, name in enumerate(("h_after", "c_after")):
        graph.add("Concat", [last[place] for last in after], name, axis=0)
    return _finish(graph, "sequence", checkpoint, ["batch", "time"])


def order_gates(weight: Tensor) -> Tensor:
    """Return rows (4H, ·) that are stacked in charlm's order of the gates in that of ONNX: i, o, f, c."""
    i, f, g, o = split_gates(weight.movedim(0, -1))
    return torch.cat([i, o, f, g], dim=-1).movedim(-1, 0)


def _add_cell(graph: _Graph, gates: str, c: str, layer: int) -> tuple[str, str]:
    """Add the equations of a cell from its pre-activations on; return the names of h' and c', (B, H) each."""
    i, f, g, o = graph.add_many("Split", [gates], [f"{gate}_before_{layer}" for gate in "ifgo"], axis=1)
    i, f, o = (graph.add("Sigmoid", [gate], f"{name}_{layer}") for gate, name in ((i, "i"), (f, "f"), (o, "o")))
    g = graph.add("Tanh", [g], f"g_{layer}")
    kept, written = graph.add("Mul", [f, c], f"kept_{layer}"), graph.add("Mul", [i, g], f"written_{layer}")
    c = graph.add("Add", [kept, written], f"c_after_{layer}")
    return graph.add("Mul", [o, graph.add("Tanh", [c], f"tanh_{layer}")], f"h_after_{layer}"), c


def _start(checkpoint: Checkpoint) -> _Graph:
    """Return a graph with the weights that both graphs have."""
    num_bytes = sum(weight.nbytes for weight in checkpoint.weights.values())
    if num_bytes > MAX_BYTES:
        raise InputError(f"the weights have {num_bytes:,} bytes, too many for an ONNX file; use --format safetensors.")
    graph = _Graph()
    graph.constant("embedding", checkpoint.weights["embedding.weight"])
    graph.constant("output_weight", checkpoint.weights["output.weight"].T)
    graph.constant("output_bias", checkpoint.weights["output.bias"])
    return graph


def _finish(graph: _Graph, name: str, checkpoint: Checkpoint, ids_shape: list[str]) -> onnx.ModelProto:
    """Return the checked model of a graph, with its inputs, its outputs and its metadata."""
    sizes, V = checkpoint.config.model, len(checkpoint.vocabulary)
    state: list[str | int | None] = [sizes.num_layers, "batch", sizes.hidden_size]

    def declare(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(each, TensorProto.FLOAT, state) for each in names]

    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ids_shape)
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*ids_shape, V])
    inputs, outputs = [ids, *declare(["h", "c"])], [logits, *declare(["h_after", "c_after"])]
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="charlm",
        producer_version=__version__,
    )
    helper.set_model_props(model, {"charlm": json.dumps(describe(checkpoint))})
    onnx.checker.check_model(model, full_check=True)
    return model
