"""`queue why`: what happened to a message, attempt by attempt, with the smarthost's words and what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from smtprelay.cli.common import interval, local_time, octets
from smtprelay.outcome import Phase
from smtprelay.reply import Reply
from smtprelay.spool import State

SHOWN = 8  # attempts of one recipient: the first two and the last ones

_OVER_LIMIT = (
    "Its sender is over its limit. If that is right: 'smtprelay queue release'; if the app runs wild or was broken "
    "into: 'smtprelay account suspend', then 'smtprelay queue cancel'."
)
_HELD: Mapping[str, str] = {
    "ambiguous": "It may have been delivered already. Ask the recipient or the provider, then 'smtprelay queue "
    "release' to send it (perhaps again) or 'smtprelay queue cancel'.",
    "corrupt": "What is on disk is not what was written. Check the disk, restore the spool from a backup if you can; "
    "'smtprelay queue cancel' gives the message up.",
    "dns": "DNS did not tell whether its sender's domain is set up. Once it says yes, this goes on by itself; where it "
    "says no, this is returned, or kept with on_failure = \"hold\". 'smtprelay domain check' shows what DNS says now; "
    "'smtprelay queue release' sends it without that.",
    "domain": "Its sender's domain is not set up: publish what 'smtprelay domain check' shows, and it goes on by "
    "itself; 'smtprelay queue release' sends it all the same.",
    "rate": _OVER_LIMIT,
    "recipients_per_day": _OVER_LIMIT,
    "suspended": "Its account is suspended: 'smtprelay account resume', then 'smtprelay queue release' or 'cancel'.",
}
_BY_PHASE: Mapping[str, str] = {
    Phase.CONNECT: "The smarthost could not be reached: check the network, [upstream] host and port (many clouds block "
    "port 25; try 2525 or 465).",
    Phase.GREETING: "The smarthost answers the connection but does not greet: ask the provider, or try another port.",
    Phase.STARTTLS: "TLS with the smarthost failed: check [upstream] tls and tls_ca_file.",
    Phase.EHLO: "The smarthost does not like the relay's name: check [gateway] hostname.",
    Phase.AUTH: "The smarthost refuses the log-in: check username and password of the credential ('smtprelay check').",
    Phase.POLICY: "It was held until DNS answered, and its sender's domain may not send: do what the reply says, and "
    "have the app send again.",
}
_BY_STATUS: Mapping[str, str] = {
    "1.": "The address is wrong or does not exist: correct it where the app took it from.",
    "2.2": "The recipient's mailbox is full: ask for another address, or send again later.",
    "3.4": "The message is too big for the provider: send a link instead of the attachment.",
    "6.7": "The provider takes no addresses with non-ASCII characters before the @.",
    "7.": "The provider refuses it by its policy: check the sender's domain (SPF, MX, DKIM) and the content.",
}


def explain(message: Mapping[str, Any]) -> list[str]:
    """The message's story, line by line.

    :param message: as `smtprelay.control.Operator.show` gives it.
    """
    return [line for part in (_origin(message), *map(_recipient_of(message), message["recipients"])) for line in part]


def _origin(message: Mapping[str, Any]) -> Iterator[str]:
    who = f"account {message['account']}, " if message["account"] else ""
    yield (
        f"{message['id']}  accepted {local_time(message['received_at'])} from {who}{message['client']} "
        f"({message['protocol']}, {octets(message['size'])})"
    )
    yield f"  from <{message['reverse_path']}>, subject: {message['subject'] or '-'}"
    keys = ", ".join(message["selectors"])
    signed = f"signed for {message['domain']} ({keys})" if message["domain"] else "not signed"
    yield f"  leaves through credential {message['credential']}, {signed}"
    if message["tags"]:
        yield f"  tagged {', '.join(message['tags'])}"
    if message["due_at"] > message["received_at"]:
        yield f"  not to be sent before {local_time(message['due_at'])}, as its app asked"
    if message["dsn_for"]:
        yield f"  a delivery status notification about {message['dsn_for']}"
    if message["repairs"]:
        yield f"  repaired: {'; '.join(message['repairs'])}"
    if message.get("paused"):
        pause = message["paused"]
        yield f"  CREDENTIAL PAUSED since {local_time(pause['since'])}: {pause['reply']}"
        yield f"  next log-in {local_time(pause['until'])}. {_BY_PHASE[Phase.AUTH]}"


def _recipient_of(message: Mapping[str, Any]) -> Any:
    def lines(recipient: Mapping[str, Any]) -> Iterator[str]:
        yield ""
        yield f"{recipient['recipient']}: {_standing(recipient)}"
        history = recipient["history"]
        left_out = max(len(history) - SHOWN, 0)
        for i, attempt in enumerate(history):
            if not left_out or i < 2 or i >= 2 + left_out:
                yield f"  {_attempt(attempt)}"
            elif i == 2:
                yield f"  … {left_out} more attempts …"
        if advice := _advice(message, recipient):
            yield f"  what to do: {advice}"

    return lines


def _standing(recipient: Mapping[str, Any]) -> str:
    state, reason = recipient["state"], recipient["reason"]
    attempts = f"{recipient['attempts']} attempt{'s' * (recipient['attempts'] != 1)}"
    match state:
        case State.QUEUED:
            wait = recipient["next_at"] - int(time.time() * 1000)
            when = f"next attempt in {interval(wait)}, {local_time(recipient['next_at'])}" if wait > 0 else "due now"
            return f"waiting after {attempts}, {when}"
        case State.SENDING:
            return f"being sent now, attempt {recipient['attempts']}"
        case State.HELD:
            return f"held since {local_time(recipient['updated_at'])}: {reason}"
        case State.BOUNCED:
            dsn = recipient["dsn"] or "none"
            return f"bounced ({reason}) {local_time(recipient['updated_at'])} after {attempts}; notification: {dsn}"
        case _:
            return f"{state} {local_time(recipient['updated_at'])} after {attempts}"


def _attempt(attempt: Mapping[str, Any]) -> str:
    if not attempt["ended_at"]:
        return f"{local_time(attempt['started_at'])}  #{attempt['number']} under way"
    took = (attempt["ended_at"] - attempt["started_at"]) / 1000
    doubt = " (AMBIGUOUS: it may have been delivered)" if attempt["ambiguous"] else ""
    where = f"{attempt['smarthost']} " if attempt["smarthost"] else ""
    return (
        f"{local_time(attempt['started_at'])}  #{attempt['number']} {attempt['outcome']}{doubt} at {attempt['phase']} "
        f"after {took:.1f}s: {where}{attempt['reply']}"
    )


def _advice(message: Mapping[str, Any], recipient: Mapping[str, Any]) -> str:
    state = recipient["state"]
    if state == State.HELD:
        return _HELD.get(
            recipient["reason"], "Somebody held it: 'smtprelay queue release' or 'smtprelay queue cancel'."
        )
    last = next((attempt for attempt in reversed(recipient["history"]) if attempt["ended_at"]), None)
    if last is None or state in (State.DELIVERED, State.CANCELLED, State.SUPPRESSED) or message.get("paused"):
        return ""
    if last["phase"] in _BY_PHASE:
        return _BY_PHASE[last["phase"]]
    code, _, text = last["reply"].partition(" ")
    detail = Reply.received(int(code), text).detail if code.isdecimal() and len(code) == 3 else ""
    by_status = next((advice for prefix, advice in _BY_STATUS.items() if detail.startswith(prefix)), "")
    if state == State.QUEUED:
        return by_status or "Nothing: it is tried again by itself; 'smtprelay queue retry' makes that now."
    return by_status or "The smarthost's words above say why; mend that and have the app send again."
