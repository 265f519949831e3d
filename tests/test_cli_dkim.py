"""`smtprelay dkim keygen`."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from smtprelay.cli.dkim import app
from smtprelay.signing import Signer, load_key
from tests.verifiers import dkimpy_verify

MESSAGE = b"From: app@example.com\r\n\r\nHello\r\n"


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def keygen(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keygen", *arguments])


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_the_printed_record_verifies_what_the_file_signs(kind: str) -> None:
    result = keygen("example.com", "--kind", kind, "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert (answer["name"], answer["type"]) == ("relay1._domainkey.example.com", "TXT")
    assert answer["algorithm"] == f"{kind}-sha256"
    assert "".join(answer["strings"]) == answer["value"]
    assert max(map(len, answer["strings"])) <= 255
    key = load_key(Path(answer["file"]).read_bytes(), "example.com", "relay1")
    content = Signer([key]).sign(MESSAGE, "example.com", 0) + MESSAGE
    assert dkimpy_verify(content, {answer["name"]: answer["value"]}) == [True]


def test_the_lines_to_paste_are_toml(tmp_path: Path) -> None:
    config = json.loads(keygen("example.com", "--selector", "s1", "--out", 'a "b".pem', "--json").stdout)["config"]
    assert tomllib.loads(config) == {
        "domains": [{"name": "example.com", "keys": [{"selector": "s1", "file": str(tmp_path / 'a "b".pem')}]}]
    }


def test_text_for_people(tmp_path: Path) -> None:
    text = keygen("example.com").stdout
    assert str(tmp_path / "example.com.relay1.pem") in text
    assert re.search(r"^  value     k=rsa; p=\S{392}$", text, re.MULTILINE)
    assert re.search(r'^relay1\._domainkey\.example\.com\. IN TXT \( "[^"]{255}" "[^"]+" \)$', text, re.MULTILINE)
    assert "PRIVATE" not in text


def test_a_short_key_is_made_with_a_warning() -> None:
    """The platform's own are that short."""
    result = keygen("example.com", "--bits", "1024")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: the DKIM key of example.com, selector relay1, has 1024 bits")
    assert not keygen("example.com", "--bits", "2048", "--selector", "relay2").stderr


def test_only_the_owner_reads_the_key() -> None:
    before = os.umask(0)
    try:
        assert keygen("example.com", "--kind", "ed25519", "--out", "keys/k.pem").exit_code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("keys/k.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(Path("keys").stat().st_mode) == 0o700


def test_a_file_is_never_overwritten() -> None:
    file = Path("example.com.relay1.pem")
    file.write_bytes(b"precious")
    result = keygen("example.com")
    assert result.exit_code == os.EX_CANTCREAT
    assert "stays as it is" in result.stderr
    assert file.read_bytes() == b"precious"


def test_a_folder_that_cannot_be_made() -> None:
    result = keygen("example.com", "--out", "no/such/folder.pem")
    assert result.exit_code == os.EX_CANTCREAT
    assert "No such file or directory" in result.stderr


def test_an_international_domain_becomes_an_a_label() -> None:
    answer = json.loads(keygen("Exämple.COM.", "--json").stdout)
    assert answer["name"] == "relay1._domainkey.xn--exmple-cua.com"
    assert Path("xn--exmple-cua.com.relay1.pem").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["localhost"],
        ["app@example.com"],
        ["192.0.2.1"],
        ["[192.0.2.1]"],
        ["../example.com"],
        ["a..example.com"],
        ["a b.example.com"],
        ["ex\u2028ample.com"],
        [f"{'a' * 64}.example.com"],
        [".".join(["a" * 63] * 4)],
        ["example.com", "--selector", "a b"],
        ["example.com", "--selector", ""],
        ["example.com", "--bits", "512"],
        ["example.com", "--bits", "8192"],
    ],
)
def test_nonsense_is_refused_in_a_sentence(arguments: list[str], tmp_path: Path) -> None:
    result = keygen(*arguments)
    assert result.exit_code == os.EX_USAGE
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith(".\n")
    assert not list(tmp_path.iterdir())
