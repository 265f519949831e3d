"""docs/platform.md: no call of the document is missing, each is where the table says; its code works."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import ssl
from pathlib import Path

import pytest
import trustme

from smtprelay import platform
from smtprelay.cli.platform.commands import NAMES
from smtprelay.cli.platform.signature import Method, methods
from smtprelay.platform import Hourly, PlatformClient, PlatformError
from tests.platform_api.server import Server, answer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/platform.md").read_text("utf-8")
WAITING, ASYNCIO, SHARED_HOUR, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| ([\d., ]+) \| `([\w.]+)` \| `([\w -]+)` \| `(\w+)` \|$", PAGE, re.MULTILINE)

# The document's table of contents; 2.3 and 4.9 are several calls.
CHAPTERS = {1: 2, 2: 5, 3: 5, 4: 14, 5: 8, 6: 4, 7: 10}
SEVERAL = {"2.3": 2, "4.9": 4}

SERVICE = answer(
    "<service><service_status>enabled</service_status><qty_available>7</qty_available>"
    "<expiration_date>2027-01-31</expiration_date></service>"
)
FAILURES = answer('[{"email": "ann@example.org", "type": "1", "task_id": "1036770"}]')
TASKS = answer("<task_list><task><id>78</id><send_status>1</send_status></task></task_list>")


def numbers() -> set[str]:
    """Of all calls of the document."""
    sections = {f"{chapter}.{section}" for chapter, last in CHAPTERS.items() for section in range(1, last + 1)}
    parts = {f"{section}.{part}" for section, last in SEVERAL.items() for part in range(1, last + 1)}
    return sections - set(SEVERAL) | parts


def row(method: Method) -> tuple[str, str, str]:
    said = re.match(r"(\d[\d.]*(?: and \d[\d.]*)*):", inspect.getdoc(method.made) or "")
    assert said, f"{method.resource}.{method.name} does not begin with its number"
    command = f"{NAMES.get(method.resource, method.resource)} {method.command}"
    return said[1].replace(" and ", ", "), f"{method.resource}.{method.name}", command


def test_no_call_of_the_document_is_missing() -> None:
    assert {number for told, *_ in ROWS for number in told.split(", ")} == numbers()


def test_every_call_is_where_the_table_says() -> None:
    assert sorted(told[:3] for told in ROWS) == sorted(map(row, methods()))


@pytest.mark.parametrize("told", ROWS, ids=lambda told: told[1])
def test_its_test_makes_the_call(told: tuple[str, str, str, str]) -> None:
    _, method, _, test = told
    tree = ast.parse((ROOT / "tests/platform_api/test_every_call.py").read_text("utf-8"))
    [function] = [one for one in ast.walk(tree) if isinstance(one, ast.AsyncFunctionDef) and one.name == test]
    resource, _, name = method.partition(".")
    assert f"{resource.capitalize()}.{name}" in {ast.unparse(one) for one in ast.walk(function)}


def test_every_error_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    public = {name: getattr(platform, name) for name in platform.__all__}
    errors = {name for name, value in public.items() if isinstance(value, type) and issubclass(value, PlatformError)}
    assert explained >= errors - {PlatformError.__name__}


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of an authority that the system trusts."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_the_code_works(tls: ssl.SSLContext, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(SERVICE, FAILURES, TASKS, tls=tls) as server:
        exec(WAITING, {"username": "a", "password": "b", "base_url": server.url})
    assert capsys.readouterr().out == ("may send 7 2027-01-31\nann@example.org no such mailbox\n78 等待发送\n")


def test_the_code_for_asyncio_works(tls: ssl.SSLContext, capsys: pytest.CaptureFixture[str]) -> None:
    code = compile(ASYNCIO, "docs/platform.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with Server(SERVICE, TASKS, tls=tls) as server:
        asyncio.run(eval(code, {"username": "a", "password": "b", "base_url": server.url}))
    assert capsys.readouterr().out == "78 等待发送\n"


def test_the_code_for_a_shared_hour_works(tmp_path: Path) -> None:
    named = {"username": "a", "password": "b", "base_url": "https://example.com/", "file": tmp_path / "hourly"}
    exec(SHARED_HOUR, named)
    assert isinstance(named["platform"], PlatformClient)
    assert isinstance(named["Hourly"], type(Hourly))
    named["platform"].close()
