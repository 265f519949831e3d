"""Jinja within limits: what a template may do, and what is said where it fails. Nothing else imports Jinja."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from smtprelay.errors import TemplateError
from smtprelay.templating.files import FileError, Files, check_name
from smtprelay.templating.placeholders import Undecidable, guard

MAX_OUTPUT = 10 * 2**20  # characters of one rendered file
HTML = (".html.j2", ".html", ".htm")

_ORIGIN = "template:"  # begins the file names of compiled templates, so that tracebacks show them
_BAR = "\ufdd0"  # stands for '|' in values: no character of any text (Unicode 23.7), so it can be told apart again
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_QUOTED = re.compile(r"'([^']*)'(?! object)")
_SHOWN = 12  # variables that an error names


class Lazy:
    """A variable that is made when a template first asks for it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


class ControlError(Exception):
    """A value with a control character where none may be: it could begin a header field of its own."""

    def __init__(self, value: str) -> None:
        super().__init__()
        self.value = value


class OutputError(Exception):
    """More came out than a mail can carry; the text says what."""


class Engine:
    """Renders files of the templates' directory; compiled ones are kept until their source changes.

    :param guarded: some values are placeholders.
    """

    def __init__(self, files: Files, *, guarded: bool = False) -> None:
        self._bodies = _Environment(
            loader=_Loader(files),
            undefined=jinja2.StrictUndefined,
            autoescape=lambda name: name is not None and name.endswith(HTML),
        )
        # What renders once renders so again: errors can be found, and equal renderings kept.
        del self._bodies.filters["random"], self._bodies.globals["lipsum"]
        if guarded:
            guard(self._bodies.filters, self._bodies.tests)
        # Within HTML values are escaped in whatever file they stand: it may include one that texts share.
        self._html = self._bodies.overlay(autoescape=True)
        self._fields = self._bodies.overlay(finalize=_of_field, autoescape=False)
        self._compile = lru_cache(maxsize=256)(self._compile_field)

    def body(self, file: str, variables: Mapping[str, Any]) -> str:
        environment = self._html if file.endswith(HTML) else self._bodies
        return _output(environment.get_template(file), variables)

    def subjects(self, file: str, variables: Mapping[str, Any]) -> list[str]:
        """The subjects of a file, which stand between ``|``; one in a value does not separate."""
        text = _output(self._fields.get_template(file), variables)
        return [_line(subject) for subject in text.split("|") if _line(subject)]

    def field(self, source: str, file: str, line: int, variables: Mapping[str, Any]) -> str:
        """A template that stands as a string within a file.

        :param line: where it stands.
        """
        return _line(_output(self._compile(source, file, line), variables))

    @staticmethod
    def markup(html: str) -> str:
        """HTML that is shown as HTML, not as its source."""
        return Markup(html)  # noqa: S704 - it is what the app would have sent

    def parse(self, file: str, source: str) -> jinja2.nodes.Template:
        """The syntax tree of a file."""
        return self._bodies.parse(source, file, _ORIGIN + file)

    def _compile_field(self, source: str, file: str, line: int) -> jinja2.Template:
        code = self._fields.compile("\n" * (line - 1) + source, file, _ORIGIN + file)
        return self._fields.template_class.from_code(self._fields, code, self._fields.make_globals(None))


class _LazyContext(Context):
    def resolve_or_missing(self, key: str) -> Any:
        value = super().resolve_or_missing(key)
        return value.make() if isinstance(value, Lazy) else value


class _Environment(ImmutableSandboxedEnvironment):
    context_class = _LazyContext

    def join_path(self, template: str, parent: str) -> str:
        check_name(template)
        return template


class _Loader(jinja2.BaseLoader):
    def __init__(self, files: Files) -> None:
        self._files = files

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        data = self._files.read(template)
        if data is None:
            raise jinja2.TemplateNotFound(template)
        return decode(template, data), _ORIGIN + template, lambda: self._files.read(template) == data


def decode(file: str, data: bytes) -> str:
    """The text of a file; a byte order mark is no part of it.

    :raises FileError: where it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError(f"{file!r} is not UTF-8 (line {line}): save it as UTF-8") from error


def _of_field(value: Any) -> Any:
    """What Jinja asks of each value before it is written: ``finalize``."""
    if isinstance(value, jinja2.Undefined):
        return value
    text = str(value)
    if _CONTROL.search(text):
        raise ControlError(text)
    return text.replace("|", _BAR)


def _output(template: jinja2.Template, variables: Mapping[str, Any]) -> str:
    pieces, room = [], MAX_OUTPUT
    for piece in template.generate(variables):
        room -= len(piece)
        if room < 0:
            raise OutputError(f"more than {MAX_OUTPUT} characters come out of it: too much for a mail")
        pieces.append(piece)
    # A half of a surrogate pair is what is left where an app cut a string: JSON can say it, UTF-8 cannot.
    return "".join(pieces).encode("utf-8", "replace").decode()


def _line(text: str) -> str:
    """The line breaks of a template's own are white space in a header field."""
    return " ".join(_CONTROL.sub(" ", text).split()).replace(_BAR, "|")


@contextmanager
def explained(template: str, variables: Mapping[str, Any], file: str = "") -> Iterator[None]:
    """Turns whatever goes wrong within into a `TemplateError`; a MemoryError stays one.

    :param file: that it is about, where the error does not tell.
    """
    try:
        yield
    except (TemplateError, MemoryError):
        raise
    except Exception as error:  # what a template does is a stranger's code
        name, line = _place(error)
        problem, variable = _problem(error, variables)
        raise TemplateError(template, problem, file=name or file, line=line, variable=variable) from None


def _place(error: Exception) -> tuple[str, int]:
    """The innermost line of a template that took part."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return (error.filename or "").removeprefix(_ORIGIN), error.lineno
    name, line = "", 0
    trace: TracebackType | None = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename.startswith(_ORIGIN):
            name, line = trace.tb_frame.f_code.co_filename.removeprefix(_ORIGIN), trace.tb_lineno
        trace = trace.tb_next
    return name, line


def _problem(error: Exception, variables: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong, and the variable that it is about."""
    message = " ".join(str(error).split())[:200]
    match error:
        case jinja2.UndefinedError():
            names = _QUOTED.findall(message)
            return f"{message}: give it in X-SMTPRelay-Vars, vars= or --var; {_defined(variables)}", (
                names[-1] if names else ""
            )
        case ControlError():
            name = next((name for name, value in variables.items() if value == error.value), "")
            subject = f"the value of {name}" if name else "a value"
            return f"{subject} has a line break or another control character: a header field cannot hold it", name
        case jinja2.TemplatesNotFound() | jinja2.TemplateNotFound():
            return f"{error.name} is not in the templates' directory", ""
        case jinja2.TemplateSyntaxError():
            return f"syntax: {message}", ""
        case FileError() | OutputError():
            return message, ""
        case Undecidable():
            return str(error), error.variable
        case SecurityError():
            return f"this is not allowed in a template: {message}", ""
        case RecursionError():
            return "its includes, macros or values are nested too deeply", ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__, ""


def _defined(variables: Mapping[str, Any]) -> str:
    names: Sequence[str] = sorted(variables)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"defined are {', '.join(names[:_SHOWN])}{more}"
