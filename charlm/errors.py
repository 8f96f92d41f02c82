"""The errors that charlm raises on purpose, each with its exit status and the label printed before its message."""


class CharlmError(Exception):
    """The run failed for a reason other than a user mistake: the disk is full, or the loss is NaN."""

    exit_status = 1
    label = "Error"


class DivergedError(CharlmError):
    """Training diverged: a loss, or the gradients of several consecutive steps, are not finite."""


class OutOfMemoryError(CharlmError):
    """A memory allocation failed; the message gives the requested size, if it is known, and what to change."""


class WriteError(CharlmError):
    """A file of a run cannot be written.

    Args:
        message: the file, the reason and the remedy.
        reason: the reason alone, in the system's words.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class InputError(CharlmError):
    """The user's input cannot be used; the message gives the place, the problem, the value and the remedy."""

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
    """A file that charlm wrote is damaged."""


class ConfigError(InputError):
    """A configuration contains mistakes.

    Args:
        source: where the configuration came from, as the user would name it.
        problems: one line per mistake, each with its place, value and remedy.
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n  ".join([f"{source} has {count}; nothing was written.", *problems]))


class StoppedError(CharlmError):
    """A signal ended the run after its state was saved.

    Args:
        message: what was saved and how to resume.
        signal_number: the signal's number; the exit status is 128 plus this number.
    """

    label = "Stopped"

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number


class PeerError(CharlmError):
    """Another process of a run that torchrun started has failed, and has told why.

    Args:
        exit_status: of that process.
    """

    def __init__(self, exit_status: int) -> None:
        super().__init__("another process of the run has failed, and has told why.")
        self.exit_status = exit_status
