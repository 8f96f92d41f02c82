"""charlm sample."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.json_output import print_json
from charlm.cli.options import DEVICE, ON_UNKNOWN, PATH, RUN, WholeNumber, examples
from charlm.cli.output import show, warn, write_sample
from charlm.cli.prompt import read_prompt
from charlm.cli.sample_request import SampleRequest

if TYPE_CHECKING:
    from charlm.inference.sampling import Sampling
    from charlm.inference.trained import TrainedModel


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
@click.option("--prompt-file", metavar="FILE", type=PATH, help="A file with the prompt, or -.")
@click.option(
    "--length", type=WholeNumber(), default=_default("length"), help="Characters to make; 0 for no end.  [default: 300]"
)
@click.option(
    "--temperature",
    type=float,
    help="0 takes the likeliest, 1 the model's own probabilities.  [default: 0.8]",
)
@click.option("--top-k", type=WholeNumber(), help="Choose among the K likeliest characters only.")
@click.option("--top-p", type=float, help="Choose among the likeliest that together have this probability.")
@click.option(
    "--num-samples",
    type=WholeNumber(),
    default=1,
    show_default=True,
    help="Samples to make; their number changes none of them.",
)
@click.option(
    "--seed",
    type=WholeNumber(0),
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
def sample(run: Path, device: str, **options: Any) -> None:
    """Print text that the model of RUN writes: a run directory, a checkpoint file, or an exported model."""
    from charlm.inference.coherence import describe_garbage
    from charlm.inference.trained import load

    request = SampleRequest(**options)
    request.check()
    text = read_prompt(request.prompt, request.prompt_file)
    sampling = request.choose_sampling()
    trained = load(run, device, warn)
    if request.interactive:
        _converse(trained, text, sampling, request)
        return
    problem = describe_garbage(trained.checkpoint.garbage_frac)
    if problem and not text:
        warn(problem)
    if request.as_json:
        print_json(_sample_as_json(trained, run, text, sampling, request))
    else:
        _print(trained, text, sampling, request)


def _converse(trained: "TrainedModel", text: str, sampling: "Sampling", request: SampleRequest) -> None:
    """Let a person and the model write in turns."""
    from charlm.cli.interactive import Dialogue
    from charlm.inference.randomness import random_seed

    seed = random_seed() if request.seed is None else request.seed
    Dialogue(trained, text, request.length, sampling, seed, request.stop, request.on_unknown, request.raw).run()


def _print(trained: "TrainedModel", text: str, sampling: "Sampling", request: SampleRequest) -> None:
    """Print the samples, and on a terminal their speed."""
    from charlm.inference.generation import encode_prompt

    began_at_s = time.perf_counter()
    choices = sampling, request.seed, request.stop, request.on_unknown
    if request.num_samples == 1:
        num_chars = _print_stream(trained.stream(text, request.length or None, *choices), request.raw)
    else:
        samples = trained.iterate_samples(request.num_samples, text, request.length, *choices)
        shown = encode_prompt(trained.vocabulary, text, request.on_unknown)[1]
        num_chars = _print_samples(samples, request.num_samples, request.raw) - request.num_samples * len(shown)
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
    trained: "TrainedModel", run: Path, prompt: str, sampling: "Sampling", request: SampleRequest
) -> dict[str, Any]:
    """Return the object of ``charlm sample --json``; a seed is drawn where none is given."""
    from charlm.inference.randomness import random_seed

    seed = request.seed
    if seed is None:
        seed = random_seed() >> 10  # below 2^53, as some readers of JSON hold larger integers inexactly
    options = {name: getattr(request, name) for name in ("length", "num_samples", "stop", "on_unknown")}
    texts = trained.sample_many(prompt=prompt, sampling=sampling, seed=seed, **options)
    used = {"prompt": prompt, "seed": seed, **asdict(sampling), **options}
    return {"texts": texts, **used, "run": str(run), "step": trained.checkpoint.step}
