"""What a large text takes in memory: no more than its pages on disk, which the system takes back when it needs them."""

import subprocess
import sys

import pytest

from charlm.text.corpus import load_corpus

SMALL_MB, LARGE_MB = 8, 64

MEASURE = """
import resource, sys
from charlm.inference import trained
from charlm.config import Config
from charlm.system.device import choose_device
from charlm.training.dry_run import plan_run
from charlm.inference.evaluation import Evaluation
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint
from charlm.text import baselines
from charlm.text.corpus import load_corpus

def read_all(model, ids, window):
    return Evaluation(sum(float(ids[n : n + 2**18].sum()) for n in range(0, len(ids), 2**18)) + 1, len(ids))

def show_peak(work):
    print(work, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)

trained.evaluate = read_all  # for the time that a model would take
baselines.MAX_COUNTED = baselines.MAX_MEASURED = 2**18  # so that the small text is as long as they allow
small = Config().replace("train", batch_size=2, max_steps=3, device="cpu").replace("model", hidden_size=4)
for path in sys.argv[1:]:
    config = small.replace("data", path=path)
    corpus = load_corpus(path, "char")
    plan_run(config, corpus)
    show_peak("dry-run")
    checkpoint = make_checkpoint(Session(config, corpus), is_resumable=False)
    model = trained.TrainedModel(checkpoint.build_model(choose_device("cpu")), corpus.vocabulary, checkpoint)
    model.evaluate_text(path)
    show_peak("text")
    model.evaluate_split("train")
    show_peak("split")
"""


@pytest.fixture(scope="module")
def peaks_mib(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, int]]:
    """Return the largest resident set up to the end of each work, for the small text and then the large one."""
    paths = []
    for megabytes in (SMALL_MB, LARGE_MB):
        paths.append(tmp_path_factory.mktemp("large") / "text.txt")
        paths[-1].write_bytes(b"0123456789\nabcdefghi\n" * (megabytes * 10**6 // 21))
        load_corpus(str(paths[-1]), "char")  # so that only what comes after the encoding is measured
    done = subprocess.run([sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    return [{work: int(peak) for work, peak in part} for part in (rows[:3], rows[3:])]


@pytest.mark.parametrize("work", ["dry-run", "text", "split"])
def test_memory_does_not_grow_with_the_text(peaks_mib: list[dict[str, int]], work: str) -> None:
    """Memory has no second copy of a text eight times as long, in any integer type."""
    small, large = peaks_mib
    pages_mib = (LARGE_MB - SMALL_MB) * 10**6 / 2**20
    assert large[work] - small["split"] < 1.5 * pages_mib, (small, large)
