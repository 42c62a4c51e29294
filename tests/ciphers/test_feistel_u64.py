"""Rounds in 64-bit words, computed or from tables: the same FF1."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers import feistel_u64
from secureml.ciphers.aes import BlockCipher, Scratch
from secureml.ciphers.feistel import RoundFunction, RoundParameters, Shape, mac_states, run_rounds
from secureml.ciphers.feistel_u64 import RoundCache, WordRounds
from secureml.ciphers.ff1 import FF1
from secureml.ciphers.integer_ff1 import IntegerFF1

KEY = bytes(range(32))
RANDOM = np.random.default_rng(38)

# Even and odd lengths, halves of one to three octets, both sides of the most that is tabulated.
SHAPES = [(2, 20), (2, 21), (10, 6), (10, 7), (10, 9), (36, 5), (250, 3), (1000, 2), (1 << 16, 2)]


def parameters_of(radix: int, n: int, tweak: bytes = b"") -> RoundParameters:
    shape = Shape.of(radix, n)
    states = mac_states(BlockCipher(KEY), [shape], [tweak])
    return RoundParameters.of([shape], np.zeros(1, np.intp), states)


def new_scratch() -> Scratch:
    return Scratch(BlockCipher(KEY).encryptor())


def tabled(rounds: RoundFunction) -> list[np.ndarray] | None:
    """Return the tables that rounds are looked up in, None if AES computes them."""
    return getattr(rounds, "tables", None)


def halves_of(parameters: RoundParameters, rows: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = int(parameters.left[0]), int(parameters.right[0])
    left, right = (RANDOM.integers(0, size, rows).astype(np.uint64) for size in sizes)
    return left, right


@pytest.mark.parametrize("decrypt", [False, True])
@pytest.mark.parametrize(("radix", "n"), SHAPES)
def test_tables_do_what_aes_does(radix: int, n: int, decrypt: bool) -> None:
    scratch, parameters = new_scratch(), parameters_of(radix, n, b"tweak")
    cache, rows = RoundCache(), 5_000
    assert tabled(cache.rounds(scratch, parameters, 1 << 20))
    tables = cache.rounds(scratch, parameters, rows)
    left, right = halves_of(parameters, rows)
    looked_up, computed = (left.copy(), right.copy()), (left.copy(), right.copy())
    run_rounds(tables, *looked_up, decrypt=decrypt)
    run_rounds(WordRounds(scratch, parameters, rows), *computed, decrypt=decrypt)
    np.testing.assert_array_equal(looked_up, computed)
    run_rounds(tables, *looked_up, decrypt=not decrypt)
    np.testing.assert_array_equal(looked_up, (left, right))


@pytest.mark.parametrize("n", [6, 7])
def test_a_long_column_is_encrypted_as_another_implementation_does(
    n: int, independent: Callable[..., list[int]]
) -> None:
    cipher, numerals = FF1(KEY, 10), RANDOM.integers(0, 10, (50_000, n))
    encrypted = cipher.encrypt(numerals, b"tweak")
    for row in range(0, len(numerals), 2_500):
        expected = independent(KEY, 10, numerals[row].tolist(), b"tweak")
        assert encrypted[row].tolist() == expected
    np.testing.assert_array_equal(cipher.decrypt(encrypted, b"tweak"), numerals)


def test_it_makes_no_difference_when_the_tables_come() -> None:
    size, tweak = 10**7 + 19, [b"tweak"]
    low = np.arange(60_000, dtype=np.uint64)
    cipher = IntegerFF1(KEY)
    base = cipher.prepare([size], tweak).base[0]
    high, low = low % np.uint64(3000), low % base
    group = np.zeros(len(low), np.intp)
    parts = []
    for rows in itertools.pairwise([0, 1_000, 5_000, 20_000, 60_000]):
        part = slice(*rows)
        parts.append(
            cipher.prepare([size], tweak).halves(group[part], high[part], low[part], decrypt=False)
        )
    joined = [np.concatenate(words) for words in zip(*parts, strict=True)]
    once = IntegerFF1(KEY).prepare([size], tweak).halves(group, high, low, decrypt=False)
    np.testing.assert_array_equal(joined, once)
    batch = IntegerFF1(KEY).prepare([size], tweak)
    one_by_one = [
        batch.halves(group[:1], high[row : row + 1], low[row : row + 1], decrypt=False)
        for row in range(0, len(low), 1_000)
    ]
    np.testing.assert_array_equal(np.array(once)[:, ::1_000], np.hstack(one_by_one))


def test_tables_come_once_they_pay() -> None:
    scratch, parameters, cache = new_scratch(), parameters_of(10, 6), RoundCache()
    assert not tabled(cache.rounds(scratch, parameters, 1_000))
    assert not tabled(cache.rounds(scratch, parameters, 999))
    tables = tabled(cache.rounds(scratch, parameters, 1))
    assert tables
    assert tabled(cache.rounds(scratch, parameters, 1)) is tables


def test_domains_with_another_tweak_or_shape_have_tables_of_their_own() -> None:
    scratch, cache = new_scratch(), RoundCache()
    domains = [(10, 6, b""), (10, 6, b"tweak"), (10, 7, b""), (2, 20, b"")]
    kinds = [parameters_of(*domain) for domain in domains]
    tables = [tabled(cache.rounds(scratch, parameters, 1 << 17)) for parameters in kinds]
    assert all(tables)
    assert len({id(one) for one in tables}) == len(kinds)


def test_large_halves_have_no_tables() -> None:
    cache, parameters = RoundCache(), parameters_of(10, 11)
    for _ in range(20):
        assert not tabled(cache.rounds(new_scratch(), parameters, 1 << 17))


def test_the_tables_of_many_domains_stay_within_bounds() -> None:
    scratch, cache = new_scratch(), RoundCache()
    first = parameters_of(1 << 16, 2)
    assert tabled(cache.rounds(scratch, first, 1 << 17))
    assert tabled(cache.rounds(scratch, first, 1))
    for number in range(4):
        cache.rounds(scratch, parameters_of(1 << 16, 2, bytes([number])), 1 << 17)
    assert not tabled(cache.rounds(scratch, first, 1))


def test_threads_share_the_tables() -> None:
    cipher, size = IntegerFF1(KEY), 1_000_003
    base = cipher.prepare([size], [b""]).base[0]
    ranks = np.arange(40_000, dtype=np.uint64)
    group = np.zeros(len(ranks), np.intp)

    def encrypted(_: int) -> np.ndarray:
        return np.array(
            cipher.prepare([size], [b""]).halves(group, ranks // base, ranks % base, decrypt=False)
        )

    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(encrypted, range(12)))
    assert all((one == several[0]).all() for one in several)


def extended(value: int, tail: int, size: int) -> int:
    one, two, three, room = (np.array([n], np.uint64) for n in (value, tail, size, 0))
    feistel_u64._extend(one, two, three, 1.0 / three, room)
    return int(one[0])


@given(st.data())
def test_what_is_appended_is_reduced(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 2**56))
    value = data.draw(st.integers(0, size - 1))
    tail = data.draw(st.integers(0, 2**64 - 1))
    assert extended(value, tail, size) == (value << 32 | tail >> 32) % size


@pytest.mark.parametrize("size", [2, 3, 10, 2**16, 2**32 - 1, 2**32, 2**32 + 1, 10**16, 2**56])
@pytest.mark.parametrize("last", [2, 1])
@pytest.mark.parametrize("upper", [0, 1, 2**31, 2**32 - 1])
def test_the_edges_of_a_half_are_reduced(size: int, last: int, upper: int) -> None:
    value = size - last
    assert extended(value, upper << 32, size) == (value << 32 | upper) % size


def test_multiples_of_a_size_become_zero() -> None:
    random = np.random.default_rng(0)
    for size in random.integers(2**33, 2**56, 2000).tolist():
        multiple = size * int(random.integers(1, 2**32))
        value, upper = divmod(multiple, 2**32)
        for change in (-1, 0, 1):
            if 0 <= upper + change < 2**32 and value < size:
                assert extended(value, (upper + change) << 32, size) == change % size
