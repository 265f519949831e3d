"""How many connections there may be."""

from __future__ import annotations

from smtprelay.connections import ConnectionLimit


def test_connections_are_counted_in_all_and_by_client() -> None:
    limit = ConnectionLimit(3, 2)
    assert limit.enter("a", trusted=False)
    assert limit.enter("a", trusted=False)
    assert not limit.enter("a", trusted=False)
    assert limit.enter("a", trusted=True)
    assert not limit.enter("b", trusted=True)
    limit.leave("a", trusted=False)
    assert limit.enter("a", trusted=False)


def test_another_limit_counts_who_is_in() -> None:
    limit = ConnectionLimit(3, 3)
    for _ in range(3):
        assert limit.enter("a", trusted=False)
    limit.use(10, 2)
    assert not limit.enter("a", trusted=False)
    assert limit.enter("b", trusted=False)
    for _ in range(2):
        limit.leave("a", trusted=False)
    assert limit.enter("a", trusted=False)
