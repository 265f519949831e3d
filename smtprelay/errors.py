"""What can go wrong for whoever sends: the errors of the send API, whose words say what to do.

`ConfigError` is the one that is not here: it stands beside what it is about, in `smtprelay.config`.
"""

from __future__ import annotations

from collections.abc import Mapping

# How the relay's refusal of an address begins that is not to be sent to: its code may have other reasons.
NOT_SENT_TO = "No mail is sent to this address"


class SMTPRelayError(Exception):
    """The root of all errors that the library raises."""


class InvalidMessage(SMTPRelayError, ValueError):
    """The message cannot be sent as it is given; nobody was asked yet."""


class Refused(SMTPRelayError):
    """The relay, or the smarthost, refused a message or a recipient.

    :ivar code: the basic code, 400 to 599 (RFC 5321 §4.2).
    :ivar enhanced: the enhanced status code (``"5.7.1"``, RFC 3463), or ``""`` where none was given.
    :ivar text: for a person; lines are separated by ``\\n``.
    :ivar recipients: where all recipients of a message were refused: what was said of each, by address.
    """

    def __init__(self, code: int, enhanced: str, text: str, recipients: Mapping[str, Refused] | None = None) -> None:
        super().__init__(" ".join(filter(None, (str(code), enhanced, " ".join(text.split())))))
        self.code = code
        self.enhanced = enhanced
        self.text = text
        self.recipients = recipients or {}

    @property
    def temporary(self) -> bool:
        """Whether the same message may be taken later."""
        return self.code < 500

    @property
    def suppressed(self) -> bool:
        """Whether the relay has the address on its list of those that are not to be sent to."""
        return self.text.startswith(NOT_SENT_TO)

    def __reduce__(self) -> tuple[object, ...]:
        return Refused, (self.code, self.enhanced, self.text, self.recipients)


class Unreachable(SMTPRelayError):
    """Nobody answered, or the connection broke before the message was handed over: it was not sent."""


class Ambiguous(SMTPRelayError):
    """The connection broke between the whole message and its reply: it may have been delivered, or not (RFC 1047)."""


class TemplateError(SMTPRelayError):
    """A template cannot be rendered.

    :ivar template: its name.
    :ivar file: the file within the templates' directory, or ``""`` where it is not about one.
    :ivar line: the line in it, from 1; 0 where it is not known.
    :ivar variable: the variable that it is about, or ``""``.
    :ivar problem: what is wrong, and what to do.
    """

    def __init__(self, template: str, problem: str, *, file: str = "", line: int = 0, variable: str = "") -> None:
        place = ", ".join(filter(None, (file, f"line {line}" if line else "")))
        super().__init__(f"Template {template}{f' ({place})' if place else ''}: {problem}")
        self.template = template
        self.file = file
        self.line = line
        self.variable = variable
        self.problem = problem

    def __reduce__(self) -> tuple[object, ...]:
        return _template_error, (self.template, self.problem, self.file, self.line, self.variable)


def _template_error(template: str, problem: str, file: str, line: int, variable: str) -> TemplateError:
    return TemplateError(template, problem, file=file, line=line, variable=variable)
