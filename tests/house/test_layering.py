"""The imports keep the contracts of pyproject.toml, and the light commands stay light."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

PACKAGE = ROOT / "charlm"

LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"]


def lint(directory: Path, *contracts: str) -> "subprocess.CompletedProcess[str]":
    """Check the package in a directory against contracts of pyproject.toml, all of them by default."""
    chosen = [part for contract in contracts for part in ("--contract", contract)]
    return subprocess.run([*LINT, *chosen], cwd=directory, capture_output=True, text=True, check=False)


def test_imports_keep_the_contracts() -> None:
    """Imports go down the floors, without cycles, and each library is imported only where it belongs."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("contract", "module", "statement"),
    [
        ("floors", "text/streams.py", "import charlm.model"),
        ("floors", "text/streams.py", "import charlm.lstm.cell"),
        ("floors", "attic.py", "import charlm.errors"),
        ("floors", "system/files.py", "def write() -> None:\n    import charlm.config"),
        ("cycles", "runs/archive.py", "import charlm.runs.checkpoint"),
        ("cycles", "lstm/cell.py", "import charlm.lstm.layers"),
        ("click", "training/loop.py", "import tqdm"),
        ("click", "comparison/plan.py", "import click"),
        ("dask", "cli/compare_layers.py", "def open_pool() -> None:\n    import distributed"),
        ("matplotlib", "cli/tables.py", "import matplotlib"),
        ("torch", "system/files.py", "import torch"),
        ("torch", "config/schema.py", "import numpy"),
        ("yaml", "runs/directory.py", "import yaml"),
        ("floors", "inspection/page.py", "import charlm.export.card"),
        ("onnx", "cli/export.py", "import onnxruntime"),
    ],
)
def test_a_broken_contract_is_noticed(tmp_path: Path, contract: str, module: str, statement: str) -> None:
    """Each contract fails on an import that it forbids."""
    shutil.copytree(PACKAGE, tmp_path / "charlm", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "charlm" / module).open("a") as file:
        file.write(f"\n{statement}\n")
    done = lint(tmp_path, contract)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


def test_only_two_modules_import_tensorboard() -> None:
    """TensorBoard is imported through torch, where import-linter does not see it; only its reporter needs it."""
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    importers = {
        name
        for name, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.ImportFrom) and "tensorboard" in (node.module or "").split("."))
        or (isinstance(node, ast.Import) and any("tensorboard" in alias.name.split(".") for alias in node.names))
    }
    assert importers - {"cli/progress.py"} == {"training/tensorboard.py", "training/event_files.py"}


@pytest.mark.parametrize(
    "statement", ["import charlm", "from charlm.cli import cli; cli(['--help'], standalone_mode=False)"]
)
def test_light_commands_load_nothing_heavy(statement: str) -> None:
    """Importing the package, and asking for help, load neither torch nor TensorBoard."""
    assert modules_after(statement, "torch", "tensorboard", "numpy") == "[]"


def test_a_look_at_runs_loads_no_torch(tmp_path: Path) -> None:
    """The table of runs, read from their checkpoints, appears before torch would be loaded."""
    shutil.copytree(Path(__file__).parents[1] / "runs" / "checkpoints" / "format-1", tmp_path / "runs")
    runs = f"from charlm.cli import cli; cli(['runs', {str(tmp_path)!r}], standalone_mode=False)"
    assert modules_after(f"{runs}\nprint()", "torch", "tensorboard") == "[]"


def test_training_loads_nothing_of_the_comparison() -> None:
    """The help of train, and what train imports, load no module of the comparison."""
    imports = "import charlm.cli.progress, charlm.cli.tables, charlm.training.loop, charlm.training.dry_run"
    help_ = "from charlm.cli import cli; cli(['train', '--help'], standalone_mode=False)"
    assert modules_after(f"{imports}\n{help_}", "charlm.comparison", "matplotlib", "scipy") == "[]"


def modules_after(statement: str, *names: str) -> str:
    """Return which of some modules are loaded after a statement, as a list in text."""
    check = f"{statement}\nimport sys; print([name for name in {names} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    return output.splitlines()[-1]
