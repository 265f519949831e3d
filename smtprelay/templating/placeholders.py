"""Values that somebody else puts in later, for each recipient: while a template is rendered nobody knows them."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from functools import wraps
from typing import Any, NoReturn
from urllib.parse import quote

# Around what stands for a value: no characters of any text (Unicode 23.7), so whatever happens to it can be seen.
_BEGIN, _END = "\ufdd1", "\ufdd2"
_WHOLE = re.compile(f"{_BEGIN}([A-Z0-9]+){_END}")
_REMAINS = re.compile("|".join((_BEGIN, _END, quote(_BEGIN), quote(_END))), re.IGNORECASE)

# What may be done with a value that is not known yet.
_FILTERS = frozenset({"e", "escape", "forceescape", "safe", "string", "default", "d"})
_TESTS = frozenset({"defined", "undefined"})


class Undecidable(Exception):
    """A template wants to know more of a value than where it stands."""

    def __init__(self, variable: str) -> None:
        super().__init__(
            f"it does something with {variable} that needs its value, which is put in later, for each recipient: let "
            f"{variable} stand there as it is, or give one value for all with --var {variable}=…"
        )
        self.variable = variable


class Placeholder:
    """Stands for the value of a variable. It can be written, and nothing else.

    :param field: what the platform calls the value: ``FULLNAME``.
    """

    def __init__(self, variable: str, field: str) -> None:
        self.variable = variable
        self.field = field

    def __str__(self) -> str:
        return f"{_BEGIN}{self.field}{_END}"

    __html__ = __str__

    def __add__(self, other: object) -> str:
        return f"{self}{other}"

    def __radd__(self, other: object) -> str:
        return f"{other}{self}"

    def _refuse(self, *_: object) -> NoReturn:
        raise Undecidable(self.variable)

    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __int__ = __float__ = __index__ = __hash__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Undecidable(self.variable)


def guard(filters: MutableMapping[str, Any], tests: MutableMapping[str, Any]) -> None:
    """Have filters and tests refuse placeholders, but for those that need not know them."""
    for functions, harmless in ((filters, _FILTERS), (tests, _TESTS)):
        functions.update({name: _guarded(made) for name, made in functions.items() if name not in harmless})


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    # Jinja gives some of them its context or environment first.
    place = int(getattr(function, "jinja_pass_arg", None) is not None)

    @wraps(function)
    def guarded(*values: Any, **named: Any) -> Any:
        if len(values) > place and isinstance(values[place], Placeholder):
            raise Undecidable(values[place].variable)
        return function(*values, **named)

    return guarded


def in_braces(text: str) -> str:
    """What was rendered, with ``{FULLNAME}`` for the placeholders.

    :raises ValueError: something was done to one.
    """
    text = _WHOLE.sub(r"{\1}", text)
    if _REMAINS.search(text):
        raise ValueError("something changes a value that is put in later, for each recipient: let it stand as it is")
    return text
