"""smtprelay without its index of words, to see what that costs: ``python -m benchmarks.unindexed run -c …``."""

from __future__ import annotations

from smtprelay.__main__ import main
from smtprelay.spool.sqlite.indexer import Indexer


def nothing(*_: object, **__: object) -> None:
    """In the place of what is left out."""


if __name__ == "__main__":
    Indexer.add = nothing  # type: ignore[method-assign]
    Indexer.begin = nothing  # type: ignore[method-assign]
    main()
