from __future__ import annotations

from dataclasses import replace

import pytest

from secureml.errors import ManifestError
from secureml.pseudonymization.manifest import Column, KeyReference, Manifest
from secureml.pseudonymization.merging import merge_columns
from secureml.pseudonymization.recipe import Recipe

KEY = KeyReference("master_key", 3, "production", "00" * 16)
RECIPE = Recipe(strategy="fpe", algorithm="FF1-AES256", format="class/1", domain="ssn")
SAMPLE = ("00" * 8, "77" * 8)
COLUMN = Column(RECIPE, dtype="str", rows=5, nulls=1, empty=1, tokens=1, nulled=1, sample=SAMPLE)


def part(column: Column, key: KeyReference = KEY) -> Manifest:
    return Manifest(key, {"ssn": column}, "")


def test_one_part() -> None:
    assert merge_columns([part(COLUMN)]) == {"ssn": COLUMN}


def test_counts_add_up_and_samples_are_merged() -> None:
    other = replace(COLUMN, rows=7, nulls=0, empty=2, tokens=3, nulled=0, sample=("33" * 8,))
    merged = merge_columns([part(COLUMN), part(other), part(COLUMN)])
    assert merged == {
        "ssn": replace(
            COLUMN,
            rows=17,
            nulls=2,
            empty=4,
            tokens=5,
            nulled=2,
            sample=("00" * 8, "33" * 8, "77" * 8),
        )
    }


def test_a_part_of_the_first_schema_has_no_sample_and_so_has_the_whole() -> None:
    unknown = replace(COLUMN, sample=())
    for parts in ([COLUMN, unknown], [unknown, COLUMN], [COLUMN, unknown, COLUMN]):
        assert merge_columns(list(map(part, parts)))["ssn"].sample == ()


def test_a_part_of_nothing_but_nulls_needs_none() -> None:
    nothing = replace(COLUMN, rows=3, nulls=1, empty=1, nulled=1, tokens=0, sample=())
    for parts in ([COLUMN, nothing], [nothing, COLUMN]):
        assert merge_columns(list(map(part, parts)))["ssn"].sample == SAMPLE


def test_a_key_that_was_wrapped_anew_is_the_same() -> None:
    keys = [replace(KEY, envelope={"wrapped": f"vault:v{n}:AA=="}) for n in (1, 2)]
    merged = merge_columns([part(COLUMN, key) for key in keys])
    assert merged["ssn"].rows == 10


@pytest.mark.parametrize(
    "key",
    [
        replace(KEY, name="other"),
        replace(KEY, version=4),
        replace(KEY, environment="staging"),
        replace(KEY, check="11" * 16),
    ],
)
def test_parts_under_other_keys(key: KeyReference) -> None:
    with pytest.raises(ManifestError, match="one part was pseudonymized with"):
        merge_columns([part(COLUMN), part(COLUMN, key)])
