"""The exchange of AUTH (RFC 4954): LOGIN, as the platform documents it, and PLAIN (RFC 4616)."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from smtprelay.gateway.bare import CommandTooLong
from smtprelay.reply import Reject

MECHANISMS = ("LOGIN", "PLAIN")
MAX_LINE = 12288  # RFC 4954 §4

Ask = Callable[[bytes], Awaitable[bytes]]


async def read_credentials(mechanism: str, initial: str, ask: Ask) -> tuple[str, str]:
    """The username and the password that a client sends.

    :param mechanism: one of `MECHANISMS`.
    :param initial: what it sent with the command, or ``""``.
    :param ask: sends a line, and reads one of `MAX_LINE` octets at most.
    :raises Reject: 500 or 501.
    """
    try:
        if mechanism == "PLAIN":
            _, username, password = (await _challenge("", initial, ask)).split("\0")
        else:
            username = await _challenge("Username:", initial, ask)
            password = await _challenge("Password:", "", ask)
    except CommandTooLong:
        raise Reject(500, "5.6", f"Line longer than {MAX_LINE} octets") from None
    except ValueError:
        raise Reject(501, "5.2", "That is not a username and a password in base64") from None
    return username, password


async def _challenge(prompt: str, initial: str, ask: Ask) -> str:
    """The client's answer to a prompt, or what it sent with the command (``=`` is an empty one, RFC 4954 §4).

    :raises ValueError: it is not UTF-8 in base64.
    """
    if not initial:
        initial = (await ask(b"334 " + base64.b64encode(prompt.encode()) + b"\r\n")).decode("ascii").strip()
        if initial == "*":
            raise Reject(501, "7.0", "AUTH cancelled")
    return base64.b64decode("" if initial == "=" else initial, validate=True).decode("utf-8")
