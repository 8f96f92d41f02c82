"""What docs/export.md says works as it stands there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from repository import ROOT
from safetensors.torch import save_file

from charlm.inference.trained import TrainedModel, load
from charlm.runs.portable import to_torch, write_export

PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")


def read_blocks(language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_ten_lines_of_pytorch(trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of the page load an export without charlm, and compute its logits."""
    (tmp_path / "exported").mkdir()
    write_export(trained.checkpoint, tmp_path / "exported")
    monkeypatch.chdir(tmp_path)
    loading, using = read_blocks("python")
    assert len([line for line in loading.splitlines() if line]) == 10
    assert "charlm" not in loading + using
    names: dict[str, Any] = {}
    exec(loading + using.replace('"The "', '"the "'), names)  # noqa: S102  # the song has no T
    ids = trained.vocabulary.encode("the ")
    expected, _ = trained.model(ids[None], trained.model.initial_state(1))
    torch.testing.assert_close(names["logits"], expected[0], rtol=0, atol=1e-6)


def test_a_model_from_elsewhere(trained: TrainedModel, tmp_path: Path) -> None:
    """Tensors of torch and the config.json of the page make a model."""
    [text] = read_blocks("json")
    config = json.loads(text)
    sizes, symbols = config["config"]["model"], config["vocabulary"]["symbols"]
    modules = {
        "embedding": torch.nn.Embedding(len(symbols), sizes["embed_size"]),
        "lstm": torch.nn.LSTM(sizes["embed_size"], sizes["hidden_size"], sizes["num_layers"]),
        "output": torch.nn.Linear(sizes["hidden_size"], len(symbols)),
    }
    save_file(torch.nn.ModuleDict(modules).state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(text)
    assert load(tmp_path, "cpu").sample(prompt="a", length=5).startswith("a")


def test_the_table_names_every_tensor(trained: TrainedModel) -> None:
    """Each tensor of an export stands in the table, that of an upper layer under the first one."""
    for name in to_torch(trained.checkpoint.weights, 2):
        assert f"`{name.replace('_l1', '_l0')}`" in PAGE
