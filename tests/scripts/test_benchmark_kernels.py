"""The benchmark of the kernels: its tables have every part, and the parts of a step add up to the whole."""

import itertools

import benchmark_kernels
import pytest
from instruction_sets import INSTRUCTION_SETS, needs_compiler

from charlm.training.optimization import Precision


def cells_of(table: str) -> dict[str, list[str]]:
    """Return the cells of a Markdown table by the first cell of their row."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {row[0]: [cell.strip() for cell in row[1:]] for row in rows}


@needs_compiler
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_parts_of_a_step_add_up(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part of a step of three layers is listed with its calls, and their times add up to that of the step."""
    monkeypatch.setattr(benchmark_kernels, "TURN_S", 0.0)
    result = benchmark_kernels.measure(benchmark_kernels.Cell(3, 16, 3, 5, precision), 1)
    step = cells_of(benchmark_kernels.format_step(result))
    del step["part"], step["---"]
    total_ms = float(step.pop("whole step")[1])
    calls = {name: row[0] for name, row in step.items()}
    assert calls == {
        "forward, keeping": "2",
        "forward, keeping, lookup": "1",
        "backward": "3",
        "sums of the lookup": "1",
        "dU, dW and db": "5",
        "W x + b": "2",
        "dx": "2",
        "output layer with loss": "1",
        "optimizer": "1",
        "everything else": "",
    }
    assert sum(float(row[1]) for row in step.values()) == pytest.approx(total_ms, abs=0.1)


@needs_compiler
def test_parts_of_the_c_library_are_listed_by_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of the C library have a column for each instruction set, with FLOP/s and the share of the product."""
    monkeypatch.setattr(benchmark_kernels, "TURN_S", 0.0)
    result = benchmark_kernels.measure(benchmark_kernels.Cell(1, 16, 3, 5, "fp32"), 1)
    table = cells_of(benchmark_kernels.format_instruction_sets(result))
    assert table.pop("GFLOP/s (share of the product)") == [f"`{name}`" for name in INSTRUCTION_SETS]
    del table["---"]
    assert len(table) == 6
    assert {len(row) for row in table.values()} == {len(INSTRUCTION_SETS)}
    [dense, *_] = [part for part in result.parts if part.name == "forward, not keeping"]
    speed = 8 * 3 * 5 * 16 * 16 / dense.seconds
    assert table["forward, not keeping"][0] == f"{speed / 1e9:.0f} ({speed / result.product_flops_per_s:.2f})"


def test_functions_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions are timed in turns, one after the other; the time of each is the least of its timed calls."""
    now_s, called = 0.0, []
    durations = {"a": iter([1.0, 5.0, 4.0, 1.0, 6.0, 3.0]), "b": itertools.repeat(9.0)}

    def call(name: str) -> None:
        nonlocal now_s
        called.append(name)
        now_s += next(durations[name])

    monkeypatch.setattr(benchmark_kernels, "TURN_S", 9.0)
    least_s = benchmark_kernels.time_least([lambda: call("a"), lambda: call("b")], 2, lambda: now_s)
    assert called == ["a", "a", "a", "b", "b"] * 2
    assert least_s == [3.0, 9.0]
