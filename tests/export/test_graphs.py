"""The ONNX graphs, node by node through the reference implementation that onnx has beside onnxruntime."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from charlm.config import Config
from charlm.errors import InputError
from charlm.model import CharLM
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.description import describe
from charlm.text.vocabulary import Vocabulary

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'charlm[onnx]'")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from charlm.export import graphs  # noqa: E402
from charlm.export.graphs import build_sequence_model, build_step_model, order_gates  # noqa: E402

SIZES = [(1, 5, 3), (3, 4, 2), (2, 1, 1)]
"""Layers, width and width of the embedding."""


def make_checkpoint(num_layers: int, hidden_size: int, embed_size: int) -> Checkpoint:
    """Return a model with large random weights, so that every gate matters."""
    config = Config().replace("model", num_layers=num_layers, hidden_size=hidden_size, embed_size=embed_size)
    generator = torch.Generator().manual_seed(5)
    shapes = CharLM(4, **config.model.model_dump(), kernel="reference").state_dict()
    weights = {name: torch.randn(weight.shape, generator=generator) for name, weight in shapes.items()}
    return Checkpoint(config, Vocabulary("char", "abc\n"), "0f", 3, 1.5, weights=weights)


def run_model(model: Any, checkpoint: Checkpoint, ids: Any, states: Any) -> list[torch.Tensor]:
    """Return logits, h and c of a graph, computed by the reference implementation."""
    inputs = {"ids": ids.numpy(), "h": states[0].numpy(), "c": states[1].numpy()}
    return [torch.from_numpy(each) for each in ReferenceEvaluator(model).run(None, inputs)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_sequence_graph_is_the_model(sizes: tuple[int, int, int]) -> None:
    """Logits and both states of a batch are the model's, from states that are not zero."""
    checkpoint = make_checkpoint(*sizes)
    model = checkpoint.build_model(torch.device("cpu"), "reference")
    ids = torch.tensor([[0, 1, 2, 3, 3], [3, 0, 0, 1, 2]])
    h, c = torch.randn(2, sizes[0], 2, sizes[1], generator=torch.Generator().manual_seed(1))
    states = tuple(type(state)(*pair) for state, *pair in zip(model.initial_state(2), h, c, strict=True))
    with torch.no_grad():
        expected, after = model(ids, states)
    found = run_model(build_sequence_model(checkpoint), checkpoint, ids, (h, c))
    wanted = [expected, torch.stack([state.h for state in after]), torch.stack([state.c for state in after])]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_step_graph_is_one_step_of_the_model(sizes: tuple[int, int, int]) -> None:
    """Logits and both states after one character of a batch are the model's."""
    checkpoint = make_checkpoint(*sizes)
    model = checkpoint.build_model(torch.device("cpu"), "reference")
    ids = torch.tensor([2, 0, 3])
    h, c = torch.randn(2, sizes[0], 3, sizes[1], generator=torch.Generator().manual_seed(1))
    states = tuple(type(state)(*pair) for state, *pair in zip(model.initial_state(3), h, c, strict=True))
    with torch.no_grad():
        expected, after = model.step(ids, states)
    found = run_model(build_step_model(checkpoint), checkpoint, ids, (h, c))
    wanted = [expected, torch.stack([state.h for state in after]), torch.stack([state.c for state in after])]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_gates_have_the_order_of_onnx() -> None:
    """The rows i, f, g, o become i, o, f, c; a bias is reordered like the rows of a matrix."""
    rows = torch.tensor([0.0, 1.0, 2.0, 3.0]).repeat_interleave(2)
    assert order_gates(rows).tolist() == [0, 0, 3, 3, 1, 1, 2, 2]
    assert torch.equal(order_gates(rows[:, None].expand(8, 3)), order_gates(rows)[:, None].expand(8, 3))


def test_the_sequence_graph_has_the_operator_and_the_step_graph_has_not() -> None:
    """One LSTM node for each layer; the step graph needs none."""
    checkpoint = make_checkpoint(3, 4, 2)
    operators = [
        [node.op_type for node in build(checkpoint).graph.node] for build in (build_sequence_model, build_step_model)
    ]
    assert operators[0].count("LSTM") == 3
    assert {*operators[1]} == {"Gather", "MatMul", "Add", "Split", "Sigmoid", "Tanh", "Mul", "Unsqueeze", "Concat"}


@pytest.mark.parametrize("build", [build_step_model, build_sequence_model])
def test_a_file_says_what_it_is(build: Any) -> None:
    """Opset, producer, and the description of the model as JSON are in the file."""
    checkpoint = make_checkpoint(1, 5, 3)
    model = onnx.load_from_string(build(checkpoint).SerializeToString())
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    assert (model.ir_version, model.producer_name) == (8, "charlm")
    [metadata] = model.metadata_props
    assert metadata.key == "charlm"
    assert json.loads(metadata.value) == describe(checkpoint)


def test_a_model_that_no_file_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights beyond the limit of protobuf are refused, with the format that takes them."""
    monkeypatch.setattr(graphs, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="too many for an ONNX file; use --format safetensors"):
        build_step_model(make_checkpoint(1, 5, 3))


def test_weights_are_not_changed() -> None:
    """The checkpoint has the same weights after both graphs were built."""
    checkpoint = make_checkpoint(1, 5, 3)
    before = {name: weight.clone() for name, weight in checkpoint.weights.items()}
    build_step_model(checkpoint)
    build_sequence_model(checkpoint)
    assert all(np.array_equal(checkpoint.weights[name], weight) for name, weight in before.items())
