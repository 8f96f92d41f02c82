"""The sampler in C compared with stepped cells and with ``Sampling.choose``, on all instruction sets."""

import functools
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from instruction_sets import needs_compiler, on_every_instruction_set
from scipy import stats
from tolerances import PARITY, assert_near
from torch import Tensor

from charlm.errors import InputError
from charlm.inference.sampling import Sampling
from charlm.lstm import LSTMState
from charlm.lstm.kernels.sampler import Sampler
from charlm.model import CharLM

OPTIONS = [
    Sampling(0.8),
    Sampling(3.0),
    Sampling(1.0, top_k=1),
    Sampling(1.0, top_k=5),
    Sampling(1.0, top_p=0.01),
    Sampling(1.0, top_p=0.5),
    Sampling(0.7, top_p=0.9),
    Sampling(1.3, top_k=7, top_p=0.8),
]


@pytest.fixture
def _restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def build_model(V: int, L: int, H: int, E: int) -> CharLM:
    """Return a model with clear preferences, in which every character changes the state much."""
    model = CharLM(V, L, H, E, kernel="reference", generator=torch.Generator().manual_seed(V + L + H + E))
    with torch.no_grad():
        model.output.weight *= 6
        for weight in (model.embedding.weight, *(cell.weight_ih for cell in model.lstm.cells[1:])):
            weight *= 3  # type: ignore[operator]
    return model


def pack(model: CharLM, instruction_set: str | None = None) -> Sampler:
    """Return the sampler of a model."""
    return Sampler(model.embedding.weight, model.lstm.cells, model.output.weight, model.output.bias, instruction_set)  # type: ignore[arg-type]


def draw_state(model: CharLM, B: int) -> LSTMState:
    """Return a random state of all layers, (L, B, H) each."""
    shape = (len(model.lstm.cells), B, model.output.in_features)
    generator = torch.Generator().manual_seed(1)
    return LSTMState(torch.randn(shape, generator=generator).tanh(), torch.randn(shape, generator=generator))


def draw_uniforms(T: int, B: int) -> Tensor:
    """Return random numbers in [0, 1), (T, B)."""
    return torch.rand(T, B, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def draw_ids(V: int, *shape: int) -> Tensor:
    """Return random ids."""
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def step(model: CharLM, ids: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """Read ids (T, B) by stepping the cells; return the logits (T, B, V) and the state after the last step."""
    states, logits = tuple(LSTMState(h, c) for h, c in zip(*state, strict=True)), []
    for row in ids:
        row_logits, states = model.step(row, states)
        logits.append(row_logits)
    return torch.stack(logits), LSTMState(*(torch.stack(x) for x in zip(*states, strict=True)))


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize("B", [1, 8])
@pytest.mark.parametrize(
    ("V", "L", "H", "E"),
    [(1, 1, 1, 1), (9, 1, 17, 5), (65, 3, 50, 129), (256, 2, 129, 64), (1024, 1, 16, 16), (1025, 2, 33, 40)],
)
def test_parity(V: int, L: int, H: int, E: int, B: int, instruction_set: str) -> None:
    """Logits, and the states after reading and after writing, equal those of the stepped cells."""
    model, state, first = build_model(V, L, H, E), draw_state(build_model(V, L, H, E), B), draw_ids(V, B)
    logits = torch.empty(9, B, V)
    sampler = pack(model, instruction_set)
    ids, after = sampler.write(first, state, draw_uniforms(9, B), 1.0, logits=logits)
    read = torch.cat([first[None], ids[:-1]])
    expected_logits, expected = step(model, read, state)
    assert_near(logits, expected_logits, PARITY[torch.float32])
    for actual in (after, sampler.read(read, state)):
        assert_near(actual.h, expected.h, PARITY[torch.float32])
        assert_near(actual.c, expected.c, PARITY[torch.float32])


@functools.cache
def write_greedily(V: int, L: int, H: int) -> Tensor:
    """Return 2,000 characters by the stepped cells, (T,)."""
    model, ids, choose = build_model(V, L, H, E=24), [torch.zeros(1, dtype=torch.int64)], Sampling(0.0).choose
    state = draw_state(model, 1)
    for _ in range(2000):
        logits, state = step(model, ids[-1][None], state)
        ids.append(choose(logits[0], torch.zeros(1, dtype=torch.float64)))
    return torch.cat(ids[1:])


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize(
    ("V", "L", "H"), [(65, 1, 129), (65, 2, 50), (65, 3, 17), (256, 1, 50), (256, 2, 17), (256, 3, 129)]
)
def test_greedy_text_is_that_of_the_stepped_cells(V: int, L: int, H: int, instruction_set: str) -> None:
    """2,000 greedy characters are equal, for characters and bytes, and for widths that fill no vector."""
    model = build_model(V, L, H, E=24)
    first = torch.zeros(1, dtype=torch.int64)
    ids, _ = pack(model, instruction_set).write(first, draw_state(model, 1), draw_uniforms(2000, 1), 0.0)
    assert len(ids.unique()) > 20
    assert torch.equal(ids[:, 0], write_greedily(V, L, H))


@needs_compiler
@on_every_instruction_set
@pytest.mark.usefixtures("_restored_threads")
@pytest.mark.parametrize(("V", "L", "H"), [(65, 2, 33), (65, 1, 200), (700, 3, 200), (1025, 1, 200)])
def test_blocks_threads_and_other_samples_change_no_bit(V: int, L: int, H: int, instruction_set: str) -> None:
    """A sample has the same ids and logits alone and among others, on any number of threads, in blocks of any size."""
    T, B = 12, 9
    model = build_model(V, L, H, E=24)
    sampler, state, first, uniforms = (
        pack(model, instruction_set),
        draw_state(model, B),
        draw_ids(V, B),
        draw_uniforms(T, B),
    )
    expected = torch.empty(T, B, V)
    torch.set_num_threads(1)
    ids, after = sampler.write(first, state, uniforms, 0.9, 50, 0.9, logits=expected)
    for num_threads, samples, blocks in [(2, range(B), [5, 7]), (3, [8, 0], [T]), (2, [4], [T]), (3, [7], [1, 11])]:
        torch.set_num_threads(num_threads)
        repacked = pack(model, instruction_set)  # threads share the packing too
        last, part = first[samples], LSTMState(*(x[:, samples] for x in state))
        start = 0
        for block in blocks:
            logits = torch.empty(block, len(samples), V)
            rows = slice(start, start + block)
            written, part = repacked.write(last, part, uniforms[rows][:, samples], 0.9, 50, 0.9, logits=logits)
            assert torch.equal(written, ids[rows][:, samples])
            assert torch.equal(logits, expected[rows][:, samples])
            last, start = written[-1], start + block
        assert torch.equal(part.h, after.h[:, samples])
        assert torch.equal(part.c, after.c[:, samples])


@needs_compiler
@pytest.mark.parametrize("limit", ["one core", "one thread"])
def test_a_limited_team_writes_the_same_text(limit: str) -> None:
    """A team of two for a single sample writes the text of one thread, also on one core or if OpenMP gives one."""
    script = f"""
import os, torch
from test_sampler import *
if {limit == "one core"} and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
model = build_model(700, 2, 200, 24)
results = []
for num_threads in (1, 2):
    torch.set_num_threads(num_threads)
    ids, state = pack(model).write(draw_ids(700, 1), draw_state(model, 1), draw_uniforms(300, 1), 1.0)
    results.append([ids, *state])
print([torch.equal(x, y) for x, y in zip(*results)])
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    if limit == "one thread":
        environment["OMP_THREAD_LIMIT"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.stdout, done.returncode) == ("[True, True, True]\n", 0), done.stderr


def choose_by_kernel(logits: Tensor, uniforms: Tensor, sampling: Sampling, instruction_set: str) -> Tensor:
    """Return a choice of the kernel from the same logits (V,) for every random number (N,)."""
    model = CharLM(len(logits), 1, 1, 1, kernel="reference")
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.copy_(logits)
    first, state = torch.zeros(1, dtype=torch.int64), LSTMState(*torch.zeros(2, 1, 1, 1))
    options = sampling.temperature, sampling.top_k, sampling.top_p
    return pack(model, instruction_set).write(first, state, uniforms[:, None], *options)[0][:, 0]


def draw_logits(kind: str, V: int) -> Tensor:
    """Return logits of a shape that is hard for the selection."""
    generator = torch.Generator().manual_seed(V)
    if kind == "equal":
        return torch.full((V,), -3.0)
    if kind == "ties":
        return torch.randint(5, (V,), generator=generator) / 2.0
    scale = {"flat": 0.01, "language": 4.0, "extreme": 1e4}[kind]
    return scale * torch.randn(V, generator=generator)


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize("kind", ["equal", "ties", "flat", "language", "extreme"])
@pytest.mark.parametrize("V", [2, 65, 300, 20_000])
def test_choices_are_those_of_the_reference(V: int, kind: str, instruction_set: str) -> None:
    """Temperature, top-k, top-p and the draw are those of ``Sampling.choose``, also where characters tie."""
    logits, uniforms = draw_logits(kind, V), torch.linspace(0, 1 - 1e-9, 15, dtype=torch.float64)
    choices = [Sampling(0.0), *OPTIONS]
    expected = [sampling.choose(logits.expand(len(uniforms), -1), uniforms).tolist() for sampling in choices]
    actual = [choose_by_kernel(logits, uniforms, sampling, instruction_set).tolist() for sampling in choices]
    assert actual == expected


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize(("top_p", "num_kept"), [(0.24, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_top_p_reached_exactly_is_enough(top_p: float, num_kept: int, instruction_set: str) -> None:
    """Of four equal characters the first ones that reach top_p are kept, and no more if they reach it exactly."""
    ids = choose_by_kernel(torch.zeros(4), draw_uniforms(400, 1)[:, 0], Sampling(1.0, top_p=top_p), instruction_set)
    assert ids.unique().tolist() == list(range(num_kept))


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-300, 1e-6])
def test_no_temperature_takes_the_likeliest(temperature: float, instruction_set: str) -> None:
    """Temperature 0 takes the first of the likeliest characters, and a tiny one any of them, without overflow."""
    logits, uniforms = torch.tensor([-3e38, 1.0, 3e38, 0.0, 3e38, 2.9e38]), draw_uniforms(50, 1)[:, 0]
    ids = choose_by_kernel(logits, uniforms, Sampling(temperature), instruction_set)
    assert ids.unique().tolist() == ([2] if temperature == 0 else [2, 4])


@needs_compiler
@on_every_instruction_set
def test_an_immense_temperature_makes_all_equal(instruction_set: str) -> None:
    """At the highest temperature every character is as likely, and none beyond the vocabulary is chosen."""
    ids = choose_by_kernel(
        torch.tensor([-9.0, 0.0, 9.0]), draw_uniforms(300, 1)[:, 0], Sampling(1.7e308), instruction_set
    )
    assert ids.bincount(minlength=3).min() > 60


def keep(probabilities: list[float], sampling: Sampling) -> list[float]:
    """Return the probabilities under top-k and then top-p, by their definitions."""
    order = sorted(range(len(probabilities)), key=lambda n: -probabilities[n])[: sampling.top_k]
    total, kept, reached = sum(probabilities[n] for n in order), [0.0] * len(probabilities), 0.0
    for n in order:
        if reached < (sampling.top_p or 1.0):
            kept[n] = probabilities[n]
            reached += probabilities[n] / total
    return [p / sum(kept) for p in kept]


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize("sampling", OPTIONS, ids=str)
def test_frequencies(sampling: Sampling, instruction_set: str) -> None:
    """The frequencies of 50,000 draws pass a chi-square test against the defined probabilities."""
    logits = 2 * torch.randn(65, generator=torch.Generator().manual_seed(4))
    expected = torch.tensor(keep((logits.double() / sampling.temperature).softmax(0).tolist(), sampling)) * 50_000
    ids = choose_by_kernel(logits, draw_uniforms(50_000, 1)[:, 0], sampling, instruction_set)
    counts, is_kept = ids.bincount(minlength=65), expected > 0
    assert counts[~is_kept].sum() == 0
    if is_kept.sum() > 1:
        is_rare = is_kept & (expected < 5)  # counted together, as the test needs at least 5 each
        observed = [*counts[is_kept & ~is_rare].tolist(), int(counts[is_rare].sum())]
        theory = [*expected[is_kept & ~is_rare].tolist(), float(expected[is_rare].sum())]
        cells = slice(None) if theory[-1] > 0 else slice(-1)
        assert stats.chisquare(observed[cells], theory[cells], sum_check=False).pvalue > 1e-4


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("position", [0, 64])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_told(
    temperature: float, position: int, value: float, instruction_set: str
) -> None:
    """A logit that is not finite raises an error."""
    logits = torch.zeros(65)
    logits[position] = value
    with pytest.raises(FloatingPointError, match="not finite"):
        choose_by_kernel(logits, torch.zeros(2, dtype=torch.float64), Sampling(temperature), instruction_set)


@needs_compiler
def test_arguments_are_not_modified() -> None:
    """The caller's ids, state and weights stay as they were, and other strides are as good."""
    model, first, uniforms = build_model(9, 2, 17, 5), draw_ids(9, 4), draw_uniforms(6, 8)[:, ::2]
    state = LSTMState(*(x[:, ::2] for x in draw_state(model, 8)))
    before = [x.clone() for x in (first, uniforms, *state, *model.parameters())]
    ids, after = pack(model).write(first, state, uniforms, 1.0)
    assert [torch.equal(x, y) for x, y in zip((first, uniforms, *state, *model.parameters()), before, strict=True)]
    again, same = pack(model).write(first, LSTMState(*(x.contiguous() for x in state)), uniforms.contiguous(), 1.0)
    assert torch.equal(ids, again)
    assert torch.equal(after.c, same.c)


@needs_compiler
@pytest.mark.parametrize("bad", [-1, 9])
def test_unknown_ids_are_refused(bad: int) -> None:
    """An id that the model does not have is named."""
    model = build_model(9, 1, 4, 4)
    ids, state = torch.tensor([[0], [bad]]), draw_state(model, 1)
    with pytest.raises(InputError, match=rf"ids must be in 0\.\.8, got {min(bad, 0)}\.\.{max(bad, 0)}"):
        pack(model).read(ids, state)
    with pytest.raises(InputError, match=rf"got {bad}\.\.{bad}"):
        pack(model).write(ids[1], state, draw_uniforms(2, 1), 1.0)
