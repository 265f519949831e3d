"""The arguments of MAIL and RCPT: text → values, or a refusal. No I/O.

aiosmtpd's own reader of addresses takes NUL and a missing ``>``, decodes encoded words into other addresses and differs
between Python versions; and it puts the DSN parameters in upper case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from smtprelay.message import AddressError, Recipient, parse_address
from smtprelay.reply import Reject

# RFC 5321 §4.1.2, and what old apps make of it: a space after the colon, no angle brackets, a name before them.
# A source route (RFC 5321 §4.1.1.3) is dropped.
_PATH = re.compile(
    r"""\s*(?:[^<>"\s]*<\s*(?:@[^:<>\s]*:)?(?P<path>(?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)\s*>|(?P<bare>[^<>\s]+))"""
    r"(?P<parameters>(?:\s+\S+)*)\s*"
)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e\x80-\U0010ffff]+))?")
_XTEXT = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*")  # RFC 3461 §4
_ORCPT = re.compile(r"[A-Za-z0-9.-]+;[\x21-\x7e\x80-\U0010ffff]+")  # RFC 3461 §4.2, RFC 6533 §3
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})
MAX_ENVID = 100  # RFC 3461 §4.4
MAX_ORCPT = 500  # RFC 3461 §4.2


@dataclass(frozen=True, slots=True)
class MailCommand:
    """MAIL FROM with its parameters.

    :param size: octets as the client declared them (RFC 1870), or 0.
    """

    reverse_path: str
    size: int = 0
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


def parse_mail(argument: str) -> MailCommand:
    """``FROM:<a@example.com> SIZE=1000 RET=HDRS`` → its parts.

    :raises Reject: 501, 552 or 555.
    """
    address, parameters = _split(argument, "FROM:", "MAIL FROM:<address>", detail="1.7")
    size = parameters.pop("SIZE", "0")
    body = parameters.pop("BODY", "7BIT").upper()
    ret = parameters.pop("RET", "").upper()
    envid = parameters.pop("ENVID", "")
    smtputf8 = parameters.pop("SMTPUTF8", None)
    parameters.pop("AUTH", None)  # RFC 4954 §5: taken, and not passed on
    if not size.isdecimal() or len(size) > 20 or body not in ("7BIT", "8BITMIME") or smtputf8:
        raise Reject(501, "5.4", "Bad value in MAIL FROM: SIZE is a number of octets, BODY is 7BIT or 8BITMIME")
    if ret not in ("", "FULL", "HDRS") or len(envid) > MAX_ENVID or not _XTEXT.fullmatch(envid):
        raise Reject(501, "5.4", "Bad value in MAIL FROM: RET is FULL or HDRS, ENVID is at most 100 octets of xtext")
    _refuse_unknown(parameters, "MAIL FROM")
    return MailCommand(address, int(size), smtputf8 is not None, ret, envid)


def parse_rcpt(argument: str) -> Recipient:
    """``TO:<b@example.org> NOTIFY=NEVER`` → a recipient.

    :raises Reject: 501 or 555.
    """
    address, parameters = _split(argument, "TO:", "RCPT TO:<address>", detail="1.3")
    if not address:
        raise Reject(501, "1.3", "RCPT TO:<> names no recipient")
    notify = parameters.pop("NOTIFY", "").upper()
    orcpt = parameters.pop("ORCPT", "")
    if notify not in ("", "NEVER") and not _NOTIFY.issuperset(notify.split(",")):
        raise Reject(501, "5.4", "NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY")
    if len(orcpt) > MAX_ORCPT or (orcpt and not _ORCPT.fullmatch(orcpt)):
        raise Reject(501, "5.4", "ORCPT is an address type, a semicolon and an address in xtext")
    _refuse_unknown(parameters, "RCPT TO")
    return Recipient(address, notify, orcpt)


def harmless(hostname: str) -> str:
    """The name at EHLO, without what a terminal would obey."""
    return hostname if hostname.isprintable() else "".join(char if char.isprintable() else "?" for char in hostname)


def _split(argument: str, keyword: str, syntax: str, *, detail: str) -> tuple[str, dict[str, str]]:
    if not argument.isprintable():
        raise Reject(501, "5.2", "The command holds control characters, or is not UTF-8")
    match = _PATH.fullmatch(argument[len(keyword) :]) if argument[: len(keyword)].upper() == keyword else None
    if not match:
        raise Reject(501, "5.4", f"Syntax: {syntax}")
    path = match["path"] if match["path"] is not None else match["bare"]
    try:
        address = parse_address(path) if path else ""
    except AddressError as error:
        raise Reject(501, detail, f"{error}: configure the app with a whole address") from error
    parameters: dict[str, str] = {}
    for word in match["parameters"].split():
        parameter = _PARAMETER.fullmatch(word)
        if not parameter or parameter[1].upper() in parameters:
            raise Reject(501, "5.4", f"Syntax: {syntax} [parameter=value …]")
        parameters[parameter[1].upper()] = parameter[2] or ""
    return address, parameters


def _refuse_unknown(parameters: Mapping[str, str], command: str) -> None:
    if parameters:
        raise Reject(555, "5.4", f"{command} parameters not recognised: {' '.join(parameters)}")
