"""The training benchmark reports the time to a target loss and the final loss."""

import re
import runpy
from pathlib import Path

from click.testing import CliRunner
from repository import ROOT

from charlm.config import Config

MAIN = runpy.run_path(str(ROOT / "scripts" / "benchmark_training.py"))["main"]


def test_reports_time_to_target_and_final_loss(config: Config, tmp_path: Path) -> None:
    """The output gives the time to a target that is reached, and says so if the target is never reached."""
    (tmp_path / "small.yaml").write_text(config.to_yaml())
    easy = CliRunner().invoke(MAIN, [str(tmp_path / "small.yaml"), "--seconds", "1", "--target", "9", "--seeds", "2"])
    assert easy.exit_code == 0, easy.output
    assert len(re.findall(r"seed \d: under 9.0 after \d+\.\d s; \d\.\d{4} nats", easy.output)) == 2
    assert "seconds to 9.0: min" in easy.output
    hard = CliRunner().invoke(MAIN, [str(tmp_path / "small.yaml"), "--seconds", "1", "--target", "0.01"])
    assert "never under 0.01" in hard.output
    assert "seconds to" not in hard.output
