"""The platform's word for what came of a call: ``<result><status>…</status><id>…</id><data>…</data></result>``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from smtprelay.platform.answer import Answer
from smtprelay.platform.errors import CallFailed, UnreadableAnswer
from smtprelay.platform.read import one_of, text
from smtprelay.platform.statuses import DONE, Status

_ID = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Result:
    """It was done.

    :param id: of what was made; 0 where the platform tells none.
    :param data: what it says beside.
    """

    status: Status
    id: int = 0
    data: str = ""

    @property
    def new_id(self) -> int:
        """The id, for what is to be done next with what was made.

        :raises UnreadableAnswer: the platform tells none.
        """
        if not self.id:
            error = UnreadableAnswer("the platform does not tell the id of what it made", self.data)
            error.ambiguous = True
            raise error
        return self.id


def read_result(answer: Answer) -> Result:
    """:raises CallFailed: it was not done. :raises UnreadableAnswer: nobody knows."""
    told = answer.text.strip()
    if _ID.fullmatch(told):  # 5.2 promises the new id, and does not say how
        return Result(Status.SUCCESS, int(told))
    root = answer.xml("result")
    status, data = one_of(Status, root, "status"), " ".join(text(root, "data").split())
    if not status:
        raise UnreadableAnswer("a <result> without a <status> came", answer.excerpt)
    if status not in DONE:
        raise CallFailed(status, data)
    told = text(root, "id")
    if not told and _ID.fullmatch(data):
        told, data = data, ""
    return Result(status, int(told) if _ID.fullmatch(told) else 0, data)
