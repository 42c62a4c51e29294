from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import ManifestError
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.sketch import SIZE, Sketcher, SketchSeal, merged_sketches
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers
from secureml.pseudonymization.values.text import Text

KEY = bytes(range(56))
SKETCHER = Sketcher(KEY)
LIMITS = Limits(-(1 << 64) + 1, (1 << 64) - 1)


def factors() -> tuple[int, ...]:
    return tuple(number | 1 for number in struct.unpack(">QQQ", KEY[32:]))


def place(words: Sequence[int], text: str) -> str:
    first, second, third = factors()
    mixed = words[0] * first + words[1] + sum(word * second for word in words[2:])
    mac = HMAC(KEY[:32], SHA256())
    mac.update(text.encode("utf-8", "surrogatepass"))
    return f"{mixed * third % (1 << 64) >> 32:08x}{mac.finalize()[:4].hex()}"


def place_of_text(text: str) -> str:
    """The definition, one value at a time."""
    return place(words_of(text), text)


def words_of(text: str) -> list[int]:
    return words_of_octets(bytes(ord(character) & 0xFF for character in text))


def words_of_octets(octets: bytes) -> list[int]:
    first = int.from_bytes(octets[:8].rjust(8, b"\0"), "little")
    last = int.from_bytes(octets[-8:].ljust(8, b"\0"), "little")
    words = [first, last]
    if len(octets) > 16:
        start = (len(octets) - 8) // 2
        words.append(int.from_bytes(octets[start : start + 8], "little"))
    return words


def place_of_number(number: int) -> str:
    return place([abs(number), int(number < 0)], str(number))


def whole(numbers: Sequence[int]) -> WholeNumbers:
    return WholeNumbers.parse([str(number) for number in numbers], LIMITS)


def place_of_pair(words: Sequence[int], text: str, tweak: bytes) -> str:
    """The definition, one pair at a time."""
    first, second, third = factors()
    total, of_tweak = (
        start * first + end + sum(word * second for word in others)
        for start, end, *others in (words, words_of_octets(tweak))
    )
    mixed = total + of_tweak * second
    octets = text.encode("utf-8", "surrogatepass")
    pair = len(octets).to_bytes(8, "big") + octets + tweak
    mac = HMAC(KEY[:32], SHA256())
    mac.update(pair)
    return f"{mixed * third % (1 << 64) >> 32:08x}{mac.finalize()[:4].hex()}"


def least(places: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(places))[:SIZE])


TEXTS = st.text(st.sampled_from("0127ab-éЖ山\ud800😀"), max_size=30) | st.text(
    st.characters(codec=None), max_size=40
)


@given(st.lists(TEXTS, max_size=90))
def test_a_sketch_of_text_is_what_the_definition_says(strings: list[str]) -> None:
    expected = least([place_of_text(string) for string in strings if string])
    assert SKETCHER.sketch(Text.of(strings)) == expected


@given(st.lists(st.integers(LIMITS.lowest, LIMITS.highest), max_size=90))
def test_a_sketch_of_numbers_is_what_the_definition_says(numbers: list[int]) -> None:
    assert SKETCHER.sketch(whole(numbers)) == least([place_of_number(one) for one in numbers])


TWEAKS = [b"\xff", b"", b"a", "é".encode(), b"a tweak of more than sixteen octets"]


@given(st.lists(st.tuples(TEXTS, st.sampled_from(range(5))), max_size=90))
def test_a_sketch_of_pairs_is_what_the_definition_says(rows: list[tuple[str, int]]) -> None:
    text = Text.of([string for string, _ in rows])
    tweaks = RowTweaks(TWEAKS, np.array([number for _, number in rows], np.intp))
    expected = least(
        [place_of_pair(words_of(one), one, TWEAKS[number]) for one, number in rows if one]
    )
    assert SKETCHER.sketch(text, tweaks) == expected
    assert SKETCHER.fits(expected, text, tweaks)


@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize("count", [1, 7, 20_000])
@pytest.mark.parametrize("distinct", [1, 40, 300, 50_000])
def test_a_long_column_with_tweaks(distinct: int, count: int, number: bool) -> None:
    random = np.random.default_rng(distinct)
    known = random.integers(-(10**9), 10**9, distinct)
    column = known[random.integers(0, distinct, 30_000)].tolist()
    each = random.integers(0, count, 30_000)
    values = [str(one).encode() for one in range(count)]
    rows = {*zip(column, each.tolist(), strict=True)}
    expected = least(
        [
            place_of_pair(
                [abs(one), int(one < 0)] if number else words_of(str(one)), str(one), values[tweak]
            )
            for one, tweak in rows
        ]
    )
    held = whole(column) if number else Text.of([str(one) for one in column])
    tweaks = RowTweaks(values, each)
    assert SKETCHER.sketch(held, tweaks) == expected
    assert SKETCHER.fits(expected, held, tweaks)
    part = np.arange(5, 30_000, 7)
    assert SKETCHER.fits(expected, held.at(part), tweaks.at(part))
    assert not SKETCHER.fits(expected, held, RowTweaks([b"x" + one for one in values], each))


@pytest.mark.parametrize("distinct", [1, 40, 64, 300, 5_000, 50_000])
def test_a_long_column_has_the_sketch_of_its_distinct_values(distinct: int) -> None:
    random = np.random.default_rng(distinct)
    known = random.integers(-(10**9), 10**9, distinct)
    column = known[random.integers(0, distinct, 100_000)].tolist()
    held = sorted(set(column))
    assert SKETCHER.sketch(whole(column)) == least([place_of_number(one) for one in held])
    strings = [str(one) for one in column]
    expected = least([place_of_text(str(one)) for one in held])
    assert SKETCHER.sketch(Text.of(strings)) == expected


def ssns(count: int, seed: int) -> list[str]:
    numbers = np.random.default_rng(seed).integers(0, 10**9, count).tolist()
    return [f"{n // 10**6:03d}-{n // 10**4 % 100:02d}-{n % 10**4:04d}" for n in numbers]


COLUMNS = {
    "ssn": ssns(20_000, 1),
    "with nulls": ["" if row % 7 == 0 else one for row, one in enumerate(ssns(20_000, 2))],
    "alike at both ends": [f"https://www.{one}.example.com/" for one in ssns(20_000, 3)],
    "alike but for the end": [f"{'x' * 40}{one[-3:]}" for one in ssns(20_000, 4)],
    "few values": [one[-1:] for one in ssns(20_000, 5)],
    "some values": [f"value {one[-2:]}" for one in ssns(20_000, 6)],
    "ragged": [one[: 1 + row % 11] for row, one in enumerate(ssns(20_000, 7))],
    "other scripts": [f"Łukasz {one} Żółć" for one in ssns(20_000, 8)],
    "alike inside": [f"{'x' * 20}{one}{'y' * 40}" for one in ssns(5_000, 9)],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_every_kind(name: str) -> None:
    strings = COLUMNS[name]
    sketch = SKETCHER.sketch(Text.of(strings))
    assert sketch == least([place_of_text(string) for string in strings if string])
    assert SKETCHER.sketch(Text.of(strings[::-1])) == sketch
    for part in (strings, strings[::-3], sorted(strings)[:999], strings[5:6], []):
        assert SKETCHER.fits(sketch, Text.of(part))
    foreign = [
        f"{string[:-1]}{'0' if string[-1:] != '0' else '1'}!" for string in strings if string
    ]
    assert not SKETCHER.fits(sketch, Text.of(foreign))


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("highest", [50, 3_000, 1 << 40])
def test_columns_of_numbers(step: int, highest: int) -> None:
    numbers = np.random.default_rng(1).integers(1, highest, 20_000) * step
    sketch = SKETCHER.sketch(whole(numbers.tolist()))
    assert sketch == least([place_of_number(number) for number in numbers.tolist()])
    assert SKETCHER.fits(sketch, whole(numbers[::-7].tolist()))
    assert not SKETCHER.fits(sketch, whole((-numbers).tolist()))
    assert not SKETCHER.fits(sketch, whole((numbers + 3 * highest).tolist()))


@pytest.mark.parametrize("rows", [SIZE - 1, SIZE, SIZE + 1, 4096, 4097])
def test_one_other_value_among_few_is_noticed_and_most_among_many_are_not(rows: int) -> None:
    strings = ssns(rows, 3)
    sketch = SKETCHER.sketch(Text.of(strings))
    assert len(sketch) == min(rows, SIZE)
    changed = [SKETCHER.fits(sketch, Text.of([*strings, one])) for one in ssns(200, 4)]
    assert sum(changed) == sum(
        rows >= SIZE and place_of_text(one) > sketch[-1] for one in ssns(200, 4)
    )


def test_text_that_became_ascii_fits_still() -> None:
    strings = ["Łukasz", "plain one", "0123456789", "é" * 20, "a long value, all of it ASCII"]
    sketch = SKETCHER.sketch(Text.of(strings))
    for string in strings:
        assert SKETCHER.fits(sketch, Text.of([string]))
    assert not SKETCHER.fits(sketch, Text.of(["Lukasz"]))


def test_characters_with_the_same_low_octet_are_not_the_same() -> None:
    sketch = SKETCHER.sketch(Text.of(["abc"]))
    assert not SKETCHER.fits(sketch, Text.of(["ab" + chr(0x100 + ord("c"))]))
    assert sketch[0][:8] == SKETCHER.sketch(Text.of(["ab" + chr(0x100 + ord("c"))]))[0][:8]


def test_a_zero_has_no_sign() -> None:
    sketch = SKETCHER.sketch(whole([0, 5]))
    assert SKETCHER.fits(sketch, WholeNumbers.parse(["-0"], LIMITS))
    assert SKETCHER.sketch(WholeNumbers.parse(["-0", "5"], LIMITS)) == sketch


def test_another_key_gives_another_sketch() -> None:
    text = Text.of(ssns(500, 1))
    other = Sketcher(bytes(range(100, 156)))
    assert not {*SKETCHER.sketch(text)} & {*other.sketch(text)}
    assert not other.fits(SKETCHER.sketch(text), text)


@pytest.mark.parametrize("octets", [0, 55, 57])
def test_the_key_has_56_octets(octets: int) -> None:
    with pytest.raises(ValueError, match=f"56 octets, not {octets}"):
        Sketcher(bytes(octets))


def test_no_pseudonym_has_no_sketch() -> None:
    assert SKETCHER.sketch(Text.of([])) == SKETCHER.sketch(Text.of(["", ""])) == ()
    assert SKETCHER.sketch(whole([])) == ()


def test_golden_sketch() -> None:
    assert SKETCHER.sketch(Text.of(["123-45-6789", "Zoë"])) == (
        "4d1dd4b9c36200a4",
        "ae39e07c895eaa5b",
    )
    assert SKETCHER.sketch(whole([1234567, -5])) == ("06d80620f5068808", "08762a1ff55f0b5c")


@pytest.mark.parametrize("cuts", [[], [10], [3000], [100, 5000, 5001, 9000]])
def test_the_sketch_of_the_whole_is_that_of_the_parts(cuts: list[int]) -> None:
    strings = ssns(10_000, 5)
    parts = np.split(np.array(strings, object), cuts)
    sketches = [SKETCHER.sketch(Text.of(part.tolist())) for part in parts]
    assert merged_sketches(*sketches) == SKETCHER.sketch(Text.of(strings))
    assert merged_sketches() == ()


SEAL = SketchSeal(bytes(range(64)))
FULL = tuple(f"{number:016x}" for number in range(SIZE))


@pytest.mark.parametrize("count", [0, 1, 2, SIZE - 1, SIZE])
def test_what_was_sealed_is_opened_again(count: int) -> None:
    assert SEAL.open("values", "ssn", SEAL.seal("values", "ssn", FULL[:count])) == FULL[:count]


def test_the_number_of_places_does_not_show() -> None:
    assert len({len(SEAL.seal("values", "ssn", FULL[:count])) for count in range(SIZE + 1)}) == 1


def test_equal_sketches_differ() -> None:
    assert SEAL.seal("values", "ssn", FULL) != SEAL.seal("values", "ssn", FULL)
    first, second = (SEAL.seal("values", "ssn", FULL, bytes(16)) for _ in range(2))
    assert first == second


def test_golden_seal() -> None:
    sealed = bytes.fromhex(SEAL.seal("values", "Zoë", FULL[1:3], bytes(range(16))))
    assert sealed[:16] == bytes(range(16))
    assert len(sealed) == 16 + 16 + 1 + 8 * SIZE
    assert sealed[16:32].hex() == "c4c7aeb696b2f9775eadcd48d1570e5c"


def test_a_sketch_of_another_column_or_key_or_a_changed_one() -> None:
    sealed = SEAL.seal("values", "ssn", FULL)
    octets = bytearray.fromhex(sealed)
    octets[40] ^= 1
    changed = octets.hex()
    with pytest.raises(ManifestError):
        SEAL.open("pairs", "ssn", sealed)
    for seal, column, sealed_text in (
        (SEAL, "id", sealed),
        (SketchSeal(bytes(64)), "ssn", sealed),
        (SEAL, "ssn", changed),
        (SEAL, "ssn", sealed[:-4]),
        (SEAL, "ssn", ""),
        (SEAL, "ssn", "é"),
    ):
        with pytest.raises(ManifestError, match="can't be decrypted") as caught:
            seal.open("values", column, sealed_text)
        assert caught.value.__context__ is None
