"""The study of charlm init: which widths it trains, for how long, and that the page shows its records."""

import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from repository import ROOT, load_script

from charlm.config import Config
from charlm.text.corpus import Corpus
from charlm.training.proposal import WIDTHS, Proposal

script = load_script("study_proposal")


def test_page_has_the_table_of_the_records() -> None:
    """The table of the page is what the script prints for the committed records."""
    page = (ROOT / "docs" / "proposal.md").read_text(encoding="utf-8")
    assert script.make_table(script.read_records(script.RESULTS)) in page


def test_the_study_is_whole() -> None:
    """Where a text and a time have a record they have the proposal and both neighbours, in runs that took the time."""
    records = script.read_records(script.RESULTS)
    cases = {(record["text"], record["minutes"]) for record in records}
    assert len({text for text, _ in cases}) >= 2
    for case in cases:
        factors = [record["factor"] for record in records if (record["text"], record["minutes"]) == case]
        assert sorted(factors) == list(script.FACTORS)
    assert all(0.8 < record["processor_s"] / (60 * record["minutes"]) < 1.2 for record in records)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let a proposal be made at once, of 8 units where none are given; return the widths that were asked for."""
    widths: list[Any] = []

    def propose(config: Config, corpus: Corpus, minutes: float, tried: tuple[int, ...] = WIDTHS) -> Proposal:
        widths.append(tried)
        config = config.replace("model", num_layers=1, hidden_size=8 if tried is WIDTHS else tried[0], embed_size=4)
        config = config.replace("train", batch_size=2, seq_length=8, max_steps=2, warmup_steps=1, kernel="reference")
        return Proposal(config, len(corpus.ids), 99, 1.0, 1000.0 * len(widths), 1, 60 * minutes)

    monkeypatch.setattr(script, "propose", propose)
    return widths


def test_neighbours_are_measured_in_turn_and_trained_once(asked: list[Any], corpus_path: Path, tmp_path: Path) -> None:
    """Half and twice the proposed width are trained beside it; a second call trains what is missing."""
    out, clock = tmp_path / "study" / "results.jsonl", time.perf_counter
    arguments = ["--text", str(corpus_path), "--minutes", "0.5", "--out", str(out)]
    result = CliRunner().invoke(script.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert asked == [WIDTHS, *[(4,), (8,), (16,)] * script.NUM_MEASUREMENTS]
    records = script.read_records(out)
    assert [(record["factor"], record["width"]) for record in records] == [(0.5, 4), (1.0, 8), (2.0, 16)]
    assert [record["chars_per_s"] for record in records] == [5000, 6000, 7000]  # the median of each
    assert all(record["loss_nats"] > 0 and record["steps"] == 2 for record in records)
    assert time.perf_counter is clock

    out.write_text("".join(out.read_text().splitlines(keepends=True)[:2]))
    for _ in range(2):
        assert CliRunner().invoke(script.main, arguments, catch_exceptions=False).exit_code == 0
    assert [record["factor"] for record in script.read_records(out)] == [0.5, 1.0, 2.0]
