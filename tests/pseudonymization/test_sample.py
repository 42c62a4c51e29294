from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st

from secureml.pseudonymization.numbers import Limits, WholeNumbers
from secureml.pseudonymization.sample import SIZE, Sampler, merged_samples
from secureml.pseudonymization.text import Text

KEY = bytes(range(56))
SAMPLER = Sampler(KEY)
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
    octets = bytes(ord(character) & 0xFF for character in text)
    first = int.from_bytes(octets[:8].rjust(8, b"\0"), "little")
    last = int.from_bytes(octets[-8:].ljust(8, b"\0"), "little")
    words = [first, last]
    if len(text) > 16:
        start = (len(text) - 8) // 2
        words.append(int.from_bytes(octets[start : start + 8], "little"))
    return place(words, text)


def place_of_number(number: int) -> str:
    return place([abs(number), int(number < 0)], str(number))


def whole(numbers: Sequence[int]) -> WholeNumbers:
    return WholeNumbers.parse([str(number) for number in numbers], LIMITS)


def least(places: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(places))[:SIZE])


TEXTS = st.text(st.sampled_from("0127ab-éЖ山\ud800😀"), max_size=30) | st.text(
    st.characters(codec=None), max_size=40
)


@given(st.lists(TEXTS, max_size=90))
def test_a_sample_of_text_is_what_the_definition_says(strings: list[str]) -> None:
    expected = least([place_of_text(string) for string in strings if string])
    assert SAMPLER.sample(Text.of(strings)) == expected


@given(st.lists(st.integers(LIMITS.lowest, LIMITS.highest), max_size=90))
def test_a_sample_of_numbers_is_what_the_definition_says(numbers: list[int]) -> None:
    assert SAMPLER.sample(whole(numbers)) == least([place_of_number(one) for one in numbers])


@pytest.mark.parametrize("distinct", [1, 40, 64, 300, 5_000, 50_000])
def test_a_long_column_has_the_sample_of_its_distinct_values(distinct: int) -> None:
    random = np.random.default_rng(distinct)
    known = random.integers(-(10**9), 10**9, distinct)
    column = known[random.integers(0, distinct, 100_000)].tolist()
    held = sorted(set(column))
    assert SAMPLER.sample(whole(column)) == least([place_of_number(one) for one in held])
    strings = [str(one) for one in column]
    expected = least([place_of_text(str(one)) for one in held])
    assert SAMPLER.sample(Text.of(strings)) == expected


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
    sample = SAMPLER.sample(Text.of(strings))
    assert sample == least([place_of_text(string) for string in strings if string])
    assert SAMPLER.sample(Text.of(strings[::-1])) == sample
    for part in (strings, strings[::-3], sorted(strings)[:999], strings[5:6], []):
        assert SAMPLER.fits(sample, Text.of(part))
    foreign = [
        f"{string[:-1]}{'0' if string[-1:] != '0' else '1'}!" for string in strings if string
    ]
    assert not SAMPLER.fits(sample, Text.of(foreign))


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("highest", [50, 3_000, 1 << 40])
def test_columns_of_numbers(step: int, highest: int) -> None:
    numbers = np.random.default_rng(1).integers(1, highest, 20_000) * step
    sample = SAMPLER.sample(whole(numbers.tolist()))
    assert sample == least([place_of_number(number) for number in numbers.tolist()])
    assert SAMPLER.fits(sample, whole(numbers[::-7].tolist()))
    assert not SAMPLER.fits(sample, whole((-numbers).tolist()))
    assert not SAMPLER.fits(sample, whole((numbers + 3 * highest).tolist()))


@pytest.mark.parametrize("rows", [SIZE - 1, SIZE, SIZE + 1, 4096, 4097])
def test_one_other_value_among_few_is_noticed_and_most_among_many_are_not(rows: int) -> None:
    strings = ssns(rows, 3)
    sample = SAMPLER.sample(Text.of(strings))
    assert len(sample) == min(rows, SIZE)
    changed = [SAMPLER.fits(sample, Text.of([*strings, one])) for one in ssns(200, 4)]
    assert sum(changed) == sum(
        rows >= SIZE and place_of_text(one) > sample[-1] for one in ssns(200, 4)
    )


def test_text_that_became_ascii_fits_still() -> None:
    strings = ["Łukasz", "plain one", "0123456789", "é" * 20, "a long value, all of it ASCII"]
    sample = SAMPLER.sample(Text.of(strings))
    for string in strings:
        assert SAMPLER.fits(sample, Text.of([string]))
    assert not SAMPLER.fits(sample, Text.of(["Lukasz"]))


def test_characters_with_the_same_low_octet_are_not_the_same() -> None:
    sample = SAMPLER.sample(Text.of(["abc"]))
    assert not SAMPLER.fits(sample, Text.of(["ab" + chr(0x100 + ord("c"))]))
    assert sample[0][:8] == SAMPLER.sample(Text.of(["ab" + chr(0x100 + ord("c"))]))[0][:8]


def test_a_zero_has_no_sign() -> None:
    sample = SAMPLER.sample(whole([0, 5]))
    assert SAMPLER.fits(sample, WholeNumbers.parse(["-0"], LIMITS))
    assert SAMPLER.sample(WholeNumbers.parse(["-0", "5"], LIMITS)) == sample


def test_another_key_gives_another_sample() -> None:
    text = Text.of(ssns(500, 1))
    other = Sampler(bytes(range(100, 156)))
    assert not {*SAMPLER.sample(text)} & {*other.sample(text)}
    assert not other.fits(SAMPLER.sample(text), text)


@pytest.mark.parametrize("octets", [0, 55, 57])
def test_the_key_has_56_octets(octets: int) -> None:
    with pytest.raises(ValueError, match=f"56 octets, not {octets}"):
        Sampler(bytes(octets))


def test_no_pseudonym_has_no_sample() -> None:
    assert SAMPLER.sample(Text.of([])) == SAMPLER.sample(Text.of(["", ""])) == ()
    assert SAMPLER.sample(whole([])) == ()


def test_golden_sample() -> None:
    assert SAMPLER.sample(Text.of(["123-45-6789", "Zoë"])) == (
        "4d1dd4b9c36200a4",
        "ae39e07c895eaa5b",
    )
    assert SAMPLER.sample(whole([1234567, -5])) == ("06d80620f5068808", "08762a1ff55f0b5c")


@pytest.mark.parametrize("cuts", [[], [10], [3000], [100, 5000, 5001, 9000]])
def test_the_sample_of_the_whole_is_that_of_the_parts(cuts: list[int]) -> None:
    strings = ssns(10_000, 5)
    parts = np.split(np.array(strings, object), cuts)
    samples = [SAMPLER.sample(Text.of(part.tolist())) for part in parts]
    assert merged_samples(*samples) == SAMPLER.sample(Text.of(strings))
    assert merged_samples() == ()
