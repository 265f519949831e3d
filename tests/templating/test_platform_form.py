"""Our templates in the form of the platform's, and what cannot be brought into it."""

from __future__ import annotations

from typing import Any

import pytest

from smtprelay.errors import TemplateError
from smtprelay.packaged import packaged
from smtprelay.templating.platform_form import PlatformTemplate, platform_form
from tests.templating.conftest import Bench


def form(
    bench: Bench, template: str = "w", /, values: dict[str, Any] | None = None, **options: Any
) -> PlatformTemplate:
    return platform_form(bench.folder, template, values or {}, **{"fields": {}, "today": "2026-11-28"} | options)


def refused(
    bench: Bench, template: str = "w", /, values: dict[str, Any] | None = None, **options: Any
) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        form(bench, template, values, **options)
    return caught.value


def test_variables_stand_there_as_the_platform_writes_them(bench: Bench) -> None:
    bench.write(
        w__subject="{{ fullname }}, hello|Hello {{ name }}",
        w__body_html="<style>p { color: red }</style>"
        "<p>Dear {{ fullname }} <{{ recipient }}>, {{ date }}: {{ var3 }}</p>",
    )
    made = form(bench)
    assert made.subjects == ("{FULLNAME}, hello", "Hello {FULLNAME}")
    assert '<p style="color: red;">Dear {FULLNAME}' in made.html
    assert "{DATE}: {VAR3}</p>" in made.html
    assert made.text.startswith("Dear {FULLNAME}")
    assert made.fields == {
        "fullname": "FULLNAME", "name": "FULLNAME", "date": "DATE", "recipient": "RECIPIENTS", "var3": "VAR3",
    }  # fmt: skip


def test_other_variables_are_numbered_in_their_order(bench: Bench) -> None:
    """Those with a default are the same for all contacts, unless the contacts have them."""
    bench.put("w/meta.toml", '[variables]\nshop = { default = "Shop" }\npoints = { type = "integer" }\n')
    bench.write(w__subject="{{ order }}", w__body_html="{{ var1 }} {{ code }}\n{{ points }} {{ shop }}{{ order }}")
    assert form(bench).fields == {"order": "VAR2", "var1": "VAR1", "code": "VAR3", "points": "VAR4"}
    assert "{VAR1} {VAR3}\n{VAR4} Shop{VAR2}" in form(bench).html
    assert form(bench, of_contacts=["shop"]).fields["shop"] == "VAR5"
    assert form(bench, fields={"shop": "VAR2"}).fields == {
        "order": "VAR3", "var1": "VAR1", "code": "VAR4", "points": "VAR5", "shop": "VAR2",
    }  # fmt: skip


def test_values_that_are_the_same_for_all(bench: Bench) -> None:
    bench.write(w__body_html="{% for item in items %}{{ item }}{% endfor %} {{ fullname or 'reader' }} {{ code }}")
    made = form(bench, values={"items": ["a", "b"], "fullname": ""})
    assert "ab reader {VAR1}" in made.html
    assert made.fields == {"code": "VAR1"}


@pytest.mark.parametrize(
    "use",
    [
        "{% if code %}x{% endif %}",
        "{{ code or 'x' }}",
        "{% for letter in code %}{{ letter }}{% endfor %}",
        "{{ code == 'A' }}",
        "{{ 'A' in code }}",
        "{{ code|upper }}",
        "{{ code|title }}",
        "{{ code|int }}",
        "{{ code|urlencode }}",
        "{{ code|length }}",
        "{{ code|default('x', true) }}{{ code }}",
        "{{ [code]|map('lower')|join }}",
        "{{ code is string }}",
        "{{ code[0] }}",
        "{{ code.first }}",
        "{{ 'x' if code }}",
        "{% macro box(value) %}{% if value %}{{ value }}{% endif %}{% endmacro %}{{ box(code) }}",
    ],
)
def test_what_tests_or_changes_a_value_is_refused(bench: Bench, use: str) -> None:
    """It would be done once, with the placeholder, and not for each contact."""
    bench.write(w__body_html=f"<p>\n\n{use}</p>")
    error = refused(bench, of_contacts=["code"])
    assert (error.file, error.line, error.variable) == ("w/body.html.j2", 3, "code")
    assert "give one value for all with --var code=" in error.problem


@pytest.mark.parametrize(
    "use",
    ["{% filter lower %}{{ code }}{% endfilter %}", "{% set x %}{{ code }}{% endset %}{{ x|urlencode }}"],
)
def test_what_changes_it_in_other_ways_is_refused(bench: Bench, use: str) -> None:
    bench.write(w__body_html=use)
    assert "something changes a value that is put in later" in refused(bench).problem


def test_what_only_writes_it_is_let_be(bench: Bench) -> None:
    bench.write(
        w__body_html="{{ 'a' ~ code }} {{ 'b' + code }} {{ 'c%s'|format(code) }} {{ code|e }} "
        "{{ [code, code]|join('+') }}{{ maybe|default('nobody') }} <a href='https://a.test/?c={{ code }}'>x</a>"
    )
    made = form(bench)
    assert "a{VAR1} b{VAR1} c{VAR1} {VAR1} {VAR1}+{VAR1}nobody" in made.html
    assert 'href="https://a.test/?c={VAR1}"' in made.html
    assert "{VAR1}+{VAR1}{VAR2}" in form(bench, of_contacts=["maybe", "else"]).html


def test_the_platform_has_ten_values(bench: Bench) -> None:
    bench.write(w__body_html=" ".join(f"{{{{ v{number:02} }}}}" for number in range(11)))
    error = refused(bench)
    assert error.variable == "v10"
    assert "more values that differ from contact to contact than the platform's 10" in error.problem
    assert len(form(bench, values={"v03": "x"}).fields) == 10


def test_a_list_is_given_or_refused(bench: Bench) -> None:
    bench.put("w/meta.toml", '[variables]\nitems = { type = "list" }\n')
    bench.write(w__body_html="{% for item in items %}{{ item }}{% endfor %}")
    assert "items is a list, which no contact of the platform has" in refused(bench).problem
    assert "ab" in form(bench, values={"items": ["a", "b"]}).html


def test_pictures_lie_on_the_web(bench: Bench) -> None:
    bench.put("w/meta.toml", 'attachments = ["terms.pdf"]\n[inline]\nlogo = "logo.png"\n')
    for name in ("logo.png", "map.png", "terms.pdf"):
        bench.put(f"w/{name}", name)
    bench.write(w__body_html='<img src="cid:logo"><img src="map.png">')
    assert "it shows map.png from within the mail" in refused(bench).problem
    made = form(bench, pictures="https://a.test/news/")
    assert 'src="https://a.test/news/logo.png"' in made.html
    assert 'src="https://a.test/news/map.png"' in made.html
    assert [attachment.filename for attachment in made.attachments] == ["terms.pdf"]


def test_each_picture_has_an_address_of_its_own(bench: Bench) -> None:
    """The fault: cid:logo2 became the address of logo with a 2 behind it; and a space ends an address."""
    bench.put("w/meta.toml", '[inline]\nlogo = "logo.png"\nlogo2 = "标志 2.png"\n')
    for name in ("logo.png", "标志 2.png"):
        bench.put(f"w/{name}", name)
    bench.write(w__body_html='<img src="cid:logo"><img src="CID:logo2"><img src="cid:other">')
    html = form(bench, pictures='https://a.test/"&').html
    assert 'src="https://a.test/&quot;&amp;/logo.png"' in html
    assert 'src="https://a.test/&quot;&amp;/%E6%A0%87%E5%BF%97%202.png"' in html
    assert 'src="cid:other"' in html


def test_two_pictures_of_the_same_name_are_refused(bench: Bench) -> None:
    """The fault: both got the same address, and so one was shown twice."""
    bench.write(w__body_html='<img src="a/logo.png"><img src="b/logo.png">')
    for folder in ("a", "b"):
        bench.put(f"w/{folder}/logo.png", "the same")
    assert form(bench, pictures="https://a.test").html.count("https://a.test/logo.png") == 2
    bench.put("w/b/logo.png", "another")
    assert "it shows two pictures of the name logo.png" in refused(bench, pictures="https://a.test").problem


def test_text_alone_becomes_html(bench: Bench) -> None:
    bench.write(w__body_txt="Dear {{ fullname }} & Co\n")
    made = form(bench)
    assert made.html == "<p>Dear {FULLNAME} &amp; Co</p>"
    assert made.text == "Dear {FULLNAME} & Co"


def test_header_fields_are_left_out(bench: Bench) -> None:
    bench.put("w/meta.toml", 'from = "{{ shop }} <{{ shop }}@a.test>"\n[headers]\nPrecedence = "bulk"\n')
    bench.write(w__body_html="x")
    assert form(bench).left_out == ("Precedence",)


def test_a_template_that_is_not_there(bench: Bench) -> None:
    bench.write(w__body_html="x")
    assert "there is none of this name; there are w" in refused(bench, "v").problem


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_newsletter_of_the_examples(language: str) -> None:
    values = {
        "language": language, "fullname": "", "var1": "", "headline": "Tea", "intro": "New teas.",
        "articles": [{"title": "One", "text": "…", "url": "https://a.test/1"}],
    }  # fmt: skip
    made = platform_form(
        packaged("templates"), "newsletter", values, fields={}, pictures="https://a.test", today="2026-11-28"
    )
    assert made.fields == {"unsubscribe_url": "VAR2"}
    assert 'href="{VAR2}"' in made.html
    assert made.left_out == ("List-Unsubscribe", "List-Unsubscribe-Post", "Precedence")
