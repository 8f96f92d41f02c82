"""Graphs with weights of 8 bits."""

import logging
from pathlib import Path

import pytest
import torch

from charlm.inference.trained import TrainedModel

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'charlm[onnx]'")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'charlm[onnx]'")

from charlm.export.graphs import build_sequence_model, build_step_model  # noqa: E402
from charlm.export.quantization import compare_losses, quantize  # noqa: E402
from charlm.export.verification import Runner  # noqa: E402


@pytest.fixture(scope="module")
def paths(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files of both graphs and of their quantized copies."""
    directory = tmp_path_factory.mktemp("graphs")
    for name, build in (("step", build_step_model), ("sequence", build_sequence_model)):
        (directory / f"{name}.onnx").write_bytes(build(trained.checkpoint).SerializeToString())
        quantize(directory / f"{name}.onnx", directory / f"{name}_int8.onnx")
    return {path.stem: path for path in directory.iterdir()}


@pytest.mark.parametrize("name", ["step_int8", "sequence_int8"])
def test_every_large_weight_has_8_bits(paths: dict[str, Path], name: str) -> None:
    """No float constant but the embedding and the biases is left, and the metadata stays."""
    model = onnx.load(paths[name])
    floats = {each.name: len(each.dims) for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
    matrices = {each for each, num_dims in floats.items() if num_dims > 1 and "scale" not in each}
    assert {each for each in matrices if not each.startswith("B_")} == {"embedding"}
    assert "charlm" in {each.key for each in model.metadata_props}


def test_the_copy_is_near_but_not_equal(trained: TrainedModel, paths: dict[str, Path]) -> None:
    """Its logits differ by the rounding of the weights, in both graphs."""
    ids = torch.arange(30)[None] % len(trained.vocabulary)
    exact = Runner(paths["sequence"], trained).run(ids)[0]
    rounded = Runner(paths["sequence_int8"], trained).run(ids)[0]
    runner = Runner(paths["step_int8"], trained)
    stepped = torch.cat([runner.run(one) for one in ids[0].split(1)])
    for found in (rounded, stepped):
        assert 1e-4 < float((found - exact).abs().max()) < 0.1 * float(exact.abs().max())


def test_the_cost_is_measured_on_the_text(trained: TrainedModel, paths: dict[str, Path]) -> None:
    """The loss of the exact graph is that of the model on the same characters, and the quantized one differs."""
    val = trained.load_split("val")
    cost = compare_losses(trained, paths["sequence"], paths["sequence_int8"], val)
    assert cost.num_chars == len(val) - 1
    assert cost.float_bits == pytest.approx(trained.evaluate_split("val").bits_per_char, abs=1e-5)
    assert cost.int8_bits != cost.float_bits
    assert cost.int8_bits == pytest.approx(cost.float_bits, abs=0.05)


def test_without_the_text_a_sample_is_measured(
    trained: TrainedModel, paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose text is not there is measured on what it writes."""
    monkeypatch.setattr("charlm.export.quantization.MAX_MEASURED", 300)
    cost = compare_losses(trained, paths["sequence"], paths["sequence_int8"], None)
    assert (cost.text, cost.num_chars) == ("a sample at temperature 1", 300)


def test_nothing_is_logged(paths: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The advice of onnxruntime is not shown, and other messages are not lost afterwards."""
    quantize(paths["step"], tmp_path / "again.onnx")
    assert caplog.records == []
    logging.warning("a message")
    assert len(caplog.records) == 1
