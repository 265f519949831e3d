"""docs/clients.md and the table of clients say the same."""

from __future__ import annotations

import json
import re
from importlib.metadata import version

import pytest

from tests.clients.table import CLIENTS, FOLDER, Client
from tests.debian import ROOT

PAGE = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
# What stands in a setting for the reader's own.
VALUES = re.compile(r"localhost|2525|app(?:@|%40)example.com|secret|True|/(?:path|opt)/\S+|\*")


def rows(first_cell: str) -> dict[str, list[str]]:
    """The table under this heading: name → the other cells."""
    lines = PAGE.split(f"| {first_cell} |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {name: rest for name, *rest in cells}


SETTINGS, ARRIVALS = rows("client"), rows("sent by")


def test_every_client_of_the_page_is_tested_and_the_other_way_round() -> None:
    assert list(SETTINGS) == list(ARRIVALS) == [client.name for client in CLIENTS]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_what_it_sends_and_does_by_itself(client: Client) -> None:
    by_itself = client.by_itself()
    columns = [", ".join(client.sends), ", ".join(client.mended) or "nothing"]
    columns += [by_itself.get(offer, "") for offer in ("neither", "in_vain", "auth", "starttls", "unknown_ca")]
    assert ARRIVALS[client.name] == columns


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_its_settings_are_those_of_its_script(client: Client) -> None:
    script = (FOLDER / client.script).read_text(encoding="utf-8")
    for module in re.findall(r"from tests\.peers\.(\w+) import", script):
        script += (ROOT / f"tests/peers/{module}.py").read_text(encoding="utf-8")
    _, settings, to_insist, verifies = SETTINGS[client.name]
    assert bool(to_insist) == client.can_starttls
    assert verifies == ("" if not client.can_starttls else "yes" if client.verifies else "no")
    for setting in re.findall("`([^`]+)`", settings + to_insist):
        assert _bare(VALUES.split(setting)[0]) in _bare(script), setting


def test_the_versions_of_those_from_the_registries() -> None:
    pinned = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert SETTINGS["Nodemailer"][0].startswith(f"{pinned['nodemailer']}, Node.js ")
    assert version("django").startswith(SETTINGS["Django"][0] + ".")
    assert version("flask-mail") == SETTINGS["Flask-Mail"][0]


def _bare(code: str) -> str:
    """Without quotes, white space, and what joins a name to its value: every language has its own."""
    return re.sub(r"[\s\"'\\=:,]", "", code).rstrip("[({")
