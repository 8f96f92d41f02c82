#!/usr/bin/env python3
"""Measure charlm on public texts: one JSON line per finished run, appended to docs/results/results.jsonl.

    python scripts/measure_results.py --data data --only tinyshakespeare --threads 2

Runs that the file already has are left out, and a stopped run continues from its last save, so the command can be
stopped and repeated. Seeds are the outermost loop of a group, so one that is stopped early is a smaller complete
one. scripts/write_results.py writes docs/results.md.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from charlm.config import Config, load_config, parse_config
from charlm.errors import CharlmError, InputError
from charlm.system.idle_threads import watch_idle_threads
from charlm.system.process import keep_freed_memory

if TYPE_CHECKING:
    from charlm.inference.evaluation import Evaluation
    from charlm.inference.trained import TrainedModel

REPOSITORY = Path(__file__).resolve().parents[1]

RECORDS = REPOSITORY / "docs" / "results" / "results.jsonl"

SHAKESPEARE, WAR_AND_PEACE, RUSSIAN = "tinyshakespeare.txt", "warpeace_karpathy_crlf.txt", "voyna_i_mir_tom1_ru.txt"

WINDOW = 256
"""Characters of a window: nanoGPT's context length on Tiny Shakespeare."""

NUM_SAMPLES, SAMPLE_LENGTH = 14, 150
"""Samples of a run and their length in characters; 15 runs, of 3 texts and 5 seeds, have 210 samples."""

MIN_READABLE_FRAC = 0.6
"""A sample with a lower fraction of letters, white space and common punctuation is unreadable."""

PUNCTUATION = frozenset(".,;:!?'\"()-–—…«»“”„‘’")


class Group(NamedTuple):
    """Runs that one table shows: every model on every text under every seed.

    Attributes:
        preset: name of a file in configs/.
        texts: names of files in the directory of ``--data``.
        seeds: values of ``train.seed``.
        models: overrides of the preset by the name of the model.
        losses: keys of ``LOSSES``, measured beside the validation loss.
        has_samples: whether garbage is counted in samples.
    """

    preset: str
    texts: tuple[str, ...]
    seeds: tuple[int, ...]
    models: dict[str, tuple[str, ...]]
    losses: tuple[str, ...] = ()
    has_samples: bool = False


def size(layers: int, width: int) -> tuple[str, ...]:
    """Return the overrides that set the size of a model."""
    return (f"model.num_layers={layers}", f"model.hidden_size={width}")


FROM_START = ("train.batch_size=32", "train.seq_length=64", "train.max_steps=1500", "train.eval_every=150")
SMALL = (
    *size(1, 160),
    "train.learning_rate=0.008",
    "train.max_steps=3000",
    "data.val_frac=0.03",
    "data.test_frac=0.03",
)
RESETS = {"random resets": 0.02, "no resets": 0.0}

# fmt: off
GROUPS = {
    "tinyshakespeare":
        Group("tinyshakespeare.yaml", (SHAKESPEARE,), (1, 2), {"preset": ()}, ("windowed",)),
    "tinyshakespeare-best":
        Group("tinyshakespeare_best.yaml", (SHAKESPEARE,), (1, 2), {"preset": ()}, ("windowed", "dynamic")),
    "minute":
        Group("tinyshakespeare_minute.yaml", (SHAKESPEARE,), (1, 2), {"preset": ()}),
    "depth-at-start":
        Group("default.yaml", (SHAKESPEARE,), (1, 2), {f"{L} x 320": (*size(L, 320), *FROM_START) for L in (1, 2, 3)}),
    "warpeace":
        Group("warpeace.yaml", (WAR_AND_PEACE,), (1,),
              {f"{L} x {H}": size(L, H) for H in (64, 128, 256) for L in (1, 2)}, ("test",)),
    "coherence":
        Group("default.yaml", (SHAKESPEARE, RUSSIAN, WAR_AND_PEACE), (1, 2, 3, 4, 5),
              {name: (*SMALL, f"train.reset_probability={value}") for name, value in RESETS.items()}, has_samples=True),
}
# fmt: on

LOSSES: dict[str, Callable[["TrainedModel"], "Evaluation"]] = {
    "windowed": lambda trained: trained.evaluate_split("val", WINDOW),
    "dynamic": lambda trained: trained.evaluate_dynamic("val")[0],
    "test": lambda trained: trained.evaluate_split("test"),
}
"""What each is measured by; ``charlm eval`` prints the same with --windowed, --dynamic and --split test."""


class Run(NamedTuple):
    """One training run of a group."""

    group: str
    text: str
    model: str
    config: Config

    @property
    def directory(self) -> Path:
        """Name of the run directory in that of ``--out``."""
        return Path(self.group, f"{Path(self.text).stem}-{self.model.replace(' ', '-')}-{self.config.train.seed}")

    def identify(self) -> dict[str, Any]:
        """Return what tells two runs apart; the path of the text is its name, as it differs between machines."""
        config = self.config.replace("data", path=self.text).model_dump()
        return {"group": self.group, "text": self.text, "model": self.model, "config": config}


def plan_runs(groups: Sequence[str], data: Path) -> Iterator[Run]:
    """Yield the runs of groups.

    Raises:
        InputError: a preset or a text does not exist, or an override does not fit the preset.
    """
    for name in groups:
        group = GROUPS[name]
        for seed, text, model in itertools.product(group.seeds, group.texts, group.models):
            if not (data / text).is_file():
                raise InputError(f"--data {data}: the group {name} needs the file {text}, which is not there.")
            preset = REPOSITORY / "configs" / group.preset
            if not preset.is_file():
                raise InputError(f"{preset}: the group {name} needs this preset, which does not exist.")
            config = load_config(preset, [*group.models[model], f"train.seed={seed}"])
            yield Run(name, text, model, config.replace("data", path=str(data / text)))


def in_units(loss_nats: float, prefix: str = "") -> dict[str, float]:
    """Return a loss in nats and in bits per character (per byte, for a model of bytes)."""
    return {f"{prefix}loss_nats": loss_nats, f"{prefix}bits_per_char": loss_nats / math.log(2)}


def count_garbage(trained: "TrainedModel") -> dict[str, int]:
    """Return how many samples from the zero state are garbage by either rule."""
    import torch

    from charlm.inference.coherence import CoherenceJudge
    from charlm.inference.generation import encode_prompt
    from charlm.inference.sampling import Sampling
    from charlm.text.corpus import load_corpus
    from charlm.text.streams import split_ids

    config, vocabulary = trained.checkpoint.config, trained.vocabulary
    samples = trained.sample_many(NUM_SAMPLES, "", SAMPLE_LENGTH, Sampling(temperature=1.0), config.train.seed)
    corpus = load_corpus(config.data.path, config.data.level)
    splits = split_ids(corpus.ids, config.data.val_frac, config.data.test_frac)
    judge = CoherenceJudge(splits.train, splits.val, len(vocabulary), int(encode_prompt(vocabulary, "")[0][0]))
    coherence = judge.score(torch.stack([vocabulary.encode(sample) for sample in samples]))
    return {
        "num_samples": len(samples),
        "num_unreadable": sum(is_unreadable(sample) for sample in samples),
        "num_incoherent": round(coherence.garbage_frac * len(samples)),
    }


def is_unreadable(sample: str) -> bool:
    """Return whether less than 60 % of a sample are letters of any alphabet, white space and common punctuation."""
    num_readable = sum(symbol.isalpha() or symbol.isspace() or symbol in PUNCTUATION for symbol in sample)
    return num_readable < MIN_READABLE_FRAC * len(sample)


def measure(run: Run, out: Path) -> dict[str, Any]:
    """Train a run, or continue it, and return its record."""
    import torch

    from charlm.cli.progress import make_reporter
    from charlm.comparison.results import describe_versions
    from charlm.inference.trained import load
    from charlm.runs.directory import RunDirectory
    from charlm.training.loop import train
    from charlm.training.optimization import choose_precision

    directory = out / run.directory
    result = train(run.config, directory, resume=True, reporter=make_reporter(directory, str(run.directory)))
    trained = load(directory, run.config.train.device)
    model, evaluation = trained.model, trained.evaluate_split("val")
    results = {
        **in_units(evaluation.loss_nats),
        "num_val_chars": evaluation.num_chars + 1,  # the first character is not predicted
        "best_step": result.best_step,
        "num_parameters": result.num_parameters["whole"],
        "elapsed_s": result.elapsed_s,
    }
    for name in GROUPS[run.group].losses:
        results |= in_units(LOSSES[name](trained).loss_nats, f"{name}_")
    if GROUPS[run.group].has_samples:
        results |= count_garbage(trained)
    machine = describe_versions() | {
        "num_threads": torch.get_num_threads(),
        "device": str(model.output.weight.device),
        "precision": choose_precision(run.config.train.precision, model),
        "kernel": model.lstm.kernel.name,
    }
    validations = [row for row in RunDirectory(directory).read_rows() if row["split"] == "val"]
    return {"run": run.identify(), "machine": machine, "results": results, "validations": validations}


def complete(run: dict[str, Any]) -> dict[str, Any]:
    """Return what identifies a recorded run, with the configuration keys that were added after it was measured."""
    return run | {"config": parse_config(run["config"], "a record").model_dump()}


def measure_all(runs: Sequence[Run], out: Path) -> None:
    """Measure the runs that have no record yet, and append their records."""
    lines = RECORDS.read_text(encoding="utf-8").splitlines() if RECORDS.exists() else []
    known = [complete(json.loads(line)["run"]) for line in lines]
    for run in runs:
        if run.identify() in known:
            continue
        record = measure(run, out)
        RECORDS.parent.mkdir(parents=True, exist_ok=True)
        with RECORDS.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        click.echo(f"{run.directory}: validation {record['results']['loss_nats']:.4f} nats")


@click.command()
@click.option(
    "--data", default="data", show_default=True, type=click.Path(path_type=Path), help="Directory of the texts."
)
@click.option("--only", "groups", multiple=True, type=click.Choice(list(GROUPS)), help="A group; all without it.")
@click.option("--out", default="runs/results", show_default=True, type=click.Path(path_type=Path), help="For the runs.")
@click.option("--threads", type=click.IntRange(1), help="Number of threads.  [default: that of torch]")
def main(data: Path, groups: tuple[str, ...], out: Path, threads: int | None) -> None:
    """Train every run that has no record in docs/results/results.jsonl yet, and append its record."""
    watch_idle_threads()
    keep_freed_memory()
    try:
        runs = list(plan_runs(groups or list(GROUPS), data))
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        measure_all(runs, out)
    except CharlmError as error:
        click.echo(f"{error.label}: {error}", err=True)
        raise SystemExit(error.exit_status) from None


if __name__ == "__main__":
    main()
