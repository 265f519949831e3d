"""Where secrets come from, and what an operator is told about those that cannot be used."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from smtprelay.config import Config, ConfigError, parse_config
from smtprelay.credentials import read_lanes, read_passwords, read_platform_passwords, read_webhook_keys
from tests.test_config import DOMAIN, LEAST

KEY, OTHER_KEY = bytes(range(24)), bytes(range(32, 64))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER_SECRET = base64.b64encode(OTHER_KEY).decode()  # the prefix may be missing, as with many receivers
URL = "https://ops.example.com/mail?token=hidden"


def config(folder: Path, source: str = 'secret_file = "secret"') -> Config:
    return parse_config(f'{LEAST}[[webhooks]]\nurl = "{URL}"\n{source}\n'.encode(), folder)


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (f"{SECRET}\n", (KEY,)),
        (f"\ufeff{SECRET}\r\n", (KEY,)),
        (f"{OTHER_SECRET}\n{SECRET}\n", (OTHER_KEY, KEY)),  # while a secret is changed
    ],
)
def test_keys_of_a_webhook(tmp_path: Path, content: str, keys: tuple[bytes, ...]) -> None:
    (tmp_path / "secret").write_text(content, "utf-8")
    assert read_webhook_keys(config(tmp_path)) == {URL: keys}


def test_a_key_in_the_environment_and_in_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    assert read_webhook_keys(config(tmp_path, 'secret_env = "WEBHOOK_SECRET"')) == {URL: (KEY,)}
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "webhook").write_text(SECRET)
    assert read_webhook_keys(config(tmp_path, 'secret_credential = "webhook"')) == {URL: (KEY,)}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        ("", "it is empty"),
        ("s3cr3t-password", "make one with: (printf whsec_; openssl rand -base64 32)"),
        ("whsec_" + base64.b64encode(b"23 octets are too few!!").decode(), "openssl rand -base64 32"),
    ],
)
def test_what_is_no_secret_is_told_without_telling_it(tmp_path: Path, content: str | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_webhook_keys(config(tmp_path))
    assert problem in str(caught.value)
    assert str(caught.value).startswith("webhooks ops.example.com: ")
    assert "mail" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert not content or content not in str(caught.value)


def test_an_absent_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SECRET", raising=False)
    with pytest.raises(ConfigError, match=r"\$NO_SECRET is not set"):
        read_webhook_keys(config(tmp_path, 'secret_env = "NO_SECRET"'))


ACCOUNT = '[[platform.accounts]]\nname = "main"\nusername = "example"\npassword_file = "password"\n'


def test_the_password_of_a_platform_account(tmp_path: Path) -> None:
    settings = parse_config((LEAST + ACCOUNT).encode(), tmp_path)
    with pytest.raises(ConfigError, match=r"^platform\.accounts main: the password cannot be read: .*: No such file"):
        read_platform_passwords(settings)
    (tmp_path / "password").write_text("secret\n")
    assert read_platform_passwords(settings) == {"main": "secret"}


def test_a_password_that_is_empty_is_none(tmp_path: Path) -> None:
    """The fault: `check --offline` had nothing to say of it, and the platform only that the log-in was wrong."""
    (tmp_path / "password").write_text("\n")
    source = 'username = "news@example.com"\npassword_file = "password"\n'
    settings = parse_config((f"[[upstream.credentials]]\n{source}{DOMAIN}" + ACCOUNT).encode(), tmp_path)
    for read in (read_passwords, read_platform_passwords):
        with pytest.raises(ConfigError, match="the password cannot be read: it is empty"):
            read(settings)


def upstream(folder: Path, keys: str) -> Config:
    text = f'[upstream]\n{keys}\n[[upstream.credentials]]\nusername = "news"\npassword_file = "password"\n'
    return parse_config(f'{text}[[domains]]\nname = "example.com"\n'.encode(), folder)


@pytest.mark.parametrize(
    ("content", "problem"), [(None, ": No such file or directory"), (b"s\xe9cret", " is not UTF-8")]
)
def test_a_password_that_cannot_be_read_is_told_in_our_words(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """They were Python's, with the number of an error, or with an octet of the password."""
    if content:
        (tmp_path / "password").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_lanes(upstream(tmp_path, ""))
    told = f"upstream.credentials news: the password cannot be read: {tmp_path}/password{problem}"
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file or directory"), ("junk", "what is there is not PEM, or damaged")]
)
def test_authorities_that_cannot_be_used_are_told_in_our_words(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    (tmp_path / "password").write_text("secret")
    if content:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_lanes(upstream(tmp_path, 'tls = "starttls"\ntls_ca_file = "ca.pem"'))
    assert str(caught.value) == f"upstream.tls_ca_file: {tmp_path}/ca.pem cannot be used: {problem}"
