"""What the sections of the configuration have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from smtprelay.errors import SMTPRelayError


class ConfigError(SMTPRelayError):
    """The configuration cannot be used.

    :ivar problems: one line each: the key's place, and what is wrong and what would be right.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Section(BaseModel):
    """A table of the configuration: frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def require_tls_pair(settings: Any) -> None:
    """:raises ValueError: one of tls_certificate and tls_key stands there without the other."""
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise ValueError("tls_certificate and tls_key go together: set both or neither")


def _argon2(value: str) -> str:
    if not re.fullmatch(r"\$argon2(?:id|i|d)\$[^\s]+", value):
        raise ValueError("this is not an argon2 hash: make one with 'smtprelay hash-password'")
    return value


PasswordHash = Annotated[str, AfterValidator(_argon2)]
