"""Sending from this process: the relay's steps and its way out, without gateway and spool."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Self

from smtprelay.client.parcel import Parcel, whole
from smtprelay.client.receipt import Receipt, receipt_of
from smtprelay.clock import now_ms
from smtprelay.config import Config
from smtprelay.config_file import read_config
from smtprelay.credentials import read_lanes
from smtprelay.domains.checker import Checker
from smtprelay.domains.verdict import Verdict
from smtprelay.errors import InvalidMessage, Refused, TemplateError
from smtprelay.instructions import Instructions
from smtprelay.keyfiles import all_keys, require_keys
from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.offload import Offload
from smtprelay.outcome import Fact, Phase
from smtprelay.policy import Gate, Policy
from smtprelay.preparation import Preparer, Submission
from smtprelay.rendering import Rendering
from smtprelay.reply import Reject, Reply
from smtprelay.resolver import Resolver
from smtprelay.routing import Routing
from smtprelay.signing import Signer
from smtprelay.steps import Places, Steps
from smtprelay.upstream import Rates, Upstream

_LATER = "the relay was made with direct(), which has no spool: {} needs a running relay, as in Relay('smtp://…')"


class Direct:
    """From here to the smarthost.

    :raises ConfigError: a password, a key or a certificate cannot be used.
    """

    def __init__(self, config: Config) -> None:
        keys = all_keys(config)  # also one that is not published yet: another one verifies then (RFC 6376 §6.1)
        require_keys(config, keys)
        self.connections = config.upstream.connections
        self._config = config
        self._upstream = Upstream(config.upstream, hostname=config.gateway.hostname, lanes=read_lanes(config))
        self._rates = Rates(config.upstream)
        self._routing = Routing(config.upstream)
        self._resolver = Resolver(config.domain_rules.nameservers, clock=now_ms)
        preparer = Preparer(config, Signer(keys))
        self._offload = Offload(preparer)
        self._rendering = Rendering(config.templates.directory)
        names = [domain.name for domain in config.domains]
        self._checker = Checker(config.domain_rules, names, preparer.signer.keys_for)
        self._verdicts: dict[str, Verdict] = {}
        gate = Gate(_refusing(config), self._verdict)
        self._steps = Steps(Policy(config), gate, preparer, self._offload, self._rendering.render, Places())

    @classmethod
    def from_file(cls, file: str | PathLike[str]) -> Self:
        """:raises ConfigError: it, or what it names, cannot be used."""
        return cls(read_config(Path(file)))

    async def deliver(self, parcel: Parcel) -> Receipt:
        """Make the message what the relay would make of it, and hand it to the smarthost.

        :raises SMTPRelayError: what `AsyncRelay.send` raises.
        """
        limit = self._config.gateway.max_message_size
        if len(parcel.content) > limit:
            text = f"{len(parcel.content)} octets are more than [gateway] max_message_size allows ({limit})"
            raise Refused(552, "5.3.4", text)
        envelope = Envelope(parcel.reverse_path, tuple(map(Recipient, parcel.recipients)))
        submission = Submission(Origin("local"), envelope, parcel.content, now_ms())
        try:
            asked = await self._steps.instructions(submission)
            self._check(asked)
            async with self._steps.messages(submission, asked) as messages:
                if any(message.hold for message in messages):
                    raise Refused(451, "4.4.3", "DNS does not answer about the sender's domain: send it again later")
                facts = [fact for message in messages for fact in await self.hand_over(message)]
        except Reject as error:
            if isinstance(error.__context__, TemplateError):
                raise error.__context__ from None
            raise Refused(error.reply.code, error.reply.enhanced, error.reply.text) from None
        return receipt_of(parcel.recipients, facts, id=messages[0].id)

    def _check(self, asked: Instructions) -> None:
        """:raises InvalidMessage: it takes a spool."""
        for what, given in (("idempotency_key", asked.idempotency_key), ("send_at", asked.send_at)):
            if given:
                raise InvalidMessage(_LATER.format(what))

    async def hand_over(self, message: Message) -> list[Fact]:
        """Send what was made. :returns: one fact for each of its recipients, in their order."""
        facts: list[Fact] = []
        size = self._config.upstream.recipients_per_transaction
        body = partial(whole, message.content)
        for start in range(0, len(message.envelope.recipients), size):
            parted = self._routing.parted(message, message.envelope.recipients[start : start + size])
            if not parted.sent:
                facts += map(_refused, parted.facts(()))
                continue
            while wait := self._rates.wait(message.credential):
                await asyncio.sleep(wait)
            self._rates.take(message.credential, len(parted.sent))
            report = await self._upstream.send(message.credential, message, parted.sent, body)
            facts += map(_refused, parted.facts(report.facts))
        return facts

    async def _verdict(self, domain: str) -> Verdict:
        """How a domain stands; looked up again when that has expired."""
        now = now_ms()
        known = self._verdicts.get(domain)
        if known is None or known.expires_at <= now:
            known = self._verdicts[domain] = await self._checker.check(domain, self._resolver, now)
        return known

    async def close(self) -> None:
        """Let connections, threads and processes go."""
        for part in (self._upstream, self._rendering, self._offload, self._resolver):
            await part.close()


def _refused(fact: Fact) -> Fact:
    """There is nowhere to keep what is captured."""
    if fact.phase is not Phase.ROUTING:
        return fact
    text = f"{fact.error}, and direct() has nowhere to keep it: use a running relay, as in Relay('smtp://…')"
    return replace(fact, reply=Reply(550, "7.1", text), local=True)


def _refusing(config: Config) -> Config:
    """There is nowhere to hold a message."""
    rules = config.domain_rules
    if rules.on_failure != "hold":
        return config
    return config.model_copy(update={"domain_rules": rules.model_copy(update={"on_failure": "reject"})})
