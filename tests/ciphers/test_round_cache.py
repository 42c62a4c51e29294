"""Rounds from tables: the same FF1, and only where they pay."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from secureml.ciphers.aes import BlockCipher, Scratch, Shape, mac_states
from secureml.ciphers.feistel_u64 import Lanes, word_rounds
from secureml.ciphers.ff1 import FF1
from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.round_cache import RoundCache

KEY = bytes(range(32))
RANDOM = np.random.default_rng(38)

# Even and odd lengths, halves of one to three octets, both sides of the most that is tabulated.
SHAPES = [(2, 20), (2, 21), (10, 6), (10, 7), (10, 9), (36, 5), (250, 3), (1000, 2), (1 << 16, 2)]


def lanes_of(radix: int, n: int, tweak: bytes = b"") -> Lanes:
    shape = Shape.of(radix, n)
    states = mac_states(BlockCipher(KEY), [shape], [tweak])
    return Lanes.of([shape], np.zeros(1, np.intp), states)


def halves_of(lanes: Lanes, rows: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = int(lanes.left[0]), int(lanes.right[0])
    left, right = (RANDOM.integers(0, size, rows).astype(np.uint64) for size in sizes)
    return left, right


@pytest.mark.parametrize("decrypt", [False, True])
@pytest.mark.parametrize(("radix", "n"), SHAPES)
def test_tables_do_what_aes_does(radix: int, n: int, decrypt: bool) -> None:
    scratch, lanes = Scratch(BlockCipher(KEY)), lanes_of(radix, n, b"tweak")
    tables = RoundCache().of(scratch, lanes, 1 << 20)
    assert tables is not None
    left, right = halves_of(lanes, 5_000)
    looked_up, computed = (left.copy(), right.copy()), (left.copy(), right.copy())
    tables.rounds(scratch, *looked_up, decrypt=decrypt)
    word_rounds(scratch, lanes, *computed, decrypt=decrypt)
    np.testing.assert_array_equal(looked_up, computed)
    tables.rounds(scratch, *looked_up, decrypt=not decrypt)
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
    base = cipher.plan([size], tweak).base[0]
    high, low = low % np.uint64(3000), low % base
    group = np.zeros(len(low), np.intp)
    parts = []
    for rows in itertools.pairwise([0, 1_000, 5_000, 20_000, 60_000]):
        part = slice(*rows)
        parts.append(cipher.plan([size], tweak).encrypt(group[part], high[part], low[part]))
    joined = [np.concatenate(words) for words in zip(*parts, strict=True)]
    once = IntegerFF1(KEY).plan([size], tweak).encrypt(group, high, low)
    np.testing.assert_array_equal(joined, once)
    plan = IntegerFF1(KEY).plan([size], tweak)
    one_by_one = [
        plan.encrypt(group[:1], high[row : row + 1], low[row : row + 1])
        for row in range(0, len(low), 1_000)
    ]
    np.testing.assert_array_equal(np.array(once)[:, ::1_000], np.hstack(one_by_one))


def test_tables_come_once_they_pay() -> None:
    scratch, lanes = Scratch(BlockCipher(KEY)), lanes_of(10, 6)
    tabulation = RoundCache()
    assert tabulation.of(scratch, lanes, 1_000) is None
    assert tabulation.of(scratch, lanes, 999) is None
    tables = tabulation.of(scratch, lanes, 1)
    assert tables is not None
    assert tabulation.of(scratch, lanes, 1) is tables


def test_domains_with_another_tweak_or_shape_have_tables_of_their_own() -> None:
    scratch, tabulation = Scratch(BlockCipher(KEY)), RoundCache()
    kinds = [lanes_of(10, 6), lanes_of(10, 6, b"tweak"), lanes_of(10, 7), lanes_of(2, 20)]
    tables = [tabulation.of(scratch, lanes, 1 << 17) for lanes in kinds]
    assert len({id(one) for one in tables}) == len(kinds)


def test_large_halves_have_no_tables() -> None:
    scratch = Scratch(BlockCipher(KEY))
    assert RoundCache().of(scratch, lanes_of(10, 11), 1 << 30) is None


def test_the_tables_of_many_domains_stay_within_bounds() -> None:
    scratch, tabulation = Scratch(BlockCipher(KEY)), RoundCache()
    first = lanes_of(1 << 16, 2)
    kept = tabulation.of(scratch, first, 1 << 17)
    assert tabulation.of(scratch, first, 1) is kept
    for number in range(4):
        tabulation.of(scratch, lanes_of(1 << 16, 2, bytes([number])), 1 << 17)
    assert tabulation.of(scratch, first, 1) is None


def test_threads_share_the_tables() -> None:
    cipher, size = IntegerFF1(KEY), 1_000_003
    base = cipher.plan([size], [b""]).base[0]
    ranks = np.arange(40_000, dtype=np.uint64)
    group = np.zeros(len(ranks), np.intp)

    def encrypted(_: int) -> np.ndarray:
        return np.array(cipher.plan([size], [b""]).encrypt(group, ranks // base, ranks % base))

    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(encrypted, range(12)))
    assert all((one == several[0]).all() for one in several)
