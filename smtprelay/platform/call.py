"""A call of the HTTP API as a value, and how a method that describes one becomes a method that makes it.

A resource is written once and serves both clients: `AsyncPlatformClient` is awaited for what `PlatformClient` returns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import update_wrapper
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from smtprelay.platform.answer import Answer
from smtprelay.values import SHANGHAI

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Progress = Callable[[int, int], None]  # octets that went, and all of them


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that goes with a call.

    :param name: of its form field.
    :param source: where it lies, or its octets.
    """

    name: str
    filename: str
    source: Path | bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One call, described.

    :param number: its number in the document.
    :param path: below the base URL.
    :param query: in the URL, so never a secret.
    :param read: makes of the answer what the caller gets.
    :param form: what is POSTed; None: the call is a GET.
    :param secrets: values of the form that no error may quote, where the platform repeats them.
    :param repeatable: it changes nothing, or the same to do twice: it may be tried again when nobody knows what came of
        it.
    :param hourly: how many of these the platform takes in an hour; 0: any number.
    :param progress: is told how much of the uploads went.
    """

    number: str
    path: str
    query: Mapping[str, str]
    read: Callable[[Answer], T_co]
    form: Mapping[str, str] | None = field(default=None, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False, kw_only=True)
    uploads: Sequence[Upload] = ()
    repeatable: bool = False
    hourly: int = 0
    progress: Progress | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """A list that comes page by page.

    :param page: describes the call for a page, from 1.
    :param size: rows of every page but the last, at least. The platform may give fewer than it is asked for, but not
        fewer than it gives unasked.
    :raises ValueError: there is to be none.
    """

    page: Callable[[int], Call[Sequence[T]]]
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a page has one row or more: `limit` is {self.size}")


def parameters(**values: object) -> dict[str, str]:
    """The values that are given, as the platform writes them: dates in Asia/Shanghai, yes as ``1``, no as ``0``. An
    underscore at the end of a name is left out: ``from_``."""
    return {name.rstrip("_"): _written(value) for name, value in values.items() if value is not None}


def only_one(**values: object) -> dict[str, str]:
    """The one of them that is given. :raises ValueError: none is, or more than one."""
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    if len(given) != 1:
        *names, last = values
        raise ValueError(f"give one of {', '.join(f'`{name}`' for name in names)} and `{last}`, and only one")
    return parameters(**given)


def on_day(moment: date | None) -> date | None:
    """The day as the platform counts them, in Asia/Shanghai; a `datetime` without a zone is one there."""
    if not isinstance(moment, datetime):
        return moment
    return (moment.astimezone(SHANGHAI) if moment.tzinfo else moment).date()


def _written(value: object) -> str:
    match value:
        case bool():
            return str(int(value))
        case datetime():
            return (value.astimezone(SHANGHAI) if value.tzinfo else value).strftime("%Y-%m-%d %H:%M:%S")
        case date():
            return value.isoformat()
    return str(value)


class Sync:
    """Marks the resources of `PlatformClient`."""


class Async:
    """Marks the resources of `AsyncPlatformClient`."""


M = TypeVar("M")


class Sender(Protocol):
    """What a client does for its resources."""

    def send(self, call: Call[Any]) -> Any:
        """Make it."""

    def each(self, pages: Pages[Any]) -> Any:
        """Make one after the other, as they are wanted."""


class Resource(Generic[M]):
    """A group of calls."""

    def __init__(self, client: Sender) -> None:
        self._client = client


class call(Generic[P, T]):  # noqa: N801  # a decorator
    """Has a method that describes a call make it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, resource: None, owner: object) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Sync], owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Async], owner: object) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: object) -> Any:
        if resource is None:
            return self
        client = resource._client

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self.describe(resource, *args, **kwargs))

        return update_wrapper(method, self.describe)


class paged(Generic[P, T]):  # noqa: N801
    """Has a method that describes pages give their rows one by one."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Pages[T]]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, resource: None, owner: object) -> Self: ...
    @overload
    def __get__(self, resource: Resource[Sync], owner: object) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, resource: Resource[Async], owner: object) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, resource: Resource[Any] | None, owner: object) -> Any:
        if resource is None:
            return self
        client = resource._client

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.each(self.describe(resource, *args, **kwargs))

        return update_wrapper(method, self.describe)
