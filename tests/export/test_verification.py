"""Graphs in onnxruntime, beside the model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from charlm.errors import CharlmError
from charlm.inference.trained import TrainedModel

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'charlm[onnx]'")

from charlm.export import verification
from charlm.export.graphs import build_sequence_model, build_step_model
from charlm.export.verification import Runner, check_graphs, write_ids


def write_graphs(trained: TrainedModel, directory: Path) -> tuple[Path, Path]:
    """Write both graphs of a model."""
    step, sequence = directory / "step.onnx", directory / "sequence.onnx"
    step.write_bytes(build_step_model(trained.checkpoint).SerializeToString())
    sequence.write_bytes(build_sequence_model(trained.checkpoint).SerializeToString())
    return step, sequence


@pytest.fixture(scope="module")
def paths(vivid: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the files of both graphs."""
    return write_graphs(vivid, tmp_path_factory.mktemp("graphs"))


def test_the_graphs_are_the_model(trained: TrainedModel, tmp_path: Path) -> None:
    """Both graphs compute the logits of a trained model to 1e-5, and write its greedy text of 1,000 characters."""
    agreement = check_graphs(trained, *write_graphs(trained, tmp_path))
    assert 0 < agreement.difference < 1e-5
    assert agreement.num_equal == 1000


def test_a_model_that_magnifies_rounding(vivid: TrainedModel, paths: tuple[Path, Path]) -> None:
    """Large random weights magnify each rounding, in the model and in the graphs alike; that is no other model."""
    agreement = check_graphs(vivid, *paths)
    assert 1e-5 < agreement.difference < 1e-2
    assert agreement.num_equal > 100


@pytest.mark.parametrize("place", [0, 1], ids=["step", "sequence"])
def test_another_graph_is_noticed(vivid: TrainedModel, paths: tuple[Path, Path], tmp_path: Path, place: int) -> None:
    """A graph whose weights differ a little is refused by name."""
    weights = dict(vivid.checkpoint.weights)
    weights["lstm.cells.1.bias"] = weights["lstm.cells.1.bias"] + 1e-3
    build = (build_step_model, build_sequence_model)[place]
    other = replace(vivid.checkpoint, weights=weights)
    wrong = [*paths]
    wrong[place] = tmp_path / "wrong.onnx"
    wrong[place].write_bytes(build(other).SerializeToString())
    with pytest.raises(CharlmError, match=r"wrong\.onnx: a logit differs"):
        check_graphs(vivid, *wrong)


@pytest.mark.parametrize(("shift", "is_refused"), [(1e-4, True), (1e-5, False)])
def test_the_tolerance(trained: TrainedModel, tmp_path: Path, shift: float, is_refused: bool) -> None:
    """A logit that differs by 1e-4, where the largest one is below 5, is refused; one that differs by 1e-5 is not."""
    weights = dict(trained.checkpoint.weights)
    weights["output.bias"] = weights["output.bias"] + shift
    paths = write_graphs(replace(trained, checkpoint=replace(trained.checkpoint, weights=weights)), tmp_path)
    if is_refused:
        with pytest.raises(CharlmError, match=r"differs from the model's by 1\.0e-04"):
            check_graphs(trained, *paths)
    else:
        assert check_graphs(trained, *paths).difference == pytest.approx(shift, rel=0.1)


def test_a_greedy_text_ends_where_it_differs(
    vivid: TrainedModel, paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a graph prefers another character than the model wrote, the equal text is counted up to there."""
    ids = write_ids(vivid, 1000, 0.0)
    ids[41] = (ids[41] + 1) % len(vivid.vocabulary)
    monkeypatch.setattr(verification, "write_ids", lambda *_: ids)
    assert check_graphs(vivid, *paths).num_equal == 40


def test_texts_are_those_of_the_model(vivid: TrainedModel) -> None:
    """The ids that are compared are a sample after a line break, as long as asked for."""
    ids = write_ids(vivid, 50, 0.0)
    assert vivid.vocabulary.decode(ids) == "\n" + vivid.sample(length=50, temperature=0.0)


def test_a_runner_keeps_the_state(vivid: TrainedModel, paths: tuple[Path, Path]) -> None:
    """A text in two pieces has the logits of the whole."""
    ids = write_ids(vivid, 20, 1.0)[None]
    whole = Runner(paths[1], vivid).run(ids)
    runner = Runner(paths[1], vivid)
    torch.testing.assert_close(torch.cat([runner.run(ids[:, :7]), runner.run(ids[:, 7:])], 1), whole)
