"""What the documents promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smtprelay.config import parse_config

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_configuration_in_the_readme_works() -> None:
    [block] = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    config = parse_config(block.encode(), ROOT)
    assert config.upstream.credentials[0].username == "news@example.com"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_every_module_that_flow_names_exists() -> None:
    text = (ROOT / "docs/flow.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:\w+/)*\w+\.py)`", text):
        found = list((ROOT / "smtprelay").rglob(Path(name).name))
        assert found or (ROOT / name).exists(), name
