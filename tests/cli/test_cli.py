"""Every command as a user types it: exit status, stdout and stderr apart, and no traceback for any mistake."""

import io
import json
import os
import pickle
import random
import re
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from command_line import CharlmCommand, assert_mistake, in_subprocess

from charlm.cli.prompt import MAX_PROMPT_BYTES
from charlm.config import Config, SampleConfig, load_config
from charlm.inference.trained import load
from charlm.runs.checkpoint import load_checkpoint, save_checkpoint

# train


def test_train(charlm: CharlmCommand, config_file: Path) -> None:
    """Training prints its result and the baselines on stdout, and plain progress lines on stderr."""
    outcome = charlm("train", config_file)
    assert outcome.status == 0
    assert outcome.out.startswith("runs/small: 30 steps, 1,920 characters")
    assert all(
        word in outcome.out
        for word in ("val loss", "bits per character", "uniform", "trigram", "kneser_ney_6", "gzip_primed")
    )
    assert "step 30/30  val loss" in outcome.err
    assert "\r" not in outcome.err
    assert {"best.pt", "last.pt", "config.yaml", "metrics.jsonl"} <= {
        path.name for path in Path("runs/small").iterdir()
    }


def test_train_with_overrides(charlm: CharlmCommand, config_file: Path) -> None:
    """--set reaches the run, and the run's configuration says so."""
    assert charlm("train", config_file, "--set", "model.num_layers=1", "--set", "train.max_steps=3").status == 0
    assert load_checkpoint(Path("runs/small/last.pt")).step == 3
    assert "num_layers: 1" in Path("runs/small/config.yaml").read_text()


def test_dry_run_writes_nothing(charlm: CharlmCommand, config_file: Path) -> None:
    """A dry run prints the size and the cost of the run, and writes no file."""
    outcome = charlm("train", config_file, "--dry-run")
    assert outcome.status == 0
    for word in ("layer 2", "vocabulary", "rarest", "memory", "characters per second", "expected", "unigram"):
        assert word in outcome.out
    assert list(Path.cwd().iterdir()) == []


TOO_LARGE = ("--set", "model.hidden_size=1000000")


def test_dry_run_of_a_model_that_is_too_large(charlm: CharlmCommand, config_file: Path) -> None:
    """A dry run of a model that does not fit prints the numbers, says so, and exits with status 2."""
    outcome = charlm("train", config_file, "--dry-run", *TOO_LARGE)
    assert outcome.status == 2
    for word in ("layer 2", "whole", "memory", "activations", "unigram"):
        assert word in outcome.out
    assert "characters per second" not in outcome.out
    assert outcome.err.startswith("Error: not enough memory: a model of 12,")
    assert "Lower model.hidden_size" in outcome.err


@pytest.mark.parametrize("command", ["train", "compare-layers"])
def test_a_model_that_is_too_large_is_refused(charlm: CharlmCommand, config_file: Path, command: str) -> None:
    """Training and comparing refuse a model that does not fit before anything is written."""
    assert_mistake(charlm(command, config_file, *TOO_LARGE), "not enough memory", "GiB are available on cpu")
    assert list(Path.cwd().iterdir()) == []


def test_a_failed_allocation_is_a_message(
    charlm: CharlmCommand, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An allocation that fails in the middle of a run is one clear message with exit status 1."""
    monkeypatch.setattr("charlm.training.loop.refuse_shortage", lambda *_: None)
    outcome = charlm("train", config_file, "--set", "train.kernel=reference", *TOO_LARGE)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("Error: out of memory: an allocation of ")
    assert "Traceback" not in outcome.err


def test_train_twice_names_resume(charlm: CharlmCommand, run: Path, config_file: Path) -> None:
    """A directory that holds a run is refused; --resume takes the run's own configuration."""
    assert_mistake(charlm("train", config_file, "--out", run), "already holds a run", "--resume")
    outcome = charlm("train", "--out", run, "--resume")
    assert outcome.status == 0
    assert "30 steps" in outcome.out


@pytest.mark.parametrize("has_file", [True, False])
def test_resume_takes_the_other_keys_from_the_run(
    charlm: CharlmCommand, run: Path, tmp_path: Path, has_file: bool
) -> None:
    """--resume with --set, with and without a file that leaves keys out, keeps the run's own configuration."""
    (tmp_path / "part.yaml").write_text("model: {num_layers: 2}", encoding="utf-8")
    part = [tmp_path / "part.yaml"] if has_file else []
    before = load_config(run / "config.yaml")
    outcome = charlm("train", *part, "--out", run, "--resume", "--set", "train.log_every=5")
    assert (outcome.status, "30 steps" in outcome.out) == (0, True)
    assert load_config(run / "config.yaml") == before.replace("train", log_every=5)


def test_resume_refuses_a_lost_configuration(charlm: CharlmCommand, run: Path) -> None:
    """--resume says that the configuration is lost, instead of training with the defaults."""
    for name in ("config.yaml", "last.pt", "last-1.pt"):
        (run / name).unlink()
    assert_mistake(charlm("train", "--out", run, "--resume"), "no last.pt to resume from", "--out")
    assert not (run / "last.pt").exists()


def test_early_stop(charlm: CharlmCommand, config_file: Path, tmp_path: Path) -> None:
    """A run that ends early says so while it trains, in its summary, in its JSON, and again when it is resumed."""
    (tmp_path / "random.txt").write_text("".join(random.Random(1).choices("abcdefgh", k=1000)))  # noqa: S311
    settings = {"data.path": tmp_path / "random.txt", "model.dropout": 0, "train.learning_rate": 0.03,
                "train.average_decay": 0, "train.patience": 1, "train.max_steps": 200}  # fmt: skip
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    first = charlm("train", config_file, *options, "--out", tmp_path / "run")
    again = charlm("train", "--out", tmp_path / "run", "--resume")
    values = json.loads(charlm("train", "--out", tmp_path / "run", "--resume", "--json").out)
    end, start, best = values["steps"], values["early_stop_step"], values["best_step"]
    assert end == start + start // 5 < 200
    assert first.out == again.out
    sentence = (
        f"  end        stopped early at step {end}: at step {start} the validation loss had not fallen for 1 "
        f"validation; lowest at step {best}\n"
    )
    assert sentence in first.out
    assert f"step {start}: the validation loss has stopped falling; the learning rate falls until the run ends at " in (
        first.err
    )
    assert f"step {start}/200  val loss" in first.err
    assert f"step {end}/{end}  val loss" in first.err
    assert f"finished at step {end}: " in again.err


def test_dry_run_with_patience(charlm: CharlmCommand, config_file: Path) -> None:
    """With patience the expected duration is a maximum."""
    assert "whole training, expected" in charlm("train", config_file, "--dry-run").out
    patient = charlm("train", config_file, "--dry-run", "--set", "train.patience=1")
    assert "whole training, at most" in patient.out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_say_how_to_go_on(config_file: Path, tmp_path: Path, number: int, status: int) -> None:
    """Ctrl-C and SIGTERM save the state and print a command that resumes the run."""
    arguments = ("train", config_file, "--set", "train.max_steps=100000", "--out", tmp_path / "run")
    process = in_subprocess(*arguments)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert out == ""
    assert "Traceback" not in err
    assert f"charlm train --out {tmp_path / 'run'} --resume" in err
    assert load_checkpoint(tmp_path / "run" / "last.pt").step > 0


# sample


def test_sample(charlm: CharlmCommand, run: Path) -> None:
    """A sample begins with its prompt, has its length, and is the same for the same seed."""
    first = charlm("sample", run, "--prompt", "9 green", "--length", 30, "--seed", 5)
    assert first.status == 0
    assert first.err == ""
    assert first.out.startswith("9 green")
    assert len(first.out) == len("9 green") + 30 + 1
    assert charlm("sample", run, "--prompt", "9 green", "--length", 30, "--seed", 5) == first


def test_sample_greedy(charlm: CharlmCommand, run: Path) -> None:
    """--greedy and --temperature 0 need no seed to agree."""
    greedy = charlm("sample", run, "--greedy", "--length", 30)
    assert greedy == charlm("sample", run, "--temperature", 0, "--length", 30)
    assert greedy.status == 0


def test_sample_restricted(charlm: CharlmCommand, run: Path) -> None:
    """The likeliest character alone is the greedy choice, by --top-k and by --top-p."""
    greedy = charlm("sample", run, "--greedy", "--length", 30)
    assert charlm("sample", run, "--top-k", 1, "--length", 30, "--temperature", 1) == greedy
    assert charlm("sample", run, "--top-p", 1e-9, "--length", 30, "--temperature", 1) == greedy


def test_sample_defaults_are_those_of_a_configuration(charlm: CharlmCommand) -> None:
    """The help of sample names the defaults of the section sample."""
    text = " ".join(charlm("sample", "--help").out.split())
    defaults = SampleConfig()
    assert f"0 for no end. [default: {defaults.length}]" in text
    assert f"own probabilities. [default: {defaults.temperature}]" in text


def test_sample_length_by_default(charlm: CharlmCommand, run: Path) -> None:
    """Without --length a sample has the default length, and equals Python's sample of the same seed."""
    text = charlm("sample", run, "--seed", 3).out
    assert len(text) == SampleConfig().length + 1
    assert text == load(run).sample(seed=3) + "\n"


def test_the_first_of_many_samples_is_the_single_one(charlm: CharlmCommand, run: Path) -> None:
    """--num-samples changes no sample of a seed."""
    single, four = (charlm("sample", run, "--seed", 7, "--num-samples", number).out for number in (1, 4))
    assert four.startswith(f"=== sample 1 of 4 ===\n{single}=== sample 2 of 4 ===\n")


def test_sample_many(charlm: CharlmCommand, run: Path) -> None:
    """Several samples come under headings."""
    outcome = charlm("sample", run, "--num-samples", 3, "--length", 10)
    assert [line for line in outcome.out.splitlines() if line.startswith("===")] == [
        f"=== sample {number} of 3 ===" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(("options", "num_chars"), [((), 40), (("--num-samples", 3), 120)])
def test_sample_tells_its_speed_in_a_terminal(
    options: tuple[object, ...], num_chars: int, charlm: CharlmCommand, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal stderr gets the number of characters without the prompt, and the speed; elsewhere nothing."""
    command = ("sample", run, "--prompt", "9 green", "--length", 40, "--seed", 1, *options)
    elsewhere = charlm(*command)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    in_terminal = charlm(*command)
    assert (in_terminal.out, elsewhere.err) == (elsewhere.out, "")
    assert re.fullmatch(
        rf"{num_chars} characters in [\d.]+ s: [\d,]+ characters per second \(kernel \w+\)\n", in_terminal.err
    )


def test_sample_stop(charlm: CharlmCommand, run: Path) -> None:
    """A stop text ends the sample before it."""
    whole = charlm("sample", run, "--seed", 1, "--length", 200).out
    stop = whole[20:22]
    assert charlm("sample", run, "--seed", 1, "--length", 200, "--stop", stop).out == whole.split(stop)[0] + "\n"


def test_prompt_from_file_and_standard_input(
    charlm: CharlmCommand, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt comes from a file or, with -, from standard input."""
    (tmp_path / "prompt.txt").write_text("8 green")
    assert charlm("sample", run, "--prompt-file", tmp_path / "prompt.txt", "--length", 5).out.startswith("8 green")
    for arguments in (("--prompt", "-"), ("--prompt-file", "-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"7 green")))
        assert charlm("sample", run, *arguments, "--length", 5).out.startswith("7 green")


@pytest.mark.parametrize("option", ["--prompt", "--prompt-file"])
def test_a_prompt_without_end_is_refused(
    charlm: CharlmCommand, run: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a standard input that is too long, no more than the longest prompt is read."""
    stream = io.BytesIO(b"7" * (MAX_PROMPT_BYTES + 2))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    assert_mistake(charlm("sample", run, option, "-"), f"{option} -: too long for a prompt, which takes at most 16,7")
    assert stream.tell() == MAX_PROMPT_BYTES + 1


def test_unknown_characters(charlm: CharlmCommand, run: Path) -> None:
    """An unknown character is named with its place and the nearest known; it can be skipped or replaced."""
    mistake = charlm("sample", run, "--prompt", "GrEen ż")
    assert_mistake(mistake, "'G' (U+0047 LATIN CAPITAL LETTER G), character 1 of the prompt; the nearest known is 'g'")
    assert_mistake(mistake, "--on-unknown skip", "'ż'")
    replaced = charlm("sample", run, "--prompt", "GrEen ż", "--on-unknown", "replace", "--length", 5)
    assert replaced.out.startswith("green ")
    assert charlm("sample", run, "--prompt", "GrEen ż", "--on-unknown", "skip", "--length", 5).out.startswith("ren ")


def test_endless_stream_into_a_pipe_that_closes(run: Path) -> None:
    """--length 0 streams without end, and exits without an error when its reader closes the pipe."""
    process = in_subprocess("sample", run, "--length", 0, "--prompt", "1", text=False)
    assert process.stdout is not None
    assert process.stderr is not None
    assert len(process.stdout.read(2000)) == 2000
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0


def test_interrupted_endless_stream(run: Path) -> None:
    """Ctrl-C ends an endless stream with exit status 130 and no traceback."""
    # A shell starts background jobs with SIGINT ignored, and a process inherits that.
    stop_on_signal = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = in_subprocess("sample", run, "--length", 0, "--prompt", "1", text=False, preexec_fn=stop_on_signal)
    assert process.stdout is not None
    assert len(process.stdout.read(2000)) == 2000
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b"\nStopped. Files that were already saved are complete.\n"


def test_terminal_that_cannot_show_a_character(config: Config, tmp_path: Path) -> None:
    """A terminal of another encoding shows a question mark for what it cannot show."""
    (tmp_path / "text.txt").write_text("ž" * 500, encoding="utf-8")
    (tmp_path / "c.yaml").write_text(config.replace("data", path=str(tmp_path / "text.txt")).to_yaml())
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    training = in_subprocess("train", tmp_path / "c.yaml", "--out", tmp_path / "r", env=environment)
    _, err = training.communicate(timeout=60)
    assert training.returncode == 0, err
    sampling = in_subprocess("sample", tmp_path / "r", "--length", 5, env=environment)
    assert sampling.communicate(timeout=60) == ("?????\n", "")


# eval


def test_eval(charlm: CharlmCommand, run: Path) -> None:
    """The loss of a split is printed in all its units, as text and as JSON."""
    text = charlm("eval", run)
    assert text.status == 0
    assert text.out.startswith("val: ")
    assert "perplexity" in text.out
    values = json.loads(charlm("eval", run, "--json").out)
    assert set(values) == {"loss_nats", "bits_per_char", "perplexity", "num_chars", "num_unknown", "unknown_frac"}
    assert values["loss_nats"] == load_checkpoint(run / "best.pt").loss_nats


@pytest.mark.parametrize(("num_unknown", "is_warned"), [(0, False), (98, False), (102, True), (490_000, True)])
def test_eval_says_what_the_model_does_not_know(
    charlm: CharlmCommand, run: Path, tmp_path: Path, num_unknown: int, is_warned: bool
) -> None:
    """From 1 % of unknown characters on a warning says so on stderr; the table and the JSON always have the share."""
    path = tmp_path / "text.txt"
    path.write_text("9 green bottles\n" * 625 + "√" * num_unknown)  # 10,000 known characters
    share = num_unknown / (10_000 + num_unknown)
    table, values = charlm("eval", run, "--text", path), charlm("eval", run, "--text", path, "--json")
    assert json.loads(values.out)["unknown_frac"] == pytest.approx(share)
    assert (f"{num_unknown:,} unknown ones left out ({share:.2%} of the text)" in table.out) == (num_unknown > 0)
    for outcome in (table, values):
        assert outcome.status == 0
        assert (f"warning: {path}: the model does not know {share:.1%} of the text" in outcome.err) == is_warned


def test_eval_splits_windows_and_files(charlm: CharlmCommand, run: Path, corpus_path: Path) -> None:
    """Other splits, windows and files have losses of their own."""
    variants = ([], ["--split", "test"], ["--split", "train"], ["--windowed", 8], ["--text", corpus_path])
    outcomes = [charlm("eval", run, "--json", *variant) for variant in variants]
    assert [outcome.status for outcome in outcomes] == [0] * len(variants)
    assert len({json.loads(outcome.out)["loss_nats"] for outcome in outcomes}) == len(variants)
    assert json.loads(outcomes[3].out)["num_chars"] == json.loads(outcomes[0].out)["num_chars"]


def test_eval_dynamic(charlm: CharlmCommand, run: Path) -> None:
    """The dynamic loss is printed after the static one, in text and JSON, and the run's files stay as they are."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    values = json.loads(charlm("eval", run, "--dynamic", "--json").out)
    assert values["loss_nats"] == load_checkpoint(run / "best.pt").loss_nats
    assert values["dynamic_loss_nats"] != values["loss_nats"]
    assert values["dynamic_learning_rate"] > 0
    assert 0 <= values["dynamic_decay"] <= 1
    text = charlm("eval", run, "--dynamic")
    assert f"dynamic: {values['dynamic_loss_nats']:.4f} nats" in text.out
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_eval_dynamic_in_windows_is_refused(charlm: CharlmCommand, run: Path) -> None:
    """The two measures exclude each other."""
    outcome = charlm("eval", run, "--dynamic", "--windowed", 8)
    assert outcome.status == 2
    assert "--dynamic and --windowed: give one of the two" in outcome.err
    assert outcome.out == ""


# compare-layers


def test_compare_layers(charlm: CharlmCommand, config_file: Path) -> None:
    """A comparison prints its plan on stderr and its report on stdout, and writes its files."""
    options = ["--layers", "1,2", "--seeds", "1", "--budget", 4000, "--out", "c"]
    outcome = charlm("compare-layers", config_file, *options)
    assert outcome.status == 0
    assert "| layers | width |" in outcome.out
    assert "off budget" in outcome.err
    assert "2 trials and runs, 0 of them finished; about " in outcome.err
    assert "[2/2] " in outcome.err
    assert {"results.json", "report.md", "curves.png", "depth.png"} <= {path.name for path in Path("c").iterdir()}
    for arguments in ([config_file, *options], ["--out", "c"]):
        again = charlm("compare-layers", "--report-only", *arguments)
        assert (again.status, again.out) == (0, outcome.out)
        assert "validations included" not in again.err


def test_report_of_a_part(charlm: CharlmCommand, config_file: Path) -> None:
    """--report-only with other arguments than those of the comparison is refused, and its report stays."""
    assert (
        charlm("compare-layers", config_file, "--layers", "1,2", "--seeds", "1", "--budget", 4000, "--out", "c").status
        == 0
    )
    before = {path: path.read_bytes() for path in Path("c").iterdir() if path.is_file()}
    assert_mistake(
        charlm("compare-layers", "--report-only", "--out", "c", "--layers", "1", "--set", "train.max_steps=3"),
        "--layers was 1,2 and is now 1; ",
        "train.max_steps was ",
    )
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("arguments", [[], ["--layers", "1", "--seeds", "1"]])
def test_report_of_nothing(charlm: CharlmCommand, config_file: Path, arguments: list[str]) -> None:
    """--report-only in a directory that holds no comparison is refused, and nothing is written."""
    assert_mistake(
        charlm("compare-layers", config_file, "--report-only", "--out", "c", *arguments),
        "c: there is no comparison here, for c/plan.json is missing. Name the directory",
    )
    assert list(Path.cwd().iterdir()) == []


def test_report_before_the_first_run(charlm: CharlmCommand, config_file: Path) -> None:
    """--report-only before any run has finished is refused, and nothing is written."""
    options = ["--layers", "1", "--seeds", "1", "--match", "width", "--budget", 9, "--out", "c", "--shard", "2/2"]
    assert charlm("compare-layers", config_file, *options).status == 0
    outcome = charlm("compare-layers", "--report-only", "--out", "c")
    assert (outcome.status, outcome.out) == (2, "")
    assert "Error: c: no run of this comparison has finished. Train first, without --report-only." in outcome.err
    assert "\n1 arm, seeds 1" in outcome.err
    assert [path.name for path in Path("c").iterdir()] == ["plan.json"]


def test_cluster_that_is_not_there(charlm: CharlmCommand, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--cluster with a wrong address, or beside --jobs, is refused, and nothing is written."""
    monkeypatch.setattr("charlm.comparison.cluster.CONNECT_S", 0.2)
    options = ["compare-layers", config_file, "--cluster", "tcp://127.0.0.1:1", "--out", "c"]
    assert_mistake(charlm(*options), "Error: --cluster: no scheduler of Dask answers at 'tcp://127.0.0.1:1'")
    assert_mistake(charlm(*options, "--jobs", 1), "Error: --jobs: a cluster trains as many runs at a time")
    assert list(Path.cwd().iterdir()) == []


def test_compare_layers_in_shards(charlm: CharlmCommand, config_file: Path) -> None:
    """A share trains its arms and makes no report."""
    options = ["--layers", "1,2", "--seeds", "1", "--match", "width", "--budget", 9, "--out", "c", "--shard", "2/2"]
    outcome = charlm("compare-layers", config_file, *options)
    assert (outcome.status, outcome.out) == (0, "")
    assert {path.name for path in Path("c").iterdir()} == {"plan.json", "2x9-seed-1"}


def test_compare_layers_refuses_another_plan(charlm: CharlmCommand, config_file: Path) -> None:
    """Another plan in the directory of a comparison is an error with a message, for training and for reporting."""
    options = ["--layers", "1", "--seeds", "1", "--budget", 4000, "--out", "c"]
    assert charlm("compare-layers", config_file, *options).status == 0
    for more in ([], ["--report-only"]):
        other = charlm("compare-layers", config_file, *options, "--set", "train.max_steps=31", *more)
        assert_mistake(other, "train.max_steps was", "is now 31")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "1,x"], "expected different numbers"),
        (["--layers", "0,1"], "expected different numbers of at least 1"),
        (["--seeds", "1,1"], "expected different numbers"),
        (["--budget", "10"], "too small"),
        (["--budget", "0"], "--budget"),
        (["--budget", "5000,5000"], "expected different numbers"),
        (
            ["--layers", "1,101"],
            "model.num_layers: expected a whole number of at least 1 and at most 100, got 101. Choose other --layers",
        ),
        (["--seeds", "9999999999999999999"], "train.seed: expected a whole number"),
        (["--match", "width", "--budget", "2000000"], "model.hidden_size: expected a whole number of at least 1"),
        (["--match", "depth"], "--match"),
        (["--jobs", "0"], "--jobs"),
        (["--tune", "-1"], "--tune"),
        (["--shard", "3/2"], "expected I/N with I from 1 to N"),
        (["--shard", "0/2"], "expected I/N with I from 1 to N"),
        (["--shard", "half"], "expected I/N"),
        (["--shard", "1/" + "9" * 5000], "expected I/N"),
    ],
)
def test_compare_layers_mistakes(charlm: CharlmCommand, config_file: Path, arguments: list[str], message: str) -> None:
    """A list or a budget that cannot be used is named, and nothing is written."""
    assert_mistake(charlm("compare-layers", config_file, *arguments), message)
    assert list(Path.cwd().iterdir()) == []


# mistakes


@pytest.mark.parametrize(
    ("yaml", "messages"),
    [
        ("model:\n  hiden_size: 3\n", ["line 2, model.hiden_size: unknown key. Did you mean 'hidden_size'?"]),
        ("train:\n  learning_rate: fast\n", ["line 2, train.learning_rate: expected a number above 0, got 'fast'."]),
        ("model:\n  hidden_size: 0\n", ["line 2, model.hidden_size: expected a whole number of at least 1"]),
        ("train:\n  seed: 1\n  seed: 2\n", ["line 3, train.seed: already set on line 2"]),
        ("- 1\n- 2\n", ["expected sections"]),
        ("model: [\n", ["invalid YAML"]),
        ("model:\n  hiden_size: 3\ntrain:\n  lr: 1\n", ["2 problems", "line 2", "line 4", "nothing was written"]),
    ],
)
def test_faulty_configuration(charlm: CharlmCommand, tmp_path: Path, yaml: str, messages: list[str]) -> None:
    """An invalid configuration is reported with its file and lines, all mistakes at once, and nothing is written."""
    (tmp_path / "faulty.yaml").write_text(yaml)
    assert_mistake(charlm("train", tmp_path / "faulty.yaml"), str(tmp_path / "faulty.yaml"), *messages)
    assert list(Path.cwd().iterdir()) == []


def test_a_run_is_no_configuration(charlm: CharlmCommand, run: Path) -> None:
    """A run directory in the place of CONFIG gives an error with the command that resumes the run."""
    assert_mistake(charlm("train", run), "this is a directory", f"charlm train --out {run} --resume")


def test_a_directory_of_runs_is_no_run(charlm: CharlmCommand, run: Path) -> None:
    """A directory of runs in the place of RUN gives an error that lists its runs."""
    assert_mistake(charlm("sample", run.parent), "holds no checkpoint", f"Give a run in it, such as {run}.")


def test_missing_configuration(charlm: CharlmCommand) -> None:
    """A configuration that is not there is named."""
    assert_mistake(charlm("train", "nowhere.yaml"), "nowhere.yaml", "no such configuration file")


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        (None, ["no such file, directory or glob"]),
        (b"", ["the corpus is empty"]),
        (b"a", ["the train part of the corpus has 0 of its 1 characters and needs at least 2"]),
        (b"abc\n\xff\xfe\n", ["line 2, byte offset 4: the byte 0xff is not UTF-8", "data.level=byte"]),
        (bytes(range(128)) * 9, ["NUL characters", "data.level=byte"]),
        (b"too short for a step", ["needs at least 65", "train.batch_size=4", "train.seq_length=16"]),
        (b"ab" * 33, ["needs at least 65"]),
    ],
    ids=["missing", "empty", "one character", "not UTF-8", "binary", "short", "shorter than a step"],
)
def test_faulty_corpus(
    charlm: CharlmCommand, config_file: Path, tmp_path: Path, content: bytes | None, messages: list[str]
) -> None:
    """A corpus that cannot be trained on is reported with the reason and the remedy, and nothing is written."""
    path = tmp_path / "faulty.txt"
    if content is not None:
        path.write_bytes(content)
    assert_mistake(charlm("train", config_file, "--set", f"data.path={path}"), *messages)
    assert list(Path.cwd().iterdir()) == []


def test_missing_public_corpus_names_the_command(charlm: CharlmCommand) -> None:
    """A public corpus that was not fetched yet names the command that fetches it."""
    outcome = charlm("train", "--set", "data.path=data/tinyshakespeare.txt")
    assert_mistake(outcome, "charlm fetch tinyshakespeare")


def test_empty_split(charlm: CharlmCommand, config_file: Path) -> None:
    """A validation part without characters is refused with its key."""
    outcome = charlm("train", config_file, "--set", "data.val_frac=0.0000001")
    assert_mistake(outcome, "the val part of the corpus has", "data.val_frac=1e-07")


def write_malicious_pickle(path: Path) -> None:
    """Write a file that would create another file if it were unpickled."""

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (path.with_name("executed"),))

    torch.save({"format": 1, "config": Payload()}, path)


def truncate_checkpoint(path: Path) -> None:
    """Write the first half of a checkpoint."""
    data = (path.parent / "run" / "best.pt").read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such checkpoint"),
        (lambda path: path.mkdir(), "holds no checkpoint"),
        (truncate_checkpoint, "truncated"),
        (lambda path: path.write_text("hello"), "another kind of file"),
        (lambda path: path.write_bytes(pickle.dumps([1])), "another kind of file"),
        (write_malicious_pickle, "not a safe charlm checkpoint"),
    ],
    ids=["missing", "directory without one", "truncated", "text", "pickle", "malicious"],
)
@pytest.mark.parametrize("command", ["sample", "eval"])
def test_faulty_checkpoint(
    charlm: CharlmCommand, run: Path, tmp_path: Path, write: Callable[[Path], None], message: str, command: str
) -> None:
    """A checkpoint that is missing, damaged, foreign or malicious is refused, and nothing in it is executed."""
    write(tmp_path / "faulty.pt")
    assert_mistake(charlm(command, tmp_path / "faulty.pt"), message, "faulty.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("command", [["sample", "--length", "5"], ["eval", "--json"]])
def test_damaged_best(charlm: CharlmCommand, run: Path, command: list[str]) -> None:
    """If best.pt is damaged, the newest intact save is used, with a warning on stderr."""
    (run / "best.pt").write_bytes((run / "best.pt").read_bytes()[:5000])
    outcome = charlm(command[0], run, *command[1:])
    assert outcome.status == 0
    assert outcome.err.startswith(f"warning: {run / 'best.pt'}: this is not a complete charlm checkpoint")
    assert "warning" not in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--length", "-1"], "--length: expected a number of at least 0 (0 for an endless stream), got -1"),
        (["--temperature", "-0.5"], "Error: --temperature: expected a number of at least 0, got -0.5"),
        (["--temperature", "nan"], "Error: --temperature: expected a number of at least 0, got nan"),
        (["--top-k", "0"], "Error: --top-k: expected a whole number of at least 1, got 0"),
        (["--top-p", "1.5"], "Error: --top-p: expected a number above 0 and at most 1, got 1.5"),
        (["--num-samples", "0"], "--num-samples: expected a number of at least 1, got 0"),
        (["--num-samples", "2", "--length", "0"], "only one stream can be endless"),
        (["--prompt", "a", "--prompt-file", "b"], "give one of the two"),
        (["--greedy", "--temperature", "1.2"], "--greedy and --temperature: give one of the two"),
        (["--stop", ""], "--stop: expected a text of at least 1 character, got ''"),
        (["--prompt-file", "nowhere.txt"], "--prompt-file nowhere.txt: cannot be read"),
        (["--prompt-file", "/dev/zero"], "/dev/zero: a device, not a regular file. Save its content to a regular file"),
        (["--device", "cuda:99"], "Error: --device: cuda:99 is not on this machine"),
        (["--device", "abacus"], "Error: --device: expected auto, cpu, cuda, cuda:N or mps, got 'abacus'"),
        (["--length", "many"], "--length"),
        (["--length", "9" * 15], f"--length: expected at most 1,000,000,000,000, got {'9' * 15}; give 0 for"),
        (["--seed", "-1"], "'--seed': expected a whole number of at least 0, got -1."),
        (["--length", "9" * 30], f"'--length': expected a whole number of at most 64 bits, got {'9' * 30}."),
        (["--seed", "9" * 4000], "'--seed': expected a whole number of at most 64 bits, got '999999999999...9999"),
        (["--top-k", str(2**63)], f"'--top-k': expected a whole number of at most 64 bits, got {2**63}."),
        (["--top-k", "9" * 5000], "'--top-k': expected a whole number of at most 64 bits, got '999999999999...9999"),
        (["--num-samples", "9" * 20], f"'--num-samples': expected a whole number of at most 64 bits, got {'9' * 20}."),
    ],
)
def test_faulty_sample_options(charlm: CharlmCommand, run: Path, arguments: list[str], message: str) -> None:
    """An option of sample that cannot be used is named with its value and its range."""
    assert_mistake(charlm("sample", run, *arguments), message)


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5000, "-" + "9" * 20])
@pytest.mark.parametrize(
    "arguments",
    ["eval run --windowed", "inspect run --length", "compare-layers --jobs", "compare-layers --tune"],
)
def test_numbers_beyond_64_bits(charlm: CharlmCommand, arguments: str, number: str) -> None:
    """A number beyond 64 bits is one short message, whatever the option."""
    outcome = charlm(*arguments.split(), number)
    assert_mistake(outcome, "expected a whole number of at most 64 bits, got ")
    assert len(outcome.err) < 300


def test_device_is_named_where_it_was_given(charlm: CharlmCommand, run: Path, config_file: Path) -> None:
    """A missing device is named by the option of eval, and by the configuration key that --set gives to train."""
    assert_mistake(charlm("eval", run, "--device", "cuda:99"), "Error: --device: cuda:99 is not on this machine")
    outcome = charlm("train", config_file, "--out", "new", "--set", "train.device=cuda:99")
    assert_mistake(outcome, "Error: train.device: cuda:99 is not on this machine")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_eval_refuses_a_split_beside_a_text(charlm: CharlmCommand, run: Path, corpus_path: Path, split: str) -> None:
    """--split beside --text is refused, the default split too, since a text is measured as a whole."""
    outcome = charlm("eval", run, "--split", split, "--text", corpus_path)
    assert_mistake(outcome, "--split and --text: give one of the two")


def test_eval_names_its_own_option_for_a_text(charlm: CharlmCommand, run: Path) -> None:
    """An empty --text is refused by its name, and a missing file without a configuration key that eval has not."""
    assert_mistake(charlm("eval", run, "--text", ""), "Error: --text: expected a file, a directory, a glob")
    outcome = charlm("eval", run, "--text", "nowhere.txt")
    assert_mistake(outcome, "Error: nowhere.txt: there is no such file")
    assert "data.path" not in outcome.err


def test_weights_that_are_no_numbers(charlm: CharlmCommand, run: Path) -> None:
    """A broken best model is named, and the last save is sampled in its place; the file itself is refused."""
    checkpoint = load_checkpoint(run / "best.pt")
    checkpoint.weights["output.bias"][:] = float("nan")
    save_checkpoint(checkpoint, run / "best.pt")
    outcome = charlm("sample", run)
    assert outcome.status == 0
    assert "best.pt: the checkpoint's content is damaged: a weight is not a finite number" in outcome.err
    assert_mistake(charlm("sample", run / "best.pt"), "a weight is not a finite number")


# help


def test_unknown_command(charlm: CharlmCommand) -> None:
    """An unknown command is refused as a mistake."""
    assert charlm("trian").status == 2
