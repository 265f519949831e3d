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


def test_a_client_of_ipv6_is_its_network() -> None:
    """It can have any address of its /64, and had the limit once for each."""
    limit = ConnectionLimit(10, 2)
    assert limit.enter("2001:db8::1", trusted=False)
    assert limit.enter("2001:db8::2", trusted=False)
    assert not limit.enter("2001:db8::3", trusted=False)
    assert limit.enter("2001:db8:0:1::1", trusted=False)
    limit.leave("2001:db8::1", trusted=False)
    assert limit.enter("2001:db8::3", trusted=False)
    assert limit.enter("fe80::1%eth0", trusted=False)
    assert limit.enter("local", trusted=False)


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
