"""`smtprelay send`, before a server that stands in for the relay."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from smtprelay.cli.sending.order import Inputs, batch_key, headers, moment
from smtprelay.cli.sending.route import Way, relay_url
from smtprelay.cli.sending.run import run
from smtprelay.cli.sending.show import showing
from smtprelay.cli.sending.tally import Noted, Tally
from smtprelay.client.message import Common
from smtprelay.client.receipt import Receipt, Result
from smtprelay.contacts import BadLine, Contact, ContactFile, Duplicate
from smtprelay.errors import Ambiguous, InvalidMessage, Refused, SMTPRelayError, Unreachable
from smtprelay.sandbox.smarthost import Received, Rule, Smarthost
from smtprelay.spool import Suppression
from smtprelay.suppression import refusal
from tests.peers.program import reserve_port
from tests.process.relay import PLATFORM, make_relay

SENDER = "shop@example.com"
QUEUED = "250 2.0.0 Ok: queued as 06bq8k2p1v3m4n5r"
CONTACTS = "a@example.org;王芳\nnobody\n\na@EXAMPLE.org\nb@example.org;李伟\n"


class Silent:
    """Shows nothing, and keeps it."""

    def __init__(self) -> None:
        self.items: list[Noted] = []

    def item(self, item: Noted, tally: Tally) -> None:
        self.items.append(item)

    def summary(self, tally: Tally, key: str) -> None: ...


def people(count: int) -> list[Contact]:
    return [Contact(f"{i}@example.org", line=i) for i in range(1, count + 1)]


def result(contact: Contact, outcome: Receipt | SMTPRelayError | None = None) -> Result:
    if isinstance(outcome, SMTPRelayError):
        return Result(contact, error=outcome)
    return Result(contact, receipt=outcome or Receipt("id", (contact.address,)))


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([None, None], os.EX_OK),
        ([None, Refused(550, "5.1.1", "no")], os.EX_DATAERR),
        ([None, InvalidMessage("no")], os.EX_DATAERR),
        ([None, Refused(452, "4.3.1", "later")], os.EX_TEMPFAIL),
        ([Refused(550, "5.1.1", "no"), Ambiguous("perhaps")], os.EX_TEMPFAIL),
        ([None, Unreachable("gone")], os.EX_TEMPFAIL),
        ([Unreachable("never there")], os.EX_UNAVAILABLE),
    ],
)
async def test_the_exit_code_tells_what_came_of_it(outcomes: list[SMTPRelayError | None], status: int) -> None:
    left = iter(outcomes)

    async def sender(contacts: Iterator[Contact]) -> AsyncIterator[Result]:
        for contact in contacts:
            yield result(contact, next(left))

    tally = await run(sender, people(len(outcomes)), Silent())
    assert tally.status == status


async def test_everything_is_counted() -> None:
    async def sender(contacts: Iterator[Contact]) -> AsyncIterator[Result]:
        for contact in contacts:
            yield result(contact, Receipt("id", (contact.address,), repeated=contact.line % 2 == 1))

    show = Silent()
    tally = await run(sender, [*people(3), BadLine(4, "no"), Duplicate(5, "a@example.org")], show)
    assert (tally.sent, tally.before, tally.bad_lines, tally.duplicates, tally.refused) == (3, 2, 1, 1, 0)
    assert tally.status == os.EX_DATAERR
    assert len(show.items) == 5


async def test_nobody_else_is_sent_to_once_the_relay_is_gone() -> None:
    taken = []

    async def sender(contacts: Iterator[Contact]) -> AsyncIterator[Result]:
        for contact in contacts:
            taken.append(contact.line)
            yield result(contact, Unreachable("gone") if contact.line == 2 else None)

    tally = await run(sender, people(100), Silent())
    assert taken == [1, 2]
    assert (tally.sent, tally.complete) == (1, False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_lets_what_is_under_way_end(number: int) -> None:
    async def sender(contacts: Iterator[Contact]) -> AsyncIterator[Result]:
        under_way = [next(contacts), next(contacts)]
        os.kill(os.getpid(), number)
        await asyncio.sleep(0)  # the loop hears the signal when it is its turn
        while next(contacts, None) is not None:
            await asyncio.sleep(0)
        for contact in under_way:
            yield result(contact)

    tally = await run(sender, people(1_000_000), Silent())
    assert tally.interrupted
    assert tally.sent == 2
    assert tally.status == os.EX_TEMPFAIL
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)  # the second one kills


def contact_file(text: str = CONTACTS) -> ContactFile:
    return ContactFile(io.BytesIO(text.encode()))


def test_key_is_the_same_for_the_same_and_for_nothing_else() -> None:
    fields = Common(from_=SENDER, template="news", vars={"a": 1, "b": "王"}, headers={})
    key = batch_key(fields, contact_file())
    assert key == batch_key(Common(template="news", headers={}, vars={"b": "王", "a": 1}, from_=SENDER), contact_file())
    others: list[Common] = [
        {**fields, "template": "other"},
        {**fields, "vars": {"a": 1, "b": "芳"}},
        {**fields, "from_": "b@example.com"},
        {**fields, "send_at": moment("2026-11-24T18:00")},
        {**fields, "text": "x"},
    ]
    keys = {key, *(batch_key(other, contact_file()) for other in others)}
    keys.add(batch_key(fields, contact_file("a@example.org\n")))
    assert len(keys) == 2 + len(others)


def test_headers_and_times() -> None:
    assert headers(["List-Unsubscribe: <https://example.com/u>", "X-A:b: c"]) == {
        "List-Unsubscribe": "<https://example.com/u>",
        "X-A": "b: c",
    }
    at = moment("2026-11-24T18:00+08:00")
    assert at
    assert at.timestamp() == 1_795_514_400
    naive = moment("2026-11-24T18:00")
    assert naive
    assert naive.tzinfo


@pytest.mark.parametrize(
    ("words", "precedence"),
    [([], "bulk"), (["X-A: b"], "bulk"), (["Precedence: list"], "list"), (["precedence:x"], "x")],
)
def test_what_goes_to_many_says_so(words: list[str], precedence: str) -> None:
    found = {name.lower(): value for name, value in headers(words, bulk=True).items()}
    assert found["precedence"] == precedence


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: headers(["no colon"]), "NAME: VALUE"),
        (lambda: headers(["A: 1", "a: 2"]), "twice"),
        (lambda: moment("tomorrow"), "2026-11-24T18:00"),
        (lambda: Inputs().variables(["novalue"], ""), "NAME=VALUE"),
        (lambda: relay_url("smtp://u:p@h:1", None, "", None), "not secret"),
        (lambda: relay_url("smtp://h:1", None, "u", None), "SMTPRELAY_PASSWORD"),
    ],
)
def test_wrong_words_are_told(
    call: Any, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMTPRELAY_PASSWORD", raising=False)
    with pytest.raises(SystemExit) as end:
        call()
    assert end.value.code == os.EX_USAGE
    assert words in capsys.readouterr().err


def test_which_relay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SMTPRELAY_GATEWAY", raising=False)
    assert relay_url("", None, "", None) == "smtp://127.0.0.1:2525"
    monkeypatch.setenv("SMTPRELAY_GATEWAY", "[::1]:2526")
    assert relay_url("", None, "", None) == "smtp://[::1]:2526"
    (tmp_path / "password").write_text("p@ss/word\n")
    assert relay_url("smtps://relay:465", None, "a@b", tmp_path / "password") == "smtps://a%40b:p%40ss%2Fword@relay:465"
    assert relay_url("smtp://a%40b@relay", None, "", tmp_path / "password") == "smtp://a%40b:p%40ss%2Fword@relay"
    config = tmp_path / "config.toml"
    config.write_text(
        '[gateway]\nlisten = ["fd:smtp", "0.0.0.0:2599"]\n'
        '[[upstream.credentials]]\nname = "a"\n[[domains]]\nname = "example.com"\n'
    )
    assert relay_url("", config, "", None) == "smtp://127.0.0.1:2599"


def test_bar_tells_rate_failures_and_sums(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    with showing(4, Way.RELAY, lines=False) as show:
        (contact,) = people(1)
        refused = Refused(550, "5.1.1", "No [such] user")
        for item in (result(contact), result(contact, refused), BadLine(3, "odd"), Duplicate(4, "a@example.org")):
            tally.count(item)
            show.item(item, tally)
        show.summary(tally, "key")
    shown = capsys.readouterr().out
    assert "line 1, 1@example.org: 550 5.1.1 No [such] user" in shown
    assert "line 3: odd" in shown
    assert "4/4" in shown
    assert "2 failed" in shown
    assert "1 handed over; 1 refused; 1 bad line; 1 duplicate" in shown


def test_who_is_not_to_be_sent_to_is_counted_apart_and_nothing_is_to_be_mended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each refusal has another address in its text: told one by one, those of a large list would bury all else."""
    tally = Tally()
    with showing(20, Way.RELAY, lines=False) as show:
        for contact in people(20):
            entry = Suppression(contact.address, "unsubscribed", 0, source="platform news")
            reply = refusal(entry).reply
            item = result(contact, Refused(reply.code, reply.enhanced, reply.text))
            tally.count(item)
            show.item(item, tally)
        show.summary(tally, "key")
    shown = capsys.readouterr().out
    assert "0 handed over; 20 suppressed" in shown
    assert "@example.org" not in shown
    assert (tally.suppressed, tally.refused, tally.failed, tally.status) == (20, 0, 0, os.EX_OK)


async def send(*arguments: str, status: int = 0, stdin: bytes = b"", **environment: str) -> tuple[list[Any], str]:
    """:returns: the JSON lines, and what was said on standard error."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "smtprelay", "send", *arguments,
        stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **environment},
    )  # fmt: skip
    output, errors = await process.communicate(stdin)
    assert process.returncode == status, (output, errors)
    return [json.loads(line) for line in output.splitlines()], errors.decode()


def parsed(received: Received) -> Any:
    return message_from_bytes(received.content, policy=default)


async def test_one_message(tmp_path: Path) -> None:
    (tmp_path / "body.txt").write_text("你好\n")
    (tmp_path / "报表.csv").write_text("1,2\n")
    async with Smarthost(Rule("ACCEPTED", QUEUED), credentials={"app@example.com": "secret"}) as relay:
        lines, _ = await send(
            "--from", SENDER, "--to", "王芳 <wang@example.org>", "--to", "b@example.org", "--subject", "账单",
            "--text", f"@{tmp_path}/body.txt", "--html", "-", "--attach", f"{tmp_path}/报表.csv",
            "--header", "X-Shop: 王", "--tag", "bills", "--relay", f"127.0.0.1:{relay.port}",
            "--user", "app@example.com", stdin="<p>你好</p>".encode(), SMTPRELAY_PASSWORD="secret",
        )  # fmt: skip
        (received,) = relay.messages
    assert lines == [
        {"id": QUEUED[-16:], "accepted": ["wang@example.org", "b@example.org"], "refused": {}, "before": False}
    ]
    message = parsed(received)
    assert message["subject"] == "账单"
    assert message["x-shop"] == "王"
    assert message["x-smtprelay-tag"] == "bills"
    assert message.get_body(["plain"]).get_content().strip() == "你好"
    assert message.get_body(["html"]).get_content().strip() == "<p>你好</p>"
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "报表.csv"
    assert list(received.recipients) == ["wang@example.org", "b@example.org"]


async def test_contacts_from_standard_input() -> None:
    async with Smarthost(Rule("ACCEPTED", QUEUED)) as relay:
        words = [
            "--from",
            SENDER,
            "--template",
            "news",
            "--var",
            "city=北京",
            "--relay",
            f"smtp://127.0.0.1:{relay.port}",
        ]
        lines, errors = await send("--contacts", "-", *words, stdin=CONTACTS.encode("gb18030"), status=os.EX_DATAERR)
        await send("--contacts", "-", *words, stdin=CONTACTS.encode("gb18030"), status=os.EX_DATAERR)
        await send("--contacts", "-", *words, "--again", stdin=CONTACTS.encode(), status=os.EX_DATAERR)
        received = list(map(parsed, relay.messages))
    *items, summary = sorted(lines, key=lambda line: line.get("line", 99))
    assert items[0] == {"line": 1, "address": "a@example.org", "id": QUEUED[-16:], "before": False}
    assert items[1] == {"line": 2, "bad": "'nobody' is not an address of the form local@domain"}
    assert items[2] == {"line": 4, "duplicate": "a@example.org"}
    assert summary["summary"] | {"seconds": 0} == {
        "sent": 2, "before": 0, "refused": 0, "suppressed": 0, "later": 0, "bad_lines": 1, "duplicates": 1,
        "complete": True, "seconds": 0, "idempotency_key": summary["summary"]["idempotency_key"],
    }  # fmt: skip
    assert f"--idempotency-key {summary['summary']['idempotency_key']}:" in errors  # another file makes another key
    first = next(message for message in received if message["to"] == "a@example.org")
    variables = json.loads(first["x-smtprelay-vars"])
    assert variables["fullname"] == "王芳"
    assert variables["city"] == "北京"
    assert variables["var10"] == ""
    # The same command has the same keys, and --again others.
    keys = [sorted(m["x-smtprelay-idempotency-key"] for m in received[i : i + 2]) for i in (0, 2, 4)]
    assert keys[0] == keys[1] != keys[2]
    assert keys[0] == [f"{summary['summary']['idempotency_key']}:{name}@example.org" for name in "ab"]


def relay_folder(folder: Path, smarthost: Smarthost) -> None:
    """A configuration, and a template that wants a name."""
    make_relay(folder, smarthost.port)
    template = folder / "templates" / "news"
    template.mkdir(parents=True)
    (template / "subject.j2").write_text("{{ name }}，您好")
    (template / "body.html.j2").write_text("<p>{{ name }} {{ 1 // (100 - number) }}</p>")


PEOPLE = """\
{"address": "a@example.org", "name": "王芳", "number": 1}
{"address": "b@example.org", "number": 2}
{"address": "c@example.org", "name": "\\u0007", "number": 3}
{"address": "d@example.org", "name": "李伟", "number": 100}
{"address": "e@example.org", "name": "张伟", "number": 5}
{"address": "nobody"}
"""


TO_E = ("--to", "e@example.org", "--var", "name=Ada", "--var", "number=7")


async def test_dry_run_finds_everything_and_sends_nothing(tmp_path: Path) -> None:
    async with Smarthost(credentials=PLATFORM) as smarthost:
        relay_folder(tmp_path, smarthost)
        words = ["--from", SENDER, "--template", "news", "--dry-run", "-c", f"{tmp_path}/config.toml"]
        soon = (datetime.now() + timedelta(days=1)).isoformat()
        ok = [*words, "--send-at", soon, "--idempotency-key", "k"]
        lines, _ = await send(*ok, "--contacts", "-", stdin=PEOPLE.encode(), status=os.EX_DATAERR)
        _, far = await send(*words, *TO_E, "--send-at", "2099-01-01T00:00", status=os.EX_DATAERR)
        _, long = await send(*words, *TO_E, "--idempotency-key", "k" * 256, status=os.EX_DATAERR)
        (tmp_path / "big").write_bytes(bytes(20 * 2**20))
        _, big = await send(*words, *TO_E, "--attach", f"{tmp_path}/big", status=os.EX_DATAERR)
        assert smarthost.connections == 0
    assert "a year away" in far
    assert "longer than 255" in long
    assert "max_message_size" in big
    *items, summary = sorted(lines, key=lambda line: line.get("line", 99))
    assert [item["line"] for item in items] == [1, 2, 3, 4, 5, 6]
    assert [item["line"] for item in items if "error" in item] == [2, 3, 4]
    assert {item["error"] for item in items if "error" in item} == {"TemplateError"}
    assert "name" in items[1]["text"]
    assert "news/subject.j2" in items[2]["text"]
    assert "news/body.html.j2" in items[3]["text"]
    assert (summary["summary"]["can_be_sent"], summary["summary"]["refused"]) == (2, 3)
    assert not [item for item in items if "id" in item]


async def test_without_a_daemon(tmp_path: Path) -> None:
    async with Smarthost(credentials=PLATFORM) as smarthost:
        relay_folder(tmp_path, smarthost)
        words = ["--from", SENDER, "--template", "news", "--direct", "-c", f"{tmp_path}/config.toml"]
        await send(*words, "--contacts", "-", stdin=PEOPLE.encode(), status=os.EX_DATAERR)
        await send(*words, "--to", "f@example.org", "--var", "name=Ada", "--vars-file", "-", stdin=b'{"number": 7}')
        received = {next(iter(message.recipients)): message for message in smarthost.messages}
        _, errors = await send(*words, "--to", "f@example.org", "--idempotency-key", "x", status=os.EX_USAGE)
    assert received.keys() == {"a@example.org", "e@example.org", "f@example.org"}
    assert parsed(received["f@example.org"])["subject"] == "Ada，您好"
    assert b"DKIM-Signature" in received["a@example.org"].content
    assert "--direct" in errors


async def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "contacts").write_text("".join(f"{i}@example.org\n" for i in range(100_000)))
    pipe = asyncio.subprocess.PIPE
    async with Smarthost(Rule("ACCEPTED", QUEUED)) as relay:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smtprelay", "send", "--from", SENDER, "--text", "x", "--contacts",
            f"{tmp_path}/contacts", "--relay", f"127.0.0.1:{relay.port}", stdout=pipe, stderr=pipe,
        )  # fmt: skip
        await relay.wait_for(10)
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()
        sent = len(relay.messages)
    *items, summary = map(json.loads, output.splitlines())
    assert process.returncode == os.EX_TEMPFAIL
    assert len(items) == summary["summary"]["sent"] == sent < 100_000
    assert not summary["summary"]["complete"]
    assert b"run the same command again" in errors


async def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "contacts").write_text("".join(f"{i}@example.org\n" for i in range(100_000)))
    async with Smarthost(Rule("ACCEPTED", QUEUED)) as relay:
        with Path("/dev/full").open("wb") as full:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "smtprelay", "send", "--from", SENDER, "--text", "x", "--contacts",
                f"{tmp_path}/contacts", "--relay", f"127.0.0.1:{relay.port}", stdout=full,
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, errors = await process.communicate()
        assert len(relay.messages) < 100
    assert process.returncode == os.EX_TEMPFAIL
    first, second = errors.decode().splitlines()
    assert first == "The results cannot be written: No space left on device."
    assert "run the same command again" in second


async def test_standard_input_that_is_closed() -> None:
    async with Smarthost(Rule("ACCEPTED", QUEUED)) as relay:
        words = f"{sys.executable} -m smtprelay send --from {SENDER} --relay 127.0.0.1:{relay.port}"
        for rest, status in (("--text x --to a@example.org", 0), ("--text - --to a@example.org", os.EX_USAGE)):
            process = await asyncio.create_subprocess_shell(
                f"{words} {rest} <&-", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
            _, errors = await process.communicate()
            assert process.returncode == status, errors
        assert b"Standard input is closed" in errors
        assert len(relay.messages) == 1


async def test_relay_that_is_not_there() -> None:
    with reserve_port() as port:
        words = ["--from", SENDER, "--text", "x", "--relay", f"127.0.0.1:{port.getsockname()[1]}"]
        _, errors = await send(*words, "--to", "a@example.org", status=os.EX_UNAVAILABLE)
        assert "Is a relay running" in errors
        lines, errors = await send(*words, "--contacts", "-", stdin=b"a@example.org\n" * 3, status=os.EX_UNAVAILABLE)
    assert not lines[-1]["summary"]["complete"]
    assert "Is a relay running" in errors


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--text", "x"], os.EX_USAGE, "either --to ADDRESS, or --contacts FILE"),
        (["--to", "a@example.org", "--contacts", "x"], os.EX_USAGE, "either --to ADDRESS, or --contacts FILE"),
        (["--to", "a@example.org", "--again"], os.EX_USAGE, "--again"),
        (["--contacts", "absent"], os.EX_NOINPUT, "absent"),
        (["--to", "a@example.org", "--text", "@absent"], os.EX_NOINPUT, "absent"),
        (["--to", "a@example.org", "--text", "-", "--html", "-"], os.EX_USAGE, "once"),
        (["--to", "a@example.org", "--vars-file", "-"], os.EX_DATAERR, "JSON"),
        (["--to", "a@example.org", "--text", "x"], os.EX_USAGE, "Say who writes: --from ADDRESS."),
        (["--contacts", "-", "--text", "x"], os.EX_DATAERR, "There is no line that can be read"),
        (["--to", "a@example.org", "--relay", "http://127.0.0.1"], os.EX_CONFIG, "smtp://"),
    ],
)
async def test_what_cannot_be_sent_is_told(words: list[str], status: int, said: str) -> None:
    lines, errors = await send(*words, status=status)
    assert not lines
    assert said in errors


def test_the_same_reason_is_not_told_for_every_contact(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    refused = Refused(550, "5.6.0", "Template newsleter: there is none of this name")
    with showing(300, Way.RELAY, lines=False) as show:
        for contact in people(300):
            failed = Result(contact, error=refused)
            tally.count(failed)
            show.item(failed, tally)
        show.summary(tally, "key")
    out = capsys.readouterr().out
    assert out.count("there is none of this name") == 6
    assert "295 more for the same reason: " in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "a@example.org", "--from", "b@example.com"], "Say what is sent: --template NAME"),
    ],
)
async def test_what_is_missing_is_named_as_the_command_calls_it(words: list[str], told: str) -> None:
    _, errors = await send(*words, status=os.EX_USAGE)
    assert told in errors
