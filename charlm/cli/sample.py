"""charlm sample."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.json_output import print_json
from charlm.cli.options import DEVICE, ON_UNKNOWN, RUN, examples
from charlm.cli.output import show, warn, write_sample
from charlm.cli.prompt import read_prompt
from charlm.errors import InputError

if TYPE_CHECKING:
    from charlm.inference.sampling import Sampling
    from charlm.inference.trained import TrainedModel

MAX_LENGTH = 10**12
"""Characters of a sample, at most; above any use, and within 64 bits."""


def _default(name: str) -> Callable[[], Any]:
    """Return a function that returns the default of a key of the section ``sample``; pydantic is loaded only then."""

    def read() -> Any:
        from charlm.config import SampleConfig

        return getattr(SampleConfig(), name)

    return read


@click.command(
    short_help="Print text that a trained model writes.",
    epilog=examples(
        'charlm sample runs/default --prompt "The " --length 500',
        "charlm sample runs/default --interactive --temperature 0.6",
    ),
)
@RUN
@click.option("--prompt", help="Text to continue; - reads standard input.")
@click.option("--prompt-file", metavar="FILE", type=click.Path(path_type=Path), help="A file with the prompt, or -.")
@click.option(
    "--length", type=int, default=_default("length"), help="Characters to make; 0 for no end.  [default: 300]"
)
@click.option(
    "--temperature",
    type=float,
    help="0 takes the likeliest, 1 the model's own probabilities.  [default: 0.8]",
)
@click.option("--top-k", type=int, help="Choose among the K likeliest characters only.")
@click.option("--top-p", type=float, help="Choose among the likeliest that together have this probability.")
@click.option("--num-samples", default=1, show_default=True, help="Samples to make; their number changes none of them.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Sample i of a seed is the same whatever --num-samples is.  [default: random]",
)
@click.option("--stop", help="End a sample before this text.")
@click.option("--greedy", is_flag=True, help="The same as --temperature 0.")
@click.option(
    "--interactive",
    is_flag=True,
    help="Type a text, and the model goes on with it; then the next. /help explains it.",
)
@click.option("--raw", is_flag=True, help="Print control characters unchanged on a terminal too, as in a pipe.")
@ON_UNKNOWN
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: texts, the seed that was used, prompt, options, run and step.",
)
@DEVICE
def sample(
    run: Path,
    prompt: str | None,
    prompt_file: Path | None,
    length: int,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    num_samples: int,
    seed: int | None,
    stop: str | None,
    greedy: bool,
    interactive: bool,
    raw: bool,
    on_unknown: Any,
    as_json: bool,
    device: str,
) -> None:
    """Print text that the model of RUN writes: a run directory, a checkpoint file, or an exported model."""
    from charlm.cli.interactive import Dialogue
    from charlm.inference.coherence import describe_garbage
    from charlm.inference.generation import encode_prompt
    from charlm.inference.randomness import random_seed
    from charlm.inference.sampling import DEFAULTS, Sampling
    from charlm.inference.trained import load

    _check_numbers(length, num_samples, as_json)
    _check_conflicts(prompt, prompt_file, temperature, greedy)
    if interactive:
        _check_interactive(prompt, prompt_file, num_samples, as_json)
    if raw and as_json:
        raise InputError("--raw and --json: give one of the two; JSON writes control characters as \\u001b.")
    if stop == "":
        raise InputError("--stop: expected a text of at least 1 character, got ''; leave it out for no stop text.")
    if temperature is None:
        temperature = 0.0 if greedy else DEFAULTS.temperature
    text = read_prompt(prompt, prompt_file)
    sampling = Sampling(temperature, top_k, top_p)
    trained = load(run, device, warn)
    problem = describe_garbage(trained.checkpoint.garbage_frac)
    if problem and not text and not interactive:
        warn(problem)
    if as_json:
        options = {"length": length, "num_samples": num_samples, "stop": stop, "on_unknown": on_unknown}
        print_json(_sample_as_json(trained, run, text, sampling, seed, options))
        return
    if interactive:
        seed = random_seed() if seed is None else seed
        Dialogue(trained, text, length, sampling, seed, stop, on_unknown, raw).run()
        return
    began_at_s = time.perf_counter()
    if num_samples == 1:
        num_chars = _print_stream(trained.stream(text, length or None, sampling, seed, stop, on_unknown), raw)
    else:
        samples = trained.iterate_samples(num_samples, text, length, sampling, seed, stop, on_unknown)
        shown = encode_prompt(trained.vocabulary, text, on_unknown)[1]
        num_chars = _print_samples(samples, num_samples, raw) - num_samples * len(shown)
    if sys.stderr.isatty():
        _print_speed(num_chars, time.perf_counter() - began_at_s, trained.model.lstm.kernel.name)


def _print_stream(pieces: Iterator[str], raw: bool) -> int:
    """Print one sample piece by piece, the prompt first; return the number of characters after the prompt."""
    num_chars = 0
    for number, piece in enumerate(pieces):
        write_sample(piece, raw)
        num_chars += len(piece) if number > 0 else 0
    show()
    return num_chars


def _print_samples(samples: Iterator[str], num_samples: int, raw: bool) -> int:
    """Print whole samples; return the number of their characters, prompts included."""
    num_chars = 0
    for number, written in enumerate(samples, start=1):
        show(f"=== sample {number} of {num_samples} ===")
        write_sample(f"{written}\n", raw)
        num_chars += len(written)
    return num_chars


def _print_speed(num_chars: int, elapsed_s: float, kernel: str) -> None:
    """Print the speed of the samples on stderr; the time has the packing of the weights and the prompt."""
    speed = f"{num_chars / elapsed_s:,.0f} characters per second"
    show(f"{num_chars:,} characters in {elapsed_s:.2f} s: {speed} (kernel {kernel})", err=True)


def _sample_as_json(
    trained: "TrainedModel", run: Path, prompt: str, sampling: "Sampling", seed: int | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the object of ``charlm sample --json``; a seed is drawn where none is given."""
    from charlm.inference.randomness import random_seed

    if seed is None:
        seed = random_seed() >> 10  # below 2^53, as some readers of JSON hold larger integers inexactly
    texts = trained.sample_many(prompt=prompt, sampling=sampling, seed=seed, **options)
    used = {"prompt": prompt, "seed": seed, **asdict(sampling), **options}
    return {"texts": texts, **used, "run": str(run), "step": trained.checkpoint.step}


def _check_numbers(length: int, num_samples: int, as_json: bool) -> None:
    if length < 0:
        raise InputError(f"--length: expected a number of at least 0 (0 for an endless stream), got {length}.")
    if length > MAX_LENGTH:
        raise InputError(f"--length: expected at most {MAX_LENGTH:,}, got {length}; give 0 for an endless stream.")
    if num_samples < 1:
        raise InputError(f"--num-samples: expected a number of at least 1, got {num_samples}.")
    if length == 0 and num_samples > 1:
        raise InputError("--length 0: only one stream can be endless; give a length, or leave --num-samples out.")
    if length == 0 and as_json:
        raise InputError("--length 0: an endless stream makes no JSON object; give a length, or leave --json out.")


def _check_interactive(prompt: str | None, prompt_file: Path | None, num_samples: int, as_json: bool) -> None:
    if prompt == "-" or str(prompt_file) == "-":
        raise InputError("--interactive: reads standard input, so the prompt cannot come from it; give it as a file.")
    if num_samples > 1 or as_json:
        raise InputError("--interactive: writes one text; leave --num-samples and --json out.")


def _check_conflicts(prompt: str | None, prompt_file: Path | None, temperature: float | None, greedy: bool) -> None:
    if prompt is not None and prompt_file is not None:
        raise InputError("--prompt and --prompt-file: give one of the two.")
    if greedy and temperature is not None:
        raise InputError("--greedy and --temperature: give one of the two; --greedy means --temperature 0.")
