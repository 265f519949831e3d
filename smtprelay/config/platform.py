"""`[platform]`: the accounts of the platform's HTTP API."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator, model_validator

from smtprelay.config.section import Section
from smtprelay.values import (
    BASE_URL,
    Duration,
    OptionalPath,
    PositiveDuration,
    check_base_url,
    check_platform_username,
    parse_duration,
    unique,
)


class PlatformAccount(Section):
    """`[[platform.accounts]]`: a log-in at the platform's HTTP API.

    :ivar credentials: the keys of the credentials that spend its quota; none: all that no other account names.
    :ivar quota_reserve: recipients; 0: bulk is never held.
    """

    allow_insecure: bool = False  # which the address is judged by
    base_url: str = BASE_URL
    name: str = ""
    username: str = Field(min_length=1)
    password_file: OptionalPath = None
    password_env: str = ""
    password_credential: str = ""
    credentials: tuple[str, ...] = ()
    quota_reserve: int = Field(default=1000, ge=0)
    expiry_warning: Duration = parse_duration("14d")
    poll: PositiveDuration = parse_duration("5m")

    @field_validator("base_url")
    @classmethod
    def _is_base_url(cls, url: str, info: ValidationInfo) -> str:
        return check_base_url(url, allow_insecure=info.data.get("allow_insecure", True))

    @field_validator("username")
    @classmethod
    def _can_log_in(cls, username: str) -> str:
        return check_platform_username(username)

    @model_validator(mode="after")
    def _has_one_password(self) -> PlatformAccount:
        if sum(map(bool, [self.password_file, self.password_env, self.password_credential])) != 1:
            raise ValueError("give exactly one of password_file, password_env, password_credential")
        return self

    @property
    def key(self) -> str:
        """What it is called."""
        return self.name or self.username


class Platform(Section):
    """`[platform]`: what the relay does with the platform's HTTP API; nothing where there is no account."""

    accounts: Annotated[tuple[PlatformAccount, ...], unique("key")] = ()
