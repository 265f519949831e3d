"""What people and programs are shown."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from smtprelay.cli.platform.show import show
from smtprelay.cli.platform.show import words as in_words
from smtprelay.platform.failures import Failure, FailureType
from smtprelay.platform.template_values import Colour
from tests.platform_cli.conftest import Platform, lines_of_json

Shell = Callable[..., Result]
FAILED = """<fail_recipient_list>
<recipient><email>a@example.org</email><type>1</type><task_id>5</task_id></recipient>
<recipient><email>b@example.org</email><error_type>4</error_type><error_type_dec>未知</error_type_dec></recipient>
</fail_recipient_list>"""
ADDRESSES = """<data>
<addr><id>1</id><list_id>7</list_id><address>a@example.org</address><fullname>王芳</fullname>
<time>2026-11-28 12:00:00</time><var2>x</var2></addr>
<addr><id>2</id><list_id>7</list_id><address>b@example.org</address><fullname>Ann</fullname></addr>
</data>"""


def test_a_table_has_the_columns_of_which_something_is_told(shell: Shell, platform: Platform) -> None:
    """Values are told with their meaning; those that the document does not know, as they came."""
    platform.answers["2.3.2"] = FAILED
    result = shell("failures", "all", "2026-11-28")
    assert result.stdout.splitlines() == [
        "address        type                 task id  description",
        "a@example.org  1 (no such mailbox)  5",
        "b@example.org  4                             未知",
    ]


def test_meanings_are_chinese_where_the_reader_is(shell: Shell, platform: Platform) -> None:
    platform.answers["2.3.2"] = FAILED
    env = {"SMTPRELAY_PLATFORM_USERNAME": "x", "SMTPRELAY_PLATFORM_PASSWORD": "y", "LC_ALL": "zh_CN.UTF-8"}
    assert "1 (邮箱不存在)" in shell("failures", "all", "2026-11-28", env=env).stdout


def test_json_has_the_values_as_they_came(shell: Shell, platform: Platform) -> None:
    platform.answers["2.3.2"] = FAILED
    assert json.loads(shell("failures", "all", "2026-11-28", "--json").stdout) == [
        {"address": "a@example.org", "type": "1", "task_id": 5, "description": ""},
        {"address": "b@example.org", "type": "4", "task_id": None, "description": "未知"},
    ]


def test_rows_that_come_page_by_page_are_a_line_each(shell: Shell, platform: Platform) -> None:
    platform.answers["4.8"] = ADDRESSES
    rows = lines_of_json(shell("contacts", "addresses", "--list-id", "7", "--json"))
    assert [row["address"] for row in rows] == ["a@example.org", "b@example.org"]
    assert rows[0]["added"] == "2026-11-28T12:00:00+08:00"
    table = shell("contacts", "addresses", "--list-id", "7").stdout
    assert "2026-11-28 12:00:00+08:00" in table
    columns = [line.index(name) for line, name in zip(table.splitlines()[1:], ["a@", "b@"], strict=True)]
    assert columns[0] == columns[1]


def test_a_hundred_thousand_rows_are_shown_within_seconds(shell: Shell, platform: Platform) -> None:
    """They took twelve, and addresses with all that is known of them two minutes."""
    platform.answers["4.6"] = "".join(f"{number}@example.org\t王{number}\n" for number in range(100_000))
    began = time.process_time()
    assert len(shell("contacts", "export", "7").stdout.splitlines()) == 100_001
    assert time.process_time() - began < 6


def test_nothing_is_told_as_such(shell: Shell, platform: Platform) -> None:
    platform.answers["4.1"] = "<maillist></maillist>"
    assert shell("contacts", "lists").stdout == "None.\n"
    assert shell("contacts", "lists", "--json").stdout == "[]\n"


def test_one_thing_is_a_line_for_each_value(shell: Shell, platform: Platform) -> None:
    platform.answers["1.2"] = (
        "<service><id>1</id><service_status>enabled</service_status><expiration_date>2027-01-31</expiration_date>"
        "<qty_available>7</qty_available></service>"
    )
    assert shell("account", "service").stdout.splitlines() == [
        "id         1",
        "status     enabled (may send)",
        "type",
        "send type",
        "begins",
        "ends       2027-01-31",
        "available  7",
        "bought",
    ]


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        ("", ["status  success (done)"]),
        ("<data>78</data>", ["status  success (done)", "id      78"]),
        ("<id>78</id><data>添加成功</data>", ["status  success (done)", "id      78", "data    添加成功"]),
    ],
)
def test_what_came_of_a_call_is_what_the_platform_tells_of_it(
    shell: Shell, platform: Platform, answer: str, lines: list[str]
) -> None:
    platform.answers["4.14"] = f"<result><status>success</status>{answer}</result>"
    assert shell("contacts", "unsubscribe", "7", "a@example.org").stdout.splitlines() == lines


def test_a_list_within_one_thing_is_a_table_of_its_own(shell: Shell, platform: Platform) -> None:
    link = "<link><link_id>3</link_id><link>https://a.test/</link><click_unique>2</click_unique></link>"
    platform.answers["3.1"] = f"<track><track_id>1</track_id><link_statistic>{link}</link_statistic></track>"
    platform.answers["3.5"] = f"<data>{link}</data>"
    overview = shell("tracking", "overview", "--id", "7").stdout
    assert overview.endswith(f"\n\nlinks:\n{shell('tracking', 'links', '--id', '7').stdout}")
    assert "\nlinks " not in overview


def test_an_export_goes_to_a_file(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    platform.answers["4.7"] = "2026-11-28 12:00:00\ta@example.org\n"
    assert shell("contacts", "unsubscribed", "7", "--output", "gone.tsv").stdout == ""
    told = (tmp_path / "gone.tsv").read_text("utf-8")
    assert told == "address\tat\na@example.org\t2026-11-28T12:00:00+08:00\n"
    assert shell("contacts", "unsubscribed", "7", "--output", "none/x").exit_code == 73


def test_no_words_of_strangers_are_commands_to_a_terminal(shell: Shell, platform: Platform) -> None:
    platform.answers["2.3.2"] = json.dumps([{"email": "a@example.org", "error_type_dec": "\x1b]0;title\x07\x9b2J"}])
    assert "]0;title\\x9b2J" in shell("failures", "all", "2026-11-28").stdout


def test_an_error_and_json_are_no_commands_to_a_terminal_either(
    shell: Shell, platform: Platform, tmp_path: Path
) -> None:
    commands = "\x7f\x9b2J\u202e"
    rows = [{"email": "a@example.org", "error_type_dec": commands}]
    platform.answers["2.3.2"] = [json.dumps({"status": commands, "data": commands}), *[json.dumps(rows)] * 2]
    failed = shell("failures", "all", "2026-11-28")
    assert "the platform says \\x7f\\x9b2J\\u202e" in failed.stderr
    told = shell("failures", "all", "2026-11-28", "--json").stdout
    assert json.loads(told)[0]["description"] == commands
    shell("failures", "all", "2026-11-28", "--output", str(tmp_path / "file"))
    for output in (failed.stderr, told, (tmp_path / "file").read_text("utf-8")):
        assert not set("\x7f\x9b\u202e").intersection(output)
    assert in_words(Colour(f"\x1b{commands}")) == "\\x1b\\x7f\\x9b2J\\u202e"


@pytest.mark.parametrize("words", ["\u202egpj.exe", "[bold]x"])
def test_words_of_strangers_do_nothing_to_a_terminal(shell: Shell, platform: Platform, words: str) -> None:
    platform.answers["4.1"] = f"<maillist><item><id>1</id><subject>{words}</subject></item></maillist>"
    told = shell("contacts", "lists").stdout
    assert words.replace("\u202e", "\\u202e") in told


@pytest.mark.parametrize(("columns", "lines"), [("61", 3), ("60", 8)])
def test_a_table_that_is_too_wide_for_the_terminal_is_one_for_each_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str, lines: int
) -> None:
    """rich would break each word of a task's twenty columns into letters. Chinese characters are two columns wide."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    failures = [
        Failure("a@example.org", FailureType.NOT_EXIST, 5),
        Failure("b@example.org", FailureType("4"), None, "未知未知未知未知"),
    ]
    show(failures, as_json=False)
    told = capsys.readouterr().out
    assert len(told.splitlines()) == lines, told
    assert "1 (no such mailbox)" in told


def test_what_is_long_is_told_in_json_alone(shell: Shell, platform: Platform) -> None:
    platform.answers["5.4"] = (
        "<template_list><template><id>9</id><name>news</name><content>HTML</content></template></template_list>"
    )
    assert "HTML" not in shell("templates", "list").stdout
    assert json.loads(shell("templates", "list", "--json").stdout)[0]["content"] == "HTML"
