"""What training tells the world while it runs."""

from collections.abc import Iterable

from charlm.config import Config
from charlm.model import CharLM
from charlm.run_directory import Row


class Reporter:
    """Hears of everything and says nothing; a subclass says what it likes, and never changes the training."""

    def read(self, activity: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        """Pass on the chunks of a corpus that is being read."""
        return chunks

    def start(self, config: Config, model: CharLM, precision: str, step: int) -> None:
        """The run is about to begin, or to go on after a step."""

    def advance(self, step: int, num_chars: int) -> None:
        """One more step was taken, over so many characters."""

    def log(self, row: Row) -> None:
        """A line of metrics was written."""

    def show_sample(self, step: int, text: str) -> None:
        """A sample was made after a validation."""

    def warn(self, message: str) -> None:
        """Something went wrong that the run survives."""

    def close(self) -> None:
        """Nothing more will come, whether the run finished or not."""
