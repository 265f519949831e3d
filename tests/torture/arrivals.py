"""What the smarthost accepted, held against the books: attempt by attempt, nothing missing, no copy unexplained."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.torture.load import Sent
from tests.torture.smarthost import Arrival

DOT_TIMEOUT = 2000  # milliseconds, of the relay's configuration
UNEXPLAINED = "for no reason that is known outside"


class Comparison:
    """Of the books at the end with what arrived.

    :param stories: all messages of the books, attempt by attempt.
    :param blows: signal → when the relay got it, Unix time in milliseconds.
    :ivar problems: in words; there should be none.
    :ivar copies: recipients that had a message more often than once: why → how often.
    :ivar unsure: recipients that had a message, though it could not be known and ended otherwise.
    """

    def __init__(
        self,
        stories: Sequence[Any],
        sent: Mapping[int, Sent],
        arrivals: Iterable[Arrival],
        blows: Mapping[signal.Signals, Sequence[int]],
    ) -> None:
        self.copies = Counter[str]()
        self.unsure = 0
        self._by_id = {story["id"]: story for story in stories}
        self._by_message_id = {story["message_id"]: story for story in stories}
        self._bodies = {one.message_id: one.body for one in sent.values()}
        self._wholes: dict[str, str] = {}
        self._blows = blows
        self._accepted: defaultdict[tuple[str, str], list[Arrival]] = defaultdict(list)
        self.problems = [problem for arrival in arrivals for problem in self._arrival(arrival)]
        for story in stories:
            for recipient in story["recipients"]:
                accepted = self._accepted.pop((story["id"], recipient["recipient"]), [])
                self.problems += self._recipient(f"{story['id']} to {recipient['recipient']}", recipient, accepted)
        self.problems += [f"{key} arrived for nobody of its envelope" for key in self._accepted]

    def _arrival(self, arrival: Arrival) -> Iterator[str]:
        """It is in the books, and whole."""
        story = self._by_message_id.get(arrival.message_id)
        if story is None:
            yield f"{arrival.message_id} arrived and is not in the books"
            return
        if not story["dsn_for"] and arrival.body != self._bodies[arrival.message_id]:
            yield f"{story['id']} did not arrive as it was sent"
        if self._wholes.setdefault(arrival.message_id, arrival.whole) != arrival.whole:
            yield f"{story['id']} arrived again, and not the same"
        if story["dsn_for"]:
            about = self._by_id[story["dsn_for"]]["recipients"]
            if {*arrival.about} != {r["recipient"] for r in about if r["dsn"] == story["id"]}:
                yield f"{story['id']} is about {arrival.about}, the books have {about}"
        for address in arrival.recipients:
            self._accepted[story["id"], address].append(arrival)

    def _recipient(self, name: str, recipient: Mapping[str, Any], accepted: Sequence[Arrival]) -> Iterator[str]:
        """Every acceptance is that of one attempt, delivered or ambiguous; whatever is delivered was accepted."""
        attempts = {attempt["number"]: attempt for attempt in recipient["history"]}
        if [*attempts] != [*range(1, recipient["attempts"] + 1)]:
            yield f"{name}: {recipient['attempts']} attempts, in the books {[*attempts]}"
        came: defaultdict[int, list[Arrival]] = defaultdict(list)  # by the attempt
        for one in accepted:
            came[max((n for n, a in attempts.items() if a["started_at"] <= one.at), default=0)].append(one)
        for number, attempt in attempts.items():
            delivered = attempt["outcome"] == "delivered"
            allowed = (1,) if delivered else (0, 1) if attempt["ambiguous"] else (0,)
            if len(came[number]) not in allowed or attempt["outcome"] == "open":
                yield f"{name}: accepted {len(came[number])} times in attempt {attempt}"
        if came[0]:
            yield f"{name}: accepted before its first attempt"
        if (recipient["state"] == "delivered") != any(a["outcome"] == "delivered" for a in attempts.values()):
            yield f"{name}: {recipient['state']}, after {attempts}"
        doubtful = [self._why(a, came[n][0]) for n, a in attempts.items() if a["ambiguous"] and came[n]]
        if UNEXPLAINED in doubtful:
            yield f"{name}: an attempt that nothing made ambiguous: {attempts}"
        if doubtful and recipient["state"] != "delivered":
            self.unsure += 1
            doubtful.pop()
        self.copies.update(doubtful)

    def _why(self, attempt: Mapping[str, Any], arrival: Arrival) -> str:
        """What made this attempt ambiguous, as it is known outside: from the signals, and from what was answered."""
        if attempt["phase"] == "unknown":
            return "in flight when killed" if self._struck(signal.SIGKILL, attempt) else UNEXPLAINED
        if not arrival.answered or attempt["ended_at"] - attempt["started_at"] >= DOT_TIMEOUT:
            return "no reply after the dot"
        return "cut by SIGTERM" if self._struck(signal.SIGTERM, attempt) else UNEXPLAINED

    def _struck(self, number: signal.Signals, attempt: Mapping[str, Any]) -> bool:
        """Whether the relay got this signal during the attempt."""
        return any(attempt["started_at"] <= at <= attempt["ended_at"] for at in self._blows[number])
