"""A call of the client → a command: what its method needs are arguments, what it may be given are options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from smtprelay.cli.common import JsonOption
from smtprelay.cli.platform.ask import YesOption, confirm
from smtprelay.cli.platform.kinds import kind_of
from smtprelay.cli.platform.login import as_commands, logged_in
from smtprelay.cli.platform.progress import uploading
from smtprelay.cli.platform.show import OutputOption, show, write_lines
from smtprelay.platform import PlatformClient
from smtprelay.platform.call import Resource, call, paged

DESTRUCTIVE = ("delete", "empty", "detach")  # how the names of methods begin that take something away for good
EXPORTS = ("export", "unsubscribed")  # and all failures: long lists, for other programs

_NUMBERS = re.compile(r"(?P<numbers>\d[\d.]*(?: and \d[\d.]*)*): *")
_PARAMETER = re.compile(r"^:param (\w+): *(.*(?:\n[ \t]+.*)*)", re.MULTILINE)
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


@dataclass(frozen=True, slots=True)
class Method:
    """A call of the client.

    :param group: the resource that has it.
    """

    group: type[Resource[Any]]
    name: str
    made: call[Any, Any] | paged[Any, Any]

    @property
    def resource(self) -> str:
        """The client's attribute."""
        return self.group.__name__.lower()

    @property
    def command(self) -> str:
        return self.name.replace("_", "-")

    @property
    def parameters(self) -> Sequence[inspect.Parameter]:
        """Those that a person gives."""
        return [parameter for parameter in self._parameters if parameter.name != "progress"]

    @property
    def uploads(self) -> bool:
        """Whether it tells how much of its files went."""
        return any(parameter.name == "progress" for parameter in self._parameters)

    @property
    def _parameters(self) -> Sequence[inspect.Parameter]:
        return list(inspect.signature(self.made.describe, eval_str=True).parameters.values())[1:]

    @property
    def help(self) -> str:
        """What it does, for people, and its number in the platform's document."""
        text = " ".join(re.split(r"^:|:raises ", self._doc, maxsplit=1, flags=re.MULTILINE)[0].split())
        if not (match := _NUMBERS.match(text)):
            return text
        return f"{_sentence(as_commands(text[match.end() :]))} ({match['numbers']})"

    @property
    def helps(self) -> dict[str, str]:
        """The same of its parameters."""
        return {name: _sentence(as_commands(" ".join(text.split()))) for name, text in _PARAMETER.findall(self._doc)}

    @property
    def _doc(self) -> str:
        return inspect.getdoc(self.made) or ""


def methods() -> Iterator[Method]:
    """Every call of every resource of the client."""
    for resource in Resource.__subclasses__():
        for name, made in vars(resource).items():
            if isinstance(made, call | paged):
                yield Method(resource, name, made)


def command_of(method: Method) -> Callable[..., None]:
    """The command that makes a call and shows what came of it.

    :raises TypeError: a parameter is nothing that can be written on a command line.
    """
    own = [_asked(parameter, method.helps.get(parameter.name, "")) for parameter in method.parameters]
    own.append(inspect.Parameter("as_json", _KEYWORD, default=False, annotation=JsonOption))
    if method.name.startswith(DESTRUCTIVE):
        own.append(inspect.Parameter("yes", _KEYWORD, default=False, annotation=YesOption))
    if method.resource == "failures" or method.name in EXPORTS:
        own.append(inspect.Parameter("output", _KEYWORD, default=None, annotation=OutputOption))

    def function(
        platform: PlatformClient, *, as_json: bool, yes: bool = True, output: Path | None = None, **given: Any
    ) -> None:
        positional, named = _arguments(method.parameters, given)
        if not yes:
            method.made.describe(None, *positional, **named)  # raises what is wrong with them before anybody is asked
            confirm(" ".join(map(str, (method.resource, method.command, *positional))))
        ask = getattr(getattr(platform, method.resource), method.name)
        with uploading(method.command) if method.uploads else nullcontext() as progress:
            value = ask(*positional, **named, **({"progress": progress} if progress else {}))
        if output:
            write_lines(value, output)
        else:
            show(value, as_json=as_json, streams=isinstance(method.made, paged))

    first = inspect.Parameter("platform", inspect.Parameter.POSITIONAL_ONLY, annotation=PlatformClient)
    function.__signature__ = inspect.Signature([first, *own])  # type: ignore[attr-defined]
    return logged_in(function)


def _arguments(parameters: Sequence[inspect.Parameter], given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What is given, as the method takes it; the defaults of what is not are the method's."""
    positional, named = [], {}
    for parameter in parameters:
        value = given[parameter.name]
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            positional += value
        elif _is_needed(parameter):
            positional.append(value)
        elif value not in (None, []):
            named[parameter.name] = dict(value) if kind_of(parameter.annotation).pairs else value
    return positional, named


def _is_needed(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty


def _asked(parameter: inspect.Parameter, told: str) -> inspect.Parameter:
    """How a command line asks for a parameter of a method."""
    kind = kind_of(parameter.annotation)
    shown: dict[str, Any] = {
        "parser": kind.parse, "metavar": kind.metavar, "help": " ".join(filter(None, [told, kind.values])),
    }  # fmt: skip
    several = kind.several or parameter.kind is inspect.Parameter.VAR_POSITIONAL
    annotation: Any = list[kind.type] if several else kind.type  # type: ignore[name-defined]
    if _is_needed(parameter):
        annotation = Annotated[annotation, typer.Argument(**shown)]
        return inspect.Parameter(parameter.name, _KEYWORD, annotation=annotation)
    word = parameter.name.replace("_", "-")
    one = f"--{word.removesuffix('s') if several else word}"
    names = (f"{one}/--no-{word}",) if kind.type is bool else (one,)
    annotation = Annotated[annotation | None, typer.Option(*names, **shown)]
    return inspect.Parameter(parameter.name, _KEYWORD, default=None, annotation=annotation)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
