"""meta.toml: what a template says beside its text. Bytes in, `Meta` or `ConfigError` out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from smtprelay.config import ConfigError, Section, parse_toml, problems

Type = Literal["string", "integer", "number", "boolean", "list", "object"]

ALWAYS_DEFINED = ("date", "subject", "body_text", "body_html")

_WORDS = {
    "extra_forbidden": "this key is not known; there are from, reply-to, headers, attachments, inline and variables",
    "model_type": "a table is wanted here",
    "dict_type": "a table is wanted here",
    "tuple_type": "a list is wanted",
    "string_type": "a string is wanted",
}
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322 §2.2
_MADE_ELSEWHERE = re.compile(
    r"from|reply-to|sender|to|cc|bcc|subject|date|message-id|return-path|received|dkim-signature|mime-version"
    r"|content-.*|resent-.*|x-smtprelay-.*|x-mc-.*|x-mailgun-.*"
)
_CONTENT_ID = re.compile(r"[A-Za-z0-9._@+-]{1,200}")
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Variable(Section):
    """`[variables.NAME]`: a value that the template needs, unless it has a default.

    :ivar default: used where none is given, or an empty one; None for none: it has to be given then.
    :ivar example: what `smtprelay template check` puts there.
    """

    type: Type = "string"
    default: Any = None
    example: Any = None

    @model_validator(mode="after")
    def _is_of_its_type(self) -> Variable:
        for key in ("default", "example"):
            if (value := getattr(self, key)) is not None and type(value) is not type(convert(self.type, value)):
                raise ValueError(f"{key}: {_WANTED[self.type]} is wanted, as type says")
        return self

    @property
    def sample(self) -> Any:
        """A value to try the template with."""
        given = self.example if self.example is not None else self.default
        return _SAMPLES[self.type] if given is None else given


class Meta(Section):
    """A template's meta.toml; from, reply-to and the headers are templates themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)

    from_: str = Field(default="", alias="from")
    reply_to: str = Field(default="", alias="reply-to")
    headers: Mapping[str, str] = {}
    attachments: tuple[str, ...] = ()
    inline: Mapping[str, str] = {}
    variables: Mapping[str, Variable] = {}

    @field_validator("headers")
    @classmethod
    def _are_free(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name in headers:
            if not _FIELD_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header field (RFC 5322 §2.2)")
            if _MADE_ELSEWHERE.fullmatch(name.lower()):
                raise ValueError(f"{name} is not set here: the app, a key of its own, or the relay makes it")
        return headers

    @field_validator("inline")
    @classmethod
    def _are_content_ids(cls, inline: Mapping[str, str]) -> Mapping[str, str]:
        for name in inline:
            if not _CONTENT_ID.fullmatch(name):
                raise ValueError(f"{name!r} cannot stand behind cid: in HTML; take letters, digits, '.' and '-'")
        return inline

    @field_validator("variables")
    @classmethod
    def _are_names(cls, variables: Mapping[str, Variable]) -> Mapping[str, Variable]:
        for name in variables:
            if not name.isidentifier():
                raise ValueError(f"{name!r} is not a variable's name; take letters, digits and '_'")
            if name in ALWAYS_DEFINED:
                raise ValueError(f"{name} is always defined: it is not declared")
        return variables


@lru_cache(maxsize=64)
def parse_meta(data: bytes) -> Meta:
    """The octets of a meta.toml.

    :raises ConfigError: with every problem that was found.
    """
    try:
        return Meta.model_validate(parse_toml(data))
    except ValidationError as error:
        raise ConfigError(problems(error, _WORDS)) from None


def convert(type_: Type, value: Any) -> Any:
    """A value as the declared type. Forms, contact files and old apps write everything as strings: those are read.

    :raises ValueError: where it is of another type.
    """
    if type_ == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    try:
        converted = _read(type_, value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        converted = None
    wanted: Any = _PYTHON[type_]
    if not isinstance(converted, wanted) or (isinstance(converted, bool) and type_ != "boolean"):
        raise ValueError(f"{_WANTED[type_]} is wanted")
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ValueError(f"{_WANTED[type_]} is wanted")
    return converted


def _read(type_: Type, text: str) -> Any:
    if type_ == "string":
        return text
    if type_ == "boolean":
        return _BOOLEANS.get(text.strip().lower())
    if type_ == "number":
        return float(text) if re.search(r"[.eE]", text) else int(text)
    return int(text) if type_ == "integer" else json.loads(text)


_PYTHON = {"string": str, "integer": int, "number": int | float, "boolean": bool, "list": list, "object": dict}
_WANTED = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "object": "an object",
}
_SAMPLES: Mapping[str, Any] = {
    "string": "example",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "list": [],
    "object": {},
}
