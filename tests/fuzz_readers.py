#!/usr/bin/env python3
"""A fuzzer of the readers: configurations, checkpoints, exports and corpora, damaged, hostile or anything at all.

Every case must be read, or refused with an InputError: no other exception, no execution, no case that takes longer than
MAX_CASE_S, and no more memory than MEMORY_BYTES above what the process began with.
"""

import functools
import io
import json
import os
import pickle
import random
import resource
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch

from charlm.cli.json_output import describe_run
from charlm.cli.tables import format_runs
from charlm.config import Config, load_config
from charlm.errors import InputError
from charlm.runs.checkpoint import load_checkpoint
from charlm.runs.description import FORMAT
from charlm.runs.directory import RunDirectory
from charlm.runs.opening import open_model
from charlm.runs.overview import summarize
from charlm.runs.portable import write_export
from charlm.runs.selection import parse_filter, select
from charlm.text.corpus import Corpus, load_corpus
from charlm.text.vocabulary import Vocabulary
from charlm.training.estimates import refuse_shortage
from charlm.training.inheritance import describe_inheritance
from charlm.training.origin import find_origin
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint, restore

MAX_CASE_S = 5.0
MEMORY_BYTES = 256 << 20

JUNK: list[Any] = [
    None, True, -1, 2**40, 2**70, 1.5, float("nan"), float("inf"), "", "../../etc/passwd", "aa", "\0", "x" * 10_000, [],
    [[]], {}, {"a": {"b": 1}}, {1: 2}, torch.zeros(3), torch.zeros(0), torch.zeros(2, 2, dtype=torch.int64),
    torch.zeros(1).expand(2**40), torch.full((5,), float("nan")), torch.zeros(4, 3).T,
]  # fmt: skip
"""Values of every kind that a checkpoint can hold, in the places of others."""

YAML_WORDS = [
    "model:", "train:", "data:", "\n", "  ", "hidden_size: ", "- ", "[", "]", "{", "}", "&a ", "*a", "!!int ", "1e999",
    "!!python/object:os.system ", "0x1F", "1:30", "010", "off", "~", "'", '"', ": ", "#", "|\n", "%YAML 1.1\n", "é",
    "---\n", "...\n", "\t", "\u2028", "<<: ", "? ", "9" * 5000, "max_steps: 3", "!!binary ", "=", ".nan", "-.inf",
]  # fmt: skip


def tiny_config() -> Config:
    """Return a configuration of a model with a few weights."""
    config = Config().replace("model", num_layers=1, hidden_size=3, embed_size=2)
    return config.replace("train", batch_size=1, seq_length=4, device="cpu", precision="fp32", kernel="reference")


def tiny_corpus() -> Corpus:
    """Return a corpus of three symbols."""
    return Corpus(
        "text", torch.arange(60, dtype=torch.uint8) % 3, Vocabulary("char", "ab\n"), torch.full((3,), 20), "0f"
    )


def tiny_content() -> dict[str, Any]:
    """Return the content of a sound checkpoint, after one step."""
    session = Session(tiny_config(), tiny_corpus())
    session.take_step()
    checkpoint = make_checkpoint(session, is_resumable=True)
    plain = {"format": FORMAT, "config": checkpoint.config.model_dump(), "vocabulary": checkpoint.vocabulary.to_plain()}
    return plain | {
        name: getattr(checkpoint, name) for name in ("corpus_digest", "step", "loss_nats", "weights", "training")
    }


def to_bytes(content: Any) -> bytes:
    """Return the file that torch saves."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def damage_bytes(data: bytes, chance: random.Random) -> bytes:
    """Flip, cut, double or overwrite a random range."""
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice([1, 1, 2, 8, 64, 1024]))
    kind = chance.randrange(5)
    if kind == 0:
        return data[:start]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        return data[:end] + data[start:]
    new = (
        chance.randbytes(end - start)
        if kind == 3
        else bytes(byte ^ 1 << chance.randrange(8) for byte in data[start:end])
    )
    return data[:start] + new + data[end:]


def damage_content(content: Any, chance: random.Random) -> Any:
    """Put junk in the place of one value somewhere in a nested one, or take one away."""
    if not isinstance(content, dict | list) or not content or chance.random() < 0.1:
        return chance.choice(JUNK)
    copy = content.copy()
    key = chance.choice(list(copy)) if isinstance(copy, dict) else chance.randrange(len(copy))
    if chance.random() < 0.1:
        del copy[key]
    elif isinstance(copy, dict) and chance.random() < 0.1:
        copy[chance.choice(["a", 1, "../x", "é" * 99])] = chance.choice(JUNK)
    else:
        copy[key] = damage_content(copy[key], chance)
    return copy


def forge(pickled: bytes, tensor: bytes = b"\0" * 64) -> bytes:
    """Return a file of torch's format around any pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in (("data.pkl", pickled), ("byteorder", b"little"), ("data/0", tensor), ("version", b"3\n")):
            archive.writestr(f"archive/{name}", data)
    return stream.getvalue()


def damage_pickle(data: bytes, chance: random.Random) -> bytes:
    """Damage the pickle inside a file, with checksums that are right; the numbers of its tensors stay."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(stream, "w") as damaged:
        for name in archive.namelist():
            part = archive.read(name)
            damaged.writestr(name, damage_bytes(part, chance) if name.endswith(".pkl") else part)
    return stream.getvalue()


def nested_references(depth: int) -> bytes:
    """Return a pickle of few bytes whose value has 2**depth parts."""
    return b"\x80\x02]" + b"".join(b"q%c]h%ch%c\x86" % ((level,) * 3) for level in range(depth)) + b"."


def tensor_of(num_elements: int) -> bytes:
    """Return a pickle of a tensor that claims so many elements."""
    number = b"\x8a\x08" + struct.pack("<q", num_elements)
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + number + b"tQ"
    return (
        b"\x80\x02}X\x06\x00\x00\x00formatctorch._utils\n_rebuild_tensor_v2\n("
        + storage + b"K\x00" + number + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs."
    )  # fmt: skip


REGRESSIONS: dict[str, bytes] = {
    "a bytearray of 2 GB in 40 bytes": forge(
        b"\x80\x02}X\x06\x00\x00\x00formatcbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85Rs."
    ),
    "a tensor that claims 4 TB": forge(tensor_of(2**40)),
    "a tensor of negative size": forge(tensor_of(-1)),
    "a format with too many digits": forge(
        b"\x80\x02}X\x06\x00\x00\x00format\x8b\x00\x20\x00\x00" + b"\x7f" * 8192 + b"s."
    ),
    "lists that hold each other": forge(nested_references(60)),
    "a list a hundred thousand deep": forge(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "a memo of 2**31 places": forge(b"\x80\x02}r\xff\xff\xff\x7f."),
    "a key a million tuples deep": forge(b"\x80\x02})" + b"\x85" * 900_000 + b"K\x01s."),
    "a path in a tensor's name": forge(tensor_of(16).replace(b"X\x01\x00\x00\x000", b"X\x09\x00\x00\x00../../etc")),
    "os.system": forge(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."),
    "no pickle": forge(b""),
    "a bare pickle": pickle.dumps({"format": 1}),
}
"""Checkpoints that were found to do harm, or that were made to."""


def read_checkpoint(data: bytes, folder: Path) -> None:
    """Read a checkpoint, build its model and go on from it, as the commands do."""
    path = folder / "case.pt"
    path.write_bytes(data)
    checkpoint = load_checkpoint(path)
    checkpoint.build_model(torch.device("cpu"), "reference")
    session = Session(tiny_config(), tiny_corpus())
    restore(session, checkpoint)
    session.take_step()


@functools.cache
def sound_export() -> dict[str, bytes]:
    """Return the content of both files of an exported model."""
    session = Session(tiny_config(), tiny_corpus())
    with tempfile.TemporaryDirectory() as folder:
        write_export(make_checkpoint(session, is_resumable=False), Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def read_exported(files: dict[str, bytes], folder: Path) -> None:
    """Read an exported model, build it and begin a run with it, as the commands do."""
    (folder / "export").mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / "export" / name).write_bytes(data)
    checkpoint, _ = open_model(folder / "export")
    checkpoint.build_model(torch.device("cpu"), "reference")
    begin_with(folder / "export")


def read_weights(data: bytes, folder: Path) -> None:
    """Read the weights of an exported model beside a sound description."""
    read_exported(sound_export() | {"model.safetensors": data}, folder)


def read_description(data: bytes, folder: Path) -> None:
    """Read the description of an exported model beside sound weights."""
    read_exported(sound_export() | {"config.json": data}, folder)


def forge_weights(header: bytes) -> bytes:
    """Return a safetensors file with any header, and as many numbers as the sound one."""
    sound = sound_export()["model.safetensors"]
    end = 8 + int.from_bytes(sound[:8], "little")
    return len(header).to_bytes(8, "little") + header + sound[end:]


def damage_header(chance: random.Random) -> bytes:
    """Damage the header of a safetensors file, whose length stays right: its bytes, or one value in it."""
    sound = sound_export()["model.safetensors"]
    header = sound[8 : 8 + int.from_bytes(sound[:8], "little")]
    if chance.random() < 0.5:
        return forge_weights(damage_bytes(header, chance))
    return forge_weights(damage_json(header, chance))


def damage_json(data: bytes, chance: random.Random) -> bytes:
    """Put junk in the place of one value of a JSON text."""
    content = damage_content(json.loads(data), chance)
    return json.dumps(content, default=str, skipkeys=True).encode()


def read_overview(data: bytes, folder: Path) -> None:
    """Look at a run with this save, and print what is known of it."""
    run = RunDirectory(folder / "run")
    run.path.mkdir(exist_ok=True)
    run.last_path.write_bytes(data)
    summary = summarize(run)
    assert summary.state == "damaged"  # its config.yaml is missing
    select([summary], [parse_filter("state=damaged"), parse_filter("model.num_layers=1")], "loss")
    format_runs([summary])
    json.dumps(describe_run(summary), allow_nan=False)


def read_base(data: bytes, folder: Path) -> None:
    """Begin a run with the model of a checkpoint."""
    path = folder / "case.pt"
    path.write_bytes(data)
    begin_with(path)


def begin_with(path: Path) -> None:
    """Begin a run with a trained model, on a text with other symbols."""
    config = tiny_config().model_dump()["train"] | {"init_from": str(path)}
    origin = find_origin(Config().replace("train", **config), None, lambda _: None)
    text = replace(tiny_corpus(), vocabulary=Vocabulary("char", "bcd"))
    corpus = text.extend(origin.symbols)
    refuse_shortage(origin.config, len(corpus.vocabulary))
    assert describe_inheritance(origin, text.vocabulary) is not None
    assert origin.base is not None
    Session(origin.config, corpus, origin.base.checkpoint).take_step()


def read_config(data: bytes, folder: Path) -> None:
    """Read a configuration."""
    path = folder / "case.yaml"
    path.write_bytes(data)
    load_config(path)


def read_corpus(data: bytes, folder: Path) -> None:
    """Read a corpus, as text and as bytes; the text comes back whole."""
    path = folder / "case.txt"
    path.write_bytes(data)
    assert load_corpus(str(path), "byte").vocabulary.to_bytes(load_corpus(str(path), "byte").ids) == data
    corpus = load_corpus(str(path), "char")
    assert corpus.vocabulary.to_bytes(corpus.ids) == data.removeprefix(b"\xef\xbb\xbf")


Read = Callable[[bytes, Path], None]

READERS: tuple[Read, ...] = (read_checkpoint, read_overview, read_config, read_corpus, read_weights, read_description)


def make_case(chance: random.Random, content: dict[str, Any], sound: bytes) -> tuple[Read, bytes]:
    """Return one random case and what reads it."""
    makers: list[tuple[Read, Callable[[], bytes]]] = [
        (read_checkpoint, lambda: damage_bytes(sound, chance)),
        (read_checkpoint, lambda: damage_pickle(sound, chance)),
        (read_checkpoint, lambda: to_bytes(damage_content(content, chance))),
        (read_overview, lambda: damage_bytes(sound, chance)),
        (read_overview, lambda: damage_pickle(sound, chance)),
        (read_overview, lambda: to_bytes(damage_content(content, chance))),
        (read_base, lambda: damage_bytes(sound, chance)),
        (read_base, lambda: to_bytes(damage_content(content, chance))),
        (read_config, lambda: "".join(chance.choices(YAML_WORDS, k=chance.randrange(40))).encode()),
        (read_config, lambda: damage_bytes(Config().to_yaml().encode(), chance)),
        (read_corpus, lambda: damage_bytes("grün ≤ 𝕏 and so on\r\n".encode() * 9, chance)),
        (read_weights, lambda: damage_bytes(sound_export()["model.safetensors"], chance)),
        (read_weights, lambda: damage_header(chance)),
        (read_description, lambda: damage_bytes(sound_export()["config.json"], chance)),
        (read_description, lambda: damage_json(sound_export()["config.json"], chance)),
        *((read, lambda: chance.randbytes(chance.randrange(200))) for read in READERS),
    ]
    read, make = chance.choice(makers)
    return read, make()


def try_case(read: Read, data: bytes, folder: Path) -> bool:
    """Read one case; return whether it was refused.

    Raises:
        AssertionError: it took too long.
        Exception: whatever the reader should not have raised.
    """
    started_at_s = time.process_time()
    try:
        read(data, folder)
        is_refused = False
    except InputError as error:
        assert error.exit_status == 2
        assert len(str(error)) < 20_000
        is_refused = True
    took_s = time.process_time() - started_at_s
    assert took_s < MAX_CASE_S, f"{read.__name__} took {took_s:.1f} s"
    return is_refused


def limit_memory() -> None:
    """Let this process have no more memory than MEMORY_BYTES above what it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def fuzz(cases: int, seed: int, folder: Path) -> tuple[int, list[tuple[str, bytes, BaseException]]]:
    """Try random cases; return how many were refused, and those that broke a rule."""
    chance = random.Random(seed)  # noqa: S311  # cases, not secrets
    content = tiny_content()
    sound = to_bytes(content)
    read_checkpoint(sound, folder)
    read_base(sound, folder)
    refused, broken = 0, []
    for _ in range(cases):
        read, data = make_case(chance, content, sound)
        try:
            refused += try_case(read, data, folder)
        except (Exception, AssertionError) as error:
            broken.append((read.__name__, data, error))
    return refused, broken


@click.command()
@click.option("--cases", default=20_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Write cases that broke a rule here.")
def main(cases: int, seed: int, keep: Path | None) -> None:
    """Fuzz the readers; exit status 1 if a case broke a rule."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        os.environ["CHARLM_CACHE_DIR"] = cache
        tiny_content()
        limit_memory()
        refused, broken = fuzz(cases, seed, Path(folder))
    for number, (name, data, error) in enumerate(broken):
        click.echo(f"{name}: {type(error).__name__}: {str(error)[:300]}", err=True)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name}-{number}").write_bytes(data)
    click.echo(f"{cases} cases: {refused} refused, {cases - refused - len(broken)} read, {len(broken)} broke a rule")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
