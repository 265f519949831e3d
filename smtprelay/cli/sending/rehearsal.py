"""`smtprelay send --dry-run`: everything but the sending."""

from __future__ import annotations

from smtprelay.client.direct import Direct
from smtprelay.instructions import Instructions
from smtprelay.message import Message
from smtprelay.outcome import Fact, Phase
from smtprelay.reply import Reply

_DONE = Fact(Phase.DOT, Reply(250, "0.0", "It can be sent"))


class Rehearsal(Direct):
    """Renders, checks and signs, and hands nothing over."""

    def _check(self, asked: Instructions) -> None:
        """A relay can do all that can be asked for."""

    async def hand_over(self, message: Message) -> list[Fact]:
        """As if the smarthost took it."""
        return [_DONE] * len(message.envelope.recipients)
