"""What `smtprelay template check` finds."""

from __future__ import annotations

import pytest

from smtprelay.templating.check import check
from tests.templating.conftest import Bench

META = """\
[variables.name]
[variables.items]
type = "list"
example = [{ price = 1 }]
[inline]
logo = "logo.png"
"""


@pytest.fixture
def good(bench: Bench) -> Bench:
    bench.put("a/meta.toml", META)
    bench.put("a/logo.png", b"logo")
    bench.write(
        _layout_html="<html><body>{% block body %}{% endblock %}{{ footer }}</body></html>",
        a__subject="Hello {{ name }} {{ fullname }} {{ var10 }}",
        a__body_html="{% extends '_layout.html.j2' %}{% set footer = 'bye' %}{% block body %}<img src='cid:logo'>"
        "{% for item in items %}{{ item.price + 1 }}{% endfor %}{{ extra|default('') }}"
        "{% if more is defined %}{{ more }}{% endif %}{% macro m(x) %}{{ x }}{% endmacro %}{{ m(name) }}"
        "{{ body_html }}{{ subject }}{% endblock %}",
        a__body_txt="{{ name }} {{ date }} {{ recipient }} {{ language }}",
    )
    return bench


def findings(bench: Bench) -> list[str]:
    return [f"{finding.level} {finding}" for finding in check(bench.templates, "a", "2026-11-24")]


def test_a_good_template(good: Bench) -> None:
    assert findings(good) == []


def test_a_variable_in_a_branch_that_is_not_taken(good: Bench) -> None:
    good.write(a__body_txt="\n{% if name == 'nobody' %}{{ forgotten }}{% endif %}")
    assert findings(good) == [
        "failed a/body.txt.j2, line 2: 'forgotten' may be undefined: declare it in meta.toml ([variables.forgotten])"
    ]


def test_a_variable_is_missed_once(good: Bench) -> None:
    good.write(a__body_txt="{{ forgotten }}", a__subject="{% include '_s.txt.j2' %}", _s_txt="{{ other }}")
    assert [finding.partition(":")[0] for finding in findings(good)] == [
        "failed _s.txt.j2, line 1",
        "failed a/body.txt.j2, line 1",
    ]


def test_what_only_rendering_shows(good: Bench) -> None:
    good.write(a__body_txt="\n\n{{ items[0].amount }}")
    [finding] = findings(good)
    assert finding.startswith("failed a/body.txt.j2, line 3: 'dict object' has no attribute 'amount'")


def test_each_language(good: Bench) -> None:
    good.put("a/body.zh.txt.j2", "{{ name + 1 }}")
    [finding] = findings(good)
    assert finding.startswith("failed a/body.zh.txt.j2, line 1: TypeError")


def test_pictures(good: Bench) -> None:
    good.write(a__body_html="<img src='cid:photo'><img src='missing.png'><img src='https://example.com/x.png'>")
    (good.folder / "a/logo.png").unlink()
    assert findings(good) == [
        "failed a/body.html.j2: cid:photo is not in meta.toml: name its file there, below [inline]",
        "failed a/body.html.j2: the picture 'missing.png' is not there: put it beside the template's files",
        "failed a/meta.toml: inline.logo: 'logo.png' is not there",
    ]


def test_long_lines(good: Bench) -> None:
    good.write(a__body_txt=f"{'x' * 998}\n{'x' * 999}\n")
    assert findings(good) == [
        "warning a/body.txt.j2, line 2: the line has 999 octets: break it before 998, or it is sent in pieces"
    ]


def test_the_text_part(good: Bench) -> None:
    (good.folder / "a/body.txt.j2").unlink()
    assert findings(good) == ["warning a/body.html.j2: there is no a/body.txt.j2: the text part is made from the HTML"]
    good.write(a__body_html="<img src='cid:logo'>")
    assert findings(good) == [
        "failed a/body.html.j2: the HTML has no text to make a text part from: write a/body.txt.j2"
    ]


def test_no_subject(good: Bench) -> None:
    (good.folder / "a/subject.j2").unlink()
    assert findings(good) == ["warning it has no subject.j2: messages keep the subject of the app, or have none"]


def test_no_body(bench: Bench) -> None:
    bench.write(a__subject="S")
    assert findings(bench) == ["failed it has no body: write body.html.j2 or body.txt.j2"]


def test_bad_meta(good: Bench) -> None:
    good.put("a/meta.toml", 'form = "x"\n[headers]\nSubject = "x"\n')
    assert [finding.partition(": ")[2].partition(":")[0] for finding in findings(good)] == ["headers", "form"]
    good.put("a/meta.toml", "[")
    [finding] = findings(good)
    assert finding.startswith("failed a/meta.toml: TOML: ")


def test_references(good: Bench) -> None:
    good.write(
        a__body_html="\n{% include 'b.j2' %}{% if 0 %}{% include 'c.html.j2' %}{% endif %}x"
        "{% include 'd' ignore missing %}",
        b="x",
    )
    assert findings(good) == [
        "failed a/body.html.j2, line 2: c.html.j2 is not in the templates' directory",
    ]


def test_syntax(good: Bench) -> None:
    good.write(a__body_txt="\n{% if %}")
    assert findings(good) == [
        "failed a/body.txt.j2, line 2: syntax: Expected an expression, got 'end of statement block'"
    ]
