"""The command line: parse, one call of the core, print. Nothing heavy is imported before a command runs."""

import contextlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any, Literal

import click

from charlm.errors import CharlmError, InputError
from charlm.process import hush_threads, keep_freed_memory, open_standard_streams, wait_briefly

CONFIG = click.argument("config_path", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
RUN = click.argument("run", type=click.Path(path_type=Path))
SET = click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override a key, as in model.hidden_size=512."
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
ON_UNKNOWN = click.option(
    "--on-unknown",
    type=click.Choice(["error", "skip", "replace"]),
    default="error",
    show_default=True,
    help="What to do with characters of the prompt that the model does not know.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="charlm")
def cli() -> None:
    """Train, sample, evaluate and compare character-level LSTM language models."""


@cli.command()
@CONFIG
@SET
@click.option("--out", type=click.Path(path_type=Path), help="The run directory.  [default: runs/NAME of the config]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, or begin it where there is none.")
@click.option("--dry-run", is_flag=True, help="Say what the run would be and cost, and write nothing.")
def train(config_path: Path | None, overrides: tuple[str, ...], out: Path | None, resume: bool, dry_run: bool) -> None:
    """Train a model as CONFIG says, a YAML file; without one, on the documentation that comes with Python."""
    from charlm import training
    from charlm.config import load_config
    from charlm.monitor import Monitor
    from charlm.tables import format_dry_run, format_result

    out = out or Path("runs") / (config_path.stem if config_path else "default")
    stored = out / "config.yaml"
    if resume and config_path is None and not overrides and stored.exists():
        config_path = stored
    config = load_config(config_path, overrides)
    monitor = Monitor(out)
    if dry_run:
        from charlm.dry_run import plan_run
        from charlm.text.corpus import load_corpus

        corpus = load_corpus(config.data.path, config.data.level, monitor.read)
        click.echo(format_dry_run(config, plan_run(config, corpus)))
        return
    result = training.train(config, out, resume, monitor)
    click.echo(format_result(config, out, result))


@cli.command()
@RUN
@click.option("--prompt", default=None, help="Text to go on from; - reads standard input.")
@click.option("--prompt-file", metavar="FILE", type=click.Path(path_type=Path), help="A file with the prompt, or -.")
@click.option("--length", default=500, show_default=True, help="Characters to make; 0 for an endless stream.")
@click.option("--temperature", default=0.8, show_default=True, help="0 takes the likeliest, 1 samples what was learnt.")
@click.option("--top-k", type=int, help="Choose among the K likeliest characters only.")
@click.option("--top-p", type=float, help="Choose among the likeliest that together have this probability.")
@click.option("--num-samples", default=1, show_default=True, help="Samples to make side by side.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Equal seeds give equal samples.  [default: random]")
@click.option("--stop", help="End a sample before this text.")
@click.option("--greedy", is_flag=True, help="The same as --temperature 0.")
@ON_UNKNOWN
@DEVICE
def sample(
    run: Path,
    prompt: str | None,
    prompt_file: Path | None,
    length: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    num_samples: int,
    seed: int | None,
    stop: str | None,
    greedy: bool,
    on_unknown: Any,
    device: str,
) -> None:
    """Print text that the model of RUN writes, a run directory or a checkpoint file."""
    from charlm.sampling import Sampling
    from charlm.trained import load

    _check_sample_options(length, num_samples, prompt, prompt_file)
    text = _read_prompt(prompt, prompt_file)
    sampling = Sampling(0.0 if greedy else temperature, top_k, top_p)
    seed = int.from_bytes(os.urandom(4)) if seed is None else seed
    trained = load(run, device, _warn)
    if num_samples == 1:
        for piece in trained.stream(text, length or None, sampling, seed, stop, on_unknown):
            click.echo(piece, nl=False)
            sys.stdout.flush()
        click.echo()
        return
    samples = trained.sample_many(num_samples, text, length, sampling, seed, stop, on_unknown)
    for number, written in enumerate(samples, start=1):
        click.echo(f"=== sample {number} of {num_samples} ===\n{written}")


@cli.command("eval")
@RUN
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="val", show_default=True)
@click.option("--text", metavar="FILE", help="Measure this text instead: a file, a directory, a glob, or builtin:NAME.")
@click.option("--windowed", metavar="N", type=click.IntRange(1), help="Start from the zero state every N characters.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@DEVICE
def evaluate(run: Path, split: str, text: str | None, windowed: int | None, as_json: bool, device: str) -> None:
    """Print the exact loss of RUN on a part of its corpus, or on any text."""
    from charlm.tables import format_evaluation
    from charlm.trained import load

    trained = load(run, device, _warn)
    num_unknown = 0
    if text is None:
        evaluation = trained.evaluate_split(split, windowed)
    else:
        evaluation, num_unknown = trained.evaluate_text(text, windowed)
    if as_json:
        names = ("loss_nats", "bits_per_char", "perplexity", "num_chars")
        click.echo(json.dumps({name: getattr(evaluation, name) for name in names} | {"num_unknown": num_unknown}))
    else:
        click.echo(format_evaluation(text or split, evaluation, windowed, num_unknown, trained.vocabulary.level))


@cli.command("compare-layers")
@CONFIG
@click.option("--layers", default="1,2,3", show_default=True, help="The depths to compare.")
@click.option("--seeds", default="1,2,3", show_default=True, help="Every arm is trained once under each.")
@click.option(
    "--match",
    type=click.Choice(["parameters", "width", "compute"]),
    default="parameters",
    show_default=True,
    help="What all depths have the same of; compute is counted in multiply-adds a character.",
)
@click.option(
    "--budget",
    metavar="N[,N...]",
    help="How much of it, each a comparison of its own.  [default: as CONFIG's model has]",
)
@click.option(
    "--tune",
    metavar="TRIALS",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Learning rates and dropouts to try for each arm first; 0 for none.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs side by side; they share the processors."
)
@click.option(
    "--shard",
    metavar="I/N",
    default="1/1",
    help="Train only the I-th of N shares of the arms, and leave the report to --report-only.",
)
@click.option("--report-only", is_flag=True, help="Train nothing; report what is there.")
@SET
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/compare-layers"), show_default=True)
@click.pass_obj
def compare_layers(
    command: str,
    config_path: Path | None,
    layers: str,
    seeds: str,
    match: Literal["parameters", "width", "compute"],
    budget: str | None,
    tune: int,
    jobs: int,
    shard: str,
    report_only: bool,
    overrides: tuple[str, ...],
    out: Path,
) -> None:
    """Train depths of an equal size, and report which predicts best."""
    from charlm.comparison.experiment import read_comparison, run_comparison
    from charlm.comparison.plan import expect_duration, plan_comparison
    from charlm.comparison.report import write_report
    from charlm.config import load_config
    from charlm.monitor import Monitor
    from charlm.tables import format_duration, format_plan

    budgets = _parse_numbers("--budget", budget, 1) if budget else []
    index, count = _parse_shard(shard)
    plan = plan_comparison(
        load_config(config_path, overrides),
        _parse_numbers("--layers", layers, 1),
        _parse_numbers("--seeds", seeds, 0),
        match,
        budgets,
        tune,
        Monitor(out),
    )
    click.echo(format_plan(plan), err=True)
    failures: dict[Path, str] = {}
    if not report_only:
        share = plan.take_share(index, count)
        duration = format_duration(expect_duration(share, jobs))
        click.echo(f"{share.num_runs} runs, expected to take {duration} and the validations", err=True)
        failures = run_comparison(share, out, jobs, lambda line: click.echo(line, err=True))
    if count == 1 or report_only:
        click.echo(write_report(plan, read_comparison(plan, out, failures), out, command), nl=False)
        click.echo(f"\nWrote results.json, report.md, curves.png and depth.png to {out}.", err=True)
    if failures:
        raise CharlmError(f"{len(failures)} of {plan.num_runs} runs failed; the same command tries them again.")


def _warn(message: str) -> None:
    click.echo(f"warning: {message}", err=True)


def _parse_numbers(option: str, text: str, least: int) -> list[int]:
    """Return the numbers of a list such as ``1,2,3``, each once."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < least or len(set(numbers)) < len(numbers):
        raise InputError(f"{option}: expected different numbers of at least {least}, as in 1,2,3; got {text!r}.")
    return numbers


def _parse_shard(text: str) -> tuple[int, int]:
    """Return the numbers of ``I/N``."""
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise InputError(f"--shard: expected I/N with I from 1 to N, as in 2/8; got {text!r}.")
    return int(index), int(count)


def _check_sample_options(length: int, num_samples: int, prompt: str | None, prompt_file: Path | None) -> None:
    if length < 0:
        raise InputError(f"--length: expected a number of at least 0 (0 for an endless stream), got {length}.")
    if num_samples < 1:
        raise InputError(f"--num-samples: expected a number of at least 1, got {num_samples}.")
    if length == 0 and num_samples > 1:
        raise InputError("--length 0: only one stream can be endless; give a length, or leave --num-samples out.")
    if prompt is not None and prompt_file is not None:
        raise InputError("--prompt and --prompt-file: give one of the two.")


def _read_prompt(prompt: str | None, prompt_file: Path | None) -> str:
    if prompt == "-" or str(prompt_file) == "-":
        return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    if prompt_file is None:
        return prompt or ""
    try:
        return prompt_file.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise InputError(f"--prompt-file {prompt_file}: cannot be read: {error.strerror}.") from None


def main() -> None:
    """Run the command line; a mistake or a failure is one message and an exit status, never a traceback."""
    open_standard_streams()
    hush_threads()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows ?
    wait_briefly()
    keep_freed_memory()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    try:
        with cli.make_context("charlm", [*arguments], obj=shlex.join(["charlm", *arguments])) as context:
            cli.invoke(context)
        return 0
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except CharlmError as error:
        click.echo(f"{error.label}: {error}", err=True)
        return error.exit_status
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nStopped; nothing was lost that was saved before.", err=True)
        return 130
    except OSError as error:
        _drop_output()
        has_no_reader = isinstance(error, BrokenPipeError)
        if not has_no_reader:
            click.echo(f"Error: {error.filename or 'output'}: {error.strerror or error}.", err=True)
        return 0 if has_no_reader else 1


def _drop_output() -> None:
    """Let what is left in stdout's buffer go nowhere, for it has no reader or no room."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
