"""What is checked of a configuration once the text is known, before a run starts."""

from collections.abc import Callable

from charlm.config import Config
from charlm.errors import InputError
from charlm.text.vocabulary import Vocabulary


def check_prompt(config: Config, vocabulary: Vocabulary, warn: Callable[[str], None] | None = None) -> None:
    """Make sure that every character of the prompt of training's samples is in the vocabulary.

    Args:
        config: of the run.
        vocabulary: of its text.
        warn: called with a message instead of an error, for a run that was started already; None for a new run.

    Raises:
        InputError: a character is unknown, and ``warn`` is None.
    """
    unknown = vocabulary.find_unknown(config.sample.prompt)
    if not unknown:
        return
    listed = ", ".join(f"{symbol!r} (nearest known: {vocabulary.nearest(symbol)!r})" for symbol in unknown)
    problem = f"sample.prompt={config.sample.prompt!r}: not in the text {config.data.path}: {listed}."
    if warn is None:
        raise InputError(f"{problem} Give a prompt whose characters occur in the text.")
    warn(f"{problem} Samples are made with the nearest known characters.")
