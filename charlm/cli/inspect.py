"""charlm inspect."""

import contextlib
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from charlm.cli.evaluate import NOTABLE_UNKNOWN_FRAC
from charlm.cli.options import DEVICE, ON_UNKNOWN, PATH, RUN, WholeNumber, examples
from charlm.cli.output import show, warn
from charlm.cli.prompt import read_prompt, read_standard_input
from charlm.cli.surprise import print_surprise
from charlm.errors import CharlmError, InputError
from charlm.system.files import open_for_writing

if TYPE_CHECKING:
    from torch import Tensor

    from charlm.inference.trained import TrainedModel
    from charlm.inspection.inspection import Inspection
    from charlm.text.remapping import RemappedIds

MAX_LENGTH = 10_000
"""Characters of a page, at most: a browser lays them out in a second, and a page stays below 5 MB."""

OUT = Path("inspect.html")


@click.command(
    short_help="Write a page that shows what a model does with a text.",
    epilog=examples("charlm inspect runs/default", "charlm inspect runs/default --text book.txt --length 2000 --ansi"),
)
@RUN
@click.option(
    "--text", metavar="FILE", help="Read this text: a file, a directory, a glob, builtin:NAME, or - for standard input."
)
@click.option("--prompt", metavar="TEXT", help="Read these characters; - reads standard input.")
@click.option(
    "--length",
    metavar="N",
    type=WholeNumber(),
    default=5000,
    show_default=True,
    help=f"Characters to read, 2 to {MAX_LENGTH:,}.",
)
@click.option("--out", metavar="FILE", type=PATH, help=f"The page.  [default: {OUT}]")
@click.option("--json", "json_path", metavar="FILE", type=PATH, help="Write the numbers too.")
@click.option("--ansi", is_flag=True, help="Print the text coloured by surprise instead of writing a page.")
@ON_UNKNOWN
@DEVICE
def inspect(
    run: Path,
    text: str | None,
    prompt: str | None,
    length: int,
    out: Path | None,
    json_path: Path | None,
    ansi: bool,
    on_unknown: Any,
    device: str,
) -> None:
    """Write a page that shows what the model of RUN does with a text, by default with its validation part.

    The page has the surprise of each character, what the cells follow, how the gates are used, how far back the model
    remembers, and how much of its samples stands in the training text. It is one file and loads nothing.
    """
    from charlm.inference.reading import read_text
    from charlm.inference.trained import load
    from charlm.inspection.inspection import describe, inspect_text

    _check(text, prompt, length, out, ansi)
    for name, path in (("--out", out or OUT), ("--json", json_path)):
        _check_path(name, path)
    if json_path is not None and json_path.absolute() == (out or OUT).absolute() and not ansi:
        raise InputError(f"--out and --json: both are {json_path}; give two files.")
    trained = load(run, device, warn)
    ids, source = _choose_text(trained, text, prompt, length, on_unknown)
    if ansi:
        print_surprise(read_text(trained.model, trained.vocabulary, ids), trained.vocabulary.level)
        if json_path is None:
            return
    inspection = inspect_text(trained, ids, source)
    if json_path is not None:
        content = json.dumps(describe(inspection), allow_nan=False) + "\n"
        _write("--json", json_path, content.encode())
    if not ansi:
        _write_page(trained, run, inspection, out or OUT)
        show(_summarize(inspection, out or OUT))


def _check(text: str | None, prompt: str | None, length: int, out: Path | None, ansi: bool) -> None:
    if text is not None and prompt is not None:
        raise InputError("--text and --prompt: give one of the two.")
    if ansi and out is not None:
        raise InputError("--ansi and --out: give one of the two; --ansi prints the text and writes no page.")
    is_given = click.get_current_context().get_parameter_source("on_unknown") is not ParameterSource.DEFAULT
    if is_given and prompt is None:
        raise InputError("--on-unknown: is for --prompt; of other texts, what the model does not know is left out.")
    if text == "":
        raise InputError("--text: expected a file, a directory, a glob, builtin:NAME, or -, got ''.")
    if not 2 <= length <= MAX_LENGTH:
        raise InputError(f"--length: expected a number from 2 to {MAX_LENGTH:,}, got {length:,}.")


def _check_path(name: str, path: Path | None) -> None:
    """Refuse a file that cannot be written before the work begins."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{name} {path}: is a directory; give a file.")
    if path.is_symlink() or (path.exists() and not path.is_file()):  # such as /dev/stdout, which must not be replaced
        raise InputError(f"{name} {path}: is not a regular file, and would be replaced by one; give another file.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{name} {path}: there is no directory {path.parent}; create it, or give another file.")


def _write(name: str, path: Path, content: bytes) -> None:
    """Replace a file by a complete one, or leave the old one as it is."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}.unfinished")
    try:
        with open_for_writing(unfinished, "xb") as stream:
            stream.write(content)
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise CharlmError(f"{name} {path}: cannot be written: {error.strerror or error}; give another file.") from None


def _choose_text(
    trained: "TrainedModel", text: str | None, prompt: str | None, length: int, on_unknown: Any
) -> "tuple[Tensor, str]":
    """Return the ids that are read, and the name of their text; say what is left out."""
    if prompt is not None:
        source, whole = "the prompt", read_prompt(prompt)
        ids = trained.vocabulary.encode(whole[:length], on_unknown, where="the prompt")[:length]
        num_chars = len(whole)
    elif text is not None:
        source = "standard input" if text == "-" else text
        known, num_unknown = _read_known(trained, text)
        ids, num_chars = known[:length], len(known)
        unknown_frac = num_unknown / (num_unknown + num_chars)
        if unknown_frac >= NOTABLE_UNKNOWN_FRAC:
            warn(f"{source}: the model does not know {unknown_frac:.1%} of the text; these characters are left out.")
    else:
        source = f"the validation part of {trained.checkpoint.config.data.path}"
        return trained.load_split("val")[:length].long(), source
    if num_chars > length:
        warn(
            f"{source} has {num_chars:,} characters, of which the first {length:,} are read; "
            + ("this is the most." if length == MAX_LENGTH else f"--length N reads more, {MAX_LENGTH:,} at most.")
        )
    return ids, source


def _read_known(trained: "TrainedModel", text: str) -> "tuple[Tensor | RemappedIds, int]":
    """Return the ids of a text without the characters that the model does not know, and the number of those.

    Raises:
        InputError: the text cannot be read, or has fewer than 2 characters that the model knows.
    """
    if text != "-":
        known = trained.load_text(text)
        return known, known.num_unknown
    whole = read_standard_input("--text -")
    ids = trained.vocabulary.encode(whole, "skip")
    num_unknown = sum(map(whole.count, trained.vocabulary.find_unknown(whole)))
    if len(ids) < 2:
        raise InputError(
            f"--text -: the model knows {len(ids)} of its {len(ids) + num_unknown:,} characters; give at least 2."
        )
    return ids, num_unknown


def _write_page(trained: "TrainedModel", run: Path, inspection: "Inspection", out: Path) -> None:
    from charlm.cli.tables import bits_name
    from charlm.inspection.page import render

    settings, checkpoint = trained.checkpoint.config.model, trained.checkpoint
    layers = f"{settings.num_layers} layer{'s' if settings.num_layers > 1 else ''} of {settings.hidden_size}"
    facts = {
        "model": f"{layers}, {len(trained.vocabulary):,} symbols",
        "step": f"{checkpoint.step:,}",
        "text": inspection.source,
        "read": f"{len(inspection.reading.symbols):,} {_name_symbols(inspection)}",
        "loss": f"{inspection.reading.bits_per_char:.3f} {bits_name(trained.vocabulary.level)}",
    }
    _write("--out", out, render(inspection, str(run), facts).encode("utf-8", "replace"))


def _name_symbols(inspection: "Inspection") -> str:
    return "bytes" if inspection.vocabulary.level == "byte" else "characters"


def _summarize(inspection: "Inspection", out: Path) -> str:
    """Return the main results, a line each."""
    from charlm.cli.tables import bits_name

    reading, tracking = inspection.reading, inspection.tracking
    lines = [
        f"{inspection.source}: {reading.bits_per_char:.4f} {bits_name(inspection.vocabulary.level)}, "
        f"{len(reading.symbols):,} {_name_symbols(inspection)} read"
    ]
    for place, name in enumerate(tracking.names):
        sizes = abs(tracking.correlation[place])  # (L, H)
        layer, cell = divmod(int(sizes.argmax()), sizes.shape[1])
        r, chance = tracking.correlation[place, layer, cell], tracking.chance[place]
        verdict = f"r {r:.2f}, chance {chance:.2f}" if abs(r) > chance else f"none beyond chance ({chance:.2f})"
        where = f"layer {layer + 1}, cell {cell}: " if abs(r) > chance else ""
        lines.append(f"  {name:26} {where}{verdict}")
    points = ", ".join(f"{each.window or 'never'} {each.bits_per_char:.3f}" for each in inspection.resets)
    lines.append(f"  bits by characters between resets: {points}")
    lines += [
        f"  {text.name:26} {text.shares[20]:.1%} in verbatim matches of 20 or more, longest {text.longest}"
        for text in inspection.texts
    ]
    lines += [f"  copied or new: not measured: {inspection.no_texts_reason}"] if inspection.no_texts_reason else []
    return "\n".join([*lines, f"  look at: {out}"])
