"""The errors that charlm raises on purpose, each with its exit status and what goes before its message."""


class CharlmError(Exception):
    """The run failed through no mistake of the user's: the disk is full, the loss is not a number."""

    exit_status = 1
    label = "Error"


class OutOfMemoryError(CharlmError):
    """An allocation of memory failed; the message says how much was asked for, if that is known, and what to change."""


class InputError(CharlmError):
    """What the user gave cannot be used; the message says where, what, the value and the remedy."""

    exit_status = 2


class ArgumentError(InputError):
    """An argument of a function has a wrong value; the command line names the option that sets it instead.

    Args:
        name: name of the parameter, as in ``top_k``, or of the configuration key.
        problem: what was expected, the value and the remedy.
    """

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(f"{name}: {problem}")


class DamagedError(InputError):
    """What charlm wrote itself is no longer what it wrote."""


class ConfigError(InputError):
    """A configuration with mistakes.

    Args:
        source: where the configuration came from, as the user would name it.
        problems: one line a mistake, each with its place, value and remedy.
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n  ".join([f"{source} has {count}; nothing was written.", *problems]))


class StoppedError(CharlmError):
    """A signal ended the run after its state was saved.

    Args:
        message: what was saved and how to go on.
        signal_number: the signal's number; the exit status is 128 above it.
    """

    label = "Stopped"

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number
