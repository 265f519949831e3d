"""What is told to people: in their language, and times, intervals and sizes as they read them.

A sentence in English is its own key: `say("held since {at}", at=…)`. `smtprelay.words_zh` has the Chinese ones, and is
imported where somebody reads Chinese. What was kept or sent in English is told anew, by `smtprelay.retelling`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NewType, Protocol

Sentence = NewType("Sentence", str)  # marks a sentence in a table, which is said later; tests look for the mark

_UNITS = ((86_400, Sentence("{count}d")), (3600, Sentence("{count}h")), (60, Sentence("{count}m")))
_SECONDS = Sentence("{count}s")
_BIDI_CONTROLS = {  # Unicode UAX #9 §2
    code: f"\\u{code:04x}" for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | _BIDI_CONTROLS
_IN_JSON = {code for code in _CONTROLS if code >= 0x20}  # JSON itself escapes the others


class Say(Protocol):
    """Tells a sentence in the reader's language."""

    def __call__(self, sentence: str, /, **values: object) -> str:
        """:param sentence: in English, with ``{placeholders}``; or, without `values`, what was told in English."""


def english(sentence: str, /, **values: object) -> str:
    return sentence.format(**values) if values else sentence


def capitalised(clause: str) -> str:
    """A clause as a sentence begins. A domain's name keeps its case."""
    return clause if "." in clause.partition(" ")[0] else clause[:1].upper() + clause[1:]


def in_language(language: str) -> Say:
    """How to tell something in a language: in Chinese, or else in English.

    :param language: a tag (RFC 5646) or the name of a locale.
    """
    if not language.lower().startswith("zh"):
        return english
    from smtprelay.retelling import Retelling
    from smtprelay.words_zh import CHINESE, RETOLD

    return saying(CHINESE, Retelling(RETOLD))


def saying(sentences: Mapping[str, str], retell: Callable[[str], str]) -> Say:
    """Tells the sentences of a catalogue.

    :param retell: for what was told in English and is none of them.
    """

    def say(sentence: str, /, **values: object) -> str:
        if values or sentence in sentences:
            return english(sentences.get(sentence, sentence), **values)
        return retell(sentence)

    return say


def language_of(environment: Mapping[str, str]) -> str:
    """The language that messages to a terminal are wanted in (POSIX, Base Definitions §8.2)."""
    return next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")


def local_time(at: int) -> str:
    """Unix milliseconds with the local offset."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at / 1000)) if at else "-"


def interval(milliseconds: int, say: Say = english) -> str:
    """``90_000`` → ``1m 30s``, two units at most."""
    seconds = max(milliseconds, 0) // 1000
    parts = []
    for length, unit in _UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(say(unit, count=count))
    if seconds or not parts:
        parts.append(say(_SECONDS, count=seconds))
    return " ".join(parts[:2])


def octets(size: float) -> str:
    """``5300`` → ``5.2 KiB``."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def without_bidi_controls(text: str) -> str:
    """Strangers' words for a terminal: what would have it show the rest of the line in another order is escaped."""
    return text if text.isascii() else text.translate(_BIDI_CONTROLS)


def harmless(text: str) -> str:
    """Strangers' words on one line of a terminal, to which they are no commands: control characters are escaped too."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def harmless_json(text: str) -> str:
    """JSON of strangers' words, which means the same."""
    escaped = (f"\\u{ord(character):04x}" if ord(character) in _IN_JSON else character for character in text)
    return text if _IN_JSON.isdisjoint(map(ord, text)) else "".join(escaped)
