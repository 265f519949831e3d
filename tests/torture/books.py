"""The relay's books: read over its control socket, and held against what its clients were promised."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.torture.load import Sent, Stage

PAGE = 10_000  # messages of one answer
ENDS = ("delivered", "bounced", "suppressed", "cancelled")
HELD = ("operator",)  # reasons that can come up here


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


class Control:
    """The control socket of the running daemon."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def messages(self) -> dict[str, Any]:
        """All that the books have, by id, the newest first."""
        return await asyncio.to_thread(self._messages)

    async def stories(self, ids: Iterable[str]) -> list[Any]:
        """These messages, attempt by attempt."""
        return await asyncio.to_thread(self._ask, [("GET", f"/v1/queue/{id_}", None) for id_ in ids])

    async def stats(self) -> Any:
        """The queue in figures."""
        [stats] = await asyncio.to_thread(self._ask, [("GET", "/v1/stats", None)])
        return stats

    async def act(self, action: str, *ids: str) -> None:
        """Hold, release or cancel these messages, or all."""
        await asyncio.to_thread(self._ask, [("POST", f"/v1/queue/{action}", {"ids": ids})])

    def _messages(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        before = ""
        while True:
            [page] = self._ask([("GET", "/v1/queue?" + urlencode({"limit": PAGE, "before": before}), None)])
            found |= {message["id"]: message for message in page}
            if len(page) < PAGE:
                return found
            before = page[-1]["id"]

    def _ask(self, questions: Iterable[tuple[str, str, Any]]) -> list[Any]:
        """Answers, all over one connection."""
        connection = _Connection(self._path)
        answers = []
        try:
            for method, target, words in questions:
                body = None if words is None else json.dumps(words)
                connection.request(method, target, body, {"Content-Type": "application/json"} if body else {})
                response = connection.getresponse()
                answer = response.read()
                assert response.status == 200, answer
                answers.append(json.loads(answer))
        finally:
            connection.close()
        return answers


@dataclass
class Books:
    """What is known of the books so far: what has ended stays as it ended.

    :ivar ends: (id, recipient) → how it ended.
    """

    ends: dict[tuple[str, str], tuple[str, str, str]] = field(default_factory=dict)
    attempts: dict[tuple[str, str], int] = field(default_factory=dict)

    async def check(self, control: Control, sent: Mapping[int, Sent]) -> dict[str, Any]:
        """Read them and see that they balance. :returns: all messages, by id."""
        promised = [one for one in sent.values() if one.stage is Stage.ACCEPTED]
        messages = await control.messages()
        problems = [*self._promises(promised, messages)]
        by_message_id = {one.message_id: one for one in sent.values()}
        copies = Counter(message["message_id"] for message in messages.values())
        problems += [f"{message_id} is there {count} times" for message_id, count in copies.items() if count > 1]
        for message in messages.values():
            problems += _origin(message, by_message_id)
            for recipient in message["recipients"]:
                problems += self._recipient(message["id"], recipient)
                if not _notified(recipient, by_message_id.get(message["message_id"])):
                    problems.append(f"{message['id']}: not the DSN that is due: {recipient}")
        problems += await _notifications(control, messages)
        assert not problems, "\n".join(problems[:50])
        return messages

    def _promises(self, promised: Iterable[Sent], messages: Mapping[str, Any]) -> Iterable[str]:
        for one in promised:
            message = messages.get(one.id)
            if message is None:
                yield f"{one.id} got a 250 and is unknown"
            elif message["message_id"] != one.message_id or message["reverse_path"] != one.reverse_path:
                yield f"{one.id} is another message than the one that got its 250"

    def _recipient(self, message_id: str, recipient: Mapping[str, Any]) -> Iterable[str]:
        key = (message_id, recipient["recipient"])
        end = (recipient["state"], recipient["reason"], recipient["dsn"])
        state, reason, dsn = end
        if not _lawful(state, reason, dsn):
            yield f"{key}: no state of the books: {end}"
        if self.ends.setdefault(key, end) != end:
            yield f"{key}: ended as {self.ends[key]}, and is now {end}"
        if state not in ENDS:
            del self.ends[key]
        if recipient["attempts"] < self.attempts.get(key, 0):
            yield f"{key}: of {self.attempts[key]} attempts {recipient['attempts']} are left"
        self.attempts[key] = recipient["attempts"]


def _lawful(state: str, reason: str, dsn: str) -> bool:
    """Whether a recipient may be in this state."""
    match state:
        case "queued" | "delivered" | "cancelled":
            return not reason
        case "sending":
            return reason in ("", *HELD)  # to be held, if it comes back
        case "held":
            return reason in HELD
        case "bounced":
            return reason in ("refused", "expired") and bool(dsn)
        case "suppressed":  # a notification: another one to the same address was refused before
            return reason == "1"
    return False


def _notified(recipient: Mapping[str, Any], sent: Sent | None) -> bool:
    """Whether it has the DSN that is due, or the right reason why there is none.

    :param sent: the message as its client sent it, None for a DSN.
    """
    state, dsn = recipient["state"], recipient["dsn"]
    notify = sent.recipients.get(recipient["recipient"], "") if sent else ""
    if state == "suppressed":
        return sent is None and dsn in ("", "none: this was a notification itself")
    if state not in ("bounced", "delivered") or (state == "delivered" and "SUCCESS" not in notify):
        return not dsn
    if sent is None:
        return bool(dsn == "none: this was a notification itself")
    if notify == "NEVER":
        return bool(dsn == "none: NOTIFY=NEVER")
    if not sent.reverse_path:
        return bool(dsn == "none: the reverse-path is null")
    return bool(dsn) and not dsn.startswith("none: ")


def _origin(message: Mapping[str, Any], by_message_id: Mapping[str, Sent]) -> Iterable[str]:
    """A message is one of the load, whole, or a DSN."""
    recipients = [recipient["recipient"] for recipient in message["recipients"]]
    if message["dsn_for"]:
        if len(recipients) != 1:
            yield f"{message['id']}: a DSN to {recipients}"
        return
    sent = by_message_id.get(message["message_id"])
    if sent is None or sent.stage in (Stage.BEGUN, Stage.REFUSED):
        yield f"{message['id']}: nobody sent it: {message['message_id']}, {sent}"
    elif sent.id not in ("", message["id"]):
        yield f"{message['id']} is a second copy of {sent.id}"
    elif recipients != [*sent.recipients]:
        yield f"{message['id']}: sent to {[*sent.recipients]}, kept for {recipients}"


async def _notifications(control: Control, messages: Mapping[str, Any]) -> list[str]:
    """Every DSN that is named is there, and every one that is there is named by whom it is about."""
    named = {
        (recipient["dsn"], message["id"])
        for message in messages.values()
        for recipient in message["recipients"]
        if recipient["dsn"] and not recipient["dsn"].startswith("none: ")
    }
    kept = {(message["id"], message["dsn_for"]) for message in messages.values() if message["dsn_for"]}
    # Those made while the list was read stand before its beginning.
    late = await control.stories(dsn for dsn, _ in named - kept)
    kept |= {(message["id"], message["dsn_for"]) for message in late}
    return [f"the DSN {dsn} about {about} is not in the books" for dsn, about in named - kept] + [
        f"the DSN {dsn} is in the books, and {about} does not name it" for dsn, about in kept - named
    ]
