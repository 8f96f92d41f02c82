"""Splits of a corpus, and the parallel streams of training batches."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import InputError
from charlm.text.streams import Batch, ParallelStreams, split_ids


@st.composite
def all_streams(draw: st.DrawFn) -> ParallelStreams:
    """Draw streams over the ids 0, 1, 2, ..., so that each id equals its position."""
    B, T = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    return ParallelStreams(torch.arange(B * T + 1 + draw(st.integers(0, 60))), B, T)


def read_pass(streams: ParallelStreams, index: int) -> list[Batch]:
    """Return the batches of one pass."""
    steps = streams.steps_per_pass
    return [streams.batch(step) for step in range(index * steps, (index + 1) * steps)]


@given(all_streams(), st.integers(0, 5))
def test_a_pass_joins_to_the_text(streams: ParallelStreams, index: int) -> None:
    """The batches of a pass join to a contiguous part of the text: from its start, or up to its end."""
    joined = torch.cat([batch.inputs for batch in read_pass(streams, index)], dim=1).flatten()
    N, covered = len(streams.ids), streams.steps_per_pass * streams.batch_size * streams.seq_length
    start = 0 if index % 2 == 0 else N - 1 - covered
    assert torch.equal(joined, streams.ids[start : start + covered])
    assert covered + streams.batch_size * streams.seq_length > N - 1


@given(all_streams(), st.integers(0, 1000))
def test_targets_are_inputs_shifted_by_one(streams: ParallelStreams, step: int) -> None:
    """The target of each position is the next character."""
    batch = streams.batch(step)
    assert batch.inputs.shape == batch.targets.shape == (streams.batch_size, streams.seq_length)
    assert torch.equal(batch.targets, batch.inputs + 1)


@given(all_streams(), st.integers(0, 3))
def test_every_character_is_a_target(streams: ParallelStreams, index: int) -> None:
    """Two consecutive passes predict every character except the first of the text."""
    batches = read_pass(streams, index) + read_pass(streams, index + 1)
    targets = {target for batch in batches for target in batch.targets.flatten().tolist()}
    assert targets == set(range(1, len(streams.ids)))


@given(all_streams())
def test_only_the_first_step_of_a_pass_starts_it(streams: ParallelStreams) -> None:
    """Only the first batch of a pass requests a reset of the state."""
    is_start = [batch.is_pass_start for index in range(3) for batch in read_pass(streams, index)]
    assert is_start == 3 * ([True] + (streams.steps_per_pass - 1) * [False])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int32])
def test_batches_are_int64(dtype: torch.dtype) -> None:
    """Ids of narrower dtypes are converted to int64."""
    batch = ParallelStreams(torch.arange(20).to(dtype), 2, 3).batch(1)
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    assert batch.inputs.tolist() == [[3, 4, 5], [12, 13, 14]]


@given(st.integers(1, 50), st.integers(1, 50))
def test_the_minimum_length_is_reported_and_sufficient(batch_size: int, seq_length: int) -> None:
    """A text that is one character too short gives an error with the minimum length; that length gives one step."""
    minimum = batch_size * seq_length + 1
    with pytest.raises(InputError, match=f"has {minimum - 1:,} characters; .*needs at least {minimum:,}\\."):
        ParallelStreams(torch.arange(minimum - 1), batch_size, seq_length)
    assert ParallelStreams(torch.arange(minimum), batch_size, seq_length).steps_per_pass == 1


@pytest.mark.parametrize("length", [0, 1])
def test_empty_texts_are_too_short(length: int) -> None:
    """Texts of zero or one character give the same error."""
    with pytest.raises(InputError, match=f"has {length} characters; .*needs at least 7"):
        ParallelStreams(torch.arange(length), 2, 3)


@pytest.mark.parametrize(
    ("length", "val_frac", "test_frac", "sizes"),
    [
        (1_115_394, 0.1, 0.0, (1_003_854, 111_540, 0)),  # the usual split of Tiny Shakespeare
        (100, 0.1, 0.1, (80, 10, 10)),
        (100, 0.1, 0.2, (70, 10, 20)),
        (1000, 0.3, 0.4, (300, 300, 400)),
        (10, 0.2, 0.6, (2, 2, 6)),
        (101, 0.05, 0.05, (90, 5, 6)),
        (4, 0.5, 0.0, (2, 2, 0)),
        (10**6, 1e-5, 0.0, (999_990, 10, 0)),
    ],
)
def test_parts_have_exact_sizes(length: int, val_frac: float, test_frac: float, sizes: tuple[int, int, int]) -> None:
    """Fractions are used as exact decimals, and the ends of the parts are rounded down."""
    splits = split_ids(torch.empty(length, dtype=torch.uint8), val_frac, test_frac)
    assert (len(splits.train), len(splits.val), len(splits.test)) == sizes


@given(st.integers(30, 300), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
def test_parts_are_contiguous(length: int, val_frac: float, test_frac: float) -> None:
    """The parts join to the whole, share its memory, and have the requested sizes to within one character."""
    ids = torch.arange(length)
    splits = split_ids(ids, val_frac, test_frac)
    assert torch.equal(torch.cat(splits), ids)
    assert splits.train.data_ptr() == ids.data_ptr()
    assert abs(len(splits.val) - val_frac * length) <= 1
    assert abs(len(splits.test) - test_frac * length) <= 1


@pytest.mark.parametrize(
    ("length", "val_frac", "test_frac", "name", "num"),
    [
        (0, 0.1, 0.0, "train", 0),
        (2, 0.5, 0.0, "train", 1),
        (10, 0.9, 0.0, "train", 1),
        (10, 0.05, 0.0, "val", 1),
        (20, 0.5, 0.01, "test", 1),
    ],
)
def test_a_part_that_is_too_short_is_refused(
    length: int, val_frac: float, test_frac: float, name: str, num: int
) -> None:
    """A required part with fewer than two characters gives an error with its size and the keys to change."""
    with pytest.raises(InputError) as raised:
        split_ids(torch.arange(length), val_frac, test_frac)
    assert str(raised.value) == (
        f"the {name} part of the corpus has {num} of its {length} characters and needs at least 2. "
        f"Use a longer text or other fractions (data.val_frac={val_frac}, data.test_frac={test_frac})."
    )


@given(all_streams(), st.integers(0, 100), st.integers(1, 4))
def test_processes_share_a_batch(streams: ParallelStreams, step: int, num_processes: int) -> None:
    """Every N-th stream from different starts is, put together, the whole batch, and the shares sum to one."""
    whole = streams.batch(step)
    starts = range(min(num_processes, streams.batch_size))
    own = [slice(start, None, num_processes) for start in starts]
    parts = [replace(streams, own=each).batch(step) for each in own]
    for each, part in zip(own, parts, strict=True):
        assert torch.equal(part.inputs, whole.inputs[each])
        assert torch.equal(part.targets, whole.targets[each])
        assert part.is_pass_start == whole.is_pass_start
        assert part.share == len(part.inputs) / len(whole.inputs)
    assert sum(len(part.inputs) for part in parts) == streams.batch_size
    assert whole.share == 1
