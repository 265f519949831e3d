"""A message for each of many contacts."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from smtprelay import Contact, InvalidMessage, Refused, Unreachable
from smtprelay.client.many import AnyContact
from smtprelay.instructions import IDEMPOTENCY_KEY, MAX_KEY, TAG, VARS
from smtprelay.sandbox.smarthost import SILENCE, Received, Rule, Smarthost
from tests.client.support import QUEUED, relay_to


def addresses(count: int) -> list[str]:
    return [f"user{i}@example.net" for i in range(count)]


def field(received: Received, name: str) -> str:
    return str(email.message_from_bytes(received.content, policy=email.policy.default)[name])


async def test_everybody_gets_one_over_several_connections() -> None:
    async with Smarthost(QUEUED) as host, relay_to(host, connections=3) as api:
        results = [
            result async for result in api.send_many(contacts=addresses(50), text="hello", idempotency_key="november")
        ]
        assert sorted(result.address for result in results) == sorted(addresses(50))
        assert all(result.receipt and not result.error for result in results)
        assert sorted(*zip(*[received.recipients for received in host.messages], strict=True)) == sorted(addresses(50))
        assert {field(received, IDEMPOTENCY_KEY) for received in host.messages} == {
            f"november:{address}" for address in addresses(50)
        }
        assert host.connections == 3


async def test_what_contacts_are() -> None:
    contacts: list[AnyContact] = [
        Contact("ann@example.net", {"fullname": "安"}),
        {"address": "bob@example.net", "fullname": "Bob", "sum": 12},
        "cy@example.net",
    ]
    variables: dict[str, Any] = {}
    async with Smarthost(QUEUED) as host, relay_to(host) as api:
        async for result in api.send_many(contacts=contacts, template="t", vars={"sum": 1, "fullname": "you"}):
            assert result.receipt
        for received in host.messages:
            variables[next(iter(received.recipients))] = json.loads(field(received, VARS))
    named = {name: (values["fullname"], values["sum"], values["var10"]) for name, values in variables.items()}
    assert named == {
        "ann@example.net": ("安", 1, ""),
        "bob@example.net": ("Bob", 12, ""),
        "cy@example.net": ("you", 1, ""),
    }


async def test_a_contact_that_fails_does_not_keep_the_others() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    contacts: list[AnyContact] = [
        "ann@example.net",
        "nobody",
        {"name": "Bob"},
        {"address": "bob@example.net", "at": object()},
        {"address": "deep@example.net", "at": nested},
        {None: ["too long a row"], "name": "Bob"},  # type: ignore[dict-item]
        None,  # type: ignore[list-item]
        "one@example.net, two@example.net",
        "cy@example.net",
    ]
    async with Smarthost(Rule("RCPT", "550 5.1.1 No such user", match="ann@"), QUEUED) as host, relay_to(host) as api:
        results = [result async for result in api.send_many(contacts=contacts, template="t")]
    errors = {result.address: result.error for result in results if result.error}
    assert isinstance(errors.pop("ann@example.net"), Refused)
    assert errors.keys() == {
        "nobody", "", "bob@example.net", "deep@example.net", "one@example.net, two@example.net"
    }  # fmt: skip
    assert len(results) == len(contacts)
    assert all(isinstance(error, InvalidMessage) for error in errors.values())
    assert [result.address for result in results if result.receipt] == ["cy@example.net"]


async def test_what_can_be_gone_through_once_is_there_for_all() -> None:
    async with Smarthost(QUEUED) as host, relay_to(host) as api:
        once: dict[str, Any] = {"tag": iter(["november"]), "reply_to": iter(["help@example.com"])}
        async for result in api.send_many(contacts=addresses(3), text="hello", **once):
            assert result.receipt
        assert {(field(one, TAG), field(one, "Reply-To")) for one in host.messages} == {
            ("november", "help@example.com")
        }


async def test_keys_are_of_bare_addresses_and_never_too_long() -> None:
    long = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.example"
    async with Smarthost(QUEUED) as host, relay_to(host) as api:
        for _ in range(2):
            results = api.send_many(contacts=[long, "安 <ann@Example.net>"], text="hello", idempotency_key="n" * 100)
            assert all([result.receipt async for result in results])
        keys = [field(received, IDEMPOTENCY_KEY) for received in host.messages]
    assert len(set(keys)) == 2
    assert f"{'n' * 100}:ann@example.net" in keys
    assert max(map(len, keys)) <= MAX_KEY


async def test_no_relay() -> None:
    async with Smarthost() as host:
        port = host.port
    async with relay_to(port) as api:
        results = [result async for result in api.send_many(contacts=addresses(20), text="hello")]
    assert [type(result.error) for result in results] == [Unreachable] * 20


async def test_contacts_are_taken_as_they_are_sent_to() -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield f"user{taken}@example.net"

    async with Smarthost(QUEUED) as host, relay_to(host, connections=2) as api:
        sending = api.send_many(contacts=endless(), text="hello")
        seen = 0
        async for result in sending:
            assert result.receipt
            seen += 1
            assert taken <= seen + 8
            if seen == 100:
                break
        await sending.aclose()
        assert taken <= 108


async def test_closing_ends_what_is_under_way() -> None:
    async with Smarthost(Rule("DATA", SILENCE, after=1), QUEUED) as host, relay_to(host, connections=2) as api:
        sending = api.send_many(contacts=addresses(20), text="hello")
        assert (await anext(sending)).receipt
        under_way = [task for task in asyncio.all_tasks() if "Batch.send" in repr(task)]
        assert under_way
        await sending.aclose()
        assert all(task.cancelled() for task in under_way)
        assert len(host.messages) == 1


async def test_contacts_that_break_off() -> None:
    def contacts() -> Iterator[str]:
        yield from addresses(3)
        raise OSError("the file is gone")

    async with Smarthost(QUEUED) as host, relay_to(host) as api:
        results = api.send_many(contacts=contacts(), text="hello")
        assert all([(await anext(results)).receipt for _ in range(3)])  # nobody need ask what became of them
        with pytest.raises(OSError, match="the file is gone"):
            await anext(results)
        assert len(host.messages) == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"to": "ann@example.net"}, "leave to out"),
        ({"subject": "a\nb"}, "subject holds"),
        ({"vars": {"a": 1}}, "vars are for a template"),
        ({"headers": {IDEMPOTENCY_KEY: "for all the same"}}, "is made of idempotency_key"),
        ({"idempotency_key": "a\nb"}, "idempotency_key holds"),
    ],
)
async def test_what_is_wrong_for_all_is_said_at_once(fields: dict[str, Any], words: str) -> None:
    async with relay_to(9) as api:
        with pytest.raises(InvalidMessage, match=words):
            api.send_many(contacts=addresses(1), **fields)
