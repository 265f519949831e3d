"""Commands in which a person needs more than the call: files of contacts, passwords of mailboxes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from smtprelay.cli.platform import progress
from tests.platform_cli.conftest import Platform, done
from tests.platform_cli.test_login import configuration

Shell = Callable[..., Result]
ADDRESS_TXT = (  # 4.9.3, as printed
    "Coming1@bestdem.org;coming1;M;1986-08-10;13528775968;北京;var1;var2;... var10;\n"
    "test@bestdem.org; test;F;1986-08-10;13528775968;area;var1;var2;... var10;\n"
)


def test_contacts_are_uploaded_as_the_platform_reads_them(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    platform.answers["4.9.3"] = done(210586)
    (tmp_path / "contacts.csv").write_text("name,email,var1\n王芳,wang@example.org,x\n,nobody,\n,wang@example.org,\n")
    result = shell("contacts", "upload", "7", "contacts.csv")
    assert platform.sent == ["wang@example.org;王芳;;;;;x;;;;;;;;;\n".encode()]
    assert result.stdout.splitlines() == [
        "1 contact: upload 210586",
        "See 'smtprelay platform contacts upload-state 210586'.",
    ]
    assert "line 3: 'nobody' is not an address" in result.stderr
    assert result.stderr.endswith("Left out: 1 bad line, 1 duplicate.\n")


def test_the_upload_is_waited_for(
    shell: Shell, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PAUSES", (0.0, 0.0))
    platform.answers |= {"4.9.3": done(9), "4.9.4": [done(status="no_complete"), done(status="no_complete"), done()]}
    (tmp_path / "address.txt").write_text(ADDRESS_TXT)
    result = shell("contacts", "upload", "7", "address.txt", "--wait", "--json")
    assert json.loads(result.stdout) == {"upload": 9, "contacts": 2, "bad_lines": 0, "duplicates": 0}
    assert platform.numbers == ["4.9.3", "4.9.4", "4.9.4", "4.9.4"]


def test_contacts_go_with_one_call(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "address.txt").write_text(ADDRESS_TXT)
    assert shell("contacts", "add-many", "7", "address.txt").exit_code == 0
    assert platform.last.form is not None
    assert platform.last.form["ml_addr"].splitlines()[1].startswith("test@bestdem.org;test;F;")


def test_values_with_line_breaks_go_with_another_separator(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "contacts.csv").write_text('email,area\nwang@example.org,"北京\n海淀"\nli@example.org,Bath\n')
    assert shell("contacts", "add-many", "7", "contacts.csv", "--separator", "|").exit_code == 0
    assert platform.last.query["separate"] == "|"
    assert (platform.last.form or {})[
        "ml_addr"
    ] == "wang@example.org;;;;;北京\n海淀;;;;;;;;;;|li@example.org;;;;;Bath;;;;;;;;;;"
    refused = shell("contacts", "add-many", "7", "contacts.csv", "--separator", ";")
    assert (refused.exit_code, len(platform.calls)) == (64, 1)
    assert refused.stderr.startswith("';' cannot stand between contacts")


def test_columns_that_do_not_go_along_are_told(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    """The fault: whoever uploaded a column `code` found out from the mails that were without it."""
    (tmp_path / "contacts.csv").write_text("姓名,邮箱,code,empty,Var1\n王芳,wang@example.org,A7,,x\n")
    result = shell("contacts", "upload", "7", "contacts.csv")
    assert result.stderr == "The platform has no place for code: name what is to go along var1 to var10.\n"
    assert platform.sent == ["wang@example.org;王芳;;;;;x;;;;;;;;;\n".encode()]


@pytest.mark.parametrize("command", ["upload", "add-many"])
def test_a_file_without_contacts_is_not_sent(shell: Shell, platform: Platform, tmp_path: Path, command: str) -> None:
    (tmp_path / "address.txt").write_text("nobody@;x\n")
    result = shell("contacts", command, "7", "address.txt")
    assert (result.exit_code, platform.calls) == (65, [])
    assert result.stderr.endswith("No line of the contacts can be used.\n")


def test_a_password_of_a_mailbox_comes_from_a_file(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("s3cret\n")
    result = shell("mailboxes", "add", "news@example.com", "--mailbox-password-file", "new")
    assert result.exit_code == 0
    assert platform.last.form == {"pwd": "s3cret"}
    assert "s3cret" not in result.output


def test_a_password_is_made(shell: Shell, platform: Platform) -> None:
    result = shell("mailboxes", "set-password", "news@example.com", "--generate")
    password = result.stdout.strip()
    assert len(password) == 24
    assert platform.last.form == {"pwd": password}
    told = json.loads(shell("mailboxes", "set-password", "news@example.com", "--generate", "--json").stdout)
    assert platform.last.form == {"pwd": told["password"]}


def test_a_person_is_asked_for_a_password(shell: Shell, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtprelay.cli.platform.ask.somebody_is_there", lambda: True)
    result = shell("mailboxes", "add", "news@example.com", stdin="s3cret\ns3cret\n")
    assert result.exit_code == 0, result.output
    assert platform.last.form == {"pwd": "s3cret"}


def test_nobody_can_be_asked_for_a_password(shell: Shell, platform: Platform) -> None:
    result = shell("mailboxes", "add", "news@example.com", stdin="s3cret\n")
    assert (result.exit_code, platform.calls) == (64, [])
    assert "--mailbox-password-file FILE, or --generate" in result.stderr


@pytest.mark.parametrize(
    ("address", "status", "numbers"), [("News@example.com", 64, []), ("old@example.com", 0, ["7.9"])]
)
def test_a_mailbox_that_the_relay_logs_in_with_is_not_deleted(
    shell: Shell, platform: Platform, tmp_path: Path, address: str, status: int, numbers: list[str]
) -> None:
    """The fault: it was, and all mail of that credential waited."""
    config = configuration(tmp_path, "main")
    result = shell("mailboxes", "delete", address, "--yes", "-c", config, env={})
    assert (result.exit_code, platform.numbers) == (status, numbers), result.output
    assert ("first take the credential news@example.com out of [[upstream.credentials]] in" in result.stderr) == (
        status == 64
    )


def test_a_mailbox_is_deleted_where_there_is_no_configuration(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    config = str(tmp_path / "none.toml")
    refused = shell("mailboxes", "delete", "old@example.com", "-c", config)
    assert (refused.exit_code, platform.numbers) == (64, [])
    assert "mailboxes delete old@example.com cannot be undone" in refused.stderr
    assert shell("mailboxes", "delete", "old@example.com", "--yes", "-c", config).exit_code == 0
    assert platform.numbers == ["7.9"]


def test_a_template_is_made_of_files(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    platform.answers["5.2"] = done(53)
    (tmp_path / "a.html").write_text("<p>{FULLNAME}，你好</p>")
    (tmp_path / "a.txt").write_text("{FULLNAME}")
    (tmp_path / "b.pdf").write_bytes(b"%PDF")
    files = ("--html", "a.html", "--text", "a.txt", "--attach", "b.pdf")
    result = shell("templates", "add", "welcome", "--subject", "一", "--subject", "二", *files, "--json")
    assert json.loads(result.stdout) == {"status": "success", "id": 53, "data": ""}
    assert platform.last.form == {
        "name": "welcome", "subject": "一|二", "content": "<p>{FULLNAME}，你好</p>", "text_content": "{FULLNAME}",
    }  # fmt: skip
    assert [(upload.name, upload.filename) for upload in platform.last.uploads] == [("file", "b.pdf")]
    assert platform.sent == [b"%PDF"]


def test_what_is_missing_of_a_template_is_told(shell: Shell, platform: Platform) -> None:
    assert shell("templates", "add", "welcome", "--subject", "x").stderr == "Say what is sent: --html FILE.\n"
    missing = shell("templates", "add", "welcome", "--html", "none.html")
    assert (missing.exit_code, missing.stderr) == (66, "none.html cannot be read: No such file or directory.\n")
    assert shell("templates", "edit", "53").exit_code == 64
    assert platform.calls == []


def test_files_are_attached_to_a_template(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"a")
    (tmp_path / "b.pdf").write_bytes(b"b")
    assert shell("templates", "attach", "53", "a.pdf", "b.pdf").exit_code == 0
    assert ([upload.name for upload in platform.last.uploads], platform.sent) == (["file[]", "file[]"], [b"a", b"b"])
    missing = shell("templates", "attach", "53", "none.pdf")
    assert (missing.exit_code, missing.stderr) == (66, "none.pdf cannot be read: No such file or directory.\n")


def test_whom_a_task_comes_from_is_written_as_one_word(shell: Shell, platform: Platform) -> None:
    assert shell("tasks", "edit", "9", "--sender", "example.com", "--time", "2026-12-01 09:00").exit_code == 0
    assert platform.last.form == {
        "send_domain": "example.com", "send_account": "all", "send_time": "2026-12-01 09:00:00",
        "time": "2026-12-01 09:00:00",
    }  # fmt: skip
    assert shell("tasks", "edit", "9", "--sender", "not a domain").exit_code == 2
