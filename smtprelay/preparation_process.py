"""The worker that prepares messages under load.

A request is a submission; its answer is a pickled value. The first request is the setup; another one may come at any
time, and counts for what follows it.
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from smtprelay import __version__
from smtprelay.config import Config
from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.preparation import Preparer, Submission
from smtprelay.reply import Reject, Reply
from smtprelay.signing import Signer, load_key
from smtprelay.worker.child import parent

# The way that dataclasses with slots have of their own takes three times as long.
for kind in (Origin, Recipient, Envelope, Message, Submission):
    copyreg.pickle(kind, lambda value, kind=kind, values=attrgetter(*kind.__slots__): (kind, values(value)))  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Setup:
    """What the process has to know.

    :param version: the daemon's. Another one may have been installed since it was started.
    :param keys: PEM, domain and selector of each.
    """

    version: str
    config: Config
    keys: Sequence[tuple[bytes, str, str]] = field(repr=False)

    @classmethod
    def of(cls, preparer: Preparer) -> Setup:
        """What it takes to prepare as this one does."""
        return cls(__version__, preparer.config, [(key.pem, key.domain, key.selector) for key in preparer.signer.keys])


def _answer(preparer: Preparer, submission: Submission) -> Message | Reply | None:
    """The message, or the reply that refuses it; None where we failed: the daemon tries it in a thread."""
    try:
        return preparer.prepare(submission)
    except Reject as refusal:
        return refusal.reply
    except Exception:
        return None


def main() -> None:
    with parent() as (requests, answer):
        setup: Setup | None = next(requests, None)
        while setup is not None and setup.version == __version__:
            preparer = Preparer(setup.config, Signer(load_key(*key) for key in setup.keys))
            answer(_packed(True))
            while isinstance(request := next(requests, None), Submission):
                answer(_packed(_answer(preparer, request)))
            setup = request


def _packed(value: object) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    main()
