"""The imports of the package go down the floors of the house, and the light commands stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "charlm"

FLOORS = {
    0: ["errors", "archive", "atomic", "cache", "lock", "signals", "device", "process"],
    1: ["config", "text", "lstm"],
    2: ["model"],
    3: ["resumption", "checkpoint", "run_directory", "sampling", "evaluation", "optimization", "reporter"],
    4: ["session", "training", "trained"],
    5: ["dry_run", "comparison", "monitor", "tables"],
    6: ["cli", "__main__", "__init__"],
}
"""Each module or package of charlm, and the floor on which it stands."""

FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}

CLOSED = {"errors": set(), "text": {"errors", "cache"}, "lstm": {"errors", "cache"}, "model": {"lstm", "errors"}}
"""Modules that may import only these of charlm."""

ONLY_IMPORTER = {"tqdm": {"monitor"}, "tensorboard": {"monitor"}, "matplotlib": {"comparison"}, "click": {"cli"}}
"""Libraries, and who may import them."""

SOURCES = sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    """Return the module or package of charlm that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def units_imported(path: Path) -> set[str]:
    """Return the other modules or packages of charlm that a file imports."""
    parts = [name.split(".") for name in imports_of(path)]
    return {part[1] for part in parts if part[0] == "charlm" and len(part) > 1} - {unit_of(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    """No module imports from a floor above its own."""
    unit = unit_of(path)
    assert unit in FLOOR_OF, f"{unit} has no floor yet"
    too_high = {other for other in units_imported(path) if FLOOR_OF[other] > FLOOR_OF[unit]}
    assert not too_high
    assert units_imported(path) <= CLOSED.get(unit, set(FLOOR_OF))


def test_no_circles() -> None:
    """No module of charlm imports itself by way of others."""
    graph: dict[str, set[str]] = {}
    for path in SOURCES:
        graph.setdefault(unit_of(path), set()).update(units_imported(path))
    while graph:
        leaves = {unit for unit, others in graph.items() if not others & graph.keys()}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {unit: others for unit, others in graph.items() if unit not in leaves}


@pytest.mark.parametrize("library", ONLY_IMPORTER)
def test_only_importer(library: str) -> None:
    """A library that belongs to one place is imported there alone."""
    importers = {unit_of(path) for path in SOURCES if any(library in name.split(".") for name in imports_of(path))}
    assert importers == ONLY_IMPORTER[library]


@pytest.mark.parametrize(
    "statement", ["import charlm", "from charlm.cli import cli; cli(['--help'], standalone_mode=False)"]
)
def test_light_commands_load_nothing_heavy(statement: str) -> None:
    """Importing the package, and asking for help, load neither torch nor TensorBoard."""
    check = (
        f"{statement}\nimport sys; print([name for name in ('torch', 'tensorboard', 'numpy') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"
