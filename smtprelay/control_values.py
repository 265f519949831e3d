"""What both sides of the control socket know. The command line imports it at every start: it stays light."""

from __future__ import annotations

from dataclasses import dataclass

MESSAGE = "message/rfc822"  # the type of an answer that is no JSON


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an action.

    :param recipients: how many it changed.
    :param undone: why nothing was done to messages that were named: a sentence for each.
    """

    recipients: int
    undone: tuple[str, ...] = ()
