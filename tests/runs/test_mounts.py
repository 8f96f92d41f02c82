"""A run on real file systems: one that is read-only, and one that fills up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recording import equal, rows_without_times, without_times

import charlm
from charlm.config import Config
from charlm.runs.checkpoint import load_checkpoint
from charlm.training.loop import train

NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
"""Runs a command whose mounts nothing else sees, and which end with it."""


def can_mount() -> bool:
    """Return whether this machine lets the tests mount."""
    if shutil.which("unshare") is None:
        return False
    probe = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/tmp"]  # noqa: S108  # seen by the probe alone
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_mount(), reason="mounting is not permitted here")


def in_namespace(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount; ``$charlm`` in it is the command."""
    settings = os.environ | {"charlm": f"{sys.executable} -m charlm", "OMP_NUM_THREADS": "1"} | environment
    command = [*NAMESPACE, "bash", "-euc", script, "bash", *map(str, arguments)]
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)


READ_ONLY = """
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
cd "$1"
! touch charlm/scrap 2> /dev/null
$charlm train "$2" --out "$3"
$charlm sample "$3" --prompt 9 --length 20
"""


def test_read_only_source_tree(config: Config, tmp_path: Path) -> None:
    """Charlm trains, builds its kernel and samples where its own files and the working directory are read-only."""
    source = tmp_path / "source"
    shutil.copytree(Path(charlm.__file__).parent, source / "charlm", ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(source.rglob("*"))
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    cache = tmp_path / "cache"
    places = (source, tmp_path / "config.yaml", tmp_path / "run")
    done = in_namespace(READ_ONLY, *places, PYTHONPATH=str(source), CHARLM_CACHE_DIR=str(cache))
    assert done.returncode == 0, done.stderr
    assert "30 steps" in done.stdout
    assert "\n9" in done.stdout
    assert sorted(source.rglob("*")) == before
    assert len(list(cache.glob("corpora/*"))) == 1
    assert len(list(cache.glob("kernels/*.so"))) == ("kernel cpu" in done.stderr)


FILLS_UP = """
mount -t tmpfs -o size=$3 tmpfs "$2"
set +e
$charlm train "$1" --out "$2/run"
echo "status $?" >&2
cp -r "$2/run" "$4/full"
mount -o remount,size=64m "$2"
$charlm train "$1" --out "$2/run" --resume
echo "status $?" >&2
cp -r "$2/run" "$4/end"
"""


def test_disk_that_fills_up(config: Config, tmp_path: Path) -> None:
    """A run that fills its disk fails with advice and a good save, and once there is room ends as if undisturbed."""
    config = config.replace("model", hidden_size=64)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    train(config, tmp_path / "undisturbed")
    (tmp_path / "disk").mkdir()
    room = 3 * (tmp_path / "undisturbed" / "last.pt").stat().st_size  # for two saves, best.pt and most of a third save
    done = in_namespace(FILLS_UP, tmp_path / "config.yaml", tmp_path / "disk", room, tmp_path)
    first, second = done.stderr.split("status 1\n")
    assert "Error: " in first
    assert "last.pt: cannot be written: No space left on device" in first
    assert "free disk space or give another --out, and run the command again" in first
    assert "resuming after step 14" in second
    assert second.endswith("status 0\n")
    assert "Traceback" not in done.stderr
    assert load_checkpoint(tmp_path / "full" / "last.pt").step == 14
    assert not list((tmp_path / "full").glob(".*.unfinished"))
    assert charlm.load(tmp_path / "full").sample(length=5)
    ends = [load_checkpoint(tmp_path / run / "last.pt") for run in ("end", "undisturbed")]
    assert equal(*map(without_times, ends))
    assert rows_without_times(tmp_path / "end") == rows_without_times(tmp_path / "undisturbed")


CACHE_FILLS_UP = """
mount -t tmpfs -o size=64k tmpfs "$2"
CHARLM_CACHE_DIR="$2" $charlm train "$1" --out "$3" || echo "status $?" >&2
ls -A "$2/corpora"
"""


def test_cache_that_fills_up(config: Config, tmp_path: Path) -> None:
    """An encoding that fills the cache's disk fails with advice and leaves nothing of it, and no run is begun."""
    Path(config.data.path).write_text("0123456789\n" * 20_000)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    (tmp_path / "disk").mkdir()
    done = in_namespace(CACHE_FILLS_UP, tmp_path / "config.yaml", tmp_path / "disk", tmp_path / "run")
    assert done.returncode == 0
    assert "No space left on device. Free disk space, or set" in done.stderr
    assert done.stderr.endswith("status 1\n")
    assert done.stdout == ""
    assert not (tmp_path / "run").exists()


KERNELS_FILL_UP = """
mount -t tmpfs -o size=16k tmpfs "$1"
"$2" -c "$3"
ls -A "$1/kernels"
"""

LOAD = """
from charlm.lstm.kernels import choose_kernel, compiler
compiler.INSTRUCTION_SETS = {"portable": ()}
print(choose_kernel("auto").note)
"""


@pytest.mark.parametrize("is_scratch_full", [False, True])
def test_kernels_that_fill_up_the_disk(tmp_path: Path, is_scratch_full: bool) -> None:
    """Where the cache is full the kernels run and are not stored; where /tmp is full too, the reason is given."""
    disk = tmp_path / "disk"
    disk.mkdir()
    scratch = {"TMPDIR": str(disk)} if is_scratch_full else {}
    done = in_namespace(KERNELS_FILL_UP, disk, sys.executable, LOAD, CHARLM_CACHE_DIR=str(disk), **scratch)
    assert "Traceback" not in done.stderr
    if "no C compiler" in done.stdout:
        pytest.skip("THE BUILD ON A FULL DISK IS NOT TESTED: there is no C compiler")
    if is_scratch_full:
        assert "No space left on device" in done.stdout
    else:
        assert done.stdout == "portable\n"  # and no file
        assert "this process alone" in done.stderr
        assert "No space left on device. Set the environment variable CHARLM_CACHE_DIR" in done.stderr
