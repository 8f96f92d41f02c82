"""charlm export and charlm import, as a user types them."""

import re
from pathlib import Path

import pytest
from command_line import CharlmCommand, assert_mistake


def test_a_run_there_and_back(charlm: CharlmCommand, trained_run: Path, tmp_path: Path) -> None:
    """A run is exported; the export samples and evaluates as the run, and so does the run that is imported from it."""
    done = charlm("export", trained_run, "--out", tmp_path / "exported")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"exported: {tmp_path / 'exported'}\n")
    assert re.search(r"^  model\.safetensors +[\d,]+ bytes$", done.out, re.MULTILINE)
    assert "the licence in" in done.out
    assert "| 3 |" in (tmp_path / "exported" / "README.md").read_text()  # the validation of step 3
    imported = charlm("import", tmp_path / "exported", "--out", tmp_path / "imported")
    assert (imported.status, imported.out) == (0, f"imported: {tmp_path / 'imported'}\n")
    for arguments in (["sample", "--length", "40", "--seed", "3"], ["eval"], ["eval", "--windowed", "16", "--json"]):
        command, *options = arguments
        outcomes = {charlm(command, tmp_path / name, *options) for name in ("exported", "imported")}
        assert outcomes == {charlm(command, trained_run, *options)}


def test_onnx_prints_what_was_measured(charlm: CharlmCommand, trained_run: Path, tmp_path: Path) -> None:
    """The largest difference, the greedy text and the cost of int8 are printed."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'charlm[onnx]'")
    done = charlm("export", trained_run, "--format", "onnx", "--int8", "--out", tmp_path / "web")
    assert (done.status, done.err) == (0, "")
    assert re.search(r"logits within \d\.\de-0\d of the model's, greedy text equal for 1,000 of 1,000", done.out)
    assert re.search(r"int8: [\d.]+ bits per character instead of [\d.]+ \([+-][\d.]+\) on the beginning of", done.out)


def test_a_lost_text_is_a_warning(charlm: CharlmCommand, trained_run: Path, tmp_path: Path) -> None:
    """The export is made, and the card has no baselines."""
    charlm("export", trained_run, "--out", tmp_path / "exported")
    (tmp_path / "exported" / "config.json").write_text(
        (tmp_path / "exported" / "config.json").read_text().replace("song.txt", "gone.txt")
    )
    done = charlm("export", tmp_path / "exported", "--out", tmp_path / "again")
    assert done.status == 0
    assert done.err.startswith("warning: the model card has neither baselines nor a measure of copies: ")
    assert "gone.txt" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "none", "--out", "out"], "none: there is no such checkpoint"),
        (["export", ".", "--out", "out"], "holds no checkpoint"),
        (["export", "RUN", "--out", "."], "--out .: exists already; give a directory that does not."),
        (["export", "RUN", "--out", "out", "--int8"], "give --format onnx too"),
        (["export", "RUN"], "Missing option '--out'"),
        (["import", "none", "--out", "out"], "there is no such file"),
        (["import", "RUN", "--out", "out"], "config.json: there is no such file"),
        (["import", "RUN", "--out", "."], "--out .: exists already"),
    ],
)
def test_mistakes(charlm: CharlmCommand, trained_run: Path, arguments: list[str], message: str) -> None:
    """Each mistake is one message, and nothing is written."""
    assert_mistake(charlm(*(trained_run if each == "RUN" else each for each in arguments)), message)
    assert list(Path().iterdir()) == []
