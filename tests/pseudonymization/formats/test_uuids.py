from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.ff1 import FF1
from secureml.pseudonymization.formats import resolve_format

if TYPE_CHECKING:
    from conftest import Lab

FORM = resolve_format("uuid", {})
KEY = bytes(range(32))


def randoms(count: int, seed: int = 5) -> list[str]:
    source = random.Random(seed)
    return [str(uuid.UUID(int=source.getrandbits(128), version=4)) for _ in range(count)]


UUIDS = st.uuids(allow_nil=True)
WRITTEN = st.builds(
    lambda value, upper, bare: (value.hex if bare else str(value)).translate(
        {ord(c): c.upper() for c in "abcdef"} if upper else {}
    ),
    UUIDS | st.integers(0, (1 << 128) - 1).map(lambda number: uuid.UUID(int=number)),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(WRITTEN, max_size=6))
def test_version_variant_and_writing_are_kept(lab: Lab, values: list[str]) -> None:
    for value, pseudonym in zip(values, lab.encrypted(FORM, values), strict=True):
        plain, made = uuid.UUID(value), uuid.UUID(pseudonym)
        assert (made.version, made.int >> 76 & 15) == (plain.version, plain.int >> 76 & 15)
        assert made.int >> 62 & 3 == plain.int >> 62 & 3
        assert len(pseudonym) == len(value)
        if value != value.lower():
            assert pseudonym == pseudonym.upper() != pseudonym.lower()
        else:
            assert pseudonym == pseudonym.lower()
        assert made != plain


@given(st.lists(WRITTEN | st.text(max_size=40) | st.text("0a-F", max_size=40), max_size=8))
def test_anything_else_is_reported(lab: Lab, values: list[str]) -> None:
    for value, pseudonym in zip(values, lab.tried(FORM, values), strict=True):
        assert (pseudonym is not None) == fits(value)


def fits(value: str) -> bool:
    shapes = (str, lambda number: number.hex)
    try:
        number = uuid.UUID(value)
    except ValueError:
        return value == ""
    return any(value in (shape(number), shape(number).upper()) for shape in shapes)


@pytest.mark.parametrize(
    "value",
    [
        "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
        "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "6BA7b810-9dad-11d1-80b4-00c04fd430c8",
        "6ba7b8109-dad-11d1-80b4-00c04fd430c8",
        "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c\u0663",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c\u0131",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c\ud800",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c",
        " ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "é" * 36,
        "-" * 32,
    ],
)
def test_other_writings(lab: Lab, value: str) -> None:
    good = randoms(1)[0]
    assert lab.invalid(FORM, [good, value, "", good]) == [value]
    assert lab.invalid(FORM, [value, good], decrypt=True) == [value]


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("bare", [False, True])
def test_every_character_in_every_place(lab: Lab, bare: bool, upper: bool) -> None:
    value = "6ba7b8109dad11d180b400c04fd430c8" if bare else "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    value = value.upper() if upper else value
    values = [
        value[:place] + chr(code) + value[place + 1 :]
        for place in range(len(value))
        for code in range(256)
    ]
    assert lab.invalid(FORM, values) == [one for one in values if not fits(one)]


def test_the_kept_bits_are_the_tweak_and_the_others_plain_ff1(lab: Lab) -> None:
    for value in [*randoms(20), "00000000-0000-0000-0000-000000000000", "f" * 32]:
        number = uuid.UUID(value).int
        bits = f"{number:0128b}"
        kind = bytes([int(bits[48:52] + bits[64:66], 2)])
        free = [int(bit) for bit in bits[:48] + bits[52:64] + bits[66:]]
        new = "".join(map(str, FF1(KEY, 2).encrypt(free, b"uuid/1" + kind)))
        joined = new[:48] + bits[48:52] + new[48:60] + bits[64:66] + new[60:]
        (pseudonym,) = lab.encrypted(FORM, [value])
        assert uuid.UUID(pseudonym).int == int(joined, 2)


def test_one_uuid_has_one_pseudonym_however_it_is_written(lab: Lab) -> None:
    value = randoms(1)[0]
    first, *others = lab.encrypted(
        FORM, [value, value.upper(), value.replace("-", ""), value.upper().replace("-", "")]
    )
    assert {uuid.UUID(other) for other in others} == {uuid.UUID(first)}


def test_upper_case_never_becomes_a_uuid_without_letters(lab: Lab) -> None:
    # Values whose plain FF1 image has no letter, found by decrypting such images.
    source = random.Random(1)
    images = [
        f"{source.randrange(10**12):012d}4{source.randrange(10**3):03d}8{source.randrange(10**15):015d}"
        for _ in range(50)
    ]
    values = lab.transform(FORM, images, decrypt=True).values.strings()
    assert lab.encrypted(FORM, values) == images
    for pseudonym, image in zip(
        lab.encrypted(FORM, [value.upper() for value in values]), images, strict=True
    ):
        assert pseudonym != image
        assert pseudonym == pseudonym.upper() != pseudonym.lower()


def test_no_two_values_meet_and_every_digit_is_as_frequent(lab: Lab) -> None:
    # Consecutive numbers: all structure of the output would be the format's own.
    values = [str(uuid.UUID(int=0x4000_8000_0000_0000_0000 + number)) for number in range(100_000)]
    pseudonyms = lab.encrypted(FORM, values)
    assert len(set(pseudonyms)) == len(values)
    lab.even([p[:14] + p[15:19] + p[20:] for p in pseudonyms], "0123456789abcdef")


def test_golden_values(lab: Lab) -> None:
    assert lab.encrypted(FORM, GOLDEN_BEFORE) == GOLDEN_AFTER


def test_tweaks_of_rows_and_wide_text(lab: Lab) -> None:
    value = randoms(1)[0]
    lab.unlinkable(FORM, value)
    lab.unlinkable(FORM, value.upper())
    assert lab.encrypted(FORM, [value], wide=True) == lab.encrypted(FORM, [value])
    assert lab.encrypted(FORM, [value], tables=True) == lab.encrypted(FORM, [value])
    assert lab.encrypted(FORM, [value, "", value.upper()])[1] == ""


def test_the_domain_is_told(lab: Lab) -> None:
    assert lab.transform(FORM, randoms(1)).domain == 1 << 122
    assert lab.transform(FORM, ["", "x"]).domain == 0


GOLDEN_BEFORE = [
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "F47AC10B-58CC-4372-A567-0E02B2C3D479",
    "017f22e279b07cc398c4dc0c0c07398f",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
]
GOLDEN_AFTER = [
    "7aadd4c3-c2d6-1007-a9f2-985f7ef266ab",
    "BFCC0D26-8EFB-49E8-8096-15B2F1634D79",
    "6b22c04d6a7e7d16bec65462deab1ac2",
    "c5a9f5c0-c553-0e85-2098-641ef7a4e594",
    "25d0e9f1-6522-fe98-ee37-0331371c4094",
]
