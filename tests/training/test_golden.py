"""A short run has the losses that were stored when it was known to be right, for each kernel and precision."""

import json
import math
from collections import Counter

import pytest
from repository import load_script
from tolerances import GOLDEN

from charlm.errors import InputError
from charlm.lstm.kernels import choose_kernel

golden_losses = load_script("write_golden_losses")

STORED = json.loads(golden_losses.GOLDEN_LOSSES.read_text(encoding="utf-8"))


def test_every_combination_is_stored() -> None:
    """The file has the losses of each kernel in each precision."""
    assert set(STORED) == {f"{kernel}/{precision}" for kernel, precision in golden_losses.COMBINATIONS}


@pytest.mark.parametrize(("kernel", "precision"), golden_losses.COMBINATIONS)
def test_losses_are_the_stored_ones(kernel: str, precision: str) -> None:
    """The run starts near the entropy of single symbols, and each loss is the one that the script stored."""
    try:
        choose_kernel(kernel)
    except InputError as error:
        pytest.skip(str(error))
    losses = golden_losses.measure_losses(kernel, precision)
    shares = [count / len(golden_losses.TEXT) for count in Counter(golden_losses.TEXT).values()]
    assert losses[0] == pytest.approx(-sum(share * math.log(share) for share in shares), abs=0.3)
    assert losses == pytest.approx(STORED[f"{kernel}/{precision}"], rel=GOLDEN[precision])
