"""Who is really mailed: `[upstream] mode` and its rules → deliver, capture or redirect; nobody who is suppressed.

On a test system nobody else may be mailed, whatever lies in its spool. So the question is asked where mail leaves, each
time; and in doubt the answer is to capture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from smtprelay.config.upstream import Rule, Upstream
from smtprelay.message import Message, Recipient, Suppressed
from smtprelay.outcome import Fact, Phase
from smtprelay.values import matches
from smtprelay.words import Say, english

NOBODY: Mapping[str, Suppressed] = {}
_BY_MODE = {"live": "deliver", "redirect": "redirect"}


@dataclass(frozen=True, slots=True)
class Deliver:
    """To the recipient."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """To somebody else in place of the recipient."""

    to: str


@dataclass(frozen=True, slots=True)
class Capture:
    """To nobody: it stays here.

    :param why: the setting that says so.
    """

    why: str

    def __str__(self) -> str:
        return f"not sent: {self.why}"


Route = Deliver | Redirect | Capture | Suppressed


class Routing:
    """The rules, and the mode where none of them matches.

    :ivar captures: some mail stays here.
    :ivar changes: how often there have been other rules.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.changes = 0
        self.use(upstream)

    def use(self, upstream: Upstream) -> None:
        """Go by other rules from now on."""
        self.changes += 1
        self._rules: Sequence[Rule] = upstream.rules
        by_mode = _BY_MODE.get(upstream.mode, "")
        self._by_mode = _route(by_mode, upstream.redirect_to, f"[upstream] mode = {upstream.mode}")
        self.captures = isinstance(self._by_mode, Capture) or any(rule.action == "capture" for rule in self._rules)

    def route(self, account: str, sender: str, recipient: str) -> Route:
        """What becomes of mail.

        :param account: `Origin.key`.
        :param sender: the reverse-path.
        """
        for number, rule in enumerate(self._rules, 1):
            if _applies(rule, account, sender, recipient):
                return _route(rule.action, rule.to, f"[[upstream.rules]] number {number}")
        return self._by_mode

    def parted(
        self, message: Message, recipients: Sequence[Recipient], suppressed: Mapping[str, Suppressed] = NOBODY
    ) -> Parted:
        """The recipients of a message by what becomes of them.

        :param suppressed: by the address: who is not to be sent to.
        """
        if not (self._rules or suppressed):
            return Parted(recipients, (self._by_mode,) * len(recipients))
        account, sender = message.origin.key, message.envelope.reverse_path
        routes: list[Route] = []
        for recipient in recipients:
            route = self.route(account, sender, recipient.address)
            routes.append(suppressed.get(recipient.address, route) if isinstance(route, Deliver) else route)
        return Parted(recipients, routes)

    def told(self, say: Say = english) -> str:
        """For operators: who is really mailed; ``""`` where all mail goes to its recipients.

        :param say: tells a sentence in the reader's language.
        """
        match self._by_mode:
            case Capture():
                told = say("mode = sandbox: nobody is mailed; what would have left is kept here")
            case Redirect(to):
                told = say("mode = redirect: all mail goes to {to}", to=to)
            case Deliver():
                told = say("some mail does not go to its recipients: see [[upstream.rules]]")
                return told if self._rules else ""
        return say("{mode}; but [[upstream.rules]] make exceptions", mode=told) if self._rules else told


class Parted:
    """The recipients of one attempt, parted.

    :ivar sent: whom the smarthost is told of, each address once: those who are mailed, and whom mail is redirected to.
    """

    def __init__(self, recipients: Sequence[Recipient], routes: Sequence[Route]) -> None:
        self._recipients = recipients
        self._routes = routes
        told = {
            recipient.address: recipient
            for recipient, route in zip(recipients, routes, strict=True)
            if isinstance(route, Deliver)
        }
        for route in routes:
            if isinstance(route, Redirect):  # no report of a test goes to its sender
                told.setdefault(route.to, Recipient(route.to, notify="NEVER"))
        self.sent = tuple(told.values())

    def facts(self, of_sent: Sequence[Fact]) -> tuple[Fact, ...]:
        """One for each recipient.

        :param of_sent: one for each of `sent`.
        """
        told = {recipient.address: fact for recipient, fact in zip(self.sent, of_sent, strict=True)}
        return tuple(
            _fact(recipient, route, told) for recipient, route in zip(self._recipients, self._routes, strict=True)
        )


def _fact(recipient: Recipient, route: Route, told: Mapping[str, Fact]) -> Fact:
    match route:
        case Deliver():
            return told[recipient.address]
        case Redirect(to):
            return replace(told[to], redirected_to=to)
        case Capture():
            return Fact(Phase.ROUTING, error=str(route))
        case Suppressed(_, words):
            return Fact(Phase.ROUTING, error=words, suppressed=route)


def _applies(rule: Rule, account: str, sender: str, recipient: str) -> bool:
    """Whether all that a rule names matches."""
    return (
        rule.account in ("", "*", account)
        and (not rule.sender or matches((rule.sender,), sender))
        and (not rule.recipient or matches((rule.recipient,), recipient))
    )


def _route(action: str, to: str, why: str) -> Route:
    match action:
        case "deliver":
            return Deliver()
        case "redirect" if to:
            return Redirect(to)
    return Capture(why)
