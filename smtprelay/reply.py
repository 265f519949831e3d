"""SMTP replies, ours and the smarthost's (RFC 5321 §4.2, RFC 2034, RFC 3463).

One constructor takes the basic code and the *subject.detail* half of the enhanced status code; the
class digit is derived, so that ``550`` can never travel with ``4.7.1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets, code and <CRLF> included.
MAX_LINE = 512
_ENHANCED = re.compile(r"([245])\.([0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: basic code, enhanced status code and text.

    :param code: the basic code, 200 to 599.
    :param detail: subject and detail of the enhanced status code (``"7.1"``), or ``""`` for none: the
        greeting, the answer to EHLO, and 3yz replies have none (RFC 2034 §4).
    :param text: for a person; lines are separated by ``\\n``.
    """

    code: int
    detail: str
    text: str

    @classmethod
    def received(cls, code: int, text: str) -> Reply:
        """A reply as the other side sent it: the enhanced code is taken out of the text where its class agrees."""
        lines = [line.strip() for line in text.strip().split("\n")]
        match = _ENHANCED.match(lines[0])
        if not match or match[1] != str(code // 100):
            return cls(code, "", "\n".join(lines))
        enhanced = match[0].strip()
        # RFC 2034 §4: it stands on every line.
        return cls(code, match[2], "\n".join(_without(enhanced, line) for line in lines))

    @property
    def enhanced(self) -> str:
        """The whole enhanced status code (``"5.7.1"``), or ``""``."""
        return f"{self.code // 100}.{self.detail}" if self.detail else ""

    @property
    def status(self) -> str:
        """The enhanced status code, or the undefined one of its class (``"5.0.0"``, RFC 3463 §3.1)."""
        return self.enhanced or f"{self.code // 100}.0.0"

    @property
    def temporary(self) -> bool:
        return self.code // 100 == 4

    @property
    def permanent(self) -> bool:
        return self.code // 100 == 5

    def __str__(self) -> str:
        """The reply on one line, as logs and people read it."""
        text = " ".join(self.text.split())
        return " ".join(part for part in (str(self.code), self.enhanced, text) if part)

    def encode(self, *, one_line: bool = False) -> bytes:
        """The octets to send, <CRLF> included.

        :param one_line: for clients that read a single line of 512 octets; what does not fit is cut.
        """
        prefix = f"{self.enhanced} " if self.enhanced else ""
        room = MAX_LINE - len("250-") - len(prefix) - len("\r\n")
        lines = [_printable(" ".join(self.text.split()))[:room]] if one_line else list(_wrap(self.text, room))
        last = len(lines) - 1
        return b"".join(
            f"{self.code}{' ' if i == last else '-'}{prefix}{line}\r\n".encode("ascii") for i, line in enumerate(lines)
        )


def _without(enhanced: str, line: str) -> str:
    rest = line.removeprefix(enhanced)
    return rest.lstrip() if not rest or rest[0].isspace() else line


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("?", text.replace("§", "section "))


def _wrap(text: str, room: int) -> Iterator[str]:
    for line in text.split("\n"):
        rest = _printable(line)
        while len(rest) > room:
            cut = rest.rfind(" ", 1, room + 1)
            cut = cut if cut > 0 else room
            yield rest[:cut]
            rest = rest[cut:].lstrip()
        yield rest


class SMTPReplyError(Exception):
    """Something ends with a reply to the client; raised anywhere on a message's way in."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Reject(SMTPReplyError):
    """A permanent refusal: 5yz. The text tells a person what to do."""

    def __init__(self, code: int, detail: str, text: str) -> None:
        if code // 100 != 5:
            raise ValueError(f"a refusal is 5yz, not {code}")
        super().__init__(Reply(code, detail, text))


class Defer(SMTPReplyError):
    """A temporary refusal: 4yz. Only for when we cannot store: legacy apps drop what they hear 4yz for."""

    def __init__(self, code: int, detail: str, text: str) -> None:
        if code // 100 != 4:
            raise ValueError(f"a temporary refusal is 4yz, not {code}")
        super().__init__(Reply(code, detail, text))
