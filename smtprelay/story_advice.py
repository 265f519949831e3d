"""What to do about a recipient whose mail waits or did not arrive: by what holds it, by the phase and the words of its
last attempt, by what the platform told later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smtprelay.outcome import Phase, about_account
from smtprelay.reply import Reply
from smtprelay.spool import State
from smtprelay.suppression import UNSUBSCRIBED, argument
from smtprelay.words import Say, Sentence

_OVER_LIMIT = Sentence(
    "Its sender is over its limit. If that is right: 'smtprelay queue release'; if the app runs wild or was broken "
    "into: 'smtprelay account suspend', then 'smtprelay queue cancel'."
)
_HELD: Mapping[str, Sentence] = {
    "ambiguous": Sentence(
        "It may have been delivered already. Ask the recipient or the provider, then 'smtprelay queue release' to send "
        "it (perhaps again) or 'smtprelay queue cancel'."
    ),
    "corrupt": Sentence(
        "What is on disk is not what was written. Check the disk, restore the spool from a backup if you can; "
        "'smtprelay queue cancel' gives the message up."
    ),
    "dns": Sentence(
        "DNS did not tell whether its sender's domain is set up. Once it says yes, this goes on by itself; where it "
        "says no, this is returned, or kept with on_failure = \"hold\". 'smtprelay domain check' shows what DNS says "
        "now; 'smtprelay queue release' sends it without that."
    ),
    "domain": Sentence(
        "Its sender's domain is not set up: publish what 'smtprelay domain check' shows, and it goes on by itself; "
        "'smtprelay queue release' sends it all the same."
    ),
    "quota": Sentence(
        "It goes to many, and the provider's quota runs low. Buy more there, and it goes on by itself; 'smtprelay "
        "queue release' sends it all the same."
    ),
    "rate": _OVER_LIMIT,
    "recipients_per_day": _OVER_LIMIT,
    "suspended": Sentence(
        "Its account was suspended: once it may send again ('smtprelay account resume'), 'smtprelay queue release' or "
        "'cancel'."
    ),
}
_HELD_BY_SOMEBODY = Sentence("Somebody held it: 'smtprelay queue release' or 'smtprelay queue cancel'.")
_SUPPRESSED = Sentence(
    "If it may be sent to again: 'smtprelay suppress remove {address}', and have the app send again."
)
_REFUSED_LATER = Sentence("It did not arrive: correct the address where the app took it from, or leave it out.")
_UNWANTED = Sentence("It did not arrive: its reader wants no such mail. Leave the address out.")
_REFUSED_LATER_FOR: Mapping[str, Sentence] = {  # by the platform's cause, where the address is no wrong one
    "2": Sentence("It did not arrive: ask for another address, or send again later."),
    "3": _UNWANTED,
    "5": Sentence("It did not arrive: look at what was sent, and ask the provider before more of it goes."),
    UNSUBSCRIBED: _UNWANTED,
}
_ACCOUNT_REFUSED = Sentence(
    "The provider refuses the account, not this message: its quota, its rate, or that it sends at all. 'smtprelay "
    "check' shows how it stands; ask the provider."
)
LOG_IN_REFUSED = Sentence(
    "The smarthost refuses the log-in: check username and password of the credential ('smtprelay check')."
)
_BY_PHASE: Mapping[str, Sentence] = {
    Phase.CONNECT: Sentence(
        "The smarthost could not be reached: check the network, [upstream] host and port (many clouds block port 25; "
        "try 2525 or 465)."
    ),
    Phase.GREETING: Sentence(
        "The smarthost answers the connection but does not greet: ask the provider, or try another port."
    ),
    Phase.STARTTLS: Sentence("TLS with the smarthost failed: check [upstream] tls and tls_ca_file."),
    Phase.EHLO: Sentence("The smarthost does not like the relay's name: check [gateway] hostname."),
    Phase.AUTH: LOG_IN_REFUSED,
    Phase.POLICY: Sentence(
        "It was held until DNS answered, and its sender's domain may not send: do what the reply says, and have the "
        "app send again."
    ),
}
_BY_STATUS: Mapping[str, Sentence] = {  # RFC 3463 §3: subject and detail
    "1.": Sentence("The address is wrong or does not exist: correct it where the app took it from."),
    "2.2": Sentence("The recipient's mailbox is full: ask for another address, or send again later."),
    "3.4": Sentence("The message is too big for the provider: send a link instead of the attachment."),
    "6.7": Sentence("The provider takes no addresses with non-ASCII characters before the @."),
    "7.": Sentence("The provider refuses it by its policy: check the sender's domain (SPF, MX, DKIM) and the content."),
}
_NOTHING_TO_DO = frozenset({State.DELIVERED, State.CANCELLED, State.CAPTURED})


def advise(message: Mapping[str, Any], recipient: Mapping[str, Any], say: Say) -> str:
    """What to do about one recipient of a message, or ``""``.

    :param message: as `smtprelay.control.Operator.show` gives it.
    :param recipient: one of it.
    :param say: tells a sentence in the reader's language.
    """
    state = recipient["state"]
    if state == State.HELD:
        return say(_HELD.get(recipient["reason"], _HELD_BY_SOMEBODY))
    if state == State.SUPPRESSED:
        return say(_SUPPRESSED, address=argument(recipient["recipient"]))
    if recipient["fate"]:
        return say(_REFUSED_LATER_FOR.get(recipient["fate"]["cause"], _REFUSED_LATER))
    last = next((attempt for attempt in reversed(recipient["history"]) if attempt["ended_at"]), None)
    if last is None or state in _NOTHING_TO_DO or message.get("paused"):
        return ""
    if last["phase"] in _BY_PHASE:
        return say(_BY_PHASE[last["phase"]])
    code, _, text = last["reply"].partition(" ")
    reply = Reply.received(int(code), text) if code.isdecimal() and len(code) == 3 else None
    if reply and about_account(reply):
        return say(_ACCOUNT_REFUSED)
    detail = reply.detail if reply else ""
    by_status = next((advice for prefix, advice in _BY_STATUS.items() if detail.startswith(prefix)), None)
    if by_status:
        return say(by_status)
    if state == State.QUEUED:
        return say("Nothing: it is tried again by itself; 'smtprelay queue retry' makes that now.")
    return say("The smarthost's words above say why; mend that and have the app send again.")
