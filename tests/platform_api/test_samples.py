"""Every answer that the platform's document prints: damaged by its extraction, repaired, and with values filled in."""

from __future__ import annotations

import pytest

from tests.platform_api import samples_1, samples_2, samples_3, samples_4, samples_5, samples_6, samples_7
from tests.platform_api.sample import DIRECTORY, Sample

CHAPTERS = (samples_1, samples_2, samples_3, samples_4, samples_5, samples_6, samples_7)
SAMPLES: list[Sample] = [sample for chapter in CHAPTERS for sample in chapter.SAMPLES]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_as_it_is_printed(sample: Sample) -> None:
    sample.check_printed()


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.repaired is not None], ids=str)
def test_as_it_was_meant(sample: Sample) -> None:
    sample.check_repaired()


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.fields], ids=str)
def test_with_values(sample: Sample) -> None:
    sample.check_filled()


def test_no_sample_is_left_out() -> None:
    assert {file.name for file in DIRECTORY.iterdir()} == {file for sample in SAMPLES for file in sample.files}
