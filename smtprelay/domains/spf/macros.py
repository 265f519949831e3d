"""SPF's macros (RFC 7208 §7): the strings that names and explanations are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

MAX_NAME = 253  # octets of a domain name as text, RFC 7208 §7.3
MAX_LABEL = 63  # RFC 1035 §2.3.4

_LITERALS = {"%%": "%", "%_": " ", "%-": "%20"}  # RFC 7208 §7.3
# macro-expand and macro-literal of RFC 7208 §7.1; SP is for explanations (§6.2).
_PIECE = re.compile(r"%\{[a-z][0-9]*r?[-.+,/_=]*\}|%[-%_]|[!-$&-~ ]+", re.IGNORECASE)
_MACRO = re.compile(r"%\{([a-z])([0-9]*)(r?)([-.+,/_=]*)\}", re.IGNORECASE)
_LETTERS = frozenset("slodiphv")
_EXPLANATION_LETTERS = _LETTERS | frozenset("crt")  # RFC 7208 §7.2
_TOP_LABEL = re.compile(r"[0-9a-z](?:[0-9a-z-]*[0-9a-z])?", re.IGNORECASE)
# What a question may be asked of: visible ASCII and the space of %_, but no escape of RFC 1035 §5.1.
_NAME = re.compile(r"[ -\[\]-~]+")


@dataclass(frozen=True, slots=True)
class Macro:
    """One macro of a string.

    :param letter: in lower case.
    :param parts: how many, from the right; 0 for all.
    :param escape: as in a URL: the letter was in upper case.
    """

    letter: str
    parts: int
    reverse: bool
    delimiters: str
    escape: bool

    def expand(self, value: str) -> str:
        """RFC 7208 §7.3."""
        parts = re.split(f"[{re.escape(self.delimiters)}]", value)
        if self.reverse:
            parts.reverse()
        text = ".".join(parts[-self.parts :])
        return quote(text, safe="") if self.escape else text


MacroString: TypeAlias = tuple[str | Macro, ...]


def parse_domain_spec(text: str) -> MacroString:
    """The domain of a term (``domain-spec``).

    :raises ValueError: says what is wrong with it.
    """
    if not text:
        raise ValueError("a domain name is missing")
    pieces = _PIECE.findall(text)
    string = _parse(text, pieces, _LETTERS)
    # domain-end of RFC 7208 §7.1. It is about what was written, not about what the macros expand to.
    if " " in text or not (pieces[-1].startswith("%") or _has_top_label(text)):
        raise ValueError("the domain name is not a full one")
    return string


def parse_macro_string(text: str) -> MacroString:
    """The value of a modifier that nobody knows.

    :raises ValueError: says what is wrong with it.
    """
    return _parse(text, _PIECE.findall(text), _LETTERS)


def parse_explanation(text: str) -> MacroString:
    """What ``exp`` leads to (RFC 7208 §6.2).

    :raises ValueError: says what is wrong with it.
    """
    return _parse(text, _PIECE.findall(text), _EXPLANATION_LETTERS)


def _has_top_label(text: str) -> bool:
    rest, _, label = text.removesuffix(".").rpartition(".")
    has_dot = rest or text.startswith(".")
    return bool(has_dot and _TOP_LABEL.fullmatch(label) and not label.isdigit())


def _parse(text: str, pieces: list[str], letters: frozenset[str]) -> MacroString:
    if "".join(pieces) != text:
        raise ValueError("a % must be written %%, unless it begins a macro" if "%" in text else "it is not plain ASCII")
    return tuple(_parse_piece(piece, letters) for piece in pieces)


def _parse_piece(piece: str, letters: frozenset[str]) -> str | Macro:
    match = _MACRO.fullmatch(piece)
    if not match:
        return _LITERALS.get(piece, piece)
    letter, digits, reverse, delimiters = match.groups()
    if letter.lower() not in letters:
        raise ValueError(f"there is no macro %{{{letter}}} here")
    if digits and not digits.strip("0"):
        raise ValueError(f"%{{{letter}0}} takes no part of a name")  # "MUST be nonzero", RFC 7208 §7.3
    # A name has fewer parts than ten digits can say, and int() takes no more than some thousand of them.
    parts = int(digits or 0) if len(digits) < 10 else 0
    return Macro(letter.lower(), parts, bool(reverse), delimiters or ".", letter.isupper())


def known_without_client(top: str, domain: str) -> dict[str, str]:
    """The values of macros (RFC 7208 §7.2) that do not depend on a client and its mail.

    :param top: the domain of the sender.
    :param domain: that of the record.
    """
    return {"o": top, "d": domain}


def expand(string: MacroString, values: Mapping[str, str]) -> str | None:
    """The text with the macros' values; None where one of them is not known."""
    pieces = []
    for piece in string:
        if isinstance(piece, Macro):
            if piece.letter not in values:
                return None
            pieces.append(piece.expand(values[piece.letter]))
        else:
            pieces.append(piece)
    return "".join(pieces)


def expand_name(string: MacroString, values: Mapping[str, str]) -> str | None:
    """The same as a name to look up: without a trailing dot, and no longer than a name may be."""
    name = expand(string, values)
    if name is None:
        return None
    name = name.removesuffix(".")
    if len(name) <= MAX_NAME:
        return name
    # RFC 7208 §7.3: labels go from the left. Not one by one: a record can name a quarter of a million.
    return name[-MAX_NAME - 1 :].partition(".")[2]


def uses(string: MacroString, letter: str) -> bool:
    """Whether a macro of that letter is in it."""
    return any(isinstance(piece, Macro) and piece.letter == letter for piece in string)


def is_name(text: str) -> bool:
    """Whether a question can be asked of it at all (RFC 7208 §4.3)."""
    labels = text.removesuffix(".").split(".")
    return len(text) <= MAX_NAME and bool(_NAME.fullmatch(text)) and all(0 < len(x) <= MAX_LABEL for x in labels)


def fold(name: str) -> str:
    """For comparison: names differ neither by case nor by a trailing dot."""
    return name.lower().removesuffix(".")
