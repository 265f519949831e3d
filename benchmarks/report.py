"""Figures → tables in Markdown, as docs/performance.md shows them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.rounds import Figures


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column holds words, the others figures."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def throughput(medians: dict[str, Figures], base: str) -> str:
    """One kind of load.

    :param medians: by peer.
    :param base: the peer that the ratio is to.
    """
    head = ["", "messages/s end to end", "ratio", "accepted/s", "CPU ms a message", "memory MiB"]
    rows = [
        [
            name,
            f"{figures.end_to_end:.0f}",
            f"{figures.end_to_end / medians[base].end_to_end:.2f}",
            f"{figures.accepted:.0f}",
            f"{figures.cpu:.2f}",
            f"{figures.memory:.0f}",
        ]
        for name, figures in medians.items()
    ]
    return table(head, rows)


def latency(medians: dict[str, Figures]) -> str:
    """One rate of arrival."""
    rows = [[name, f"{1000 * f.p50:.1f}", f"{1000 * f.p99:.1f}"] for name, f in medians.items()]
    return table(["", "p50 ms", "p99 ms"], rows)
