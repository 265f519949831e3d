"""A name and values → a message."""

from __future__ import annotations

import os
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smtprelay.errors import TemplateError
from smtprelay.templating import library
from smtprelay.templating.job import Job, Part
from smtprelay.templating.library import Templates
from tests.templating.conftest import NOW, Bench

APP = b"Subject: =?utf-8?b?5pyI5oql?=\r\nContent-Type: text/plain; charset=gb2312\r\n\r\n" + "你好 A<B\r\n".encode(
    "gb2312"
)
BOTH = b"""\
Subject: s\r
Content-Type: multipart/mixed; boundary=m\r
\r
--m\r
Content-Type: multipart/related; boundary=r\r
\r
--r\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Hello <b>you</b><img src="cid:logo"></p>\r
--r\r
Content-Type: image/png; name=logo.png\r
Content-Disposition: inline; filename=logo.png\r
Content-ID: <logo>\r
Content-Transfer-Encoding: base64\r
\r
AAAA\r
--r--\r
--m\r
Content-Type: text/csv\r
Content-Disposition: attachment; filename="=?utf-8?b?5pyI5oqlLmNzdg==?="\r
\r
1,2\r
--m--\r
"""


def test_a_folder_with_subject_html_and_text(bench: Bench) -> None:
    bench.write(
        shop__welcome__subject="Welcome {{ name }}\n",
        shop__welcome__body_html="<p>Hello {{ name }}</p>",
        shop__welcome__body_txt="Hello {{ name }}, {{ recipient }}, {{ date }}\n",
    )
    octets = bench.octets("shop/welcome", b"To: a@example.com\r\nX-App: 1\r\n", to="a@example.com", name="Ann")
    assert octets.startswith(b"To: a@example.com\r\nX-App: 1\r\nSubject: Welcome Ann\r\nMIME-Version: 1.0\r\n")
    mail = bench.render("shop/welcome", to="a@example.com", name="王<小>明")
    assert mail.subject == "Welcome 王<小>明"
    assert "<p>Hello 王&lt;小&gt;明</p>" in mail.html
    assert mail.text == "Hello 王<小>明, a@example.com, 2026-11-24"
    assert bench.templates.names() == ["shop/welcome"]


def test_files_beside_others(bench: Bench) -> None:
    bench.put("shop/welcome.subject.j2", "S")
    bench.put("shop/welcome.body.txt.j2", "T")
    bench.put("shop/welcome.meta.toml", 'reply-to = "help@example.com"')
    bench.put("shop/bye.body.txt.j2", "B")
    bench.put("shop/_partial.body.txt.j2", "no template of its own")
    assert bench.templates.names() == ["shop/bye", "shop/welcome"]
    mail = bench.render("shop/welcome")
    assert (mail.subject, mail.text, mail.message["Reply-To"]) == ("S", "T", "help@example.com")
    assert not mail.message.is_multipart()


def test_the_text_is_made_from_the_html_and_styles_are_inlined(bench: Bench) -> None:
    style = "p{color:red} @media (prefers-color-scheme: dark){p{color:white}}"
    bench.write(a__body_html=f"<html><head><style>{style}</style></head><body><p>Hello <b>you</b></p></body></html>")
    mail = bench.render("a")
    assert mail.text == "Hello you"
    assert '<p style="color: red;">' in mail.html
    assert "@media (prefers-color-scheme: dark)" in mail.html


def test_styles_come_from_nowhere_else(bench: Bench) -> None:
    sheet = bench.put("sheet.css", "p{color:red}")
    bench.write(
        a__body_html=f'<link rel="stylesheet" href="file://{sheet}"><link rel="stylesheet" href="{sheet}"><p>x</p>'
    )
    assert "red" not in bench.render("a").html


@pytest.mark.parametrize(
    ("language", "subject", "body"),
    [("zh-CN", "S zh", "zh-cn"), ("zh_CN", "S zh", "zh-cn"), ("zh", "S zh", "zh"), ("zh-TW", "S zh", "zh"),
     ("fr", "S", "plain"), ("", "S", "plain"), ("../x", "S", "plain"), ("zh-", "S", "plain")],
)  # fmt: skip
def test_languages(bench: Bench, language: str, subject: str, body: str) -> None:
    for name, text in {
        "subject": "S", "subject.zh": "S zh", "body.txt": "plain", "body.zh.html": "<p>zh</p>",
        "body.zh-cn.txt": "zh-cn",
    }.items():  # fmt: skip
        bench.put(f"a/{name}.j2", text)
    mail = bench.render("a", language=language)
    assert (mail.subject, mail.text) == (subject, body)


def test_autoescape_is_for_html_alone(bench: Bench) -> None:
    bench.write(a__subject="{{ x }}", a__body_txt="{{ x }}", a__body_html="<p>{{ x }}</p>{% include 'b.html' %}")
    bench.put("b.html", "<i>{{ x }}</i>")
    mail = bench.render("a", x="<b>&</b>")
    assert (mail.subject, mail.text) == ("<b>&</b>", "<b>&</b>")
    escaped = "&lt;b&gt;&amp;&lt;/b&gt;"
    assert f"<p>{escaped}</p><i>{escaped}</i>" in mail.html


def test_values_are_escaped_in_html_wherever_they_stand(bench: Bench) -> None:
    """The fault: a file that texts share, included in HTML, let a value be HTML."""
    bench.put("_p.txt.j2", "{{ x }}")
    bench.put("_q", "{% macro q(x) %}{{ x }}{% endmacro %}")
    shared = "{% include '_p.txt.j2' %}{% import '_q' as q %}{{ q.q(x) }}"
    bench.write(a__body_txt=shared, a__body_html=f"<p>{shared}</p>")
    mail = bench.render("a", x="<b>")
    assert mail.text == "<b><b>"
    assert "<p>&lt;b&gt;&lt;b&gt;</p>" in mail.html


def test_inheritance_and_macros(bench: Bench) -> None:
    bench.write(
        _layout_html="<body>{% block body %}{% endblock %}</body>",
        _macros_html="{% macro bold(x) %}<b>{{ x }}</b>{% endmacro %}",
        a__body_html="{% extends '_layout.html.j2' %}{% import '_macros.html.j2' as m %}"
        "{% block body %}{{ m.bold(name) }}{% endblock %}",
    )
    assert "<body><b>A&amp;B</b></body>" in bench.render("a", name="A&B").html


def test_changes_count_at_once(bench: Bench) -> None:
    bench.write(
        _layout_txt="1 {% block b %}{% endblock %}", a__subject="S", a__body_txt="{% extends '_layout.txt.j2' %}"
    )
    assert bench.render("a").text == "1 "
    bench.write(_layout_txt="2 {% block b %}{% endblock %}")
    assert bench.render("a").text == "2 "
    bench.write(a__body_txt="3")
    assert bench.render("a").text == "3"
    bench.put("a/body.zh.txt.j2", "4")
    assert bench.render("a", language="zh").text == "4"
    (bench.folder / "a/body.zh.txt.j2").unlink()
    assert bench.render("a", language="zh").text == "3"


def test_what_has_been_rendered_is_kept_while_its_files_are_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(a__subject="{{ n }}", a__body_txt="{{ n }}")
    calls: list[str] = []
    body = bench.templates.engine.body
    monkeypatch.setattr(bench.templates.engine, "body", lambda file, known: calls.append(file) or body(file, known))  # type: ignore[func-returns-value]
    assert [bench.render("a", n=1).text, bench.render("a", n=1).text, bench.render("a", n=2).text] == ["1", "1", "2"]
    assert len(calls) == 2
    bench.write(a__body_txt="{{ n }}!")
    assert bench.render("a", n=1).text == "1!"
    assert bench.render("a", n=1, content=b"Subject: another message\r\n\r\n").text == "1!"
    assert len(calls) == 4


# Subjects


def test_subjects_take_turns_and_a_bar_in_a_value_does_not_separate(bench: Bench) -> None:
    bench.write(a__subject="One {{ x }}|Two |\n Three\n| \n", a__body_txt="t")
    seen = [bench.render("a", x="a|b").subject for _ in range(6)]
    assert sorted(seen[:3]) == ["One a|b", "Three", "Two"]
    assert seen[3:] == seen[:3]
    assert (seen[0], seen[1]) in {("One a|b", "Two"), ("Two", "Three"), ("Three", "One a|b")}


def test_the_subject_of_the_app(bench: Bench) -> None:
    bench.write(a__body_txt="{{ subject }}", b__subject="Re: {{ subject }}", b__body_txt="t")
    assert bench.render("a", content=APP).subject == bench.render("a", content=APP).text == "月报"
    assert bench.render("b", content=APP).subject == "Re: 月报"
    assert bench.render("a").message["Subject"] is None
    assert bench.render("a", content="Subject: 月\r\n 报\r\n\r\n".encode("gb18030")).subject == "月 报"


# The app's message


def test_bodies_of_the_app(bench: Bench) -> None:
    bench.write(a__body_txt="[{{ body_text }}]", a__body_html="<div>{{ body_html }}</div>")
    mail = bench.render("a", content=APP)
    assert mail.text == "[你好 A<B\n]"
    assert "<div><p>你好 A&lt;B</p></div>" in mail.html
    mail = bench.render("a", content=BOTH)
    assert mail.text == "[Hello you\n]"
    assert '<div><p>Hello <b>you</b><img src="cid:logo"></p>' in mail.html
    assert mail.files == {"<logo>": b"\0\0\0", "月报.csv": b"1,2"}


def test_a_body_without_a_charset(bench: Bench) -> None:
    """The platform's own PHP sample declares none."""
    bench.write(a__body_txt="{{ body_text }}")
    for charset in ("utf-8", "gb18030"):
        content = b"Content-Type: text/html\r\n\r\n" + "<p>你好</p>".encode(charset)
        assert bench.render("a", content=content).text == "你好"


def test_what_looks_encoded_in_a_value_is_shown_as_it_is(bench: Bench) -> None:
    bench.write(a__subject="{{ x }}", a__body_txt="t")
    assert bench.render("a", x="=?utf-8?q?a=0D=0AB?=").subject == "=?utf-8?q?a=0D=0AB?="


@pytest.mark.parametrize("charset", ["utf-8", "gb18030"])
def test_names_that_old_apps_write_as_they_are(bench: Bench, charset: str) -> None:
    bench.write(a__body_txt="x")
    raw = BOTH.replace(b"=?utf-8?b?5pyI5oqlLmNzdg==?=", "月报表.csv".encode(charset))
    within = b"--m\r\nContent-Type: message/rfc822\r\n\r\nSubject: " + "报".encode(charset) + b"\r\n\r\nx\r\n--m--"
    mail = bench.render("a", content=raw.replace(b"--m--", within))
    assert mail.files["月报表.csv"] == b"1,2"
    assert mail.files["attachment"].startswith(b"Subject: " + "报".encode(charset))


def test_a_picture_of_the_app_that_is_not_shown_is_attached(bench: Bench) -> None:
    bench.write(a__body_html="<p>{{ body_text }}</p>")
    assert bench.render("a", content=BOTH).files == {"logo.png": b"\0\0\0", "月报.csv": b"1,2"}


def test_a_message_without_a_body(bench: Bench) -> None:
    bench.write(a__body_txt="[{{ body_text }}{{ body_html }}]")
    assert bench.render("a").text == "[]"


# meta.toml


def test_meta(bench: Bench) -> None:
    bench.write(
        a__subject="S", a__body_html='<img src="cid:logo"><img src="pic.png"><img src="https://example.com/x.png">'
    )
    bench.put("logo.png", b"logo")
    bench.put("a/pic.png", b"picture")
    bench.put("a/条款.pdf", b"terms")
    bench.put("a/unused.png", b"unused")
    bench.put(
        "a/meta.toml",
        """\
        from = "{{ shop }} <shop@example.com>"
        reply-to = "help@example.com"
        attachments = ["条款.pdf"]
        [headers]
        List-Unsubscribe = "<https://example.com/u?a={{ recipient|urlencode }}>"
        X-Kind = "{{ kind }}"
        [inline]
        logo = "logo.png"
        unused = "unused.png"
        """,
    )
    mail = bench.render("a", b"X-Kind: app\r\n", to="张@example.com", shop='Foo, "Inc." 商店 <x@y.z>', kind="通知")
    [author] = mail.message["From"].addresses
    assert (author.display_name, author.addr_spec) == ('Foo, "Inc." 商店 <x@y.z>', "shop@example.com")
    assert mail.message["List-Unsubscribe"] == "<https://example.com/u?a=%E5%BC%A0%40example.com>"
    assert mail.message.get_all("X-Kind") == ["通知"]
    assert mail.files == {"<logo>": b"logo", "<1.pic.png>": b"picture", "条款.pdf": b"terms"}
    assert 'src="cid:1.pic.png"' in mail.html
    mail = bench.render(
        "a", b"From: app@example.com\r\nREPLY-TO: r@example.com\r\n", to="x@example.com", shop="x", kind="y"
    )
    assert mail.message.get_all("From") == ["app@example.com"]
    assert mail.message.get_all("Reply-To") == ["r@example.com"]


def test_no_value_makes_another_author(bench: Bench) -> None:
    bench.write(a__body_txt="t")
    bench.put("a/meta.toml", 'from = "{{ name }} <shop@example.com>"')
    for name in ("x <evil@example.org>, y", '" <evil@example.org>, "', "a\\", "(", "=?utf-8?q?x?="):
        [author] = bench.render("a", name=name).message["From"].addresses
        assert author.addr_spec == "shop@example.com"
        assert author.display_name.strip('"') == name.strip('"')
    bench.put("a/meta.toml", '\nfrom = "{{ name }}"')
    error = bench.error("a", name="a@example.com, b@example.com")
    assert (error.file, error.line) == ("a/meta.toml", 2)


VARIABLES = """\
[variables.code]
[variables.amount]
type = "number"
[variables.name]
default = "friend"
[variables.items]
type = "list"
default = [1, 2]
[variables.paid]
type = "boolean"
default = false
"""


def test_variables_are_converted_and_have_defaults(bench: Bench) -> None:
    bench.write(
        a__body_txt="{{ code }} {{ amount + 1 }} {{ name }} {{ items|length }} {{ 'paid' if paid else 'open' }}"
    )
    bench.put("a/meta.toml", VARIABLES)
    assert bench.render("a", code=482913, amount="12.5", name="").text == "482913 13.5 friend 2 open"
    assert bench.render("a", code="0", amount=1, name="Ann", items="[1]", paid="yes").text == "0 2 Ann 1 paid"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [("amount", "much", "a number"), ("amount", True, "a number"), ("amount", [], "a number"),
     ("amount", "1e999", "a number"),
     ("amount", "9" * 5000, "a number"), ("items", "[" * 100_000, "a list"), ("items", {}, "a list"),
     ("code", ["1"], "a string"), ("code", True, "a string"), ("paid", "perhaps", "true or false"),
     ("paid", 1, "true or false")],
)  # fmt: skip
def test_a_wrong_type(bench: Bench, name: str, value: Any, wanted: str) -> None:
    bench.write(a__body_txt="t")
    bench.put("a/meta.toml", VARIABLES)
    error = bench.error("a", **{"code": "1", "amount": 1, name: value})
    assert (error.variable, error.problem) == (name, f"the value of {name} is of the wrong type: {wanted} is wanted")


def test_a_missing_variable(bench: Bench) -> None:
    bench.write(a__body_txt="t")
    bench.put("a/meta.toml", VARIABLES)
    error = bench.error("a", code="1")
    assert error.variable == "amount"
    assert error.problem == "it needs amount (number): give it in X-SMTPRelay-Vars, vars= or --var"


# What no value can do


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=300))
def test_no_value_makes_a_second_header_field(bench: Bench, value: str) -> None:
    bench.write(a__subject="Hello {{ v }} {% filter upper %}{{ v }}{% endfilter %}", a__body_txt="{{ v }}")
    bench.put(
        "a/meta.toml", 'from = "{{ v }} <a@example.com>"\nheaders.X-V = "{{ v }}"\nheaders.List-Help = "<{{ v }}>"'
    )
    try:
        octets = bench.octets("a", b"To: b@example.com\r\n", v=value)
    except TemplateError as error:
        assert error.variable == "v"  # noqa: PT017 - either is right
        assert "control character" in error.problem  # noqa: PT017
        return
    header = octets.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0] for line in header.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    assert names == [
        *(b"To", b"From", b"X-V", b"List-Help", b"Subject"),
        *(b"MIME-Version", b"Content-Type", b"Content-Transfer-Encoding"),
    ]
    assert octets.isascii()


@pytest.mark.parametrize("value", ["x\r\nBcc: e@example.org", "x\ny", "x\ry", "x\0", "x\x1b[m", "x\u2028y", "x\x85"])
def test_a_control_character_in_a_header_is_refused(bench: Bench, value: str) -> None:
    bench.write(a__subject="Hi\n{{ v }}", a__body_txt="t")
    error = bench.error("a", v=value, w="other")
    assert (error.file, error.line, error.variable) == ("a/subject.j2", 2, "v")
    assert "control character" in error.problem
    bench.write(a__subject="S")
    bench.put("a/meta.toml", '[headers]\nX-A = "a"\nX-V = "{{ v }}"\n')
    error = bench.error("a", v=value)
    assert (error.file, error.line, error.variable) == ("a/meta.toml", 3, "v")


def test_half_a_character_is_a_question_mark(bench: Bench) -> None:
    bench.write(a__subject="{{ v }}", a__body_html="{{ v }}")
    mail = bench.render("a", v="x\ud83d")
    assert (mail.subject, mail.text) == ("x?", "x?")


# What templates cannot do


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "../secret", "a/../../secret", "..\\secret", "link", "folder/secret"]
)
@pytest.mark.parametrize("tag", ["{{% include {} %}}", "{{% include {} ignore missing %}}", "{{% extends {} %}}"])
def test_nothing_outside_the_directory(bench: Bench, path: str, tag: str) -> None:
    secret = bench.folder.parent / "secret"
    secret.write_text("secret")
    (bench.folder / "link").symlink_to(secret)
    (bench.folder / "folder").symlink_to(bench.folder.parent)
    bench.write(a__subject="S", a__body_txt="\n" + tag.format(repr(path)))
    error = bench.error("a")
    assert (error.file, error.line) == ("a/body.txt.j2", 2)
    assert "outside" in error.problem


@pytest.mark.parametrize("name", ["../a", "/a", "a/../a", "", "a/", "_a", ".a", "a\0b", "x" * 300])
def test_names_that_are_none(bench: Bench, name: str) -> None:
    bench.write(a__body_txt="t", _a__body_txt="t")
    assert bench.error(name).problem


def test_files_outside_do_not_go_along(bench: Bench) -> None:
    (bench.folder.parent / "secret.png").write_bytes(b"secret")
    bench.write(a__body_html='<img src="../secret.png">')
    assert "outside" in bench.error("a").problem
    bench.write(a__body_html="x")
    bench.put("a/meta.toml", 'attachments = ["../../secret.png"]')
    assert "outside" in bench.error("a").problem


def test_a_symlink_within_the_directory_is_followed(bench: Bench) -> None:
    bench.write(_shared_txt="shared", a__body_txt="{% include 'b.txt.j2' %}")
    (bench.folder / "b.txt.j2").symlink_to(bench.folder / "_shared.txt.j2")
    assert bench.render("a").text == "shared"


def test_a_fifo_is_not_waited_for(bench: Bench) -> None:
    bench.write(a__body_txt="{% include 'pipe' %}")
    os.mkfifo(bench.folder / "pipe")
    assert "is not a file" in bench.error("a").problem


@pytest.mark.parametrize(
    ("source", "problem", "variable"),
    [
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe", ""),
        ("{{ items.append(1) }}", "access to attribute 'append' of 'list' object is unsafe", ""),
        ("{{ missing }}", "'missing' is undefined", "missing"),
        ("{{ item.name }}", "has no attribute 'name'", "name"),
        ("{% if x %}", "syntax: Unexpected end of template", ""),
        ("{{ x|random }}", "syntax: No filter named 'random'", ""),
        ("{{ 1 / 0 }}", "ZeroDivisionError", ""),
        ("{{ 1 + 'a' }}", "TypeError", ""),
        ("{% include 'no.txt' %}", "no.txt is not in the templates' directory", ""),
        ("{% include 'a/body.txt.j2' %}", "nested too deeply", ""),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested too deeply", ""),
        ("{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}", "too much for a mail", ""),
    ],
)
def test_errors_have_a_place(bench: Bench, source: str, problem: str, variable: str) -> None:
    bench.write(a__subject="S", a__body_txt=f"\n\n{source}")
    error = bench.error("a", x="1", item={}, items=[])
    assert problem in error.problem
    assert (error.template, error.file, error.variable) == ("a", "a/body.txt.j2", variable)
    assert error.line == (0 if "mail" in problem else 3)


@pytest.mark.parametrize("tag", ["<div>", "<b>", "<DIV\n>", "<table><tr><td>", "<font></p>"])
def test_html_that_would_end_the_process(bench: Bench, tag: str) -> None:
    """css-inline calls itself for each element within another, until the stack is full: a segmentation fault."""
    bench.write(a__body_html="{% autoescape false %}{{ tag * n }}{% endautoescape %}")
    assert "elements within each other" in bench.error("a", tag=tag, n=100_000).problem
    assert bench.render("a", tag=tag, n=500).html


def test_a_long_table_whose_cells_are_not_closed(bench: Bench) -> None:
    bench.write(a__body_html="<table>{% for n in range(5000) %}<tr><td>{{ n }}<td><b>x</b><br>{% endfor %}</table>")
    assert bench.render("a").text.endswith("4999 x")


def test_an_error_in_what_is_included_is_placed_there(bench: Bench) -> None:
    bench.write(_b_txt="\n{{ missing }}", a__body_txt="{% include '_b.txt.j2' %}")
    error = bench.error("a")
    assert (error.file, error.line) == ("_b.txt.j2", 2)
    assert "defined are body_html, body_text, date, subject" in error.problem


def test_an_unknown_template_names_those_that_there_are(bench: Bench) -> None:
    assert "no templates yet" in bench.error("a").problem
    for number in range(12):
        bench.write(**{f"t{number:02}__body_txt": "t"})
    error = bench.error("a")
    assert (
        error.problem == f"there is none of this name; there are {', '.join(f't{n:02}' for n in range(10))} and 2 more"
    )


def test_bad_meta_is_all_said(bench: Bench) -> None:
    bench.write(a__body_txt="t")
    bench.put("a/meta.toml", 'form = "x"\nattachments = 1\n[variables.n]\ntype = "number"\ndefault = "1"\n')
    problem = bench.error("a").problem
    assert "form: this key is not known" in problem
    assert "attachments: a list is wanted" in problem
    assert "variables.n: default: a number is wanted" in problem


def test_text_that_is_not_utf8(bench: Bench) -> None:
    bench.put("a/body.txt.j2", "\n你好".encode("gb18030"))
    assert "is not UTF-8 (line 2)" in bench.error("a").problem
    bench.put("a/body.txt.j2", "你好".encode("utf-8-sig"))
    assert bench.render("a").text == "你好"


def test_values_nested_without_end(bench: Bench) -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    bench.write(a__body_txt="t")
    assert "nested too deeply" in bench.error("a", x=deep).problem


def test_one_message_for_each_part(bench: Bench) -> None:
    bench.write(a__subject="{{ n }}", a__body_txt="t")
    parts = tuple(Part(b"To: %d@example.com\r\n" % n, f"{n}@example.com", {"n": n}) for n in range(3))
    messages = list(Templates(bench.folder).render(Job("a", parts, b"", NOW)))
    assert [message.partition(b"MIME")[0] for message in messages] == [
        b"To: %d@example.com\r\nSubject: %d\r\n" % (n, n) for n in range(3)
    ]


def test_what_is_kept_of_renderings_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: header fields were kept without being counted."""
    monkeypatch.setattr(library, "_KEPT", 2**20)
    bench.templates = Templates(bench.folder)
    bench.write(a__subject="{{ n }}", a__body_txt="x")
    bench.put("a/meta.toml", "[headers]\nX-Long = \"{{ 'x ' * 20000 }}\"\n")
    tracemalloc.start()
    for n in range(100):
        bench.octets("a", n=n)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2 * 2**20
