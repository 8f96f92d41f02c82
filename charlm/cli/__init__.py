"""The command line: its commands, and the boundary where mistakes become messages and exit statuses."""

import contextlib
import os
import shlex
import sys
import warnings

import click

from charlm.cli.compare_layers import compare_layers
from charlm.cli.completion import VARIABLE, complete
from charlm.cli.evaluate import evaluate
from charlm.cli.export import export, import_
from charlm.cli.fetch import fetch
from charlm.cli.init import init
from charlm.cli.inspect import inspect
from charlm.cli.options import examples, name_option
from charlm.cli.output import show, show_mistake, warn
from charlm.cli.runs import runs
from charlm.cli.sample import sample
from charlm.cli.train import train
from charlm.errors import ArgumentError, CharlmError, PeerError
from charlm.system.idle_threads import watch_idle_threads
from charlm.system.launch import read_launch
from charlm.system.memory import explain_shortage
from charlm.system.process import (
    drop_lost_messages,
    keep_freed_memory,
    open_standard_streams,
    suppress_thread_os_errors,
)
from charlm.system.version import __version__


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples("charlm train", 'charlm sample runs/default --prompt "The "'),
)
@click.version_option(__version__)
def cli() -> None:
    """Train, sample, evaluate and compare character-level LSTM language models."""


for command in (init, train, sample, evaluate, inspect, runs, compare_layers, export, import_, fetch):
    cli.add_command(command)


def main() -> None:
    """Run the command line, or complete one for a shell.

    A mistake or a failure is one message and an exit status, never a traceback.
    """
    open_standard_streams()
    drop_lost_messages()
    suppress_thread_os_errors()
    warnings.showwarning = lambda message, *_, **__: warn(str(message))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows ?
    watch_idle_threads()
    keep_freed_memory()
    instruction = os.environ.get(VARIABLE)
    sys.exit(complete(cli, instruction) if instruction else run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    try:
        line = shlex.join(["charlm", *arguments])
        with explain_shortage(), cli.make_context("charlm", [*arguments], obj=line) as context:
            cli.invoke(context)
        return 0
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        launch = read_launch()
        if launch is None or launch.rank == 0:  # torchrun gives the same command line to every process
            show_mistake(error)
        return error.exit_code
    except CharlmError as error:
        if not isinstance(error, PeerError):
            show(f"{error.label}: {_describe(error, arguments)}", err=True)
        return error.exit_status
    except (KeyboardInterrupt, click.Abort):
        show("\nStopped. Files that were already saved are complete.", err=True)
        return 130
    except OSError as error:
        _drop_output()
        has_no_reader = isinstance(error, BrokenPipeError)
        if not has_no_reader:
            show(f"Error: {error.filename or 'output'}: {error.strerror or error}.", err=True)
        return 0 if has_no_reader else 1


def _describe(error: CharlmError, arguments: list[str]) -> str:
    """Return the message of an error, which names an option as it is typed."""
    command = cli.commands.get(arguments[0]) if arguments else None
    return name_option(error, command) if command and isinstance(error, ArgumentError) else str(error)


def _drop_output() -> None:
    """Discard the rest of stdout's buffer, because it cannot be written."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
