"""`templates push` and `tasks create`: which calls they make, and what exists when one fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from smtprelay.cli.platform import progress
from smtprelay.platform import CallFailed, PlatformUnreachable, UnreadableAnswer
from smtprelay.platform.statuses import Status
from smtprelay.values import SHANGHAI
from tests.platform_cli.conftest import Platform, done
from tests.platform_cli.test_login import configuration

Shell = Callable[..., Result]
PASSED = "<template><id>{}</id><name>news</name><status>{}</status><colour>{}</colour><size>1</size></template>"
GREEN = PASSED.format(3, 1, "green")
SENDER = ("--sender", "news@example.com", "--sender-name", "新闻")
TIME = ("--time", "2099-12-01 09:00")


@pytest.fixture
def here(tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A template and contacts; a platform that takes all of it, and needs to be asked twice."""
    monkeypatch.setattr(progress, "PAUSES", (0.0, 0.0))
    folder = tmp_path / "templates" / "news"
    folder.mkdir(parents=True)
    (folder / "subject.j2").write_text("{{ fullname }}，您好|Hello")
    (folder / "body.html.j2").write_text("<p>{{ fullname }}: {{ code }}, {{ city }}</p>")
    (folder / "meta.toml").write_text('attachments = ["terms.pdf"]\n[headers]\nPrecedence = "bulk"\n')
    (folder / "terms.pdf").write_bytes(b"%PDF")
    (tmp_path / "contacts.csv").write_text("name,email,code,city\n王芳,wang@example.org,A7,北京\nAnn,nobody,B8,Bath\n")
    platform.answers |= {
        "5.2": done(1003),
        "5.3": [PASSED.format(1003, -1, ""), PASSED.format(1003, 1, "green")],
        "4.3": done(1005),
        "4.9.3": done(1006),
        "4.9.4": [done(status="no_complete"), done()],
        "6.2": "<result><status>success</status><id>1007</id><data>添加群发任务成功!</data></result>",
    }
    return tmp_path


def test_push_uploads_a_template_in_the_platforms_form(shell: Shell, platform: Platform, here: Path) -> None:
    pushed = shell("templates", "push", "news", "--directory", "templates", "--var", "city=北京")
    assert pushed.exit_code == 0, pushed.output
    assert platform.last.form == {
        "name": "news",
        "subject": "{FULLNAME}，您好|Hello",
        "content": "<html><head></head><body><p>{FULLNAME}: {VAR1}, 北京</p></body></html>",
        "text_content": "{FULLNAME}: {VAR1}, 北京\n",
    }
    assert platform.sent == [b"%PDF"]
    assert pushed.stdout.splitlines() == [
        "template  1003",
        "  fullname is {FULLNAME}",
        "  code is {VAR1}",
        "Whether it may be sent: 'smtprelay platform templates status 1003'.",
    ]
    assert pushed.stderr == "The platform sends no header fields of a template: without Precedence.\n"


def test_push_waits_for_the_check(shell: Shell, platform: Platform, here: Path) -> None:
    push = ("templates", "push", "news", "--directory", "templates", "--wait", "--json")
    told = json.loads(shell(*push, "--map", "city=var3").stdout)
    assert (told["id"], told["check"]["colour"]) == (1003, "green")
    assert told["fields"] == {"fullname": "FULLNAME", "code": "VAR1", "city": "VAR3"}
    platform.answers["5.3"] = PASSED.format(1003, 0, "red")
    refused = shell(*push)
    assert refused.exit_code == 69
    assert "does not let template 1003 pass: red (refused)" in refused.stderr


def test_push_replaces_a_template_with_its_attachments(shell: Shell, platform: Platform, here: Path) -> None:
    platform.answers["5.4"] = (
        "<template_list><template><id>9</id><attachments><attachment><atta_id>1</atta_id></attachment></attachments>"
        "</template></template_list>"
    )
    assert shell("templates", "push", "news", "--directory", "templates", "--update", "9").exit_code == 0
    assert platform.numbers == ["5.6", "5.4", "5.8", "5.7"]
    assert platform.sent == [b"%PDF"]


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["news", "--map", "city=VAR11"], 64, "--map city=VAR11: NAME=FIELD is wanted, of RECIPIENTS, FULLNAME, "),
        (["news", "--pictures", "www.example.com"], 64, "an address such as https://www.example.com/news is wanted."),
        (["none"], 78, "there is none of this name; there are news"),
        (["news", "--directory", "none"], 78, "none is not a directory"),
    ],
)
def test_push_makes_nothing_of_what_is_wrong(
    shell: Shell, platform: Platform, here: Path, words: list[str], status: int, told: str
) -> None:
    result = shell("templates", "push", "--directory", "templates", *words)
    assert (result.exit_code, platform.calls) == (status, [])
    assert told in result.stderr


def test_push_refuses_what_cannot_be_decided(shell: Shell, platform: Platform, here: Path) -> None:
    (here / "templates" / "news" / "body.html.j2").write_text("\n{% if code %}x{% endif %}")
    result = shell("templates", "push", "news", "--directory", "templates")
    assert (result.exit_code, platform.calls) == (78, [])
    assert result.stderr.startswith(
        "Template news (news/body.html.j2, line 2): it does something with code that needs "
    )


def create(shell: Shell, *words: str) -> Result:
    return shell("tasks", "create", "--directory", "templates", *SENDER, *TIME, *words)


def test_a_campaign_in_one_command(shell: Shell, platform: Platform, here: Path) -> None:
    result = create(shell, "--template", "news", "--contacts", "contacts.csv", "--account", "")
    assert result.exit_code == 0, result.output
    assert platform.numbers == ["5.2", "5.3", "5.3", "4.3", "4.9.3", "4.9.4", "4.9.4", "6.2"]
    assert platform.sent == [b"%PDF", "wang@example.org;王芳;;;;;A7;北京;;;;;;;;\n".encode()]
    assert platform.last.form == {
        "tpl_id": "1003", "maillist_id": "1005", "send_domain": "example.com", "send_account": "news@example.com",
        "send_fullname": "新闻", "send_qty_start": "1", "send_qty": "0", "status": "1", "time": "2099-12-01 09:00:00",
        "subs_link": "1", "track_status": "0",
    }  # fmt: skip
    assert result.stdout.splitlines() == [
        "fullname is {FULLNAME}",
        "code is {VAR1}",
        "city is {VAR2}",
        "template  1003 green (not suspicious)",
        "list      1005, 1 contact",
        "task      1007 is sent when its time comes 2099-12-01 09:00:00+08:00",
        "What comes of it: 'smtprelay platform stats batches --id 1007'.",
    ]
    assert "line 3: 'nobody' is not an address" in result.stderr


def test_a_campaign_of_what_the_platform_has(shell: Shell, platform: Platform, here: Path) -> None:
    platform.answers["5.3"] = [PASSED.format(3, 1, "green"), PASSED.format(4, 1, "yellow")]
    told = json.loads(create(shell, "--tpl-id", "3", "--tpl-id", "4", "--list-id", "5", "--hold", "--json").stdout)
    assert platform.numbers == ["5.3", "5.3", "6.2"]
    assert [(check["id"], check["colour"]) for check in told["checks"]] == [(3, "green"), (4, "yellow")]
    form: Any = platform.last.form
    assert (form["tpl_id"], form["maillist_id"], form["status"]) == ("3,4", "5", "-1")
    assert (told["task"], told["templates"], told["list"], told["upload"]) == (1007, [3, 4], 5, None)


def test_what_is_held_needs_no_time(shell: Shell, platform: Platform, here: Path) -> None:
    """The fault: --hold alone, as the handbook has it, was refused for want of one; the platform wants one."""
    platform.answers["5.3"] = GREEN
    before = datetime.now(SHANGHAI).replace(microsecond=0)
    result = shell("tasks", "create", *SENDER, "--tpl-id", "3", "--list-id", "5", "--hold")
    assert result.exit_code == 0, result.output
    form: Any = platform.last.form
    assert form["status"] == "-1"
    assert before <= datetime.fromisoformat(form["time"]).replace(tzinfo=SHANGHAI) <= datetime.now(SHANGHAI)


def test_without_a_time_what_may_stand_for_it_is_told(shell: Shell, platform: Platform, here: Path) -> None:
    result = shell("tasks", "create", *SENDER, "--tpl-id", "3", "--list-id", "5")
    assert (result.exit_code, platform.calls) == (64, [])
    assert result.stderr == "Say when: --time '2026-12-01 09:00', in Asia/Shanghai, --now, or --hold.\n"


def test_contacts_are_added_to_a_list(shell: Shell, platform: Platform, here: Path) -> None:
    platform.answers |= {"4.9.4": done(), "5.3": GREEN}
    assert (
        create(shell, "--tpl-id", "3", "--list-id", "5", "--contacts", "contacts.csv", "--map", "code=VAR9").exit_code
        == 0
    )
    assert platform.numbers == ["5.3", "4.9.3", "4.9.4", "6.2"]
    assert platform.sent == ["wang@example.org;王芳;;;;;;;;;;;;;A7;\n".encode()]


def test_a_dry_run_asks_the_platform_nothing(shell: Shell, platform: Platform, here: Path) -> None:
    result = create(shell, "--template", "news", "--contacts", "contacts.csv", "--dry-run")
    assert (result.exit_code, platform.calls) == (0, [])
    assert result.stdout.endswith("1 contact. Nothing was sent to the platform.\n")
    assert "line 3: 'nobody' is not an address" in result.stderr


@pytest.mark.parametrize(
    ("call", "error", "status", "advice"),
    [
        (
            "4.3",
            CallFailed(Status("add_maillist_error")),
            69,
            "run the same command with --tpl-id 1003 --contacts contacts.csv --map code=VAR1 --map city=VAR2 in place ",
        ),
        (
            "4.9.3",
            PlatformUnreachable("edm.test: the connection broke", ambiguous=True),
            69,
            "To go on, run the same command with --tpl-id 1003 --list-id 1005 --contacts contacts.csv --map code=VAR1 ",
        ),
        (
            "6.2",
            PlatformUnreachable("edm.test: the connection broke", ambiguous=True),
            69,
            "see 'smtprelay platform tasks list' before you go on.\nTo go on, run the same command with --tpl-id 1003 ",
        ),
        (
            "6.2",
            CallFailed(Status("error")),
            69,
            "'smtprelay platform templates delete 1003' and 'smtprelay platform contacts delete-list 1005'.\n",
        ),
        ("5.3", KeyboardInterrupt(), 130, "To clean up: 'smtprelay platform templates delete 1003'.\n"),
        (
            "4.9.4",
            KeyboardInterrupt(),
            130,
            "upload-state 1006' tells success: wait for it.\nTo go on, run the same command with --tpl-id 1003 ",
        ),
        ("5.2", CallFailed(Status("error")), 69, "a parameter is wrong.\n"),
        ("5.2", KeyboardInterrupt(), 130, "The template may have been made: see 'smtprelay platform templates list' "),
        (
            "4.3",
            PlatformUnreachable("edm.test: the connection broke", ambiguous=True),
            69,
            "The list may have been made: see 'smtprelay platform contacts lists' before you go on.\nTo go on, ",
        ),
    ],
)
def test_a_failure_tells_how_to_go_on(
    shell: Shell, platform: Platform, here: Path, call: str, error: BaseException, status: int, advice: str
) -> None:
    platform.answers[call] = error
    result = create(shell, "--template", "news", "--contacts", "contacts.csv")
    assert result.exit_code == status, result.output
    assert advice in result.stderr
    assert str(error) in result.stderr


@pytest.mark.parametrize("call", ["5.2", "4.3", "4.9.3", "6.2"])
def test_what_has_no_number_is_nothing_to_go_on_with(shell: Shell, platform: Platform, here: Path, call: str) -> None:
    """The fault: list 0 and template 0 were used, which are nobody's."""
    platform.answers[call] = done()
    result = create(shell, "--template", "news", "--contacts", "contacts.csv")
    assert result.exit_code == 69, result.output
    assert "the platform does not tell the id of what it made" in result.stderr


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), PlatformUnreachable("x", ambiguous=True), UnreadableAnswer("a page of HTML came")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("words", [("--template", "news", "--contacts", "contacts.csv"), ("--tpl-id=3", "--list-id=5")])
def test_who_goes_on_does_not_send_a_campaign_twice(
    shell: Shell, platform: Platform, here: Path, error: BaseException, words: Sequence[str]
) -> None:
    """Ctrl-C, or a page of HTML, while the task is made: it was told how to go on, and not that it may be there."""
    if isinstance(error, UnreadableAnswer):
        error.ambiguous = True
    platform.answers |= {"5.3": GREEN, "6.2": error}
    result = create(shell, *words)
    assert result.exit_code in (69, 130)
    assert "may have been made, and would be sent twice: see 'smtprelay platform tasks list'" in result.stderr


def test_who_goes_on_sends_no_mail_without_its_values(shell: Shell, platform: Platform, here: Path) -> None:
    """The fault: the template on the platform has {VAR1} and {VAR2}, and it was not told which columns go there."""
    platform.answers["4.3"] = [CallFailed(Status("error")), done(1005)]
    broken = create(shell, "--template", "news", "--contacts", "contacts.csv")
    platform.answers |= {"5.3": GREEN, "4.9.4": done()}
    words = broken.stderr.partition("run the same command with ")[2].partition(" in place of")[0].split()
    assert create(shell, *words).exit_code == 0
    assert platform.sent[-1] == "wang@example.org;王芳;;;;;A7;北京;;;;;;;;\n".encode()


def test_who_goes_on_waits_for_the_check_too(shell: Shell, platform: Platform, here: Path) -> None:
    """The fault: a template that was still being checked, or had been refused, got a list and its contacts uploaded."""
    platform.answers |= {"5.3": [PASSED.format(3, -1, ""), PASSED.format(3, 0, "red")]}
    result = create(shell, "--tpl-id", "3", "--contacts", "contacts.csv")
    assert (result.exit_code, platform.numbers) == (69, ["5.3", "5.3"])
    assert "does not let template 3 pass: red" in result.stderr


def test_advice_is_about_the_same_account(shell: Shell, platform: Platform, here: Path) -> None:
    config = configuration(here, "main", "other")
    platform.answers["4.3"] = CallFailed(Status("error"))
    words = ("--template", "news", "--contacts", "contacts.csv", "--directory", "templates")
    result = shell("tasks", "create", *words, *SENDER, *TIME, "-c", config, "--account", "other", env={})
    told = f"'smtprelay platform templates delete 1003 --account other --config {config}'.\n"
    assert f"To clean up: {told}" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("templates", "push", "news", "--directory", "templates"), "templates status 1003"),
        (("contacts", "upload", "5", "contacts.csv"), "contacts upload-state 1006"),
        (("tasks", "create", "--tpl-id", "3", "--list-id", "5", *SENDER, *TIME), "stats batches --id 1007"),
    ],
)
def test_what_is_to_be_asked_next_is_about_the_same_account(
    shell: Shell, platform: Platform, here: Path, words: Sequence[str], told: str
) -> None:
    """The fault: who logs in by options was told a command that asks whichever account is configured."""
    platform.answers["5.3"] = GREEN
    login = ("--username", "other", "--password-file", "secret", "--url", "http://edm.test/", "--allow-insecure")
    assert f"'smtprelay platform {told} {' '.join(login)}'" in shell(*words, *login).stdout
    assert f"'smtprelay platform {told}'" in shell(*words).stdout


def test_a_template_that_may_not_be_sent_ends_the_campaign(shell: Shell, platform: Platform, here: Path) -> None:
    platform.answers["5.3"] = PASSED.format(1003, 0, "red")
    result = create(shell, "--template", "news", "--contacts", "contacts.csv")
    assert (result.exit_code, platform.numbers) == (69, ["5.2", "5.3"])
    assert "push it again with --update 1003" in result.stderr
    assert "--tpl-id 1003 --contacts contacts.csv" in result.stderr


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--contacts", "contacts.csv"], 64, "Say what is sent: --template NAME, or --tpl-id ID."),
        (["--template", "news"], 64, "Say whom it goes to: --contacts FILE"),
        (
            ["--tpl-id", "3", "--list-id", "5", "--time", "2020-01-01 09:00"],
            64,
            "--time 2020-01-01 09:00:00+08:00 is past",
        ),
        (["--tpl-id", "3", "--list-id", "5", "--now"], 64, "--now goes without --time and --hold."),
        (["--tpl-id", "3", "--list-id", "5", "--first", "0"], 64, "`first` is counted from 1."),
        (["--tpl-id", "3", "--list-id", "5", "--reply-to", "x"], 64, "'x' is not an address"),
        (["--template", "news", "--contacts", "bad.csv"], 65, "line 2: 'x' is not an address"),
        (["--template", "news", "--contacts", "none.csv"], 66, "none.csv cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(
    shell: Shell, platform: Platform, here: Path, words: list[str], status: int, told: str
) -> None:
    (here / "bad.csv").write_text("email,code,city\nx,A7,Bath\n")
    result = create(shell, *words)
    assert (result.exit_code, platform.calls) == (status, [])
    assert told in result.stderr


def test_standard_input_is_read_once(shell: Shell, platform: Platform, here: Path) -> None:
    """The fault: it was the variables', and the contacts were told to be an empty file."""
    campaign = ("tasks", "create", "--directory", "templates", "--template", "news", *SENDER, *TIME)
    result = shell(*campaign, "--vars-file", "-", "--contacts", "-", stdin='{"code": "A7"}')
    assert (result.exit_code, platform.calls) == (64, [])
    assert "was read already, which is possible once: name files." in result.stderr


def test_a_value_that_no_contact_has_is_told(shell: Shell, platform: Platform, here: Path) -> None:
    """Every mail would be without it."""
    (here / "contacts.csv").write_text("email,code\nwang@example.org,A7\n")
    result = create(shell, "--template", "news", "--contacts", "contacts.csv")
    assert (result.exit_code, platform.calls) == (65, [])
    assert "The template shows city, and no contact has that or var2: give them a column city" in result.stderr
    (here / "contacts.csv").write_text("wang@example.org\n")
    result = create(shell, "--template", "news", "--contacts", "contacts.csv")
    assert (result.exit_code, platform.calls) == (65, [])
    assert "The template shows code, and no contact has that or var1" in result.stderr
    (here / "contacts.csv").write_text("wang@example.org;;;;;;A7;北京\n")
    assert create(shell, "--template", "news", "--contacts", "contacts.csv", "--dry-run").exit_code == 0
