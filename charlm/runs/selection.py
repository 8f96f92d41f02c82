"""Which runs of an overview are shown, and in which order."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, get_args

from charlm.config import Config
from charlm.config.validation import describe_unknown, fields_of
from charlm.config.yaml_source import read_scalar
from charlm.errors import InputError
from charlm.runs.overview import RunSummary, State

STATES: tuple[str, ...] = get_args(State)


def _or_last(number: float | None) -> float:
    return math.inf if number is None else number


ORDERS: dict[str, Callable[[RunSummary], Any]] = {
    "loss": lambda run: _or_last(run.best_loss_nats),
    "run": lambda run: str(run.path),
    "parameters": lambda run: _or_last(run.num_parameters),
    "text": lambda run: (run.config is None, run.config.data.path if run.config else ""),
    "steps": lambda run: _or_last(run.step),
    "time": lambda run: _or_last(run.elapsed_s),
    "state": lambda run: STATES.index(run.state),
}
"""The orders of an overview by name, each as the value that it compares; what is not known comes last."""


class Filter(NamedTuple):
    """A condition on a run: its state, or a key of its configuration, has a value."""

    section: str
    key: str
    value: Any

    def accepts(self, run: RunSummary) -> bool:
        """Return whether a run has the value; a run whose configuration is not known has none."""
        if self.section == "state":
            return bool(run.state == self.value)
        found: object = getattr(getattr(run.config, self.section), self.key) if run.config else None
        return run.config is not None and found == self.value


def parse_filter(text: str) -> Filter:
    """Return the condition that ``KEY=VALUE`` stands for, with a key such as ``model.num_layers``, or ``state``.

    Raises:
        InputError: there is no such key or state, or the value cannot be one of the key.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--filter {text}: expected KEY=VALUE, as in model.num_layers=2 or state=finished.")
    if name == "state":
        if value not in STATES:
            raise InputError(f"--filter {text}: expected {', '.join(STATES[:-1])} or {STATES[-1]}, got {value!r}.")
        return Filter(name, "", value)
    section, _, key = name.partition(".")
    fields = fields_of(Config, section) if section in Config.model_fields else {}
    if key not in fields:
        unknown = describe_unknown(Config, (section, key) if section in Config.model_fields else (section,))
        raise InputError(f"--filter {name}: {unknown} Or filter by state.")
    kind = fields[key].get("type")
    try:
        wanted = value if kind == "string" else read_scalar(value)
    except ValueError as error:
        raise InputError(f"--filter {name}: {error}") from None
    if kind in ("integer", "number") and type(wanted) not in (int, float):
        raise InputError(f"--filter {name}: expected a number, got {value!r}.")
    return Filter(section, key, wanted)


def select(runs: Iterable[RunSummary], filters: Iterable[Filter], order: str) -> list[RunSummary]:
    """Return the runs that meet all conditions, in an order of ``ORDERS``; equal ones in the order of their paths."""
    conditions = list(filters)
    chosen = [run for run in runs if all(condition.accepts(run) for condition in conditions)]
    return sorted(sorted(chosen, key=ORDERS["run"]), key=ORDERS[order])
