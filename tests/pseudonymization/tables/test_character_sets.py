from __future__ import annotations

import hashlib
import unicodedata
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.pseudonymization.tables.character_sets import (
    CharSet,
    caseless,
    masks_of,
    property_set,
)

FROZEN = "071b909f621b00373fc2f800ad7f37f8c27944cd1376161a3d6d2d45da2ef55f"
SETS = st.builds(
    CharSet.of, st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted))
)
FEW = np.arange(30)


def test_table_is_the_frozen_one() -> None:
    table = (
        files("secureml.pseudonymization.tables").joinpath("character_properties.txt").read_bytes()
    )
    assert hashlib.sha256(table).hexdigest() == FROZEN, "a new table is a new version of the format"


@given(SETS, SETS)
def test_sets_are_joined_cut_and_turned_round(one: CharSet, other: CharSet) -> None:
    first, second = one.holds(FEW), other.holds(FEW)
    assert ((one | other).holds(FEW) == (first | second)).all()
    assert ((one & other).holds(FEW) == (first & second)).all()
    assert ((~one).holds(FEW) == ~first).all()
    assert ~~one == one
    assert CharSet.where(first) == one
    assert CharSet.of(one.spans()) == one
    assert masks_of([one, other], FEW) == (first + 2 * second.astype(int)).tolist()


@pytest.mark.parametrize(
    ("name", "said"), [("decimal", str.isdecimal), ("word", str.isalnum), ("space", str.isspace)]
)
def test_what_the_interpreter_says_of_characters_that_never_changed(name, said) -> None:
    every = np.arange(0x110000)
    changed = property_set("changed").holds(every)
    here = property_set(name).holds(every)
    for code in np.flatnonzero(~changed).tolist():
        if unicodedata.category(chr(code)) != "Cn":
            assert said(chr(code)) == here[code], hex(code)


def test_characters_that_differ_in_case_alone() -> None:
    def alike(character: str) -> str:
        bounds = caseless(CharSet.of([(ord(character),) * 2])).spans()
        return "".join(chr(code) for first, last in bounds for code in range(first, last + 1))

    assert alike("k") == "Kk\u212a"
    assert alike("ς") == "Σςσ"
    assert alike("ſ") == "Ssſ"
    assert alike("1") == "1"
    assert alike("İ") == alike("i")
    # Letters that Python 3.11 does not know.
    assert alike("\U00010d65") == alike("\U00010d85") == "\U00010d65\U00010d85"
