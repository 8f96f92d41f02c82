"""compare-layers: plan a comparison, train the runs that are not finished, and write the report."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from charlm.cli.options import CONFIG, PATH, SET, WholeNumber, examples, numbers_from, parse_share
from charlm.cli.output import show, warn
from charlm.errors import CharlmError, InputError

if TYPE_CHECKING:
    from charlm.comparison.plan import Plan
    from charlm.comparison.workers import Pool


@click.command(
    "compare-layers",
    short_help="Compare numbers of layers at an equal size.",
    epilog=examples(
        "charlm compare-layers configs/compare_layers.yaml --jobs 2",
        "charlm compare-layers --layers 1,2 --seeds 1,2,3 --budget 100000 --out runs/depth",
    ),
)
@CONFIG
@click.option(
    "--layers",
    callback=numbers_from(1),
    metavar="N[,N...]",
    default="1,2,3",
    show_default=True,
    help="The depths to compare.",
)
@click.option(
    "--seeds",
    callback=numbers_from(0),
    metavar="N[,N...]",
    default="1,2,3",
    show_default=True,
    help="Every arm is trained once under each.",
)
@click.option(
    "--match",
    type=click.Choice(["parameters", "width", "compute"]),
    default="parameters",
    show_default=True,
    help="The quantity that is equal for all depths; compute is in multiply-adds per character.",
)
@click.option(
    "--budget",
    "budgets",
    callback=numbers_from(1),
    metavar="N[,N...]",
    help="Amounts of it, each a separate comparison.  [default: that of CONFIG's model]",
)
@click.option(
    "--chars",
    "lengths",
    callback=numbers_from(1),
    metavar="N[,N...]",
    help="Characters to train on, each a separate comparison with a schedule of that length.  [default: those of "
    "train.max_steps]",
)
@click.option(
    "--tune",
    metavar="N",
    type=WholeNumber(0),
    default=0,
    show_default=True,
    help="Trials of learning rate, dropout, weight decay and warm-up for each arm, before its runs; 0 for none.",
)
@click.option(
    "--jobs", type=WholeNumber(1), default=1, show_default=True, help="Parallel runs; they share the processors."
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Train on the workers of the Dask scheduler at ADDRESS, as in tcp://host:8786, instead of on this machine; "
    "all share the directory of --out.",
)
@click.option(
    "--shard",
    callback=parse_share,
    metavar="I/N",
    default="1/1",
    help="Train only the I-th of N shares of the arms, and leave the report to --report-only.",
)
@click.option("--report-only", is_flag=True, help="Train nothing; report the comparison in the directory of --out.")
@SET
@click.option(
    "--out",
    type=PATH,
    default=Path("runs/compare-layers"),
    show_default=True,
    help="The directory of the comparison.",
)
@click.pass_obj
def compare_layers(
    command: str,
    config_path: Path | None,
    layers: list[int],
    seeds: list[int],
    match: Literal["parameters", "width", "compute"],
    budgets: list[int],
    lengths: list[int],
    tune: int,
    jobs: int,
    cluster: str | None,
    shard: tuple[int, int],
    report_only: bool,
    overrides: tuple[str, ...],
    out: Path,
) -> None:
    """Train depths of an equal size, and report which predicts best."""
    from charlm.cli.plan_table import format_plan, format_progress
    from charlm.cli.progress import make_reporter
    from charlm.comparison.experiment import run_comparison
    from charlm.comparison.plan import plan_comparison
    from charlm.comparison.process import wait_for_orphans
    from charlm.comparison.stored_plan import read_plan, refuse_other_arguments, refuse_other_plan
    from charlm.comparison.work import Progress
    from charlm.config import load_config

    if report_only:
        plan = read_plan(out)
        config = load_config(config_path, overrides) if config_path or overrides else None
        refuse_other_arguments(plan, out, _find_given_options(), config)
        show(format_plan(plan), err=True)
        _report(plan, out, {}, report_only)
        return

    def announce(progress: Progress) -> None:
        show(format_progress(progress), err=True)

    config = load_config(config_path, overrides)
    out = out.absolute() if cluster else out
    with _open_pool(jobs, cluster, out) as pool:
        plan = plan_comparison(config, layers, seeds, match, budgets, tune, make_reporter(out).read, lengths)
        plan = replace(plan, command=command)
        refuse_other_plan(plan, out)
        show(format_plan(plan), err=True)
        wait_for_orphans(out, warn)
        failures = run_comparison(plan, out, pool, announce, make_reporter, shard)
    if shard == (1, 1):
        _report(plan, out, failures, report_only)
    if failures:
        raise CharlmError(f"{len(failures)} runs failed; the same command tries them again.")


def _open_pool(jobs: int, cluster: str | None, out: Path) -> AbstractContextManager["Pool"]:
    """Return what trains the runs: processes on this machine, or a cluster.

    Raises:
        InputError: the cluster cannot be used, or ``--jobs`` is given beside it.
    """
    from charlm.comparison.workers import LocalPool

    if cluster is None:
        return nullcontext(LocalPool(jobs))
    if click.get_current_context().get_parameter_source("jobs") is not ParameterSource.DEFAULT:
        raise InputError("--jobs: a cluster trains as many runs at a time as its workers have threads. Leave it out.")
    from charlm.comparison.cluster import open_cluster

    return open_cluster(cluster, out, warn)


def _report(plan: "Plan", out: Path, failures: dict[Path, str], report_only: bool) -> None:
    """Write the report of the runs that are there, and print it."""
    from charlm.comparison.experiment import read_comparison
    from charlm.comparison.report import write_report

    arms = read_comparison(plan, out, failures)
    if report_only and not any(arm.runs for arm in arms):
        raise InputError(f"{out}: no run of this comparison has finished. Train first, without --report-only.")
    show(write_report(plan, arms, out, plan.command), nl=False)
    show(f"\nWrote results.json, report.md and figures to {out}.", err=True)


def _find_given_options() -> dict[str, object]:
    """Return the values of the options that plan a comparison, by their names, as far as they were given."""
    context = click.get_current_context()
    options = {
        "layers": "--layers",
        "seeds": "--seeds",
        "match": "--match",
        "budgets": "--budget",
        "lengths": "--chars",
        "tune": "--tune",
    }
    return {
        option: context.params[name]
        for name, option in options.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
