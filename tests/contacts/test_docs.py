"""docs/campaigns.md: its contact files are read as it says."""

from __future__ import annotations

import io
import re
from pathlib import Path

from smtprelay.contacts import Contact, ContactFile

DOCUMENT = Path(__file__).parent.parent.parent / "docs/campaigns.md"


def test_the_examples_are_of_the_formats_that_they_stand_for() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    samples = re.findall(r"\*\*(\w+)\*\*: [^`]*?.*?```text\n(.*?)```", text, re.DOTALL)
    assert [form for form, _ in samples] == ["platform", "csv", "jsonl"]
    for form, sample in samples:
        file = ContactFile(io.BytesIO(sample.encode()))
        first, *_ = contacts = list(file)
        assert file.format == form
        assert all(isinstance(contact, Contact) for contact in contacts)
        assert isinstance(first, Contact)
        assert (first.address, first.variables["fullname"]) == ("wang@example.org", "王芳")
