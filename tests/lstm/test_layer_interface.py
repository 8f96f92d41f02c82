"""The interface of all kernels, one layer over whole sequences, compared with the reference; and the kernel torch."""

import warnings

import pytest
import torch
from tolerances import PARITY, assert_near
from torch import Tensor, nn

from charlm.errors import InputError
from charlm.lstm import LSTMState
from charlm.lstm.kernels import choose_kernel, fused, native
from charlm.lstm.kernels.lookup import Characters, Lookup, project_input

SHAPES = [(1, 1, 1, 1), (1, 3, 5, 31), (7, 1, 4, 33), (5, 13, 33, 64), (6, 2, 8, 1), (2, 64, 20, 200)]
"""T, B, E, H."""

V = 9

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT TESTED ON CUDA: no GPU")


def skip_unavailable(kernel: str) -> None:
    """Skip a test if the kernel cannot run here."""
    try:
        choose_kernel(kernel)
    except InputError as error:
        pytest.skip(f"NOT TESTED: {error}")


def run(kernel: str, shape: tuple[int, int, int, int], has_ids: bool, is_bf16: bool, device: str) -> list[Tensor]:
    """Return the outputs of a layer on random arguments, and the gradients of all arguments, on the CPU."""
    T, B, E, H = shape
    torch.manual_seed(T * 10_000 + B * 100 + H)
    x = torch.randn(V, E) if has_ids else torch.randn(T, B, E)
    weights = torch.randn(4 * H, E) / E**0.5, torch.randn(4 * H, H) / H**0.5, torch.randn(4 * H)
    leaves = [leaf.to(device).requires_grad_() for leaf in (x, *weights, torch.randn(B, H).tanh(), torch.randn(B, H))]
    before = [leaf.detach().clone() for leaf in leaves]
    inputs = Characters(leaves[0], torch.randint(V, (T, B)).to(device)) if has_ids else leaves[0]
    with torch.autocast(device, torch.bfloat16, enabled=is_bf16):
        hidden, after = choose_kernel(kernel, device).run_layer(inputs, *leaves[1:4], LSTMState(*leaves[4:]))
    assert hidden.dtype == (torch.bfloat16 if is_bf16 else torch.float32)
    assert {tensor.dtype for tensor in after} == {torch.float32}
    outputs = [hidden.float(), *after]
    loss = sum((output * torch.randn(output.shape).to(device)).sum() for output in outputs)
    gradients = torch.autograd.grad(loss, leaves)
    assert all(torch.equal(leaf, old) for leaf, old in zip(leaves, before, strict=True)), "an argument has changed"
    return [tensor.detach().cpu() for tensor in (*outputs, *gradients)]


@pytest.mark.parametrize("is_bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("has_ids", [False, True], ids=["inputs", "characters"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("kernel", "device"), [("cpu", "cpu"), ("torch", "cpu"), pytest.param("torch", "cuda", marks=needs_gpu)]
)
def test_parity(kernel: str, shape: tuple[int, int, int, int], has_ids: bool, is_bf16: bool, device: str) -> None:
    """Outputs and the gradients of all arguments equal the reference's, also at odd sizes."""
    skip_unavailable(kernel)
    expected = run("reference", shape, has_ids, is_bf16, "cpu")
    for actual, reference in zip(run(kernel, shape, has_ids, is_bf16, device), expected, strict=True):
        assert_near(actual, reference, PARITY[torch.bfloat16 if is_bf16 else torch.float32])


@pytest.mark.parametrize(("num_ids", "is_lookup"), [(V, True), (V - 1, False)])
def test_characters_are_looked_up_unless_the_table_is_larger(num_ids: int, is_lookup: bool) -> None:
    """A batch with at least as many characters as symbols has a table of W x + b; both ways have the same values."""
    torch.manual_seed(1)
    characters = Characters(torch.randn(V, 3), torch.randint(V, (num_ids, 1)))
    weight, bias = torch.randn(8, 3), torch.randn(8)
    projected = project_input(characters, weight, bias, nn.functional.linear)
    assert isinstance(projected, Lookup) == is_lookup
    expected = characters.embedding[characters.ids] @ weight.T + bias
    assert_near(
        projected.materialize() if isinstance(projected, Lookup) else projected, expected, PARITY[torch.float32]
    )


def test_the_fused_kernel_takes_float64() -> None:
    """Gradients in float64 pass torch's numerical check."""
    torch.manual_seed(1)
    leaves = [
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 2, 4), (8, 4), (8, 2), (8,))
    ]
    state = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)

    def outputs(*arguments: Tensor) -> tuple[Tensor, ...]:
        hidden, after = fused.run_layer(*arguments[:4], LSTMState(*arguments[4].unbind()))  # type: ignore[arg-type]
        return (hidden, *after)

    assert torch.autograd.gradcheck(outputs, (*leaves, state))


def test_the_fused_kernel_warns_of_nothing() -> None:
    """Separate weights cause no warning, with and without gradients."""
    arguments = torch.randn(3, 2, 4), torch.randn(8, 4), torch.randn(8, 2), torch.randn(8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.no_grad():
            inference, _ = fused.run_layer(*arguments, LSTMState(*torch.zeros(2, 2, 2)))
        training, _ = fused.run_layer(*(x.requires_grad_() for x in arguments), LSTMState(*torch.zeros(2, 2, 2)))
    assert_near(training.detach(), inference, PARITY[torch.float32])


def test_bf16_is_fast_on_a_cpu_where_it_has_instructions() -> None:
    """Without the C library, the processor's instructions decide whether bfloat16 is chosen."""
    has_bf16 = torch.cpu._is_avx512_bf16_supported()
    assert {choose_kernel(name).is_bf16_fast for name in ("torch", "reference")} == {has_bf16}
    skip_unavailable("cpu")
    assert native.fastest_instruction_set() not in native.FAST_BF16 or has_bf16
