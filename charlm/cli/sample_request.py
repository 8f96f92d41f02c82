"""What a command line of charlm sample asks for, and whether its options go together."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.errors import InputError

if TYPE_CHECKING:
    from charlm.inference.sampling import Sampling
    from charlm.text.vocabulary import OnUnknown

MAX_LENGTH = 10**12
"""Characters of a sample, at most; above any use, and within 64 bits."""


@dataclass(frozen=True)
class SampleRequest:
    """The options of charlm sample, each under its own name; None for one that is not given."""

    prompt: str | None
    prompt_file: Path | None
    length: int
    temperature: float | None
    top_k: int | None
    top_p: float | None
    num_samples: int
    seed: int | None
    stop: str | None
    greedy: bool
    interactive: bool
    raw: bool
    on_unknown: "OnUnknown"
    as_json: bool

    def check(self) -> None:
        """Make sure that the options go together.

        Raises:
            InputError: a number is out of range, or two options exclude each other.
        """
        self._check_numbers()
        if self.prompt is not None and self.prompt_file is not None:
            raise InputError("--prompt and --prompt-file: give one of the two.")
        if self.greedy and self.temperature is not None:
            raise InputError("--greedy and --temperature: give one of the two; --greedy means --temperature 0.")
        if self.interactive:
            self._check_interactive()
        if self.raw and self.as_json:
            raise InputError("--raw and --json: give one of the two; JSON writes control characters as \\u001b.")
        if self.stop == "":
            raise InputError("--stop: expected a text of at least 1 character, got ''; leave it out for no stop text.")

    def choose_sampling(self) -> "Sampling":
        """Return how characters are chosen.

        Raises:
            InputError: an option is out of range.
        """
        from charlm.inference.sampling import DEFAULTS, Sampling

        temperature = self.temperature
        if temperature is None:
            temperature = 0.0 if self.greedy else DEFAULTS.temperature
        return Sampling(temperature, self.top_k, self.top_p)

    def _check_numbers(self) -> None:
        length = self.length
        if length < 0:
            raise InputError(f"--length: expected a number of at least 0 (0 for an endless stream), got {length}.")
        if length > MAX_LENGTH:
            raise InputError(f"--length: expected at most {MAX_LENGTH:,}, got {length}; give 0 for an endless stream.")
        if self.num_samples < 1:
            raise InputError(f"--num-samples: expected a number of at least 1, got {self.num_samples}.")
        if length == 0 and self.num_samples > 1:
            raise InputError("--length 0: only one stream can be endless; give a length, or leave --num-samples out.")
        if length == 0 and self.as_json:
            raise InputError("--length 0: an endless stream makes no JSON object; give a length, or leave --json out.")

    def _check_interactive(self) -> None:
        if self.prompt == "-" or str(self.prompt_file) == "-":
            raise InputError(
                "--interactive: reads standard input, so the prompt cannot come from it; give it as a file."
            )
        if self.num_samples > 1 or self.as_json:
            raise InputError("--interactive: writes one text; leave --num-samples and --json out.")
