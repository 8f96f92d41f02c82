"""How a character is shown where it must be visible: control characters, invisible ones, and single bytes."""

import unicodedata
from collections.abc import Sequence

JOINERS = "\u200c\u200d"
"""Invisible characters that shape their neighbours, as in Bengali and Persian; a picture in their place would not."""

INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories without a glyph: controls, formats (among them bidirectional overrides), surrogates, private and
unassigned code points, separators of lines and paragraphs."""

PART_OF_CHARACTER = "\N{MIDDLE DOT}"
"""Stands for a byte that begins or continues a character of several bytes; the last one shows the character."""


def picture(symbol: str) -> str:
    """Return a visible text for one character: itself, its control picture, or its code point.

    A line break is shown as ``↵``; a space stays a space.
    """
    code = ord(symbol)
    if symbol == "\n":
        return "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"
    if code < 0x20:
        return chr(0x2400 + code)  # the block Control Pictures
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    if unicodedata.category(symbol) in INVISIBLE and symbol not in JOINERS:
        return _write_code_point(symbol)
    return symbol


def _write_code_point(symbol: str) -> str:
    return f"[U+{ord(symbol):04X}]"


def name_symbol(symbol: str, level: str) -> str:
    """Return a symbol of a vocabulary as it stands in a list: visible also where it is a space or a byte."""
    if level == "byte" and ord(symbol) >= 0x80:
        return f"0x{ord(symbol):02X}"
    if symbol == " ":
        return "\N{OPEN BOX}"
    category = unicodedata.category(symbol)
    if category in ("Mn", "Me", "Mc"):
        return f"\N{DOTTED CIRCLE}{symbol}"  # a combining mark needs something to stand on
    if category == "Zs" or symbol in JOINERS:
        return _write_code_point(symbol)
    return picture(symbol)


def picture_text(symbols: Sequence[str], level: str) -> list[str]:
    """Return a visible text for each symbol of a text.

    In a byte vocabulary, the last byte of a UTF-8 character shows it, the bytes before show ``·``, and a byte that
    belongs to no character shows its number, as in ``[FF]``.
    """
    if level == "char":
        return [picture(symbol) for symbol in symbols]
    data = bytes(ord(symbol) for symbol in symbols)
    shown: list[str] = []
    while len(shown) < len(data):
        character = _decode_first(data[len(shown) : len(shown) + 4])
        if character is None:
            shown.append(f"[{data[len(shown)]:02X}]")
        else:
            shown += [PART_OF_CHARACTER] * (len(character.encode()) - 1) + [picture(character)]
    return shown


def _decode_first(data: bytes) -> str | None:
    """Return the character that some bytes begin with; None if they begin with no whole one."""
    for size in range(1, len(data) + 1):
        try:
            return data[:size].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None
