"""charlm train."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.completion import complete_out
from charlm.cli.json_output import describe_dry_run, describe_result, print_json
from charlm.cli.options import CONFIG, PATH, SET, examples
from charlm.cli.output import show
from charlm.errors import InputError

if TYPE_CHECKING:
    from charlm.config import Config
    from charlm.training.distribution import Group
    from charlm.training.reporter import Reporter


@click.command(
    short_help="Train a model.",
    epilog=examples(
        "charlm train configs/tinyshakespeare.yaml --out runs/shakespeare",
        "charlm train --set model.num_layers=3 --set train.max_steps=500 --dry-run",
    ),
)
@CONFIG
@SET
@click.option(
    "--out",
    type=PATH,
    shell_complete=complete_out,
    help="The run directory.  [default: runs/NAME of the config]",
)
@click.option(
    "--resume", is_flag=True, help="Resume the run in --out with its own configuration, or start it if there is none."
)
@click.option("--dry-run", is_flag=True, help="Print the size and the cost of the run, and write nothing.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: losses, steps, seconds, baselines; with --dry-run sizes, memory and speed.",
)
def train(
    config_path: Path | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a model as CONFIG says, a YAML file; without one, on the documentation that comes with Python.

    To share each step among N processes: torchrun --nproc-per-node N -m charlm train ...
    """
    from charlm.cli.progress import make_reporter
    from charlm.config import Config
    from charlm.runs.configuration import load_run_config
    from charlm.runs.directory import RunDirectory
    from charlm.training.process_group import join

    if config_path is not None and config_path.is_dir():
        raise InputError(
            f"{config_path}: this is a directory; CONFIG is a YAML file. "
            f"To go on with a run: charlm train --out {config_path} --resume"
        )
    out = out or Path("runs") / (config_path.stem if config_path else "default")
    with join() as group:
        resume = resume or group.has_begun(out)
        config = load_run_config(RunDirectory(out), config_path, overrides, resume) if group.is_first else Config()
        if not dry_run:
            _train(config, out, resume, as_json, group)
        elif group.is_first:
            _print_dry_run(config, out, resume, make_reporter(out), as_json)


def _train(config: "Config", out: Path, resume: bool, as_json: bool, group: "Group") -> None:
    """Train, and let the first process of a group print the result."""
    from charlm.cli.progress import make_reporter
    from charlm.cli.tables import format_result
    from charlm.training import loop

    result = loop.train(config, out, resume, make_reporter(out), group)
    if not group.is_first:
        return
    if as_json:
        print_json(describe_result(out, result))
    else:
        show(format_result(config, out, result))


def _print_dry_run(config: "Config", out: Path, resume: bool, reporter: "Reporter", as_json: bool) -> None:
    """Print the size and the cost of a run.

    Raises:
        InputError: the base cannot be used; or the run does not fit the memory, and is printed all the same.
    """
    from charlm.cli.inheritance_table import format_inheritance
    from charlm.cli.tables import format_dry_run
    from charlm.runs.directory import RunDirectory
    from charlm.text.corpus import load_corpus
    from charlm.training.dry_run import plan_run
    from charlm.training.inheritance import describe_inheritance
    from charlm.training.origin import find_origin

    origin = find_origin(config, RunDirectory(out) if resume else None, reporter.warn)
    text = load_corpus(config.data.path, config.data.level, reporter.read)
    plan = plan_run(origin.config, text.extend(origin.symbols))
    inheritance = describe_inheritance(origin, text.vocabulary)
    if as_json:
        print_json(describe_dry_run(config, out, plan, inheritance))
    else:
        if inheritance:
            show(format_inheritance(inheritance))
        show(format_dry_run(config, plan))
    if plan.shortage is not None:
        raise InputError(plan.shortage)
