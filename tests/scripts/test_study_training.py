"""The studies of training: what their variants train, and that the pages show their records."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from repository import ROOT, load_script

from charlm.text.corpus import Corpus, load_corpus

script = load_script("study_training")
VARIANTS = script.REGULARIZATION
TINY = script.OVERFITTING.replace("model", hidden_size=8, embed_size=4).replace("train", batch_size=4, seq_length=16)
STUDIES = [name for name in script.STUDIES if (ROOT / "docs" / name).is_dir()]


@pytest.fixture
def corpus(corpus_path: Path) -> Corpus:
    """A small text."""
    return load_corpus(str(corpus_path), "char")


@pytest.mark.parametrize("name", STUDIES)
def test_page_has_the_table_of_the_records(name: str) -> None:
    """The table of a study's page is what the script prints for the committed records."""
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    records = script.read_records(ROOT / "docs" / name / "results.jsonl")
    assert script.make_table(script.STUDIES[name], records) in page


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_whole(name: str) -> None:
    """Every variant that was measured has the same seeds on every text."""
    records = script.read_records(ROOT / "docs" / name / "results.jsonl")
    variants, texts, seeds = ({record["run"][key] for record in records} for key in ("variant", "text", "seed"))
    assert len(texts) >= 2
    assert variants <= {*script.STUDIES[name].variants}
    assert len(records) == len(variants) * len(texts) * len(seeds)


def test_only_missing_runs_are_trained(corpus_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call adds the runs that are missing, and changes no record."""
    study = script.STUDIES["regularization"]._replace(base=TINY)
    monkeypatch.setitem(script.STUDIES, "regularization", study)
    out = tmp_path / "results.jsonl"
    arguments = ["regularization", "--out", str(out), "--text", str(corpus_path), "--steps", "4", "--seeds", "1"]
    for variants in (["dropout 0.3"], ["dropout 0.3", "tied"]):
        result = CliRunner().invoke(script.main, [*arguments, *(f"--variant={name}" for name in variants)])
        assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["run"]["variant"] for record in records] == ["dropout 0.3", "tied"]


def test_betas_reach_the_optimizer(corpus: Corpus) -> None:
    """The variant changes the decay of AdamW's averages of every group of parameters."""
    session = script.prepare(TINY, corpus, script.DEFAULTS["betas (0.9, 0.95)"])
    assert all(group["betas"] == (0.9, 0.95) for group in session.optimizer.param_groups)


def test_tied_model_has_one_matrix_for_embedding_and_output(corpus: Corpus) -> None:
    """The variant trains the embedding as output weights, and its logits start at the usual size."""
    config = TINY.replace("model", hidden_size=64, embed_size=32)
    session = script.prepare(config, corpus, VARIANTS["tied"])
    names = [name for name, _ in session.model.named_parameters()]
    assert session.model.output.weight is session.model.embedding.weight
    assert "down.weight" in names and "output.weight" not in names
    before = session.model.embedding.weight.clone()
    session.take_step()
    assert not session.model.embedding.weight.equal(before)
    assert session.average.model.output.weight is session.average.model.embedding.weight
    hidden = 0.2 * session.model.embedding.weight.new_empty(50, 1, 64).normal_()
    logits = session.model.project(hidden) - session.model.output.bias
    assert 0.3 < logits.square().mean().sqrt().item() < 0.8


def test_output_dropout_is_apart(corpus: Corpus) -> None:
    """The variant changes the dropout of the output alone."""
    session = script.prepare(TINY, corpus, VARIANTS["output dropout 0.4"])
    assert (session.model.output_dropout, session.model.lstm.dropout) == (0.4, 0.3)
