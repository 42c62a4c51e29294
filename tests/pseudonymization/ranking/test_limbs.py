"""Numbers in limbs are held against Python's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from secureml.pseudonymization.ranking.limbs import (
    divide,
    from_halves,
    from_words,
    multiply_add,
    to_halves,
    to_words,
)


def to_integers(limbs: list[NDArray[np.uint64]]) -> NDArray[np.object_]:
    numbers = np.zeros(len(limbs[0]), object)
    for limb in reversed(limbs):
        numbers = (numbers << 32) + limb.astype(object)
    return numbers


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
