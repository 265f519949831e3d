"""Why something was refused, as one of a few words: what is counted must not have as many names as there are texts.
And whose mail to whom it was, for the log."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from smtprelay.gateway.commands import parse_mail, parse_rcpt
from smtprelay.gateway.transaction import Transaction
from smtprelay.policy import NotSetUp
from smtprelay.reply import Reject, SMTPReplyError
from smtprelay.suppression import NotSentTo

# By the basic code, and else by subject and detail of the enhanced code (RFC 3463): ours, so each is here on purpose.
_BY_CODE = {530: "login_needed", 535: "login_wrong", 538: "login_needed", 555: "syntax"}
_BY_DETAIL = {
    "3.0": "failure",
    "3.1": "disk_full",
    "3.4": "too_large",
    "3.5": "failure",
    "4.6": "loop",
    "5.3": "too_many_recipients",
    "6.7": "smtputf8",
    "7.1": "not_allowed",
}
_BY_SUBJECT = {"1": "syntax", "5": "syntax", "6": "content", "7": "domain"}
_BY_KIND: Mapping[type[SMTPReplyError], str] = {NotSetUp: "domain", NotSentTo: "suppressed"}
REASONS = frozenset({*_BY_KIND.values(), *_BY_CODE.values(), *_BY_DETAIL.values(), *_BY_SUBJECT.values(), "other"})


def reason_of(error: SMTPReplyError) -> str:
    """One of `REASONS`."""
    reply = error.reply
    if kind := _BY_KIND.get(type(error)):
        return kind
    subject = reply.detail.partition(".")[0]
    return _BY_CODE.get(reply.code) or _BY_DETAIL.get(reply.detail) or _BY_SUBJECT.get(subject, "other")


def envelope_of(verb: str, argument: str, message: Transaction | None) -> dict[str, str | None]:
    """What a refused command is about, for the log: the reverse-path, None where it cannot be told, and at RCPT the
    recipient.

    :param message: the one that had begun before the command.
    """
    about = {"reverse_path": message.mail.reverse_path if message else None}
    with suppress(Reject):
        if verb == "MAIL":
            about["reverse_path"] = parse_mail(argument).reverse_path
        elif verb == "RCPT":
            about["recipient"] = parse_rcpt(argument).address
    return about
