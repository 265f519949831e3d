"""`smtprelay sendmail`: sendmail(1) for PHP's mail(), cron and scripts. It hands over to the gateway by SMTP.

It reads no configuration, because its callers (www-data) may read none: the gateway's address is in
$SMTPRELAY_GATEWAY, 127.0.0.1:2525 by default. It imports the standard library alone, so that it starts fast.
"""

from __future__ import annotations

import getpass
import os
import smtplib
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from email.utils import formataddr, getaddresses

DEFAULT_GATEWAY = "127.0.0.1:2525"
MAILNAME = "/etc/mailname"
TIMEOUT = 300.0  # seconds: the gateway commits to disk before it answers
USAGE = "usage: smtprelay sendmail [-t] [-i] [-f SENDER] [-F NAME] [RECIPIENT ...] < MESSAGE"
HELP = f"""\
{USAGE}

  -t         send to those in To, Cc and Bcc, too
  -i, -oi    a line with a dot alone does not end the message
  -f SENDER  the reverse-path, also -r; '<>' is the null one. Without it: the address in From, or the user's
  -F NAME    of the sender, where the message has no From

The message goes by SMTP, without a log-in, to the relay at $SMTPRELAY_GATEWAY (HOST:PORT), or at {DEFAULT_GATEWAY}.
Other options of sendmail(1) are taken where they ask for nothing but sending, and change nothing."""
_HELP_WANTED = (["--help"], ["-h"])  # "-h 3" is sendmail(1)'s count of hops
_WITH_VALUE = "fFrBbCdhLNoOpqRVX"  # options of sendmail(1) that take a value, attached or as the next word
_TLS_ALONE = "; a port for TLS alone ([gateway] listen_tls) is none for sendmail, which speaks without TLS"
_KNOWN_FLAGS = frozenset({"t", "i", "v", "n", "G", "U", "m", "A"})


@dataclass
class _Options:
    from_header: bool = False
    dot_ends: bool = True
    sender: str | None = None
    name: str = ""
    recipients: list[str] = field(default_factory=list)


class _UsageError(Exception):
    pass


def main(arguments: Sequence[str]) -> int:
    """Send the message on standard input. :returns: one of sysexits' codes: 0, 64, 65, 67, 69, 75."""
    if list(arguments) in _HELP_WANTED:
        print(HELP)
        return os.EX_OK
    try:
        options = _parse(arguments)
        message = _read_message(options)
        sender, recipients, message = _envelope(options, message)
        host, _, port = os.environ.get("SMTPRELAY_GATEWAY", DEFAULT_GATEWAY).rpartition(":")
        if not host or not port.isdecimal():
            raise _UsageError("$SMTPRELAY_GATEWAY is HOST:PORT")
    except _UsageError as error:
        print(f"sendmail: {error}\n{USAGE}", file=sys.stderr)
        return os.EX_USAGE
    return _send(host.strip("[]"), int(port), sender, recipients, message)


def _parse(arguments: Sequence[str]) -> _Options:
    options = _Options()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            options.recipients += words
            break
        if not word.startswith("-") or word == "-":
            options.recipients.append(word)
            continue
        letter, value = word[1], word[2:]
        if letter in _WITH_VALUE:
            if not value and letter != "q":
                if not words:
                    raise _UsageError(f"-{letter} needs a value")
                value = words.pop(0)
            _take(options, letter, value)
        elif letter in _KNOWN_FLAGS:
            for flag in word[1:]:
                options.from_header |= flag == "t"
                options.dot_ends &= flag != "i"
        else:
            raise _UsageError(f"{word} is not known")
    return options


def _take(options: _Options, letter: str, value: str) -> None:
    if letter in "fr":
        options.sender = value.strip("<>")
    elif letter == "F":
        options.name = value
    elif letter == "o" and value == "i":
        options.dot_ends = False
    elif letter == "b" and value not in ("m", "7bit", "8bitmime"):
        raise _UsageError(f"-b{value} is not offered: this only sends")


def _read_message(options: _Options) -> bytes:
    if not options.dot_ends:
        return sys.stdin.buffer.read()
    lines = []
    for line in sys.stdin.buffer:
        if line.rstrip(b"\r\n") == b".":
            break
        lines.append(line)
    return b"".join(lines)


def _envelope(options: _Options, message: bytes) -> tuple[str, list[str], bytes]:
    header = BytesHeaderParser().parsebytes(message)
    recipients = [address for _, address in getaddresses(options.recipients) if address]
    if options.from_header:
        fields = [str(value) for name in ("To", "Cc", "Bcc") for value in header.get_all(name, [])]
        recipients += [address for _, address in getaddresses([f.replace(";", ",") for f in fields]) if address]
    recipients = list(dict.fromkeys(qualified(address) for address in recipients))
    if not recipients:
        raise _UsageError("no recipients: name them, or use -t with a To: field")
    author = next((address for _, address in getaddresses([str(header.get("From", ""))]) if address), "")
    sender = options.sender if options.sender is not None else author or _user()
    sender = qualified(sender) if sender else ""  # -f '<>' is the null reverse-path
    if "From" not in header and sender:
        message = f"From: {formataddr((options.name, sender))}\n".encode() + message
    return sender, recipients, message


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid{os.getuid()}"


def qualified(address: str) -> str:
    """An address with this machine's mail name where it has no domain, as Debian's MTAs do: cron writes to root."""
    return address if "@" in address else f"{address}@{_mail_name()}"


def _mail_name() -> str:
    """What Debian Policy §11.6 keeps in a file, or the host's name."""
    try:
        with open(MAILNAME, encoding="utf-8") as file:  # noqa: PTH123 - pathlib would cost each mail its import
            return file.readline().strip() or socket.getfqdn()
    except (OSError, UnicodeDecodeError):
        return socket.getfqdn()


def _send(host: str, port: int, sender: str, recipients: Sequence[str], message: bytes) -> int:
    # smtplib doubles a dot behind any line feed, and the gateway takes it back behind <CRLF> only.
    message = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    extensions = [] if all(address.isascii() for address in (sender, *recipients)) else ["SMTPUTF8"]
    try:
        with smtplib.SMTP(host, port, socket.gethostname(), TIMEOUT) as smtp:
            refused = smtp.sendmail(sender, list(recipients), message, extensions)
    except smtplib.SMTPRecipientsRefused as error:
        return _report(error.recipients)
    except smtplib.SMTPResponseException as error:
        print(f"sendmail: {error.smtp_code} {_text(error.smtp_error)}", file=sys.stderr)
        return os.EX_TEMPFAIL if error.smtp_code < 500 else os.EX_DATAERR
    except UnicodeEncodeError:
        print("sendmail: an address is not UTF-8", file=sys.stderr)
        return os.EX_DATAERR
    except (OSError, smtplib.SMTPException) as error:
        hint = _TLS_ALONE if isinstance(error, smtplib.SMTPServerDisconnected) else ""
        print(f"sendmail: the relay at {host}:{port} cannot be reached: {error}{hint}", file=sys.stderr)
        return os.EX_TEMPFAIL
    return _report(refused) if refused else os.EX_OK


def _report(refused: dict[str, tuple[int, bytes]]) -> int:
    for address, (code, text) in refused.items():
        print(f"sendmail: {address}: {code} {_text(text)}", file=sys.stderr)
    return os.EX_TEMPFAIL if all(code < 500 for code, _ in refused.values()) else os.EX_NOUSER


def _text(octets: bytes | str) -> str:
    """A reply's text, to be pasted: the enhanced status code, which begins each line (RFC 2034 §4), stands once."""
    text = octets.decode("utf-8", "replace") if isinstance(octets, bytes) else octets
    code = text.partition(" ")[0]
    return text.replace(f"\n{code} ", "\n") if code.replace(".", "").isdecimal() else text
