"""How a run went."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from smtprelay.client.receipt import Receipt, Result
from smtprelay.contacts import BadLine, Duplicate
from smtprelay.errors import Ambiguous, Refused, Unreachable

Noted = Result | BadLine | Duplicate


@dataclass
class Tally:
    """How it went so far.

    :ivar sent: contacts whose message was handed over, now or before.
    :ivar before: those of them whose message had been handed over before.
    :ivar refused: contacts that nothing can be sent to as it is.
    :ivar suppressed: contacts that are not to be sent to.
    :ivar later: contacts that were refused for now, for whom the relay was not reached, or of whom it is not known
        whether the message was handed over.
    :ivar bad_lines: lines that cannot be used.
    :ivar duplicates: lines with an address that had come before.
    :ivar unreachable: why the relay could not be reached any more, or ``""``.
    :ivar unheard: why results could not be written any more, or ``""``.
    :ivar interrupted: whether Ctrl-C ended it.
    """

    sent: int = 0
    before: int = 0
    refused: int = 0
    suppressed: int = 0
    later: int = 0
    bad_lines: int = 0
    duplicates: int = 0
    unreachable: str = ""
    unheard: str = ""
    interrupted: bool = False
    began: float = field(default_factory=time.monotonic)

    def count(self, item: Noted) -> None:
        match item:
            case BadLine():
                self.bad_lines += 1
            case Duplicate():
                self.duplicates += 1
            case Result(receipt=receipt) if receipt:
                self.sent += 1
                self.before += receipt.repeated
            case Result(error=Unreachable() as error):
                self.unreachable = self.unreachable or str(error)
                self.later += 1
            case Result(error=Ambiguous()):
                self.later += 1
            case Result(error=Refused(temporary=True)):
                self.later += 1
            case Result(error=Refused(suppressed=True)):
                self.suppressed += 1
            case Result():
                self.refused += 1

    @property
    def failed(self) -> int:
        return self.refused + self.later + self.bad_lines

    @property
    def complete(self) -> bool:
        """Whether another run would send nothing more."""
        return not (self.interrupted or self.unreachable or self.unheard or self.later)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """Messages handed over a second."""
        return self.sent / max(self.seconds, 0.001)

    @property
    def status(self) -> int:
        """One of sysexits' codes."""
        if self.unreachable and not self.sent:
            return os.EX_UNAVAILABLE
        if not self.complete:
            return os.EX_TEMPFAIL
        return os.EX_DATAERR if self.refused or self.bad_lines else os.EX_OK


def status_of(receipt: Receipt) -> int:
    """The same for one message, of which some recipients may have been refused."""
    if receipt.doubtful:
        return os.EX_TEMPFAIL
    if not receipt.refused:
        return os.EX_OK
    return os.EX_TEMPFAIL if all(refusal.temporary for refusal in receipt.refused.values()) else os.EX_DATAERR
