"""Templates are rendered within limits: whatever one of them does, the next one is rendered, and memory is back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import usage
from smtprelay import rendering
from smtprelay.errors import TemplateError
from smtprelay.rendering import Rendering
from smtprelay.templating import protocol
from smtprelay.templating.job import Job, Part
from smtprelay.worker import parent
from smtprelay.worker.child import framed
from smtprelay.worker.parent import Worker
from tests.templating import liar

LIMIT = 30 * 2**20
NOW = 1_700_000_000_000
ROOT = Path(__file__).parent.parent
MEMORY = protocol.MEMORY * 2**20  # octets
PATIENCE = 20.0  # seconds
HEADER = b"From: a@example.com\r\n"

Limits = Callable[[float, float], None]


def job(template: str, *variables: Mapping[str, Any], parts: int = 1) -> Job:
    return Job(template, tuple(Part(HEADER, "", given) for given in variables or [{}] * parts), b"", NOW)


def write(directory: Path, name: str, body: str) -> None:
    """A template whose text is this."""
    (directory / name).mkdir()
    (directory / name / "subject.j2").write_text("Subject")
    (directory / name / "body.txt.j2").write_text(body)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path, "good", "Dear {{ name|default('you') }},")
    write(tmp_path, "endless", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
    return tmp_path


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Sets how long a message may take in each lane; else longer than anything takes on a busy machine."""

    def set_limits(quick: float, slow: float) -> None:
        monkeypatch.setattr(rendering, "QUICK_SECONDS", quick)
        monkeypatch.setattr(rendering, "SECONDS", slow)

    set_limits(3 * PATIENCE, 3 * PATIENCE)
    return set_limits


@asynccontextmanager
async def rendered_by(directory: Path) -> AsyncIterator[Rendering]:
    """At the end no process is left."""
    before = usage.tree(os.getpid())
    by = Rendering(directory)
    try:
        yield by
    finally:
        await by.close()
    assert usage.tree(os.getpid()) <= before


async def check(by: Rendering) -> None:
    """It renders."""
    [message] = await by.render(job("good", {"name": "Ada"}), LIMIT)
    assert message.startswith(HEADER)
    assert b"Dear Ada," in message


def process() -> int:
    """The one that renders."""
    [pid] = usage.tree(os.getpid()) - {os.getpid()}
    return pid


async def until_busy(pid: int) -> None:
    """Wait until it is ready, and at work in earnest."""
    async with asyncio.timeout(PATIENCE):
        while resource.prlimit(pid, resource.RLIMIT_FSIZE) != (0, 0):
            await asyncio.sleep(0.01)
        since = usage.cpu([pid])
        while usage.cpu([pid]) < since + 0.1:
            await asyncio.sleep(0.01)


async def test_a_message_for_each_part_in_order(directory: Path) -> None:
    async with rendered_by(directory) as by:
        messages = await by.render(job("good", *({"name": f"no. {n}"} for n in range(100))), LIMIT)
        assert [f"Dear no. {n},".encode() in message for n, message in enumerate(messages)] == [True] * 100
        assert await by.render(Job("good", (), b"", NOW), LIMIT) == []


async def test_an_error_of_a_template_is_told_whole(directory: Path) -> None:
    write(directory, "wrong", "first\n{{ nmae }}")
    async with rendered_by(directory) as by:
        with pytest.raises(TemplateError) as error:
            await by.render(job("wrong"), LIMIT)
        pid = process()
        assert error.value.template == "wrong"
        assert "nmae" in error.value.problem
        await check(by)
        assert process() == pid, "an ordinary error does not end the process"


HOSTILE = {
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attr": "{{ ''|attr('__class__')|attr('__mro__') }}",
    "format": "{{ '%0999999999d'|format(1) }}",
    "str_format": "{{ '{:>999999999}'.format(1) }}",
    "multiplied": "{{ 'a' * 10**10 }}",
    "gigabyte": "{{ 'a' * 10**9 }}",
    "power": "{{ 10 ** (10 ** 10) }}",
    "self_inclusion": "{% include 'self_inclusion/body.txt.j2' %}",
    "macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "list": "{% set ns = namespace(l=['a' * 10000]) %}{% for _ in range(40) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    "joined": "{{ range(99999)|list|join('a' * 10000) }}",
    "indent": "{{ ('a\\n' * 10**6)|indent('a' * 1000) }}",
    "wordwrap": "{{ ('a ' * 4 * 10**6)|wordwrap(1)|wordwrap(1) }}",
    "center": "{{ 'a'|center(10**10) }}",
    "output": "{% for _ in range(99999) %}{{ 'a' * 1000 }}{% endfor %}",
    "slices": "{{ 'a'|batch(10**9, 'a')|list }}",
    "replace": "{{ ('a' * 10**5)|replace('a', 'a' * 10**5) }}",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_templates_do_no_harm(directory: Path, limits: Limits, name: str) -> None:
    write(directory, name, HOSTILE[name])
    limits(1.0, 3.0)
    async with rendered_by(directory) as by:
        with pytest.raises(TemplateError):
            await by.render(job(name), LIMIT)
        await check(by)


async def test_what_takes_long_is_ended_and_those_behind_it_are_rendered(directory: Path, limits: Limits) -> None:
    limits(2.0, 5.0)
    async with rendered_by(directory) as by:
        await check(by)
        endless = asyncio.create_task(by.render(job("endless"), LIMIT))
        await until_busy(process())
        waiting = [asyncio.create_task(check(by)) for _ in range(3)]
        with pytest.raises(TemplateError, match="longer than 5 s"):
            await endless
        await asyncio.gather(*waiting)


async def test_a_message_is_not_refused_for_the_memory_that_others_took(directory: Path) -> None:
    """A compiled template is kept, and with it what could be worked out beforehand."""
    hoards = [f"hoard{n}" for n in range(6)]
    for hoard in hoards:
        write(directory, hoard, f"{{% set x = 'a' * {MEMORY // 5} %}}")
    async with rendered_by(directory) as by:
        for hoard in hoards:
            await by.render(job(hoard), LIMIT)
        await check(by)


async def test_what_takes_too_much_memory_says_so_and_gives_it_back(directory: Path) -> None:
    write(directory, "large", "{{ 'a' * 10**9 }}")
    async with rendered_by(directory) as by:
        await check(by)
        first, before = process(), usage.resident(process())
        with pytest.raises(TemplateError, match="more than 384 MiB of memory"):
            await by.render(job("large"), LIMIT)
        await check(by)
        assert process() != first
        assert usage.resident(process()) < before + 10


async def test_the_process_cannot_take_more_than_its_share(directory: Path) -> None:
    async with rendered_by(directory) as by:
        await check(by)
        memory, _ = resource.prlimit(process(), resource.RLIMIT_AS)
        assert MEMORY < memory < MEMORY + 256 * 2**20
        assert resource.prlimit(process(), resource.RLIMIT_FSIZE) == (0, 0)
        assert resource.prlimit(process(), resource.RLIMIT_CORE) == (0, 0)


async def test_no_secret_is_known_to_the_process(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWS_PASSWORD", "platform-secret")
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    with (directory / "spool").open("wb") as spool:
        os.set_inheritable(spool.fileno(), True)
        async with rendered_by(directory) as by:
            await check(by)
            proc = Path(f"/proc/{process()}")
            environment = (proc / "environ").read_bytes()
            assert b"TZ=Asia/Shanghai" in environment
            assert b"platform-secret" not in environment
            links = [str(fd.readlink()) for fd in (proc / "fd").iterdir() if int(fd.name) > 2]
            assert [link.partition(":")[0] for link in links] == ["socket"]


async def test_messages_over_the_limit_are_refused_together(directory: Path) -> None:
    async with rendered_by(directory) as by:
        [message] = await by.render(job("good"), LIMIT)
        assert len(await by.render(job("good", parts=3), 3 * len(message))) == 3
        pid = process()
        with pytest.raises(TemplateError, match=f"more than {3 * len(message) - 1} octets"):
            await by.render(job("good", parts=3), 3 * len(message) - 1)
        await check(by)
        assert process() == pid


async def test_a_large_job_lets_others_in(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_TURN", 0.0)
    async with rendered_by(directory) as by:
        large = asyncio.create_task(by.render(job("good", *({"name": str(n)} for n in range(200))), LIMIT))
        await asyncio.gather(*(check(by) for _ in range(5)))
        assert not large.done()
        assert [f"Dear {n},".encode() in message for n, message in enumerate(await large)] == [True] * 200


async def test_the_app_s_message_arrives_in_pieces(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(directory, "forwarded", "They write: {{ body_text }}")
    monkeypatch.setattr(rendering, "_PIECE", 40)
    async with rendered_by(directory) as by:
        for length in (0, 1, 39, 40, 41, 80, 200):
            content = b"\r\n" + b"x" * length
            [message] = await by.render(replace(job("forwarded"), content=content), LIMIT)
            assert b"write:" + b" " * bool(length) + b"x" * length in message.replace(b"=\r\n", b"")
        [message] = await by.render(job("forwarded"), LIMIT)
        assert b"xx" not in message


async def test_a_job_that_is_given_up_leaves_nothing_to_the_next(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message is with the process already, in pieces; the next one may be another account's."""
    write(directory, "forwarded", "They write: {{ body_text }}")
    monkeypatch.setattr(rendering, "_PIECE", 10)
    secret = b"\r\n" + b"secret " * 10
    async with rendered_by(directory) as by:
        await check(by)
        with pytest.raises(TemplateError, match="nested too deeply"):
            await by.render(replace(job("forwarded", {"given": nested(1000)}), content=secret), LIMIT)
        given_up = asyncio.create_task(by.render(replace(job("forwarded"), content=secret), LIMIT))
        pid = process()
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0)
        given_up.cancel()
        os.kill(pid, signal.SIGCONT)
        [message] = await by.render(replace(job("forwarded"), content=b"\r\nfrom A to Z"), LIMIT)
        assert b"They write: from A to Z" in message
        assert process() == pid


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


async def test_a_message_as_large_as_the_gateway_takes_is_rendered(directory: Path) -> None:
    line = b"QUJD" * 19 + b"\r\n"
    content = b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + line * (
        25 * 2**20 // len(line)
    )
    async with rendered_by(directory) as by:
        await check(by)
        before = usage.resident(process())
        [message] = await by.render(replace(job("good"), content=content), LIMIT)
        assert message.count(line) > 300_000
        await check(by)
        assert usage.resident(process()) < before + 50


async def test_large_variables(directory: Path) -> None:
    write(directory, "count", "{{ given|length }}")
    async with rendered_by(directory) as by:
        for given in ("x" * 10**7, list(range(10**6))):
            [message] = await by.render(job("count", {"given": given}), LIMIT)
            assert f"\n{len(given)}".encode() in message


async def test_variables_that_are_nested_deeply(directory: Path) -> None:
    async with rendered_by(directory) as by:
        with pytest.raises(TemplateError, match="nested too deeply"):
            await by.render(job("good", {"given": nested(10**4)}), LIMIT)
        await check(by)


async def test_a_large_message_costs_the_daemon_no_memory_for_long(directory: Path) -> None:
    write(directory, "large", "{{ 'large ' * 10**6 }}")
    async with rendered_by(directory) as by:
        await check(by)
        before = usage.resident(os.getpid())
        for _ in range(5):
            [message] = await by.render(job("large"), LIMIT)
            assert len(message) > 6 * 10**6
        del message
        assert usage.resident(os.getpid()) < before + 20


async def test_a_message_that_the_process_is_killed_over_is_tried_once_more(directory: Path) -> None:
    async with rendered_by(directory) as by:
        await check(by)
        os.kill(process(), signal.SIGSTOP)
        stopped = process()
        waiting = [asyncio.create_task(check(by)) for _ in range(3)]
        await asyncio.sleep(0)
        os.kill(stopped, signal.SIGKILL)
        await asyncio.gather(*waiting)


async def test_a_message_that_two_processes_are_killed_over_is_refused(directory: Path) -> None:
    async with rendered_by(directory) as by:
        await check(by)
        endless = asyncio.create_task(by.render(job("endless"), LIMIT))
        first = process()
        await until_busy(first)
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            while not (others := usage.tree(os.getpid()) - {os.getpid(), first}):
                await asyncio.sleep(0.01)
        [second] = others
        await until_busy(second)
        os.kill(second, signal.SIGKILL)
        with pytest.raises(TemplateError, match="twice"):
            await endless
        await check(by)


async def test_a_job_that_is_given_up_does_not_shift_the_answers(directory: Path) -> None:
    async with rendered_by(directory) as by:
        await check(by)
        pid = process()
        os.kill(pid, signal.SIGSTOP)
        given_up = asyncio.create_task(by.render(job("good", {"name": "Bob"}, {"name": "Eve"}), LIMIT))
        never_begun = asyncio.create_task(by.render(job("endless"), LIMIT))
        kept = asyncio.create_task(check(by))
        await asyncio.sleep(0)
        given_up.cancel()
        never_begun.cancel()
        os.kill(pid, signal.SIGCONT)
        await kept
        assert process() == pid


async def test_the_process_ends_when_it_has_nothing_to_do_and_comes_back(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "REST", 0.2)
    async with rendered_by(directory) as by:
        await check(by)
        async with asyncio.timeout(PATIENCE):
            while usage.tree(os.getpid()) != {os.getpid()}:
                await asyncio.sleep(0.01)
        await check(by)


async def test_closing_does_not_wait_for_what_is_rendered(directory: Path) -> None:
    async with rendered_by(directory) as by:
        await check(by)
        waiting = [asyncio.create_task(by.render(job("endless"), LIMIT)) for _ in range(2)]
        await until_busy(process())
        since = time.monotonic()
        await by.close()
        assert time.monotonic() - since < parent.LEAVE
        assert [task.cancelled() for task in waiting] == [True, True]


async def test_a_process_that_cannot_be_started_is_no_fault_of_a_template(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rendered_by(directory) as by:
        for attribute, value in (("executable", "/nowhere/python"), ("executable", "/bin/true")):
            with monkeypatch.context() as fault:
                fault.setattr(parent.sys, attribute, value)  # type: ignore[attr-defined]
                for error in await asyncio.gather(check(by), check(by), return_exceptions=True):
                    assert isinstance(error, OSError)
        await check(by)


async def test_signals_that_a_service_manager_sends_to_all_are_the_daemons(directory: Path) -> None:
    async with rendered_by(directory) as by:
        await check(by)
        pid = process()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
        await check(by)
        assert process() == pid


@pytest.mark.parametrize("lie", liar.LIES)
async def test_a_process_that_lies_is_ended(directory: Path, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    """What it says is read with care, and never unpickled; no memory is taken for what it says will come."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    async with rendered_by(directory) as by:
        with monkeypatch.context() as fault:
            fault.setattr(rendering, "_MODULE", "tests.templating.liar")
            with pytest.raises(TemplateError, match="twice" if lie == "longer than the limit" else "made no sense"):
                await by.render(job(lie), LIMIT)
        await check(by)


async def test_a_process_that_says_more_than_it_was_asked_for_is_ended(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    async with rendered_by(directory) as by:
        with monkeypatch.context() as fault:
            fault.setattr(rendering, "_MODULE", "tests.templating.liar")
            assert await by.render(job("more"), LIMIT) == [b"x"]
        async with asyncio.timeout(PATIENCE):
            while usage.tree(os.getpid()) != {os.getpid()}:
                await asyncio.sleep(0.01)
        await check(by)


def test_a_process_that_is_left_alone_with_an_endless_template_ends(directory: Path) -> None:
    """The parent was killed, and nobody else would end it."""
    program = "from smtprelay.templating import process as p; p.SECONDS = 0.2; p._GRACE = 0; p.main()"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", program, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as child:
            for request in (directory, (job("endless"), LIMIT, 0)):
                ours.sendall(framed(pickle.dumps(request)))
            assert child.wait(PATIENCE) == -signal.SIGALRM


@given(st.text(), st.text(), st.text(), st.integers())
def test_errors_survive_the_way(problem: str, file: str, variable: str, line: int) -> None:
    error = TemplateError("t", problem, file=file, variable=variable, line=line)
    octets = protocol.write_error(error)
    assert len(octets) <= protocol.MAX_ERROR
    assert str(protocol.read_error("t", octets)) == str(error)


def test_an_error_is_never_too_long() -> None:
    words = "\N{GRINNING FACE}" * 10**5
    error = TemplateError("t", words, file=words, variable=words)
    assert len(protocol.write_error(error)) <= protocol.MAX_ERROR


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_octets_are_an_error_or_refused(octets: bytes) -> None:
    with contextlib.suppress(ValueError):
        str(protocol.read_error("t", octets)).encode()


async def test_who_was_asked_ahead_is_not_to_blame(directory: Path, limits: Limits) -> None:
    """The next message is asked for while the one before is rendered: if the process is ended over that, it is asked
    for again, and its time begins with its turn."""
    limits(1.0, 1.0)
    async with rendered_by(directory) as by:
        await check(by)
        first = asyncio.create_task(by.render(job("endless"), LIMIT))
        given_up = asyncio.create_task(by.render(job("good", {"name": "Bob"}), LIMIT))
        behind = [asyncio.create_task(check(by)) for _ in range(3)]
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(TemplateError, match="longer than"):
            await first
        await asyncio.gather(*behind)


async def test_mail_of_other_templates_does_not_wait_for_one_that_takes_long(
    directory: Path, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: five messages of a template that never ends made the mail of all others wait for 40 seconds."""
    limits(2.0, 100 * PATIENCE)
    ended, end = list[str](), rendering._end

    def noting(process: Worker, error: TemplateError) -> None:
        ended.append(error.template)
        end(process, error)

    monkeypatch.setattr(rendering, "_end", noting)
    async with rendered_by(directory) as by:
        endless, others = [], []
        for _ in range(3):
            endless.append(asyncio.create_task(by.render(job("endless"), LIMIT)))
            others.append(asyncio.create_task(check(by)))
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*others)
        assert not any(task.done() for task in endless)
    assert ended == ["endless"], "the others of it are left out, also where they were asked for ahead"


async def test_a_message_that_takes_long_is_made_in_the_slow_lane(directory: Path, limits: Limits) -> None:
    """And the time that it has is the slow lane's, in whatever lane it began."""
    write(directory, "long", "{% for a in range(99999) %}{% for b in range(20) %}{% endfor %}{% endfor %}Done")
    limits(0.01, PATIENCE)
    async with rendered_by(directory) as by:
        [first, second] = await by.render(job("long", parts=2), LIMIT)
        assert b"Done" in first
        assert b"Done" in second
        assert by.slow.pid is not None


async def test_another_directory_counts_from_the_next_message_on(directory: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write(elsewhere, "good", "Hello {{ name }},")
    write(elsewhere, "other", "x")
    async with rendered_by(directory) as by:
        await check(by)
        begun = [asyncio.create_task(by.render(job("good", {"name": str(n)}), LIMIT)) for n in range(50)]
        await asyncio.sleep(0)
        by.use(elsewhere)
        [message] = await by.render(job("good", {"name": "Ada"}), LIMIT)
        assert b"Hello Ada," in message
        assert len(await asyncio.gather(*begun)) == 50
        await by.render(job("other", {}), LIMIT)
