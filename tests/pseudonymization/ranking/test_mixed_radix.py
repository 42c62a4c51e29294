"""Ranks, and numbers in limbs, are held against Python's integers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from secureml.pseudonymization.ranking.digits import (
    CodeBuffer,
    Digits,
    DigitWeights,
    RaggedDigits,
    TemplateDigits,
    UniformDigits,
)
from secureml.pseudonymization.ranking.mixed_radix import (
    MixedRadix,
    divide,
    from_halves,
    from_words,
    multiply_add,
    to_halves,
    to_words,
)
from secureml.pseudonymization.tables.character_classes import Alphabets


class _Ordinals(Alphabets):
    """Numbers that are ordinals already."""

    def __init__(self) -> None:
        pass

    def ordinals(self, codes: np.ndarray) -> np.ndarray:
        return codes

    def codes(self, ordinals: np.ndarray) -> np.ndarray:
        return ordinals


class Case:
    """Values of one template or several, and their digits."""

    def __init__(self, sizes: list[list[int]], firsts: list[list[int]], most: int = 99) -> None:
        width = max(map(len, sizes))
        real = [[False] * (width - len(one)) + [True] * len(one) for one in sizes]
        self.digits = TemplateDigits(
            np.array([[max(0, i - width + len(one)) for i in range(width)] for one in sizes]),
            matrix([[1] * (width - len(one)) + one for one in sizes]),
            matrix([one[:1] * (width - len(one)) + one for one in firsts]),
            np.array(real),
        )
        self.radix = MixedRadix(self.digits.sizes, self.digits.blocks, most)

    def ragged(self, source: np.ndarray, starts: list[int], member: np.ndarray) -> Digits:
        self.target = np.zeros_like(source)
        buffer = CodeBuffer(_Ordinals(), source, self.target, np.zeros(0, np.int64))
        digits = DigitWeights(self.digits)
        return RaggedDigits(buffer, np.array(starts), digits, member)

    def uniform(self, source: np.ndarray) -> Digits:
        self.target = np.zeros_like(source)
        buffer = CodeBuffer(_Ordinals(), source, self.target, np.zeros(0, np.int64))
        width = self.digits.sizes.shape[1]
        return UniformDigits(buffer, width, slice(None), self.digits)


SIZES = st.lists(st.sampled_from([2, 10, 26, 32, 33, 48, 256, 11172, 20992, 32768]), max_size=24)


def to_integers(limbs: list[NDArray[np.uint64]]) -> NDArray[np.object_]:
    numbers = np.zeros(len(limbs[0]), object)
    for limb in reversed(limbs):
        numbers = (numbers << 32) + limb.astype(object)
    return numbers


def expected_rank(digits: list[int], sizes: list[int]) -> int:
    rank = 0
    for digit, size in zip(digits, sizes, strict=True):
        rank = rank * size + digit
    return rank


def matrix(rows: list[list[int]], dtype: type = np.uint32) -> np.ndarray:
    return np.array(rows, dtype).reshape(len(rows), -1)


@given(SIZES.filter(bool), st.booleans(), st.data())
def test_ranks_are_mixed_radix_numbers(
    sizes: list[int], extreme: bool, data: st.DataObject
) -> None:
    drawn = [st.sampled_from([0, n - 1]) if extreme else st.integers(0, n - 1) for n in sizes]
    digits = [data.draw(one) for one in drawn]
    firsts = [data.draw(st.integers(0, 0x10FFFF - (1 << 15))) for _ in sizes]
    source = matrix([[a + b for a, b in zip(digits, firsts, strict=True)]])[0]
    alone = Case([sizes], [firsts])
    # Beside a longer template, there are digits in front that are none.
    most = -(-math.prod(sizes).bit_length() // 32)
    beside = Case([[2, *sizes], sizes], [[7, *firsts], firsts], most)
    for case, member in ((alone, None), (alone, np.array([0])), (beside, np.array([1]))):
        column = case.uniform(source) if member is None else case.ragged(source, [0], member)
        limbs = case.radix.rank(column, member)
        assert to_integers(limbs).tolist() == [expected_rank(digits, sizes)]
        assert len(limbs) == case.radix.limbs
        case.radix.unrank(limbs, column, member)
        assert (case.target == source).all()


@pytest.mark.parametrize("size", [2, 10, 16, 26, 11172, 32768])
def test_every_digit_of_a_block_is_exact(size: int) -> None:
    count = max(int(32 / math.log2(size)), 1)
    case = Case([[size] * count, [3, size]], [[0] * count, [0, 0]])
    edges = [size**power * factor for power in range(count) for factor in (1, size - 1)]
    numbers = sorted({(edge + step) % size**count for edge in edges for step in (-1, 0, 1)})
    source = np.zeros(len(numbers) * count, np.uint32)
    starts = list(range(0, len(source), count))
    digits = case.ragged(source, starts, np.zeros(len(numbers), np.intp))
    padding = [np.zeros(len(numbers), np.uint64)] * (len(case.digits.blocks) - 1)
    digits.write([*padding, np.array(numbers, np.uint64)])
    for start, number in zip(starts, numbers, strict=True):
        assert expected_rank(case.target[start : start + count].tolist(), [size] * count) == number


def test_rows_of_several_templates_together() -> None:
    sizes, firsts = [[10, 26, 20992], [48, 10]], [[48, 97, 5000], [300, 48]]
    flat = np.zeros(15, np.uint32)
    digits = [[7, 25, 20991], [47, 9], [9, 3, 1]]
    starts, member = [10, 5, 0], np.array([0, 1, 0])
    for row, group in enumerate(member):
        there = slice(starts[row], starts[row] + len(digits[row]))
        flat[there] = matrix([firsts[group]])[0] + matrix([digits[row]])[0]
    case = Case(sizes, firsts)
    column = case.ragged(flat, starts, member)
    limbs = case.radix.rank(column, member)
    expected = [expected_rank(d, sizes[group]) for d, group in zip(digits, member, strict=True)]
    assert to_integers(limbs).tolist() == expected
    case.radix.unrank(limbs, column, member)
    assert (case.target == flat).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
def test_only_the_digits_of_the_rows_are_written(dtype: type) -> None:
    values = np.full((3, 4), ord("7"), dtype)
    target = np.zeros_like(values)
    digits = TemplateDigits(
        np.array([[1, 3]]), matrix([[10, 10]]), matrix([[48, 48]]), np.ones((1, 2), bool)
    )
    buffer = CodeBuffer(_Ordinals(), values.reshape(-1), target.reshape(-1), np.zeros(0, np.int64))
    column = UniformDigits(buffer, 4, slice(None), digits)
    column.write(list(column.read()))
    assert target.tolist() == [[0, ord("7"), 0, ord("7")]] * 3


class Metered(int):
    """A number that counts the bits of all that it is calculated with."""

    bits = 0

    def _noted(self, result: int) -> Metered:
        Metered.bits += self.bit_length()
        return Metered(result)

    def __add__(self, other: int) -> Metered:
        return self._noted(int(self) + other)

    def __sub__(self, other: int) -> Metered:
        return self._noted(int(self) - other)

    def __mul__(self, other: int) -> Metered:
        return self._noted(int(self) * other)

    def __floordiv__(self, other: int) -> Metered:
        return self._noted(int(self) // other)


class Row:
    """One value of many blocks, which are numbers of their own."""

    def __init__(self, blocks: int) -> None:
        self.values = list(range(1, blocks + 1))

    def read(self) -> Iterator[NDArray[np.object_]]:
        for value in self.values:
            yield np.array([Metered(value)], object)

    def write(self, values: Sequence[NDArray[np.uint64]]) -> None:
        self.written = [int(value[0]) for value in values]


def bits_of(blocks: int) -> int:
    """Rank a value and turn the rank back, and count the bits that it took."""
    radix = MixedRadix(
        np.full((1, blocks), 1 << 30, np.uint32), [range(n, n + 1) for n in range(blocks)], None
    )
    row, Metered.bits = Row(blocks), 0
    ranks = radix.rank_integers(row, None)
    assert int(ranks[0]) == sum(n << 30 * (blocks - n) for n in range(1, blocks + 1))
    radix.unrank_integers(ranks, row, None)
    assert row.written == row.values
    return Metered.bits


def test_twice_as_long_a_value_takes_hardly_more_than_twice_as_many_bits() -> None:
    assert bits_of(100) > 0
    assert bits_of(4000) < 2.5 * bits_of(2000)


def from_integers(numbers: NDArray[np.object_], count: int) -> list[NDArray[np.uint64]]:
    if count == 1:
        return [numbers.astype(np.uint64)]
    return [(numbers >> 32 * place & 0xFFFFFFFF).astype(np.uint64) for place in range(count)]


def near(limit: int) -> st.SearchStrategy[int]:
    """Numbers below a limit, of any length, and those around powers of two."""
    powers = st.integers(0, limit.bit_length()).map(lambda n: 1 << n)
    around = st.builds(int.__add__, powers, st.integers(-2, 2))
    return (st.integers(0, limit - 1) | around).filter(lambda n: 0 <= n < limit)


def limbs_for(limit: int) -> int:
    limbs = -(-(limit - 1).bit_length() // 32)
    return limbs if limbs > 2 else 1


def column(numbers: list[int]) -> np.ndarray:
    array = np.empty(len(numbers), object)
    array[:] = numbers
    return array


@given(st.lists(near(1 << 160), min_size=1, max_size=4), near(1 << 32), near((1 << 32) + 1))
def test_multiplying_and_dividing(numbers: list[int], addend: int, factor: int) -> None:
    factor = max(factor, addend + 1)
    limbs = from_integers(column(numbers), 5)
    assert to_integers(limbs).tolist() == numbers
    multiply_add(limbs, np.uint64(factor), np.full(len(numbers), addend, np.uint64), 6)
    assert to_integers(limbs).tolist() == [number * factor + addend for number in numbers]
    assert all((limb < 1 << 32).all() for limb in limbs)
    assert divide(limbs, np.full(len(numbers), factor, np.uint64), 5).tolist() == [addend] * len(
        numbers
    )
    assert to_integers(limbs).tolist() == numbers


@given(st.lists(near(1 << 192), min_size=1, max_size=4))
def test_words(numbers: list[int]) -> None:
    words = to_words(from_integers(column(numbers), 6))
    assert [int.from_bytes(row.astype(">u8").tobytes(), "big") for row in words] == numbers
    assert to_integers(from_words(words, 6)).tolist() == numbers


@given(near((1 << 56) + 1).filter(lambda base: base > 1), st.data())
def test_halves(base: int, data: st.DataObject) -> None:
    quotients = data.draw(st.lists(near(base), min_size=1, max_size=4))
    remainders = [data.draw(near(base)) for _ in quotients]
    numbers = [q * base + r for q, r in zip(quotients, remainders, strict=True)]
    count = limbs_for(base * base)
    bases = np.full(len(numbers), base, np.uint64)
    for divisor in (np.uint64(base), bases):
        high, low = to_halves(from_integers(column(numbers), count), divisor)
        assert high.tolist() == quotients
        assert low.tolist() == remainders
        assert to_integers(from_halves(high, low, divisor, count)).tolist() == numbers


def test_halves_by_one_base_in_an_array_give_no_warning(recwarn):
    warnings.simplefilter("always")
    high, low = to_halves(from_integers(column([10**20]), 4), np.array([10**10 + 1], np.uint64))
    assert (high.tolist(), low.tolist()) == ([10**20 // (10**10 + 1)], [10**20 % (10**10 + 1)])
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("base", [(1 << 56) - 5, 1 << 56, 26**11, 65535**3, (1 << 40) + 1])
def test_halves_next_to_every_multiple(base: int) -> None:
    random = np.random.default_rng(1)
    quotients = [int(base * share) for share in random.random(5000)] + [0, 1, base - 1]
    numbers = [q * base + r for q in quotients for r in (0, 1, base // 2, base - 1)]
    high, low = to_halves(from_integers(column(numbers), 4), np.uint64(base))
    assert high.tolist() == [number // base for number in numbers]
    assert low.tolist() == [number % base for number in numbers]
