"""charlm train."""

from pathlib import Path

import click

from charlm.cli.options import CONFIG, SET
from charlm.errors import InputError


@click.command()
@CONFIG
@SET
@click.option("--out", type=click.Path(path_type=Path), help="The run directory.  [default: runs/NAME of the config]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, or begin it where there is none.")
@click.option("--dry-run", is_flag=True, help="Say what the run would be and cost, and write nothing.")
def train(config_path: Path | None, overrides: tuple[str, ...], out: Path | None, resume: bool, dry_run: bool) -> None:
    """Train a model as CONFIG says, a YAML file; without one, on the documentation that comes with Python."""
    from charlm.cli.progress import make_reporter
    from charlm.cli.tables import format_dry_run, format_result
    from charlm.config import load_config
    from charlm.training import loop

    out = out or Path("runs") / (config_path.stem if config_path else "default")
    stored = out / "config.yaml"
    is_stored = resume and config_path is None and not overrides and stored.exists()
    config = load_config(stored if is_stored else config_path, overrides, is_stored)
    reporter = make_reporter(out)
    if dry_run:
        from charlm.text.corpus import load_corpus
        from charlm.training.dry_run import plan_run

        corpus = load_corpus(config.data.path, config.data.level, reporter.read)
        plan = plan_run(config, corpus)
        click.echo(format_dry_run(config, plan))
        if plan.shortage is not None:
            raise InputError(plan.shortage)
        return
    result = loop.train(config, out, resume, reporter)
    click.echo(format_result(config, out, result))
