"""`[status]` and `[[webhooks]]`: how an operator sees into the daemon, and what it tells by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from smtprelay.config.section import PasswordHash, Section, require_tls_pair
from smtprelay.values import HTTPAddress, Listen, Listens, OptionalPath, RequiredPath, is_loopback, place_of, unique

Event = Literal["accepted", "delivered", "deferred", "bounced", "held", "suppressed", "captured"]


class StatusAccount(Section):
    """`[[status.accounts]]`: an operator, who logs in to the page."""

    username: str = Field(min_length=1)
    password_hash: PasswordHash


class Status(Section):
    """`[status]`: how an operator reaches the daemon."""

    listen: Listens = (Listen("127.0.0.1", 8025),)
    control: RequiredPath = Path("/run/smtprelay/control.sock")
    tls_certificate: OptionalPath = None
    tls_key: OptionalPath = None
    show_bodies: bool = False
    accounts: Annotated[tuple[StatusAccount, ...], unique("username")] = ()

    @model_validator(mode="after")
    def _is_closed_to_strangers(self) -> Status:
        require_tls_pair(self)
        open_ones = [str(listen) for listen in self.listen if not is_loopback(listen.host)]
        if open_ones and not (self.tls_certificate and self.accounts):
            raise ValueError(
                f"others can reach {', '.join(open_ones)}: set tls_certificate and tls_key, and an account in "
                "[[status.accounts]]; or listen on 127.0.0.1"
            )
        return self


class Webhook(Section):
    """`[[webhooks]]`: an address that is told of events, and the secret that signs them."""

    url: HTTPAddress = Field(repr=False)
    secret_file: OptionalPath = None
    secret_env: str = ""
    secret_credential: str = ""
    events: tuple[Event, ...] = get_args(Event)

    @model_validator(mode="after")
    def _has_one_secret(self) -> Webhook:
        if sum(map(bool, [self.secret_file, self.secret_env, self.secret_credential])) != 1:
            raise ValueError("give exactly one of secret_file, secret_env, secret_credential")
        return self


def webhook_names(webhooks: Iterable[Webhook]) -> dict[str, str]:
    """What webhooks are called wherever they are told of, by URL: ``ops.example.com``, and where several are at one
    place, ``ops.example.com#2`` and so on, in the order of the configuration."""
    names, counts = {}, Counter[str]()
    for webhook in webhooks:
        place = place_of(webhook.url)
        counts[place] += 1
        names[webhook.url] = place if counts[place] == 1 else f"{place}#{counts[place]}"
    return names
