"""A trained model as Python sees it: ``charlm.load("runs/x").sample(prompt="...")``."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from charlm.errors import InputError
from charlm.inference.dynamic import Adaptation, DynamicEvaluator
from charlm.inference.evaluation import Evaluation, evaluate
from charlm.inference.generation import encode_prompt, generate, sample_texts, stream_text
from charlm.inference.randomness import random_seed
from charlm.inference.reading import Reading, read_text
from charlm.inference.sampling import DEFAULTS, Sampling
from charlm.model import CharLM
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.opening import open_model
from charlm.system.device import choose_device
from charlm.text.corpus import load_corpus
from charlm.text.remapping import RemappedIds
from charlm.text.streams import split_ids
from charlm.text.vocabulary import OnUnknown, Vocabulary


@dataclass(frozen=True)
class TrainedModel:
    """A model, its vocabulary, and the checkpoint that they come from.

    Attributes:
        model: the network, in evaluation mode.
        vocabulary: its symbols.
        checkpoint: the configuration, the step, the validation loss.
    """

    model: CharLM
    vocabulary: Vocabulary
    checkpoint: Checkpoint

    def sample(
        self,
        prompt: str = DEFAULTS.prompt,
        length: int = DEFAULTS.length,
        temperature: float = DEFAULTS.temperature,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: str | None = None,
        on_unknown: OnUnknown = "error",
    ) -> str:
        """Return one sample, beginning with the prompt.

        Args:
            prompt: text to continue; empty to start a new text.
            length: characters (or bytes) to make, at least 1.
            temperature: at least 0; 0 always takes the likeliest character, 1 leaves the model's probabilities as
                they are.
            top_k: choose among the k likeliest characters only.
            top_p: choose among the fewest likeliest characters that together have this probability.
            seed: equal seeds give equal samples, 0 to 2^63 - 1; None for a random seed.
            stop: end before this text.
            on_unknown: what to do with characters of the prompt that the model does not know.

        Raises:
            InputError: an argument is out of range, or the prompt has an unknown character.
        """
        return self.sample_many(1, prompt, length, Sampling(temperature, top_k, top_p), seed, stop, on_unknown)[0]

    def sample_many(
        self,
        num_samples: int,
        prompt: str = DEFAULTS.prompt,
        length: int = DEFAULTS.length,
        sampling: Sampling | None = None,
        seed: int | None = None,
        stop: str | None = None,
        on_unknown: OnUnknown = "error",
    ) -> list[str]:
        """Return several samples, the first being that of ``sample`` for the same seed; the arguments are as there."""
        return list(self.iterate_samples(num_samples, prompt, length, sampling, seed, stop, on_unknown))

    def iterate_samples(
        self,
        num_samples: int,
        prompt: str = DEFAULTS.prompt,
        length: int = DEFAULTS.length,
        sampling: Sampling | None = None,
        seed: int | None = None,
        stop: str | None = None,
        on_unknown: OnUnknown = "error",
    ) -> Iterator[str]:
        """Yield the samples of ``sample_many`` in batches, so that any number of them fits the memory."""
        yield from sample_texts(
            self.model, self.vocabulary, prompt, length, num_samples, sampling, seed, stop, on_unknown
        )

    def stream(
        self,
        prompt: str = DEFAULTS.prompt,
        length: int | None = DEFAULTS.length,
        sampling: Sampling | None = None,
        seed: int | None = None,
        stop: str | None = None,
        on_unknown: OnUnknown = "error",
    ) -> Iterator[str]:
        """Yield the sample that ``sample`` returns piece by piece, the prompt first; without end if length is None."""
        prompt_ids, shown = encode_prompt(self.vocabulary, prompt, on_unknown)
        yield shown
        seed = random_seed() if seed is None else seed
        blocks = generate(self.model, prompt_ids, range(1), length, sampling or Sampling(), seed)
        yield from stream_text(blocks, self.vocabulary, stop)

    def evaluate_split(self, split: str, window: int | None = None) -> Evaluation:
        """Measure the exact loss of a part of the corpus that the model was trained on.

        Args:
            split: ``train``, ``val`` or ``test``.
            window: start from the zero state every so many characters; None to carry the state.

        Raises:
            InputError: the corpus is missing or has changed, or the part is empty.
        """
        return evaluate(self.model, self.load_split(split), window)

    def evaluate_text(self, path: str, window: int | None = None) -> Evaluation:
        """Measure the exact loss of any text.

        Characters that the model does not know are left out, since it gives them no probability; the result has their
        number.

        Args:
            path: a file, a directory, a glob, or ``builtin:NAME``.
            window: start from the zero state every so many characters; None to carry the state.

        Raises:
            InputError: the text cannot be read, or has fewer than 2 characters that the model knows.
        """
        known = self.load_text(path)
        return replace(evaluate(self.model, known, window), num_unknown=known.num_unknown)

    def evaluate_dynamic(self, split: str = "val", text: str | None = None) -> tuple[Evaluation, Adaptation]:
        """Measure the loss of a copy of the model that learns from the text while it reads it.

        Every character is scored before the weights may learn from it. How fast they learn is chosen on the training
        part, never on what is scored. The model is not changed.

        Args:
            split: ``train``, ``val`` or ``test``; ignored where a text is given.
            text: a file, a directory, a glob, or ``builtin:NAME``; None for a part of the training corpus.

        Returns:
            The loss, and the rate and decay with which the weights learned.

        Raises:
            InputError: the corpus is missing or has changed, or the text cannot be read or is too short.
        """
        evaluator = DynamicEvaluator(self.model, self.load_split("train"))
        if text is None:
            return evaluator.evaluate(self.load_split(split)), evaluator.adaptation
        known = self.load_text(text)
        return replace(evaluator.evaluate(known), num_unknown=known.num_unknown), evaluator.adaptation

    def inspect(self, text: str, on_unknown: OnUnknown = "error") -> Reading:
        """Return what the model computes while it reads a text: its predictions, and the activations of its cells.

        Memory grows with the text: 24 bytes for each cell and character.

        Args:
            text: at least 2 characters (or bytes) that the model knows.
            on_unknown: what to do with characters that the model does not know.

        Raises:
            InputError: the text is too short, or has an unknown character.

        Example:
            reading = model.inspect("To be, or not to be")
            print(reading.surprise_bits)             # (T,)
            print(reading.activations["c"][0, :, 7])  # cell 7 of the first layer
        """
        return read_text(self.model, self.vocabulary, self.vocabulary.encode(text, on_unknown))

    def load_split(self, split: str) -> Tensor:
        """Return the ids of a part of the training corpus, (N,).

        Args:
            split: ``train``, ``val`` or ``test``.

        Raises:
            InputError: the corpus is missing or has changed, or the part is empty.
        """
        data = self.checkpoint.config.data
        part: Tensor = getattr(split_ids(self.load_ids(), data.val_frac, data.test_frac), split)
        if len(part) < 2:
            raise InputError(f"the {split} part is empty (data.{split}_frac=0); choose another --split.")
        return part

    def load_ids(self) -> Tensor:
        """Return the ids of the training corpus, all parts of it, (N,).

        Raises:
            InputError: the corpus is missing or has changed.
        """
        data = self.checkpoint.config.data
        corpus = load_corpus(data.path, data.level)
        if corpus.digest != self.checkpoint.corpus_digest:
            raise InputError(
                f"{data.path}: the text has changed since the model was trained; "
                "put the old one back, or give another text with --text."
            )
        return corpus.ids

    def load_text(self, path: str) -> RemappedIds:
        """Return the characters of a text that the model knows.

        Args:
            path: a file, a directory, a glob, or ``builtin:NAME``.

        Raises:
            InputError: the text cannot be read, or has fewer than 2 such characters.
        """
        corpus = load_corpus(path, self.vocabulary.level)
        known = RemappedIds(corpus, self.vocabulary)
        if len(known) < 2:
            raise InputError(
                f"{path}: the model knows {len(known)} of its {len(corpus.ids):,} characters; give at least 2."
            )
        return known


def load(run: str | Path, device: str = "auto", warn: Callable[[str], None] = warnings.warn) -> TrainedModel:
    """Return the trained model of a run directory (its best checkpoint), a checkpoint file, or an export.

    Args:
        run: the path.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        warn: called with a message for each damaged checkpoint of the directory that is replaced by an earlier one.

    Raises:
        InputError: there is no sound checkpoint, or the device is not there.
    """
    chosen = choose_device(device)
    checkpoint, damaged = open_model(Path(run))
    for reason in damaged.values():
        warn(f"{reason} Taken in its place: the save of step {checkpoint.step}.")
    return TrainedModel(checkpoint.build_model(chosen), checkpoint.vocabulary, checkpoint)
