"""Chapter 5: which requests are made of templates, and what is read of the answers."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from smtprelay.compose import Attachment
from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Upload
from smtprelay.platform.template_values import CheckStatus, Colour, Encoding, TemplateState
from smtprelay.platform.templates import Templates
from smtprelay.values import SHANGHAI

LOGO, TERMS = Path("pictures/标志.png"), Attachment("terms.pdf", b"%PDF")


def test_a_template_goes_by_post() -> None:
    described = Templates.add.describe(
        None, "三月", "新闻", "<p>{FULLNAME} & 您</p>", text_content="新闻", encoding=Encoding.BASE64
    )
    assert (described.path, described.query, described.uploads) == ("template.php", {"do": "add-tpl"}, [])
    assert described.form == {
        "name": "三月",
        "subject": "新闻",
        "content": "<p>{FULLNAME} & 您</p>",
        "text_content": "新闻",
        "encoding": "base64",
    }
    assert not described.repeatable
    for text in ("185", "<result><status>success</status><data>185</data></result>"):  # it is not printed which
        assert described.read(Answer(text.encode())).id == 185


def test_several_subjects_are_joined() -> None:
    described = Templates.add.describe(None, "n", ["主题一", "主题二"], "c")
    assert described.form == {"name": "n", "subject": "主题一|主题二", "content": "c"}
    assert Templates.edit.describe(None, 7, subject=["a", "b"]).form == {"subject": "a|b"}


@pytest.mark.parametrize("subject", ["50% | today", ["today", "50% | today"]])
def test_a_subject_that_would_become_two_is_refused(subject: str | list[str]) -> None:
    words = r"the subject '50% \| today' has a '\|', which would make two of it"
    with pytest.raises(ValueError, match=words):
        Templates.add.describe(None, "n", subject, "c")
    with pytest.raises(ValueError, match=words):
        Templates.edit.describe(None, 7, subject=subject)


@pytest.mark.parametrize("subject", ["", [], [""], ["Hello", ""]])
def test_no_subject_is_refused(subject: str | list[str]) -> None:
    with pytest.raises(ValueError, match="there is no subject"):
        Templates.add.describe(None, "n", subject, "c")


@pytest.mark.parametrize(("name", "content"), [("", "<p>"), ("news", "")])
def test_a_template_has_a_name_and_a_content(name: str, content: str) -> None:
    with pytest.raises(ValueError, match=f"the {'content' if name else 'name'} is empty"):
        Templates.add.describe(None, name, "Hello", content)


def test_one_attachment_and_several_have_different_names() -> None:
    one = Templates.add.describe(None, "n", "s", "c", attachments=[LOGO])
    assert one.uploads == [Upload("file", "标志.png", LOGO)]
    described = Templates.attach.describe(None, 7, LOGO, TERMS)
    assert described.uploads == [Upload("file[]", "标志.png", LOGO), Upload("file[]", "terms.pdf", b"%PDF")]
    assert (described.query, described.form) == ({"do": "tpl-attachment-add", "tpl_id": "7"}, {})
    with pytest.raises(ValueError, match="which files"):
        Templates.attach.describe(None, 7)


def test_what_is_asked_by_an_id() -> None:
    assert Templates.status.describe(None, 7).query == {"do": "get-tpl-status", "tpl_id": "7"}
    assert Templates.list.describe(None).query == {"do": "list-tpl"}
    assert Templates.list.describe(None, 7).query == {"do": "list-tpl", "tpl_id": "7"}
    assert Templates.delete.describe(None, 7).query == {"do": "del-tpl", "tpl_id": "7"}


def test_what_is_changed_goes_by_post() -> None:
    described = Templates.edit.describe(None, 7, content="<p>", encoding=Encoding.QUOTED_PRINTABLE)
    assert described.query == {"do": "edit-tpl", "tpl_id": "7"}
    assert described.form == {"content": "<p>", "encoding": "quoted-printable"}
    with pytest.raises(ValueError, match="give one of `name`, `subject` and `content`"):
        Templates.edit.describe(None, 7, text_content="t")


def test_all_attachments_are_deleted_only_where_that_is_said() -> None:
    query = {"do": "tpl-attachment-del", "tpl_id": "7"}
    assert Templates.detach.describe(None, 7, attachment_id=1).query == query | {"attachment_id": "1"}
    assert Templates.detach.describe(None, 7, all=True).query == query | {"attachment_id": "all"}
    for attachment_id, all_ in ((None, False), (1, True)):
        with pytest.raises(ValueError, match="give one of `attachment_id` and `all`, and only one"):
            Templates.detach.describe(None, 7, attachment_id=attachment_id, all=all_)


STATE = """<template><id>53</id><name>三月</name><status>{0}</status><colour>{1}</colour>
<update_date>2017-11-11 11:11:11</update_date><size_status>{2}</size_status><size>{3}</size>
<subject>主题一|主题二 </subject></template>"""


@pytest.mark.parametrize(
    ("status", "colour", "size_status", "size", "expected"),
    [
        ("-1", "", "-1", "0", (CheckStatus.CHECKING, Colour.NONE, None)),
        ("0", "red", "1", "78", (CheckStatus.REFUSED, Colour.RED, 78)),
        ("1", "red_pass", "1", "1,078.25", (CheckStatus.PASSED, Colour.RED_PASS, 1078.25)),
        ("1", "yellow", "1", "", (CheckStatus.PASSED, Colour.YELLOW, None)),
        ("1", "green", "1", "1", (CheckStatus.PASSED, Colour.GREEN, 1)),
    ],
)
def test_how_far_a_check_is(
    status: str, colour: str, size_status: str, size: str, expected: tuple[CheckStatus, Colour, float | None]
) -> None:
    answer = Answer(STATE.format(status, colour, size_status, size).encode())
    assert Templates.status.describe(None, 53).read(answer) == TemplateState(
        53, "三月", expected[0], expected[1], datetime(2017, 11, 11, 11, 11, 11, tzinfo=SHANGHAI), expected[2],
        ("主题一", "主题二"),
    )  # fmt: skip
    assert all(value.is_documented and value.english and value.chinese for value in expected[:2])


def test_a_template_that_is_bare() -> None:
    answer = Answer(b"<template><id>7</id><content><![CDATA[ <p>a < b & c</p> ]]></content><attachments/></template>")
    [template] = Templates.list.describe(None, 7).read(answer)
    assert (template.id, template.content, template.subjects, template.attachments) == (7, "<p>a < b & c</p>", (), ())
    assert Templates.list.describe(None).read(Answer(b"<template_list></template_list>")) == []
