"""Vocabularies: encode text to ids and decode ids to text.

A symbol is a Unicode code point (level ``char``) or a byte (level ``byte``); its id is its index in the vocabulary.
"""

import codecs
import difflib
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from charlm.errors import InputError

if TYPE_CHECKING:  # a vocabulary is read and compared without torch
    from torch import Tensor

Level = Literal["char", "byte"]
OnUnknown = Literal["error", "skip", "replace"]


class TextDecoder(Protocol):
    """An incremental decoder of bytes to text; it buffers an incomplete character."""

    def decode(self, data: bytes, final: bool = False) -> str:
        """Return the characters that ``data`` completes; with ``final``, an incomplete character as U+FFFD."""
        ...


class Vocabulary:
    """An ordered set of symbols.

    Args:
        level: ``char`` or ``byte``.
        symbols: the characters of a ``char`` vocabulary, in the order of their ids; a ``byte`` vocabulary always has
            all 256 bytes.

    Raises:
        ValueError: a symbol is not a single character or is repeated, or there are no symbols.
    """

    def __init__(self, level: Level, symbols: Iterable[str] = ()) -> None:
        self.level = level
        self.symbols = [chr(byte) for byte in range(256)] if level == "byte" else list(symbols)
        if not self.symbols or any(len(symbol) != 1 for symbol in self.symbols):
            raise ValueError("a vocabulary needs at least one symbol, and each symbol must be a single character")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("a symbol occurs twice in the vocabulary")

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.level, self.symbols) == (other.level, other.symbols)

    __hash__ = None  # type: ignore[assignment]  # equality without hashing

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each symbol."""
        return {symbol: index for index, symbol in enumerate(self.symbols)}

    def extend(self, symbols: Iterable[str]) -> "Vocabulary":
        """Return a vocabulary with further symbols after its own, whose ids stay; those that it has are left out."""
        return Vocabulary(self.level, dict.fromkeys([*self.symbols, *symbols]))

    def encode(self, text: str, on_unknown: OnUnknown = "error", where: str = "the text") -> "Tensor":
        """Return the ids of a text, (N,) int64.

        Args:
            text: any text; a byte vocabulary encodes its UTF-8 bytes.
            on_unknown: how to treat a character that is not in the vocabulary: raise an ``error``, ``skip`` it, or
                ``replace`` it with the nearest known character.
            where: name of the text in an error message.

        Raises:
            InputError: a character is not in the vocabulary and ``on_unknown`` is ``error``.
        """
        import torch

        if self.level == "byte":
            return torch.tensor(list(text.encode("utf-8", "surrogateescape")), dtype=torch.int64)
        unknown = self.find_unknown(text)
        if unknown and on_unknown == "error":
            raise InputError(self._describe_unknown(text, unknown, where))
        known = dict(self.ids)
        if on_unknown == "replace":
            known |= {symbol: self.ids[self.nearest(symbol)] for symbol in unknown}
        return torch.tensor([known[symbol] for symbol in text if symbol in known], dtype=torch.int64)

    def find_unknown(self, text: str) -> list[str]:
        """Return the characters of a text that have no id, each once; none in a byte vocabulary."""
        return [] if self.level == "byte" else [symbol for symbol in dict.fromkeys(text) if symbol not in self.ids]

    def decode(self, ids: "Tensor") -> str:
        """Return the text of ids (N,); invalid UTF-8 becomes U+FFFD."""
        return self.decoder().decode(self.to_bytes(ids), final=True)

    def to_bytes(self, ids: "Tensor") -> bytes:
        """Return the text of ids (N,) as UTF-8; ids of a byte vocabulary give their bytes unchanged."""
        values = ids.tolist()
        if self.level == "byte":
            return bytes(values)
        return "".join(self.symbols[value] for value in values).encode("utf-8", "surrogatepass")

    def decoder(self) -> TextDecoder:
        """Return an incremental decoder for the output of ``to_bytes``."""
        return codecs.getincrementaldecoder("utf-8")("replace")

    def nearest(self, symbol: str) -> str:
        """Return the known character nearest to an unknown one.

        It is the other case, the base letter, or the character of the same Unicode category with the most similar name.
        """
        base = unicodedata.normalize("NFKD", symbol)[0]
        for candidate in (symbol.swapcase(), base, base.swapcase()):
            if candidate in self.ids:
                return candidate
        name = unicodedata.name(symbol, "")
        category = unicodedata.category(symbol)[0]
        similar = [known for known in self.symbols if unicodedata.category(known)[0] == category] or self.symbols
        return max(similar, key=lambda known: difflib.SequenceMatcher(None, name, unicodedata.name(known, "")).ratio())

    def to_plain(self) -> dict[str, Any]:
        """Return a serializable description for ``from_plain``."""
        return {"level": self.level, "symbols": "" if self.level == "byte" else "".join(self.symbols)}

    @staticmethod
    def from_plain(plain: dict[str, Any]) -> "Vocabulary":
        """Return the vocabulary of a description by ``to_plain``.

        Raises:
            ValueError: the description is invalid.
        """
        level, symbols = plain.get("level"), plain.get("symbols")
        if level not in ("char", "byte") or not isinstance(symbols, str):
            raise ValueError("invalid description of a vocabulary")
        return Vocabulary(level, symbols)

    def _describe_unknown(self, text: str, unknown: list[str], where: str) -> str:
        lines = []
        for symbol in unknown[:10]:
            name = unicodedata.name(symbol, "unnamed")
            position = f"character {text.index(symbol) + 1} of {where}"
            lines.append(
                f"{symbol!r} (U+{ord(symbol):04X} {name}), {position}; the nearest known is {self.nearest(symbol)!r}"
            )
        more = f"\n  and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        listed = "\n  ".join(lines)
        return (
            f"these characters are not in the vocabulary of the model:\n  {listed}{more}\n"
            "Use --on-unknown skip or --on-unknown replace to continue."
        )
