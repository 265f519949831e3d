"""A webhook: its address, its secret, and what it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from smtprelay.config import Webhook, webhook_names

CURSOR = "webhook/"  # prefix of the facts in the spool that say how far a webhook was told


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook as it is configured, with its secret.

    :param name: for logs, figures and people: its address is often a secret too.
    :param keys: of HMAC-SHA256; each signs, so that a secret can be changed.
    """

    name: str
    url: str = field(repr=False)
    events: tuple[str, ...]
    keys: tuple[bytes, ...] = field(repr=False)

    @property
    def cursor(self) -> str:
        """The fact that says how far it was told."""
        return CURSOR + hashlib.sha256(self.url.encode()).hexdigest()[:16]


def targets(webhooks: Collection[Webhook], secrets: Mapping[str, Sequence[bytes]]) -> tuple[Target, ...]:
    """The configured webhooks with their secrets, which are given by URL."""
    names = webhook_names(webhooks)
    return tuple(Target(names[w.url], w.url, w.events, tuple(secrets[w.url])) for w in webhooks)


def wanted(webhooks: Iterable[Webhook | Target]) -> set[str]:
    """The events that somebody wants to be told."""
    return {event for webhook in webhooks for event in webhook.events}


@dataclass(frozen=True, slots=True)
class Trouble:
    """A webhook that does not take what it is told.

    :param since: Unix time in milliseconds.
    :param words: how it failed last.
    :param gone: it is not tried again by itself.
    """

    since: int
    words: str
    gone: bool = False
