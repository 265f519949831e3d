"""English and Chinese: which one a browser wants, and how the page reads in it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Literal

from smtprelay.retelling import Retelling
from smtprelay.web.words_zh import PAGE
from smtprelay.words import Say, Sentence, english, interval, local_time, saying
from smtprelay.words_zh import CHINESE, RETOLD

Language = Literal["en", "zh"]

MAX_ACCEPTED = 20  # ranges of an Accept-Language field that are looked at

_RANGE = re.compile(r"\s*(\*|[A-Za-z]{1,8})(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")
_chinese = saying({**CHINESE, **PAGE}, Retelling(RETOLD))

# Words that templates say of a value.
TERMS = (
    *(Sentence("queued"), Sentence("sending"), Sentence("held"), Sentence("delivered"), Sentence("bounced")),
    *(Sentence("suppressed"), Sentence("cancelled"), Sentence("captured")),
    *(Sentence("accepted"), Sentence("deferred")),
    *(Sentence("ok"), Sentence("failed"), Sentence("unknown"), Sentence("advice")),
    *(Sentence("pending"), Sentence("active"), Sentence("retiring"), Sentence("retired")),
    *(Sentence("published"), Sentence("not published"), Sentence("another key"), Sentence("DNS fails")),
)


def preferred(accept_language: str) -> Language:
    """The language that a browser wants most of those that are here (RFC 9110 §12.5.4); English where it says
    nothing."""
    wishes: dict[str, float] = {}
    for part in accept_language.split(",", MAX_ACCEPTED)[:MAX_ACCEPTED]:
        if match := _RANGE.fullmatch(part):
            wishes.setdefault(match[1].lower(), float(match[2] or 1))
    other = wishes.get("*", 0.0)
    return "zh" if wishes.get("zh", other) > wishes.get("en", other) else "en"


@dataclass(frozen=True, slots=True)
class Words:
    """How things read in a language."""

    language: Language

    @property
    def tag(self) -> str:
        """For the attribute ``lang`` (RFC 5646)."""
        return "zh-Hans" if self.language == "zh" else "en"

    @property
    def say(self) -> Say:
        """A sentence in this language."""
        return _chinese if self.language == "zh" else english

    def interval(self, milliseconds: int) -> str:
        """``90_000`` → ``1m 30s``, two units at most."""
        return interval(milliseconds, self.say)


def number(value: float) -> str:
    """``1234567`` → ``1,234,567``."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def offset() -> str:
    """The local offset now: ``+0800``."""
    return time.strftime("%z")


def list_time(at: int) -> str:
    """As `local_time`, without the offset where it is the one of now."""
    return local_time(at).removesuffix(f" {offset()}")


def clock_time(at: int) -> str:
    """Unix milliseconds as ``20:31``, local."""
    return time.strftime("%H:%M", time.localtime(at / 1000))
