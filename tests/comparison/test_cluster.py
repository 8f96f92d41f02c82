"""A comparison on a Dask cluster: its results, and what happens when a part of it dies."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dask
import psutil
import pytest
from command_line import in_subprocess
from dask_cluster import Cluster
from distributed import LocalCluster
from processes import wait_until
from recording import results_without_times

from charlm.comparison.cluster import open_cluster
from charlm.comparison.experiment import run_comparison
from charlm.comparison.plan import Plan, plan_comparison
from charlm.comparison.results import Results
from charlm.comparison.stored_plan import store_plan
from charlm.config import Config, load_config
from charlm.errors import ArgumentError, InputError
from charlm.runs.checkpoint import load_checkpoint
from charlm.system.version import __version__


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return a scheduler with two workers."""
    cluster = Cluster(tmp_path / "cluster", 2)
    yield cluster
    cluster.close()


@pytest.fixture
def config_file(config: Config, tmp_path: Path) -> Path:
    """Return a configuration file whose runs take a few seconds each."""
    path = tmp_path / "config.yaml"
    settings = config.replace("train", max_steps=500, eval_every=250, checkpoint_every=20)
    path.write_text(settings.replace("data", val_frac=0.02).to_yaml())
    return path


class Comparison:
    """A comparison of two depths in a process; what it says goes to a file."""

    def __init__(self, config_file: Path, out: Path, *options: str) -> None:
        self.out, self._said = out, out.with_suffix(".said")
        arguments = ["compare-layers", config_file, "--budget", "4000", "--layers", "1,2", "--seeds", "1", "--out", out]
        with self._said.open("wb") as said:
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            self.process = in_subprocess(*arguments, *options, stdout=subprocess.DEVNULL, stderr=said, env=environment)

    @property
    def said(self) -> str:
        """What it has said."""
        return self._said.read_text()

    @property
    def trainers(self) -> list[psutil.Process]:
        """The processes that train its runs now."""
        numbers = [int(path.read_text().split()[0]) for path in self.out.glob("*/.lock.pid")]
        return [psutil.Process(number) for number in numbers if psutil.pid_exists(number)]

    def wait_for_training(self) -> psutil.Process:
        """Wait until a run is trained and saved, and return its process."""

        def is_training() -> bool:
            assert self.process.poll() is None, self.said
            return bool(self.trainers) and any(self.out.glob("*/last.pt"))

        wait_until(is_training)
        return self.trainers[0]

    def results(self) -> dict[str, object]:
        """Wait until it has ended, and return what it found, but for times."""
        assert self.process.wait() == 0, self.said
        found = Results.model_validate_json((self.out / "results.json").read_bytes())
        return results_without_times(found.model_copy(update={"command": ""}))


def test_results_are_those_of_one_machine(cluster: Cluster, config_file: Path, tmp_path: Path) -> None:
    """After Ctrl-C, a killed command and a killed worker, the results are those of an undisturbed ``--jobs 1``."""
    options = (config_file, tmp_path / "out", "--cluster", cluster.address)
    undisturbed = Comparison(config_file, tmp_path / "expected", "--jobs", "1")  # meanwhile

    stopped = Comparison(*options)
    stopped.wait_for_training()
    stopped.process.send_signal(signal.SIGINT)
    assert stopped.process.wait() == 130, stopped.said
    assert "what was under way is saved" in stopped.said
    assert stopped.trainers == []

    killed = Comparison(*options)
    killed.wait_for_training()
    killed.process.kill()
    killed.process.wait()
    wait_until(lambda: killed.trainers == [])

    finished = Comparison(*options)
    trainer = finished.wait_for_training()
    run = Path(trainer.cmdline()[-1])
    trainer.parent().kill()
    assert finished.results() == undisturbed.results()
    assert sorted(worker.poll() is None for worker in cluster.workers) == [False, True]
    assert "Traceback" not in stopped.said + killed.said + finished.said
    assert (run / ".lock.pid").read_text().split()[0] != str(trainer.pid)
    assert (run / "train.log").read_text().count("starting") == 1


def test_the_scheduler_dies(cluster: Cluster, config_file: Path, tmp_path: Path) -> None:
    """When the scheduler is killed, the command says so and ends with status 1; every run saves its state and ends."""
    comparison = Comparison(config_file, tmp_path / "out", "--cluster", cluster.address)
    comparison.wait_for_training()
    cluster.scheduler.kill()
    assert comparison.process.wait() == 1
    assert comparison.said.splitlines()[-1].startswith("Error: the scheduler of the cluster has ended")
    assert "Traceback" not in comparison.said
    wait_until(lambda: comparison.trainers == [])
    assert all(load_checkpoint(path).step > 0 for path in comparison.out.glob("*/last.pt"))


@pytest.fixture
def local() -> Iterator[LocalCluster]:
    """Return a cluster of two threads in this process."""
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def planned(config: Config, tmp_path: Path) -> Plan:
    """Return the plan of a comparison of two depths, stored in its directory."""
    quick = config.replace("train", max_steps=6, eval_every=3, warmup_steps=1)
    plan = plan_comparison(quick, [1, 2], [1], "parameters", [4000], 0)
    store_plan(plan, tmp_path)
    return plan


def test_a_local_cluster(local: LocalCluster, planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A LocalCluster trains all runs, each as a task with its name, wherever its workers are; paths are absolute."""
    monkeypatch.chdir(tmp_path)
    path = Path(planned.config.data.path).relative_to(tmp_path)
    relative = replace(planned, config=planned.config.replace("data", path=str(path)))
    with open_cluster(local.scheduler_address, tmp_path, print) as pool:
        assert pool.count_places() == 2
        assert run_comparison(relative, tmp_path, pool, lambda _: None) == {}
        keys = list(pool._keys.values())
    assert [key.rpartition("-")[0] for key in keys] == ["1x24-seed-1", "2x15-seed-1"]
    for name in ("1x24-seed-1", "2x15-seed-1"):
        assert load_config(tmp_path / name / "config.yaml").data.path == planned.config.data.path
        assert (tmp_path / name / "outcome.json").exists()


def test_a_worker_of_another_version(
    local: LocalCluster, planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has another charlm is refused, with its address, before it trains anything."""
    monkeypatch.setattr("charlm.comparison.cluster.__version__", "9.9")
    [address] = local.workers.values()
    expected = f"the worker {address.address} cannot train: it has charlm {__version__} instead of 9.9"
    with open_cluster(local.scheduler_address, tmp_path, print) as pool, pytest.raises(InputError, match=expected):
        run_comparison(planned, tmp_path, pool, lambda _: None)


def test_a_cluster_without_workers(planned: Plan, tmp_path: Path) -> None:
    """Where there is no worker, one warning says so, and the runs wait for one."""
    said: list[str] = []
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as local,
        open_cluster(local.scheduler_address, tmp_path, said.append) as pool,
    ):
        assert [pool.count_places(), pool.count_places()] == [1, 1]
        assert said == ["the cluster has no worker; waiting for one."]
        local.scale(1)
        assert run_comparison(planned, tmp_path, pool, lambda _: None) == {}


def test_no_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address is refused after a bounded time, and leaves no client that is half made."""
    monkeypatch.setattr("charlm.comparison.cluster.CONNECT_S", 0.2)
    monkeypatch.setattr("distributed.Client", lambda *_, **__: pytest.fail("a client was made"))
    for address in ("tcp://127.0.0.1:1", "nonsense", "gopher://127.0.0.1:1", f"tcp://127.0.0.1:{10**20}"):
        with (
            pytest.raises(ArgumentError, match=f"cluster: no scheduler of Dask answers at '{address}'"),
            open_cluster(address, tmp_path, print),
        ):
            pass


def sign(path: Path) -> Path:
    """Write a certificate that is its own authority, with its key beside it, and return its path."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=cluster", "-days", "2"]
    command += ["-out", str(path), "-keyout", str(path.with_suffix(".key"))]
    subprocess.run(command, check=True, capture_output=True)
    return path


def tls_settings(certificate: Path) -> dict[str, object]:
    """Return Dask's settings, by which all three parts prove themselves with one certificate."""
    settings: dict[str, object] = {"distributed.comm.tls.ca-file": str(certificate)}
    for name in ("scheduler", "worker", "client"):
        settings[f"distributed.comm.tls.{name}.cert"] = str(certificate)
        settings[f"distributed.comm.tls.{name}.key"] = str(certificate.with_suffix(".key"))
    return settings


@pytest.mark.skipif(shutil.which("openssl") is None, reason="NOT TESTED: openssl is not installed")
def test_a_cluster_with_tls(planned: Plan, tmp_path: Path) -> None:
    """By Dask's own settings runs are trained over TLS; settings that do not fit are a mistake that is named."""
    other = sign(tmp_path / "other.pem")
    with (
        dask.config.set(tls_settings(sign(tmp_path / "cluster.pem"))),
        LocalCluster(n_workers=1, processes=False, protocol="tls", host="127.0.0.1", dashboard_address=None) as local,
    ):
        assert local.scheduler_address.startswith("tls://")
        with open_cluster(local.scheduler_address, tmp_path, print) as pool:
            assert run_comparison(planned, tmp_path, pool, lambda _: None) == {}
        for settings, reason in (
            ({"distributed.comm.tls.ca-file": "/nowhere.pem"}, "No such file"),
            ({"distributed.comm.tls.ca-file": str(other)}, "certificate does not match"),
            ({"distributed.comm.tls.ca-file": None}, "TLS expects"),
        ):
            with (
                dask.config.set(settings),
                pytest.raises(ArgumentError, match=f"with its settings of TLS: .*{reason}.*client.key"),
                open_cluster(local.scheduler_address, tmp_path, print),
            ):
                pass


def test_a_cluster_without_tls_where_it_is_demanded(tmp_path: Path) -> None:
    """An address without TLS is refused where Dask's settings demand it."""
    with (
        dask.config.set({"distributed.comm.require-encryption": True}),
        pytest.raises(ArgumentError, match="with its settings of TLS: encryption required"),
        open_cluster("tcp://127.0.0.1:1", tmp_path, print),
    ):
        pass


def test_without_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the message has the command that installs it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(InputError, match=r"pip install 'charlm\[cluster\]'"),
        open_cluster("tcp://127.0.0.1:1", tmp_path, print),
    ):
        pass
