"""docs/metrics.md and the figures say the same."""

from __future__ import annotations

import re

import pytest

from smtprelay.gateway.refusals import REASONS
from smtprelay.metrics import FIGURES, Figure
from tests.debian import ROOT

PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(smtprelay_\w+)` \| (\w+) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)


def test_every_figure_is_described_in_its_order() -> None:
    assert [name for name, *_ in ROWS] == [figure.name for figure in FIGURES]


@pytest.mark.parametrize(
    ("figure", "row"), list(zip(FIGURES, ROWS, strict=False)), ids=lambda x: getattr(x, "name", "")
)
def test_its_kind_labels_and_meaning(figure: Figure, row: tuple[str, ...]) -> None:
    assert row == (figure.name, figure.kind, ", ".join(f"`{label}`" for label in figure.labels), figure.help)


def test_every_reason_of_a_refusal_is_explained() -> None:
    rows = PAGE.split("| reason |")[1].split("\n\n")[0].splitlines()[2:]
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(explained) == sorted(REASONS)


@pytest.mark.parametrize("figure", [figure for figure in FIGURES if "result" in figure.labels], ids=lambda f: f.name)
def test_every_result_is_listed(figure: Figure) -> None:
    assert f"\n- `result` of `{figure.name}`: `" in PAGE


def test_what_it_asks_for_exists() -> None:
    asked = re.findall(r"smtprelay_\w+", PAGE.split("```promql")[1])
    names = {figure.name for figure in FIGURES}
    assert {re.sub("_bucket$", "", name) for name in asked} <= names
