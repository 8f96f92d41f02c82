"""What a run takes over from its base, as a table for a terminal."""

from charlm.training.inheritance import Inheritance

MAX_SYMBOLS = 20
"""Symbols that are listed, at most."""


def format_inheritance(inheritance: Inheritance) -> str:
    """Return the base of a run, and all that differs between the two."""
    loss = "never validated" if inheritance.loss_nats is None else f"validation loss {inheritance.loss_nats:.4f} nats"
    before, now = inheritance.num_symbols
    rows = [(key, str(value), str(new)) for key, (value, new) in inheritance.settings.items()]
    parameters, parameters_now = inheritance.num_parameters
    rows += [("parameters", f"{parameters:,}", f"{parameters_now:,}")]
    rows += [("symbols", f"{before:,}", f"{now:,}, {now - len(inheritance.new):,} with the weights of the base")]
    if inheritance.new:
        rows += [("  new", "", _list_symbols(inheritance.new))]
    if inheritance.absent:
        what = "stay known" if inheritance.is_absent_kept else "dropped"
        rows += [("  not in the text", _list_symbols(inheritance.absent), what)]
    rows = [("", "base", "this run"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        [
            f"beginning with the model of {inheritance.path}: step {inheritance.step:,}, {loss}, "
            f"digest {inheritance.digest[:12]}",
            *(f"  {name:<{widths[0]}}  {value:<{widths[1]}}  {new}" for name, value, new in rows),
        ]
    )


def _list_symbols(symbols: list[str]) -> str:
    more = f" and {len(symbols) - MAX_SYMBOLS:,} more" if len(symbols) > MAX_SYMBOLS else ""
    return f"{len(symbols):,}: {' '.join(map(repr, symbols[:MAX_SYMBOLS]))}{more}"
