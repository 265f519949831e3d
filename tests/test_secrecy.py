"""Where a password stands in an output, the test that made it fails; and no password is found where none is."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.secrecy import SECRETS, secrets_in

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("secret", SECRETS)
def test_it_is_found(secret: str) -> None:
    plain = base64.b64encode(f"\0news@example.com\0{secret}".encode()).decode()
    basic = base64.b64encode(f"ops:{secret}".encode()).decode()
    for output in (secret, f"GET /?do=x&pwd={quote_plus(secret)}", f"AUTH PLAIN {plain}", f"Basic {basic}"):
        assert list(secrets_in(f"a line\n{output} and more\n"))
        assert list(secrets_in(output.encode()))
    assert not list(secrets_in(f"Basic {base64.b64encode(b'ops:something else').decode()}, {secret[:-1]}"))


@pytest.mark.parametrize(
    "statement",
    [
        "print(S)",
        "import logging; logging.getLogger().warning('%s', S)",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', f'print({S!r})'], capture_output=True)",
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', f'print({S!r})'], stdout=-1).communicate()",
        "print(S); capsys.readouterr()",
    ],
)
def test_a_test_that_shows_a_password_fails(tmp_path: Path, statement: str) -> None:
    (tmp_path / "test_it.py").write_text(f"S = {SECRETS[0]!r}\ndef test_it(capsys):\n    {statement}\n", "utf-8")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "tests.secrecy", "--rootdir", str(tmp_path), str(tmp_path))
    with (tmp_path / "output").open("wb") as file:  # which nobody looks at
        subprocess.run(command, cwd=ROOT, stdout=file, timeout=60, check=False)
    output = (tmp_path / "output").read_text("utf-8")
    assert "1 failed" in output
    assert "stands in" in output
