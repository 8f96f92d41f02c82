"""The two ways to write text, by the kernel's sampler and by stepped cells, write the same."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from instruction_sets import needs_compiler
from tolerances import PARITY, assert_near
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.inference import writing
from charlm.inference.sampling import Sampling
from charlm.inference.writing import SamplerWriter, StepWriter, open_writer
from charlm.lstm import LSTMState
from charlm.lstm.kernels.sampler import Sampler
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

PROMPT = torch.tensor([1, 5, 0, 2, 2, 7, 3, 4, 8])


def build_model(kernel: str, V: int = 9, L: int = 2, H: int = 17) -> CharLM:
    """Return a model in training mode, with dropout and clear preferences."""
    model = CharLM(V, L, H, 8, 0.5, 0.3, 0.3, kernel, torch.Generator().manual_seed(7)).train()
    with torch.no_grad():
        model.output.weight *= 8
    return model


def write(
    model: CharLM, prompt_ids: Tensor = PROMPT, T: int = 300, B: int = 3, choice: Sampling | None = None
) -> Tensor:
    """Return what a model writes, (T, B)."""
    uniforms = torch.rand(T, B, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return open_writer(model, prompt_ids, B, choice or Sampling()).write(uniforms)


@needs_compiler
@pytest.mark.parametrize(
    "choice", [Sampling(0.0), Sampling(1.0), Sampling(0.8, top_k=4), Sampling(1.2, top_p=0.7), Sampling(1.0, 6, 0.9)]
)
@pytest.mark.parametrize(("V", "L", "H"), [(9, 1, 17), (256, 2, 32), (1100, 3, 50)])
def test_both_write_the_same_text(V: int, L: int, H: int, choice: Sampling) -> None:
    """The kernel's sampler and the stepped cells write the same 300 characters, without dropout in training mode."""
    actual, expected = (write(build_model(kernel, V, L, H), choice=choice) for kernel in ("cpu", "reference"))
    assert torch.equal(actual, expected)


@needs_compiler
def test_the_kernel_decides() -> None:
    """A model writes by the sampler of its kernel, and by stepped cells if that has none or cannot run."""
    double = build_model("auto").double()
    models = [build_model("cpu"), build_model("auto"), build_model("reference"), double]
    writers = [type(open_writer(model, PROMPT, 1, Sampling())) for model in models]
    assert writers == [SamplerWriter, SamplerWriter, StepWriter, StepWriter]


@needs_compiler
def test_a_named_kernel_never_falls_back() -> None:
    """A model whose kernel is named and cannot run writes nothing."""
    with pytest.raises(InputError, match="needs float32"):
        write(build_model("cpu").double())


@pytest.mark.parametrize("kernel", [pytest.param("cpu", marks=needs_compiler), "reference"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_broken_logits_are_told(value: float, kernel: str) -> None:
    """Logits that are not finite end the writing with the run's failure."""
    model = build_model(kernel)
    with torch.no_grad():
        model.output.bias[2] = value
    with pytest.raises(CharlmError, match=r"logits are not finite.*take an earlier checkpoint") as raised:
        write(model)
    assert raised.value.exit_status == 1


@pytest.mark.parametrize("kernel", [pytest.param("cpu", marks=needs_compiler), "reference"])
def test_a_prompt_in_one_pass_is_a_prompt_in_steps(kernel: str) -> None:
    """A prompt decides what follows, whole or continued: a text goes on from itself."""
    text = write(build_model(kernel), B=1, T=40, choice=Sampling(0.0))[:, 0]
    longer = torch.cat([PROMPT, text[:10]])
    assert torch.equal(write(build_model(kernel), longer, 30, 1, Sampling(0.0))[:, 0], text[10:])
    one = write(build_model(kernel), PROMPT[:1], 8, 1, Sampling(0.0))
    assert not torch.equal(one[:, 0], text[:8])


def test_reading_a_prompt_is_stepping_through_it(model: CharLM, vocabulary: Vocabulary) -> None:
    """Reading a prompt whole gives the states that stepping through it gives, without dropout."""
    ids = vocabulary.encode("abcd efgh\nhgf")
    states = model.initial_state(1)
    with torch.no_grad():
        for one in ids.split(1):
            _, states = model.step(one, states)
    for state, expected in zip(writing._read_prompt(model, ids), states, strict=True):
        assert_near(state.h, expected.h, PARITY[torch.float32])
        assert_near(state.c, expected.c, PARITY[torch.float32])


@pytest.mark.parametrize("chunk", [1, 4, 7, 8])
def test_a_long_prompt_is_read_in_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt gives the same text in however many passes it is read."""
    expected = write(build_model("reference"))
    monkeypatch.setattr(writing, "PROMPT_CHUNK", chunk)
    assert torch.equal(write(build_model("reference")), expected)


@needs_compiler
@pytest.mark.parametrize(("durations_s", "expected"), [([1.0, 0.9], 2), ([1.0, 1.1], 1)])
def test_threads_share_a_single_sample_only_where_it_pays(
    durations_s: list[float], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long block tries one thread and all; the faster number is used until the next trial, with the same text."""
    moments_s = iter([0.0, durations_s[0], 5.0, 5.0 + durations_s[1]])
    monkeypatch.setattr(writing, "time", SimpleNamespace(perf_counter=lambda: next(moments_s)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    used: list[tuple[int, int]] = []

    class Recorder(Sampler):
        def write(self, ids: Tensor, state: LSTMState, uniforms: Tensor, *options: Any) -> tuple[Tensor, LSTMState]:  # type: ignore[override]
            used.append((len(uniforms), options[-1]))
            return super().write(ids, state, uniforms, *options)

    model, uniforms = build_model("cpu"), torch.rand(146, 1, dtype=torch.float64)
    writer = SamplerWriter(Recorder, model, PROMPT, 1, Sampling())
    ids = torch.cat([writer.write(block) for block in uniforms.split([2, 80, 64])])
    assert used == [(2, 1), (10, 1), (10, 2), (60, expected), (64, expected)]
    assert torch.equal(ids, StepWriter(model, PROMPT, 1, Sampling()).write(uniforms))
