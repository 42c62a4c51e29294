from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from secureml.anonymization.merging import merge_columns, merge_keys
from secureml.errors import ManifestError
from secureml.keys import derive
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.keys import KeyReference, Keyring
from secureml.pseudonymization.manifest import Column, Counts, Manifest
from secureml.pseudonymization.sketch import Sketch


def keyring(version: int | None) -> Keyring:
    master = bytes([version or 0] * 32)
    return Keyring(partial(derive, master), "master_key", version, "production", "from a test")


KEY = keyring(3).reference
RECIPE = ColumnSpec(strategy="fpe", algorithm="FF1-AES256", format="class/1", key_domain="ssn")
PLACES = ("00" * 8, "77" * 8)
COUNTS = Counts(rows=5, nulls=1, empty=1, tokens=1, nulled=1)
COLUMN = Column(RECIPE, "str", COUNTS, arrow="string", sketches={})


def sketched(*places: str, version: int = 3) -> dict[int | None, Sketch]:
    return {version: keyring(version).sealed("ssn", Sketch(places))}


def part(column: Column, key: KeyReference = KEY, older: tuple[KeyReference, ...] = ()) -> Manifest:
    return Manifest(key, {"ssn": column}, "", older=older)


def merged(*columns: Column) -> Column:
    return merge_columns([{"ssn": column} for column in columns], keyring)["ssn"]


def places(column: Column, version: int = 3) -> tuple[str, ...] | None:
    values = keyring(version).opened("ssn", column.sketches[version]).values
    return values and tuple(values)


def test_the_merge_of_one_part_is_that_part() -> None:
    assert merged(COLUMN) == COLUMN
    assert merge_keys([part(COLUMN)]) == [KEY]


def test_counts_add_up_and_sketches_are_merged() -> None:
    one = replace(COLUMN, sketches=sketched(*PLACES))
    counts = Counts(rows=7, nulls=0, empty=2, tokens=3, nulled=0)
    other = replace(COLUMN, counts=counts, sketches=sketched("33" * 8))
    whole = merged(one, other, one)
    assert places(whole) == ("00" * 8, "33" * 8, "77" * 8)
    counts = Counts(rows=17, nulls=2, empty=4, tokens=5, nulled=2)
    assert replace(whole, sketches={}) == replace(COLUMN, counts=counts)


def test_what_is_not_known_of_the_rows_of_one_part_is_not_known_of_all() -> None:
    one = replace(COLUMN, sketches=sketched(*PLACES))
    for other in (
        replace(one, counts=None),
        replace(one, sketches=None),
        replace(one, counts=None, sketches=None),
    ):
        for parts in ((one, other), (other, one), (one, other, one)):
            whole = merged(*parts)
            assert (whole.counts is None) == (other.counts is None)
            assert (whole.sketches is None) == (other.sketches is None)
            assert whole == replace(one, counts=whole.counts, sketches=whole.sketches)


def test_pairs_are_merged_too() -> None:
    sketches = [Sketch(PLACES, (place * 8,)) for place in ("22", "11")]
    columns = [replace(COLUMN, sketches={3: keyring(3).sealed("ssn", one)}) for one in sketches]
    whole = keyring(3).opened("ssn", merged(*columns).sketches[3])
    assert whole == Sketch(PLACES, ("11" * 8, "22" * 8))
    unknown = replace(COLUMN, sketches={3: Sketch(PLACES)})
    assert merged(columns[0], unknown).sketches[3].pairs is None


def test_sketches_of_schema_2_are_merged_with_those_of_schema_3() -> None:
    second = replace(COLUMN, sketches={3: Sketch(("33" * 8,))})
    third = replace(COLUMN, sketches=sketched(*PLACES))
    for whole in (merged(second, third), merged(third, second)):
        assert places(whole) == ("00" * 8, "33" * 8, "77" * 8)
        assert isinstance(whole.sketches[3].values, str)


def test_a_part_whose_sketch_is_not_known_makes_that_of_the_whole_unknown() -> None:
    known = replace(COLUMN, sketches=sketched(*PLACES))
    unknown = replace(COLUMN, sketches={3: Sketch(None)})
    for parts in ([known, unknown], [unknown, known], [known, unknown, known]):
        assert places(merged(*parts)) is None


def test_a_part_of_nothing_but_nulls_has_an_empty_sketch() -> None:
    known = replace(COLUMN, sketches=sketched(*PLACES))
    nothing = replace(COLUMN, sketches=sketched())
    for parts in ([known, nothing], [nothing, known]):
        assert places(merged(*parts)) == PLACES


def test_versions_that_one_part_has_keep_their_sketches_without_their_key() -> None:
    versioned = replace(COLUMN, versions=True)
    old = replace(versioned, sketches=sketched("00" * 8, version=2))
    new = replace(versioned, sketches={**sketched("33" * 8), **sketched("44" * 8, version=2)})
    one = part(old, keyring(2).reference)
    other = part(new, KEY, (keyring(2).reference,))
    assert merge_keys([one, other]) == [keyring(2).reference, KEY]
    whole = merge_columns([one.columns, other.columns], keyring)["ssn"]
    assert (places(whole, 2), places(whole, 3)) == (("00" * 8, "44" * 8), ("33" * 8,))
    alone = part(replace(versioned, sketches=sketched("33" * 8)))
    asked: list[int | None] = []
    whole = merge_columns(
        [one.columns, alone.columns], lambda version: asked.append(version) or keyring(version)
    )["ssn"]
    assert asked == []
    assert whole.sketches == {**old.sketches, **alone.columns["ssn"].sketches}


def test_parts_that_name_two_keys_by_one_number_are_not_merged() -> None:
    versioned = replace(COLUMN, versions=True)
    restored = replace(keyring(2).reference, check="11" * 16)
    one, other = part(versioned, KEY, (keyring(2).reference,)), part(versioned, restored)
    for parts in ([one, other], [other, one]):
        with pytest.raises(ManifestError, match=r"two keys by one number.*version 2.*Rekey one"):
            merge_keys(parts)


def test_a_key_that_was_wrapped_anew_is_the_same() -> None:
    keys = [replace(KEY, envelope={"wrapped": f"vault:v{n}:AA=="}) for n in (1, 2)]
    assert merge_keys([part(COLUMN, key) for key in keys]) == keys[:1]


@pytest.mark.parametrize(
    "key",
    [replace(KEY, name="other"), replace(KEY, version=4), replace(KEY, environment="staging")],
)
def test_parts_under_different_keys_are_not_merged(key: KeyReference) -> None:
    with pytest.raises(ManifestError, match="one part was pseudonymized with"):
        merge_keys([part(COLUMN), part(COLUMN, key)])


def test_rows_of_two_versions_need_columns_that_tell_them() -> None:
    irreversible = replace(
        RECIPE, strategy="hash", algorithm="HMAC-SHA256", format=None, options={"bits": 128}
    )
    hashed = Column(irreversible, "str", COUNTS, sketches={})
    versioned = replace(COLUMN, versions=True)
    for columns, passes in (
        ({"a": versioned}, True),
        ({"a": versioned, "b": hashed}, True),
        ({"a": versioned, "b": COLUMN}, False),
        ({"b": hashed}, False),
    ):
        parts = [Manifest(keyring(version).reference, columns, "") for version in (2, 3)]
        if passes:
            assert len(merge_keys(parts)) == 2
            continue
        with pytest.raises(ManifestError, match="one part was pseudonymized with"):
            merge_keys(parts)
