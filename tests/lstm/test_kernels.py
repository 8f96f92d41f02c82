"""The C kernels compared with the reference, on all instruction sets of this processor and on emulated AMX."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from instruction_sets import INSTRUCTION_SETS, needs_compiler, on_every_instruction_set
from tolerances import LOOKUP, PARITY, SIGMOID, TANH, assert_near
from torch import Tensor
from torch.nn import functional as F

from charlm.errors import InputError
from charlm.lstm import LSTMState
from charlm.lstm.kernels import choose_kernel, cpu, lookup, projection, reference
from charlm.lstm.kernels.lookup import Lookup
from charlm.model import CharLM

in_both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])

SHAPES = [(1, 1, 1), (1, 3, 31), (7, 1, 33), (5, 13, 64), (3, 6, 128), (4, 37, 31), (6, 2, 1), (2, 64, 200)]
SHAPES += [(1, 17, 64), (3, 70, 96)]  # on AMX whole blocks of 32 units have code of their own
"""T, B, H."""

Arguments = tuple[Tensor, Tensor, Tensor, Tensor]
LSTMSequence = Callable[[Tensor, Tensor, LSTMState], tuple[Tensor, LSTMState]]


@pytest.fixture
def _restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def draw(T: int, B: int, H: int, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Arguments:
    """Return random gates_x, weight_hh, h0 and c0."""
    torch.manual_seed(T * 10_000 + B * 100 + H)
    weight_hh = torch.randn(4 * H, H) / H**0.5
    return scale * torch.randn(T, B, 4 * H).to(dtype), weight_hh, torch.randn(B, H).tanh(), torch.randn(B, H)


def on(instruction_set: str) -> LSTMSequence:
    """Return the kernel cpu with a fixed instruction set."""
    return lambda gates_x, weight_hh, state: cpu.lstm_sequence(gates_x, weight_hh, state, instruction_set)


def run(kernel: LSTMSequence, arguments: Arguments, outputs: str = "hidden h c") -> dict[str, Tensor]:
    """Return a kernel's outputs, and the gradients of a randomly weighted sum of the named outputs."""
    leaves = [x.clone().requires_grad_() for x in arguments]
    hidden, state = kernel(leaves[0], leaves[1], LSTMState(leaves[2], leaves[3]))
    results = {"hidden": hidden, "h": state.h, "c": state.c}
    torch.manual_seed(0)
    weights = {name: torch.randn(x.shape).to(x.dtype) for name, x in results.items()}
    gradients = torch.autograd.grad(
        [results[name] for name in outputs.split()],
        leaves,
        [weights[name] for name in outputs.split()],
    )
    names = ("grad_gates_x", "grad_weight_hh", "grad_h", "grad_c")
    return {name: x.detach() for name, x in results.items()} | dict(zip(names, gradients, strict=True))


def assert_parity(actual: dict[str, Tensor], expected: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Fail unless all outputs and gradients agree within the tolerance of the dtype."""
    for name, x in expected.items():
        assert_near(actual[name], x, PARITY[dtype])


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_parity(shape: tuple[int, int, int], dtype: torch.dtype, instruction_set: str) -> None:
    """Outputs and all gradients equal the reference's, with a nonzero initial state, also at odd sizes."""
    arguments = draw(*shape, dtype)
    assert_parity(run(on(instruction_set), arguments), run(reference.lstm_sequence, arguments), dtype)


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize(("B", "H"), [(1, 1), (3, 16), (13, 33), (37, 64), (64, 200)])
def test_bfloat16_products_are_summed_in_float32(B: int, H: int, instruction_set: str) -> None:
    """If the operands are exact in bfloat16, products are as accurate as in float32, forward and backward."""
    gates_x, weight_hh, h, c = draw(1, B, H, torch.bfloat16)
    arguments = (gates_x, weight_hh.bfloat16().float(), h.bfloat16().float(), c)
    actual = run(on(instruction_set), arguments)
    expected = run(reference.lstm_sequence, (gates_x.float(), *arguments[1:]))
    assert_near(actual["h"], expected["h"], PARITY[torch.float32])
    assert_near(actual["c"], expected["c"], PARITY[torch.float32])
    grad_h = actual["grad_gates_x"][0].double() @ arguments[1].double()
    assert_near(actual["grad_h"].double(), grad_h, PARITY[torch.float32])


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
@pytest.mark.parametrize("outputs", ["hidden", "h", "c"])
def test_parity_of_gradients_through_one_output(outputs: str, dtype: torch.dtype, instruction_set: str) -> None:
    """The gradients of a loss that uses only hidden, or only the last h or c, equal the reference's."""
    arguments = draw(5, 3, 33, dtype)
    expected = run(reference.lstm_sequence, arguments, outputs)
    assert_parity(run(on(instruction_set), arguments, outputs), expected, dtype)


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
def test_parity_of_saturated_gates(dtype: torch.dtype, instruction_set: str) -> None:
    """Pre-activations of ±100 give the reference's outputs and gradients."""
    gates_x, *rest = draw(4, 5, 33, dtype)
    arguments = (100 * gates_x.sign(), *rest)
    actual = run(on(instruction_set), arguments)  # type: ignore[arg-type]
    assert_parity(actual, run(reference.lstm_sequence, arguments), dtype)  # type: ignore[arg-type]


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
def test_parity_of_non_contiguous_tensors(dtype: torch.dtype, instruction_set: str) -> None:
    """Non-contiguous inputs, weights, states and gradients give the same results as contiguous copies."""
    gates_x, weight_hh, h, c = draw(4, 5, 33, dtype)

    def transposed(x: Tensor) -> Tensor:
        return x.transpose(0, 1).contiguous().transpose(0, 1)

    def through_views(kernel: LSTMSequence) -> LSTMSequence:
        def lstm_sequence(*arguments: Tensor | LSTMState) -> tuple[Tensor, LSTMState]:
            gates_x, weight_hh, (h, c) = arguments
            state = LSTMState(transposed(h), transposed(c))
            hidden, state = kernel(transposed(gates_x), transposed(weight_hh), state)
            return transposed(hidden), state

        return lstm_sequence  # type: ignore[return-value]

    actual = run(through_views(on(instruction_set)), (gates_x, weight_hh, h, c))
    assert_parity(actual, run(reference.lstm_sequence, (gates_x, weight_hh, h, c)), dtype)


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
def test_inference_gives_the_same_bits(dtype: torch.dtype, instruction_set: str) -> None:
    """Without gradients, when no activations are saved, the outputs are bit-identical to those of training."""
    gates_x, weight_hh, h, c = draw(6, 7, 33, dtype)
    kernel = on(instruction_set)
    trained = run(kernel, (gates_x, weight_hh, h, c))
    hidden, state = kernel(gates_x, weight_hh, LSTMState(h, c))
    assert not hidden.requires_grad
    assert [torch.equal(x, trained[name]) for name, x in zip("hc", state, strict=True)] == [True, True]
    assert torch.equal(hidden, trained["hidden"])


@needs_compiler
@pytest.mark.usefixtures("_restored_threads")
@on_every_instruction_set
@in_both_dtypes
@pytest.mark.parametrize(
    ("batch_size", "hidden_size"), [(2, 33), (13, 33), (37, 33), (64, 33), (1, 33), (1, 200), (2, 96), (70, 96)]
)
def test_threads_give_the_same_bits(
    batch_size: int, hidden_size: int, dtype: torch.dtype, instruction_set: str
) -> None:
    """One, two and three threads give bit-identical outputs and input gradients, also for a single row."""
    results = []
    for num_threads in (1, 2, 3):
        torch.set_num_threads(num_threads)
        results.append(run(on(instruction_set), draw(5, batch_size, hidden_size, dtype)))
    expected = results.pop(0)
    assert [name for actual in results for name, x in expected.items() if not torch.equal(actual[name], x)] == []


@needs_compiler
@pytest.mark.parametrize("limit", ["one core", "one thread"])
def test_a_limited_team_gives_the_same_bits(limit: str) -> None:
    """A team of two for a single row gives the result of one thread, also on one core or if OpenMP gives one thread."""
    script = f"""
import os, torch
from test_kernels import cpu, draw, LSTMState
if {limit == "one core"} and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
gates_x, weight_hh, h, c = draw(600, 1, 200)
results = []
for num_threads in (1, 2):
    torch.set_num_threads(num_threads)
    hidden, state = cpu.lstm_sequence(gates_x, weight_hh, LSTMState(h, c))
    results.append([hidden, *state])
print([torch.equal(x, y) for x, y in zip(*results)])
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    if limit == "one thread":
        environment["OMP_THREAD_LIMIT"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.stdout, done.returncode) == ("[True, True, True]\n", 0), done.stderr


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
def test_chunks_with_carried_state_equal_one_pass(dtype: torch.dtype, instruction_set: str) -> None:
    """A sequence in two chunks with carried state is bit-identical to one pass."""
    gates_x, weight_hh, h, c = draw(8, 3, 33, dtype)
    kernel = on(instruction_set)
    hidden, after = kernel(gates_x, weight_hh, LSTMState(h, c))
    first, between = kernel(gates_x[:3], weight_hh, LSTMState(h, c))
    second, last = kernel(gates_x[3:], weight_hh, between)
    assert torch.equal(torch.cat([first, second]), hidden)
    assert torch.equal(last.h, after.h)
    assert torch.equal(last.c, after.c)


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
def test_arguments_are_not_modified(dtype: torch.dtype, instruction_set: str) -> None:
    """Forward and backward do not modify the caller's input projection, weights and state."""
    arguments = draw(4, 5, 33, dtype)
    leaves = [x.clone().requires_grad_() for x in arguments]
    hidden, _ = on(instruction_set)(leaves[0], leaves[1], LSTMState(leaves[2], leaves[3]))
    hidden.float().sum().backward(retain_graph=True)
    before = [x.grad.clone() for x in leaves]  # type: ignore[union-attr]
    hidden.float().sum().backward()
    assert [torch.equal(x, y) for x, y in zip(leaves, arguments, strict=True)] == [True] * 4
    assert [torch.equal(x.grad, 2 * y) for x, y in zip(leaves, before, strict=True)] == [True] * 4  # type: ignore[arg-type]


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
@pytest.mark.parametrize("argument", ["gates_x", "h", "c"])
def test_nan_stays_in_its_row(argument: str, dtype: torch.dtype, instruction_set: str) -> None:
    """A NaN propagates to the outputs and gradients of its own row of the batch, and to no other row."""
    gates_x, weight_hh, h, c = draw(3, 8, 33, dtype)
    {"gates_x": gates_x[0], "h": h, "c": c}[argument][5, 2] = float("nan")
    results = run(on(instruction_set), (gates_x, weight_hh, h, c))
    nan_rows = results["hidden"][-1].isnan().any(dim=1)
    assert nan_rows.tolist() == [row == 5 for row in range(8)]
    assert results["h"].isnan().any(dim=1).tolist() == nan_rows.tolist()
    assert results["grad_gates_x"].isnan().any(dim=2).any(dim=0).tolist() == nan_rows.tolist()


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize(("activation", "bound"), [("sigmoid", SIGMOID), ("tanh", TANH)])
def test_activations_are_within_their_bounds(activation: str, bound: float, instruction_set: str) -> None:
    """σ and tanh stay within their error bounds over the whole range, saturate at ±inf, and propagate NaN."""
    dense = torch.linspace(-30, 30, 200_001)
    powers = torch.logspace(-44, 38, 2_001)
    special = torch.tensor([float("inf"), -float("inf"), 0.0, -0.0])
    x = torch.cat([dense, powers, -powers, special, torch.tensor([float("nan")])])
    gates = torch.zeros(1, len(x), 4)
    # c' = f c + i g with one variable gate: f = σ(x) with c = 1 and g = 0, or g = tanh(x) with c = 0 and i = 1
    if activation == "sigmoid":
        gates[0, :, 1] = x
    else:
        gates[0, :, 0], gates[0, :, 2] = 100, x
    c = torch.full((len(x), 1), 1.0 if activation == "sigmoid" else 0.0)
    _, state = cpu.lstm_sequence(gates, torch.zeros(4, 1), LSTMState(torch.zeros_like(c), c), instruction_set)
    expected = getattr(torch, activation)(x.double())
    assert (state.c[:-1, 0] - expected[:-1]).abs().max().item() <= bound
    assert state.c[-1].isnan().all()


def test_reference_passes_gradcheck() -> None:
    """The reference's gradients equal finite differences in float64."""
    leaves = [x.double().requires_grad_() for x in draw(3, 2, 3)]

    def outputs(gates_x: Tensor, weight_hh: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        hidden, state = reference.lstm_sequence(gates_x, weight_hh, LSTMState(h, c))
        return hidden, *state

    assert torch.autograd.gradcheck(outputs, leaves)


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
def test_lookup_equals_materialized_rows(dtype: torch.dtype, instruction_set: str) -> None:
    """A lookup gives bit-identical outputs to the same input projection materialized, and equal gradients."""
    T, B, H = 5, 7, 33
    rows, *arguments = draw(3, 4, H, dtype)
    table, ids = rows.flatten(0, 1), torch.randint(12, (B, T)).T  # not contiguous

    def from_lookup(rows: Tensor, weight_hh: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        return cpu.lstm_sequence(Lookup(rows, ids), weight_hh, state, instruction_set)

    def from_materialized(rows: Tensor, weight_hh: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        return cpu.lstm_sequence(Lookup(rows, ids).materialize(), weight_hh, state, instruction_set)

    state = (torch.randn(B, H).tanh(), torch.randn(B, H))
    actual, expected = (run(kernel, (table, arguments[0], *state)) for kernel in (from_lookup, from_materialized))
    assert_near(actual.pop("grad_gates_x"), expected.pop("grad_gates_x"), PARITY[dtype])  # torch sums the latter
    assert [name for name, x in expected.items() if not torch.equal(actual[name], x)] == []


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
def test_lookup_sums_gradients_in_float32(dtype: torch.dtype, instruction_set: str) -> None:
    """The gradient of a row is the sum over its positions, rounded once, for rows used often, seldom and never."""
    torch.manual_seed(0)
    ids = torch.cat([torch.zeros(3000, dtype=torch.int64), torch.randint(1, 8, (1000,))]).reshape(50, 80)
    grad = torch.rand(50, 80, 129).to(dtype)  # 129 columns: one more than whole vectors
    actual = lookup.sum_rows(grad, ids, 9, instruction_set)
    expected = torch.zeros(9, 129, dtype=torch.float64).index_add_(0, ids.flatten(), grad.flatten(0, 1).double())
    assert_near(actual.double(), expected, LOOKUP[dtype])


@needs_compiler
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.full((2, 3), 5), "ids must be in 0..4, got 5..5"),
        (torch.full((2, 3), -1), "ids must be in 0..4, got -1..-1"),
        (torch.zeros(2, 3, dtype=torch.int32), "ids must be int64"),
        (torch.zeros(2, 0, dtype=torch.int64), "expected shapes"),
        (torch.zeros(6, dtype=torch.int64), "expected shapes"),
    ],
    ids=["too large", "negative", "int32", "empty", "flat"],
)
def test_invalid_ids_are_refused(ids: Tensor, message: str) -> None:
    """Ids of a wrong dtype or shape, or out of range, raise an error before any row is read."""
    state = LSTMState(torch.zeros(3, 4), torch.zeros(3, 4))
    with pytest.raises(InputError, match=message):
        cpu.lstm_sequence(Lookup(torch.zeros(5, 16), ids), torch.zeros(16, 4), state)


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
@pytest.mark.parametrize("shape", [(1, 4, 1), (301, 132, 33), (512, 20, 64), (1000, 37, 200), (40, 1030, 260)], ids=str)
def test_products_over_all_positions(shape: tuple[int, int, int], dtype: torch.dtype, instruction_set: str) -> None:
    """The product for a weight gradient and the sums for its bias are correct at odd sizes, also for views."""
    torch.manual_seed(0)
    N, G, E = shape
    left, right = torch.randn(G, N).to(dtype).T, torch.randn(N, E).to(dtype)
    product, column_sums = projection.multiply_transposed(left, right, instruction_set)
    assert_near(product.double(), left.double().T @ right.double(), PARITY[torch.float32])
    assert_near(column_sums.double(), left.double().sum(0), PARITY[torch.float32])


@needs_compiler
def test_projection_equals_linear() -> None:
    """W x + b and its gradients are those of torch.nn.functional.linear."""
    torch.manual_seed(0)
    leaves = [torch.randn(shape, requires_grad=True) for shape in ((5, 3, 33), (132, 33), (132,))]
    grad = torch.randn(5, 3, 132)
    results = []
    for function in (projection.project, F.linear):
        y = function(*leaves)
        results.append([y.detach(), *torch.autograd.grad(y, leaves, grad)])
    for actual, expected in zip(*results, strict=True):
        assert_near(actual, expected, PARITY[torch.float32])


@needs_compiler
def test_projection_without_bfloat16_in_onednn() -> None:
    """If oneDNN does not support bfloat16 on the processor, a projection is still W x + b, with gradients."""
    script = """
import torch
from charlm.lstm.kernels.projection import project
x, weight, bias = (torch.randn(shape).bfloat16().requires_grad_() for shape in ((5, 3, 33), (132, 33), (132,)))
y = project(x, weight, bias)
y.sum().backward()
print((y - torch.nn.functional.linear(x, weight, bias)).abs().max().item() < 0.1, x.grad.shape == x.shape)
"""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("True True\n", 0), done.stderr


@needs_compiler
@pytest.mark.parametrize("is_bf16", [False, True], ids=["fp32", "bf16"])
def test_auto_takes_the_fast_kernel(is_bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with kernel ``auto`` computes the forward and backward pass of its layers in the C kernels."""
    called = []
    call = cpu.call
    monkeypatch.setattr(cpu, "call", lambda name, **arguments: (called.append(name), call(name, **arguments)))
    model = CharLM(vocabulary_size=11, num_layers=2, hidden_size=16, embed_size=8)
    with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
        logits, _ = model(torch.randint(11, (3, 5)), model.initial_state(3))
    logits.float().sum().backward()
    fastest = INSTRUCTION_SETS[0]
    assert called == [f"lstm_forward_{fastest}"] * 2 + [f"lstm_backward_{fastest}"] * 2
    assert model.lstm.kernel[:2] == ("cpu", fastest)


@pytest.mark.parametrize("kernel", [pytest.param("cpu", marks=needs_compiler), "torch"])
@pytest.mark.parametrize("is_bf16", [False, True], ids=["fp32", "bf16"])
def test_models_agree_with_every_kernel(is_bf16: bool, kernel: str) -> None:
    """The whole model has the same logits and weight gradients with a kernel and with the reference."""
    results = []
    for name in (kernel, "reference"):
        torch.manual_seed(0)
        model = CharLM(vocabulary_size=11, num_layers=2, hidden_size=33, embed_size=8, kernel=name)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            logits, _ = model(torch.randint(11, (3, 5)), model.initial_state(3))
        logits.float().square().sum().backward()
        results.append([logits.detach(), *(parameter.grad for parameter in model.parameters())])
    for actual, expected in zip(*results, strict=True):
        assert_near(actual, expected, PARITY[torch.bfloat16 if is_bf16 else torch.float32])


def test_auto_falls_back_in_float64_with_a_reason() -> None:
    """A float64 model uses torch's LSTM, and the kernel's note gives the reason."""
    kernel = choose_kernel("auto", "cpu", torch.float64)
    assert kernel.name == "torch"
    assert "float64" in kernel.note


@pytest.mark.parametrize("name", ["cpu", "fast"])
def test_a_named_kernel_never_falls_back(name: str) -> None:
    """A named kernel that cannot run or does not exist raises an error that names the alternatives."""
    with pytest.raises(InputError, match="torch"):
        choose_kernel(name, "cpu", torch.float64)


@needs_compiler
@pytest.mark.parametrize(
    ("position", "bad", "message"),
    [
        (0, torch.zeros(2, 3, 16, dtype=torch.float64), "gates_x must be float32 or bfloat16"),
        (1, torch.zeros(16, 4, dtype=torch.bfloat16), "weight_hh must be float32"),
        (2, torch.zeros(3, 4, device="meta"), "h must be float32 on the CPU"),
        (3, torch.zeros(1, 4), "expected shapes"),
        (0, torch.zeros(0, 3, 16), "expected shapes"),
    ],
)
def test_invalid_tensors_are_refused(position: int, bad: Tensor, message: str) -> None:
    """Tensors of a wrong dtype, device or shape raise an error before the C code is called."""
    arguments = [torch.zeros(2, 3, 16), torch.zeros(16, 4), torch.zeros(3, 4), torch.zeros(3, 4)]
    arguments[position] = bad
    with pytest.raises(InputError, match=message):
        cpu.lstm_sequence(arguments[0], arguments[1], LSTMState(arguments[2], arguments[3]))
