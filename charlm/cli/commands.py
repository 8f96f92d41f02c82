"""train, sample and eval: parse, one call of the core, print. Nothing heavy is imported before a command runs."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from charlm.cli.options import CONFIG, DEVICE, ON_UNKNOWN, RUN, SET
from charlm.errors import InputError


@click.command()
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


@click.command()
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


@click.command("eval")
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


def _warn(message: str) -> None:
    click.echo(f"warning: {message}", err=True)


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
