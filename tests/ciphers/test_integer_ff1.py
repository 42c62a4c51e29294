"""IntegerFF1: a permutation of every domain, FF1 underneath, and the same by every route."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secureml.ciphers.aes import CHUNK
from secureml.ciphers.integer_ff1 import DomainBatch, IntegerFF1, numerals_for

KEY = bytes(range(32))
MILLION = 1_000_000
RANDOM = np.random.default_rng(800)

# Both sides of every limit: radix and n of the rule, octets of a half, keystream, words, blocks.
EDGES = [
    *(size for bits in (20, 32, 48, 64, 96) for size in (2**bits - 1, 2**bits, 2**bits + 1)),
    *(size for bits in (111, 112, 113) for size in (2**bits - 1, 2**bits, 2**bits + 1)),
    *(size for bits in (127, 128, 129, 130) for size in (2**bits - 1, 2**bits, 2**bits + 1)),
    *(size for bits in (191, 192, 193, 240, 256) for size in (2**bits, 2**bits + 1)),
    26**11 * 10**3,
    26**12,
    26**26 * 52,
    26**100,
    20992**7,
]
sizes = st.one_of(
    st.sampled_from([size for size in EDGES if size >= MILLION]),
    st.integers(MILLION, 2**60),
    st.integers(MILLION, 2**260),
)
narrow_sizes = st.one_of(st.integers(MILLION, 2**40), st.integers(MILLION, 2**112))


def split(batch: DomainBatch, group: Sequence[int], ranks: Sequence[int]) -> tuple[Any, Any]:
    pairs = [divmod(rank, int(batch.base[g])) for g, rank in zip(group, ranks, strict=True)]
    high, low = np.array(pairs, np.uint64).reshape(-1, 2).T.copy()
    return high, low


def integers(
    batch: DomainBatch, group: Any, ranks: Sequence[int], *, decrypt: bool = False
) -> list[int]:
    return batch.integers(group, ranks, decrypt=decrypt).tolist()


def join(batch: DomainBatch, group: Sequence[int], high: Any, low: Any) -> list[int]:
    rows = zip(group, high.tolist(), low.tolist(), strict=True)
    return [first * int(batch.base[g]) + second for g, first, second in rows]


@pytest.mark.parametrize(
    ("size", "numerals"),
    [
        (2, (2, 2)),
        (MILLION, (1000, 2)),
        (MILLION + 1, (1001, 2)),
        (26**5 * 10, (10901, 2)),
        (2**32, (65536, 2)),
        (2**32 + 1, (257, 4)),
        (26**8, (676, 4)),
        (10**16, (10000, 4)),
        (52**9, (7262, 4)),
        (2**64, (65536, 4)),
        (2**64 + 1, (1626, 6)),
        (20992**5, (3997, 6)),
        (2**96, (65536, 6)),
        (2**96 + 1, (4097, 8)),
        (26**23, (11697, 8)),
        (2**112 - 1, (16384, 8)),
        (2**112, (16384, 8)),
        (2**112 + 1, (2, 113)),
        (26**26, (2, 123)),
        (2**128, (2, 128)),
        (2**128 + 1, (2, 129)),
        (26**1000, (2, 4701)),
    ],
)
def test_numerals_never_change(size: int, numerals: tuple[int, int]) -> None:
    assert numerals_for(size) == numerals


@given(st.integers(2, 2**120))
def test_numerals_are_enough_and_few(size: int) -> None:
    radix, n = numerals_for(size)
    assert radix**n >= size
    if size > 2**112:
        assert (radix, 2 ** (n - 1) < size) == (2, True)
        return
    assert 2 <= radix <= 65536
    assert n % 2 == 0
    assert n == 2 or 65536 ** (n - 2) < size
    assert radix == 2 or (radix - 1) ** n < size
    if size >= MILLION:
        assert radix**n <= size * 1.02


def test_ciphertexts_never_change() -> None:
    batch = IntegerFF1(KEY).prepare(
        [MILLION, 26**8, 26**20, 26**26, 26**40, 26**60, 10**9],
        [b"", b"a", b"b" * 16, b"c" * 40, b"d", b"e", b"f"],
        [None, None, None, None, None, None, (10, 9)],
    )
    assert integers(batch, range(7), [123456] * 7) == GOLDEN


GOLDEN = [
    157538,
    76785907225,
    2842832962052560747425326054,
    3378794598545167864159814685788192053,
    191183721815679393598257326882465150925334875954833884954,
    1258250442707533475633477690635031287195121386384001769327863620933234576125593370960,
    384082858,
]


@pytest.mark.parametrize("size", [MILLION, 10**6 + 3, 1009 * 1013])
def test_permutation_of_the_whole_domain(size: int) -> None:
    batch = IntegerFF1(KEY).prepare([size], [b"all"])
    base = int(batch.base[0])
    ranks = np.arange(size, dtype=np.uint64)
    group = np.zeros(size, np.int32)
    high, low = batch.halves(group, ranks // base, ranks % base, decrypt=False)
    encrypted = high * base + low
    assert (np.sort(encrypted) == ranks).all()
    assert np.count_nonzero(encrypted == ranks) < 20
    back = batch.halves(group, high, low, decrypt=True)
    assert (back[0] * base + back[1] == ranks).all()


@pytest.mark.parametrize("size", [101, 65537, 2**16 + 2**9])
def test_permutation_of_small_domains_that_walk_far(size: int) -> None:
    batch = IntegerFF1(KEY, min_domain=100).prepare([size], [b""])
    assert sorted(integers(batch, 0, range(size))) == list(range(size))


@settings(deadline=None)
@given(data=st.data())
def test_same_as_another_implementation(independent: Any, data: st.DataObject) -> None:
    size = data.draw(sizes)
    rank = data.draw(st.integers(0, size - 1))
    tweak = data.draw(st.binary(max_size=40))
    expected, (radix, n) = rank, numerals_for(size)
    while True:
        numerals = [expected // radix**place % radix for place in reversed(range(n))]
        expected = 0
        for numeral in independent(KEY, radix, numerals, tweak):
            expected = expected * radix + numeral
        if expected < size:
            break
    batch = IntegerFF1(KEY).prepare([size], [tweak])
    assert integers(batch, 0, [rank]) == [expected]
    assert integers(batch, 0, [expected], decrypt=True) == [rank]
    if batch.base[0]:
        assert join(
            batch, [0], *batch.halves(np.zeros(1, int), *split(batch, [0], [rank]), decrypt=False)
        ) == [expected]


@settings(deadline=None)
@given(data=st.data())
def test_many_groups_at_once_are_each_alone(data: st.DataObject) -> None:
    domains = data.draw(
        st.lists(st.tuples(narrow_sizes, st.binary(max_size=40)), min_size=1, max_size=8)
    )
    group = data.draw(st.lists(st.integers(0, len(domains) - 1), max_size=30))
    ranks = [data.draw(st.integers(0, domains[g][0] - 1)) for g in group]
    cipher = IntegerFF1(KEY[:16])
    batch = cipher.prepare(*zip(*domains, strict=True))
    index = np.array(group, np.intp)
    high, low = batch.halves(index, *split(batch, group, ranks), decrypt=False)
    together = join(batch, group, high, low)
    assert together == integers(batch, group, ranks)
    alone = [
        integers(cipher.prepare([domains[g][0]], [domains[g][1]]), 0, [rank])[0]
        for g, rank in zip(group, ranks, strict=True)
    ]
    assert together == alone
    assert join(batch, group, *batch.halves(index, high, low, decrypt=True)) == ranks


def test_halves_of_every_number_of_octets_at_once() -> None:
    domains = [2 ** (16 * octets - 4) for octets in range(2, 8)]
    batch = IntegerFF1(KEY).prepare(domains, [b"mixed"] * 6)
    group = np.arange(600) % 6
    ranks = [domains[g] * row // 600 for row, g in enumerate(group)]
    encrypted = batch.halves(group, *split(batch, group, ranks), decrypt=False)
    expected = [integers(batch, g, [rank])[0] for g, rank in zip(group, ranks, strict=True)]
    assert join(batch, group, *encrypted) == expected
    assert join(batch, group, *batch.halves(group, *encrypted, decrypt=True)) == ranks


@settings(deadline=None)
@given(data=st.data())
def test_wide_groups_of_every_kind_at_once(data: st.DataObject) -> None:
    domains = data.draw(st.lists(sizes, min_size=1, max_size=8))
    group = data.draw(st.lists(st.integers(0, len(domains) - 1), max_size=30))
    ranks = [data.draw(st.integers(0, domains[g] - 1)) for g in group]
    batch = IntegerFF1(KEY).prepare(domains, [bytes([g]) for g in range(len(domains))])
    encrypted = integers(batch, group, ranks)
    assert encrypted == [
        integers(batch, g, [rank])[0] for g, rank in zip(group, ranks, strict=True)
    ]
    assert all(0 <= rank < domains[g] for g, rank in zip(group, encrypted, strict=True))
    assert integers(batch, group, encrypted, decrypt=True) == ranks


@pytest.mark.parametrize("size", [2**113, 3**75, 2**128, 2**129 - 1, 26**40, 2**192, 3**130])
def test_bit_strings_at_their_ends(size: int) -> None:
    ranks = [0, 1, 2**63, 2**64 - 1, 2**64, 2**112 + 1, size - 2, size - 1]
    batch = IntegerFF1(KEY).prepare([size], [b"ends"])
    encrypted = integers(batch, 0, ranks)
    assert len(set(encrypted)) == len(ranks)
    assert integers(batch, 0, encrypted, decrypt=True) == ranks


def test_no_collision_among_100_000_bit_strings() -> None:
    batch = IntegerFF1(KEY).prepare([26**26, 26**30], [b"a", b"b"])
    for group in (0, 1):
        encrypted = integers(batch, group, range(100_000))
        assert len(set(encrypted)) == 100_000
        assert integers(batch, group, encrypted, decrypt=True) == list(range(100_000))


@pytest.mark.parametrize("rows", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("groups", [1, 3])
def test_chunks(rows: int, groups: int) -> None:
    domains = [10**9, 26**10, 26**20][:groups]
    batch = IntegerFF1(KEY).prepare(domains, [b"x", b"y", b"z"][:groups])
    group = RANDOM.integers(0, groups, rows)
    high = RANDOM.integers(0, 1000, rows).astype(np.uint64)
    low = RANDOM.integers(0, 1000, rows).astype(np.uint64)
    before = high.copy(), low.copy()
    encrypted = batch.halves(group, high, low, decrypt=False)
    assert encrypted[0].shape == encrypted[1].shape == (rows,)
    for row in {0, rows // 2, CHUNK - 1, rows - 1} & set(range(rows)):
        one = slice(row, row + 1)
        alone = batch.halves(group[one], high[one], low[one], decrypt=False)
        assert (encrypted[0][row], encrypted[1][row]) == (alone[0][0], alone[1][0])
    assert (high == before[0]).all()
    assert (low == before[1]).all()
    back = batch.halves(group, *encrypted, decrypt=True)
    assert (back[0] == high).all()
    assert (back[1] == low).all()


@pytest.mark.parametrize(
    ("radix", "n"), [(10, 9), (10, 16), (26, 7), (65536, 3), (26, 22), (26, 31)]
)
def test_numeral_strings_are_plain_ff1(independent: Any, radix: int, n: int) -> None:
    batch = IntegerFF1(KEY).prepare([26**8, radix**n], [b"other", b"tweak"], [None, (radix, n)])
    numerals = [position * 7 % radix for position in range(n)]
    rank = sum(numeral * radix**place for place, numeral in enumerate(reversed(numerals)))
    expected = 0
    for numeral in independent(KEY, radix, numerals, b"tweak"):
        expected = expected * radix + numeral
    assert integers(batch, 1, [rank]) == [expected]
    if n < 23:
        assert batch.base[1] == radix ** (n - n // 2)
        encrypted = batch.halves(np.array([1]), *split(batch, [1], [rank]), decrypt=False)
        assert join(batch, [1], *encrypted) == [expected]
    else:
        assert batch.base[1] == 0


def test_base_says_which_groups_are_narrow() -> None:
    batch = IntegerFF1(KEY).prepare([MILLION, 2**112, 2**112 + 1, 2**400], [b""] * 4)
    assert batch.base.dtype == np.uint64
    assert batch.base.tolist() == [1000, 2**56, 0, 0]


def test_numpy_integers_do_not_overflow() -> None:
    size = np.uint64(2**63)
    batch = IntegerFF1(KEY).prepare([size, 26**30], [b"", b""])
    ranks = [np.uint64(2**63 - 1), np.int8(100)]
    encrypted = integers(batch, [0, 1], ranks)
    plain = IntegerFF1(KEY).prepare([2**63, 26**30], [b"", b""])
    assert encrypted == integers(plain, [0, 1], [2**63 - 1, 100])
    with pytest.raises(TypeError):
        integers(batch, 0, [1.0])


def test_a_batch_of_no_domains() -> None:
    batch = IntegerFF1(KEY).prepare([], [])
    nothing = np.empty(0, np.uint64)
    assert batch.base.shape == (0,)
    assert batch.halves(np.empty(0, int), nothing, nothing, decrypt=False)[0].shape == (0,)
    assert integers(batch, [], []) == []


def test_threads_share_a_batch() -> None:
    batch = IntegerFF1(KEY).prepare([26**10, 26**20], [b"a", b"b"])
    group = RANDOM.integers(0, 2, 3 * CHUNK)
    high = RANDOM.integers(0, 1000, 3 * CHUNK).astype(np.uint64)
    expected = batch.halves(group, high, high, decrypt=False)
    results: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(batch.halves(group, high, high, decrypt=False))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(
        (left == right).all() for got in results for left, right in zip(got, expected, strict=True)
    )


@pytest.mark.parametrize("size", [-5, 0, 1, 99, 999_999])
def test_domain_below_the_minimum(size: int) -> None:
    with pytest.raises(ValueError, match=f"a domain of {size} is below the minimum of 1000000"):
        IntegerFF1(KEY).prepare([MILLION, size], [b"", b""])


def test_a_domain_of_one_is_none() -> None:
    with pytest.raises(ValueError, match="below the minimum of 2"):
        IntegerFF1(KEY, min_domain=1).prepare([1], [b""])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (([MILLION], []), "one entry per group"),
        (([MILLION], [b""], []), "one entry per group"),
        (([10**9 + 1], [b""], [(10, 9)]), r"is not 10\*\*9"),
        (([10**9], [b""], [(10**9, 1)]), "radix must be 2 to 65536"),
        (([65536 * 16], [b""], [(65536 * 16, 1)]), "radix must be"),
    ],
)
def test_wrong_domains(arguments: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        IntegerFF1(KEY).prepare(*arguments)


def test_tweaks_are_bytes() -> None:
    with pytest.raises(TypeError, match="a tweak is bytes, not str"):
        IntegerFF1(KEY).prepare([MILLION], ["tweak"])


def words(*values: int) -> Any:
    return np.array(values, np.uint64)


@pytest.mark.parametrize(
    ("group", "high", "low", "problem"),
    [
        ([0], np.zeros(1, int), words(0), "dtype uint64"),
        ([0], words(0), np.zeros(1, float), "dtype uint64"),
        ([0], words(0), words(0, 0), "of one length"),
        ([0], words(0)[None], words(0)[None], "one-dimensional"),
        ([0, 0], words(0), words(0), "one per rank"),
        ([0.0], words(0), words(0), "groups must be integers"),
        ([True], words(0), words(0), "groups must be integers"),
        ([-1], words(0), words(0), "not part of the batch"),
        ([3], words(0), words(0), "not part of the batch"),
        ([2], words(0), words(0), "give its ranks as integers"),
        ([0], words(0), words(31623), "outside the domain"),
        ([0], words(31622), words(31622), "outside the domain"),
        ([0], words(31623), words(0), "outside the domain"),
        ([0, 1], words(0, 10**4), words(0, 0), "outside the domain"),
        ([0, 1], words(0, 0), words(0, 10**5), "outside the domain"),
    ],
)
@pytest.mark.parametrize("decrypt", [False, True])
def test_wrong_ranks(decrypt: bool, group: Any, high: Any, low: Any, problem: str) -> None:
    batch = IntegerFF1(KEY).prepare([10**9, 10**9, 2**113], [b""] * 3, [None, (10, 9), None])
    with pytest.raises(ValueError, match=problem):
        batch.halves(np.array(group), high, low, decrypt=decrypt)


@pytest.mark.parametrize(
    ("group", "ranks", "problem"),
    [
        (0, [10**9], "outside the domain"),
        (0, [-1], "outside the domain"),
        (1, [2**113], "outside the domain"),
        ([1, 0], [2**113 - 1, 2**113 - 1], "outside the domain"),
        (2, [0], "not part of the batch"),
        (-1, [0], "not part of the batch"),
        ([0, 1], [0], "one per rank"),
        ("0", [0], "groups must be integers"),
    ],
)
@pytest.mark.parametrize("decrypt", [False, True])
def test_wrong_wide_ranks(decrypt: bool, group: Any, ranks: Any, problem: str) -> None:
    batch = IntegerFF1(KEY).prepare([10**9, 2**113], [b"", b""])
    with pytest.raises(ValueError, match=problem):
        batch.integers(group, ranks, decrypt=decrypt)


def test_wrong_keys() -> None:
    with pytest.raises(ValueError, match="16, 24 or 32 octets, not 5"):
        IntegerFF1(bytes(5))
    with pytest.raises(TypeError, match="bytes, not str"):
        IntegerFF1("key")


def test_the_key_does_not_leak() -> None:
    cipher = IntegerFF1(b"sixteen secrets!")
    batch = cipher.prepare([MILLION], [b""])
    for owner in (cipher, batch):
        assert "sixteen" not in repr(owner)
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(owner)
