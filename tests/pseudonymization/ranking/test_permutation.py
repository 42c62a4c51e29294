from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.pseudonymization.ranking.permutation import CHUNK, MIN_DOMAIN, Permutation, RowTweaks

KEY = bytes(range(32))
TABLES = SmallDomainCipher(KEY)


def both(
    cipher: IntegerFF1,
    *,
    tables: SmallDomainCipher | None = None,
    row_tweaks: RowTweaks | None = None,
) -> tuple[Permutation, Permutation]:
    forward, backward = (
        Permutation(cipher, tables=tables, row_tweaks=row_tweaks, decrypt=decrypt)
        for decrypt in (False, True)
    )
    return forward, backward


def words(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, np.uint64)


def every(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint64)


@pytest.mark.parametrize("size", [MIN_DOMAIN, MIN_DOMAIN + 1, 898 * 99 * 20, 1 << 20])
def test_a_whole_domain_is_permuted(size: int, cipher: IntegerFF1) -> None:
    forward, backward = both(cipher)
    ranks = every(size)
    made = forward.permute([size], [b"tweak"], 0, ranks)
    assert (np.sort(made) == ranks).all()
    assert (made == ranks).sum() < 30
    assert (backward.permute([size], [b"tweak"], 0, made) == ranks).all()


@pytest.mark.parametrize("size", [2, 3, 10, 999, MIN_DOMAIN - 1])
def test_a_whole_small_domain_is_permuted(size: int, cipher: IntegerFF1) -> None:
    forward, backward = both(cipher, tables=TABLES)
    assert forward.minimum == 2
    ranks = every(size)
    made = forward.permute([size], [b"tweak"], 0, ranks)
    assert made.dtype == np.uint64
    assert (made == TABLES.table(size, b"tweak")).all()
    assert (np.sort(made) == ranks).all()
    assert (backward.permute([size], [b"tweak"], 0, made) == ranks).all()


SIZES = (
    st.integers(MIN_DOMAIN, 1 << 64)
    | st.integers(20, 64).map(lambda bits: 1 << bits)
    | st.integers(6, 19).map(lambda digits: 10**digits)
)


@given(SIZES, st.data())
def test_ranks_come_back_in_domains_of_any_size(
    cipher: IntegerFF1, size: int, data: st.DataObject
) -> None:
    forward, backward = both(cipher)
    edges = st.sampled_from([0, 1, size - 1])
    numbers = data.draw(st.lists(st.integers(0, size - 1) | edges, max_size=20))
    made = forward.permute([size], [b"tweak"], 0, words(numbers))
    assert all(number < size for number in made.tolist())
    assert len(set(made.tolist())) == len(set(numbers))
    assert backward.permute([size], [b"tweak"], 0, made).tolist() == numbers


def test_the_result_is_that_of_the_cipher(cipher: IntegerFF1) -> None:
    size = 10**9
    ranks = every(1000)
    made = Permutation(cipher).permute([size], [b"tweak"], 0, ranks)
    batch = cipher.prepare([size], [b"tweak"])
    base = batch.base[0]
    high, low = batch.halves(np.zeros(1000, np.intp), ranks // base, ranks % base, decrypt=False)
    assert (made == high * base + low).all()


@pytest.mark.parametrize("rows", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_chunks_do_not_show(rows: int, cipher: IntegerFF1) -> None:
    ranks = np.random.default_rng(1).integers(0, 10**12, rows, dtype=np.uint64)
    made = Permutation(cipher).permute([10**12], [b"t"], 0, ranks)
    for row in {0, rows // 2, rows - 1} if rows else set():
        alone = Permutation(cipher).permute([10**12], [b"t"], 0, ranks[[row]])
        assert alone[0] == made[row]


@pytest.mark.parametrize("size", [50, MIN_DOMAIN, 10**15])
def test_rows_of_one_tweak_are_permuted_together(size: int, cipher: IntegerFF1) -> None:
    tweaks = RowTweaks([b"", b"one", b"two"], np.array([0, 1, 2] * 100))
    forward, backward = both(cipher, tables=TABLES, row_tweaks=tweaks)
    ranks = np.random.default_rng(1).integers(0, size, 300, dtype=np.uint64)
    made = forward.permute([size], [b"tweak"], 0, ranks)
    assert (backward.permute([size], [b"tweak"], 0, made) == ranks).all()
    for number in range(3):
        alone = Permutation(cipher, tables=TABLES).permute(
            [size], [tweaks.bound(number, b"tweak")], 0, ranks[number::3]
        )
        assert (made[number::3] == alone).all()


def test_the_rows_tell_which_tweak_a_rank_has(cipher: IntegerFF1) -> None:
    tweaks = RowTweaks([b"one", b"two"], np.array([0, 1, 1, 0]))
    permutation = Permutation(cipher, row_tweaks=tweaks)
    ranks = words([5, 5])
    first = permutation.at(np.array([0, 1])).permute([10**9], [b""], 0, ranks)
    second = permutation.at(np.array([3, 2])).permute([10**9], [b""], 0, ranks)
    assert first.tolist() == second.tolist()
    assert first[0] != first[1]
    later = permutation.at(slice(2, 4)).permute([10**9], [b""], 0, ranks)
    assert later.tolist() == first.tolist()[::-1]


@pytest.mark.parametrize(
    ("one", "other"),
    [((b"a", b"bc"), (b"ab", b"c")), ((b"", b"x"), (b"x", b"")), ((b"row", b""), (b"", b"row"))],
)
def test_row_and_format_are_bound_without_ambiguity(
    one: tuple[bytes, bytes], other: tuple[bytes, bytes]
) -> None:
    bound = [RowTweaks([row], np.zeros(1, np.intp)).bound(0, tweak) for row, tweak in (one, other)]
    assert bound[0] != bound[1]
    assert one[1] not in bound


def test_groups_are_split_by_the_tweaks_of_their_rows() -> None:
    tweaks = RowTweaks([b"p", b"q"], np.array([0, 1, 0, 1, 1])).at(np.array([0, 1, 2, 4]))
    group, bound, parents = tweaks.split(np.array([0, 0, 1, 1]), [b"x", b"y"])
    assert [bound[number] for number in group.tolist()] == [
        tweaks.bound(0, b"x"),
        tweaks.bound(1, b"x"),
        tweaks.bound(0, b"y"),
        tweaks.bound(1, b"y"),
    ]
    assert parents[group].tolist() == [0, 0, 1, 1]


def test_small_and_large_domains_are_permuted_together(cipher: IntegerFF1) -> None:
    sizes, tweaks = [10, 10**9, 999_999, 1 << 63, 10], [b"a", b"b", b"c", b"d", b"e"]
    forward, backward = both(cipher, tables=TABLES)
    generator = np.random.default_rng(2)
    group = generator.integers(0, 5, 2000)
    ranks = words([int(generator.integers(0, sizes[one])) for one in group.tolist()])
    made = forward.permute(sizes, tweaks, group, ranks)
    for number, (size, tweak) in enumerate(zip(sizes, tweaks, strict=True)):
        rows = np.flatnonzero(group == number)
        assert (made[rows] == forward.permute([size], [tweak], 0, ranks[rows])).all()
    assert (backward.permute(sizes, tweaks, group, made) == ranks).all()
    assert (forward.permute(sizes, tweaks, group, ranks.astype(object)) == made).all()


def test_integers_of_every_size_are_permuted_together(cipher: IntegerFF1) -> None:
    sizes, tweaks = [10, 10**9, 1 << 100, 1 << 140, 3**200], [b"a", b"b", b"c", b"d", b"e"]
    forward, backward = both(cipher, tables=TABLES)
    group, ranks = np.array([4, 0, 1, 2, 3, 4, 0]), np.empty(7, object)
    ranks[:] = [sizes[one] - 1 - row for row, one in enumerate(group.tolist())]
    made = forward.permute(sizes, tweaks, group, ranks)
    assert (backward.permute(sizes, tweaks, group, made) == ranks).all()
    for row, one in enumerate(group.tolist()):
        alone = forward.permute([sizes[one]], [tweaks[one]], 0, ranks[row : row + 1])
        assert alone[0] == made[row] < sizes[one]


def test_a_domain_without_a_row_is_not_asked_for(cipher: IntegerFF1) -> None:
    ranks = words([7, 8])
    made = Permutation(cipher).permute([2, 10**9], [b"a", b"b"], np.array([1, 1]), ranks)
    assert (made == Permutation(cipher).permute([10**9], [b"b"], 0, ranks)).all()


def test_without_tables_the_minimum_is_that_of_the_standard(cipher: IntegerFF1) -> None:
    assert Permutation(cipher).minimum == MIN_DOMAIN == 1_000_000


@pytest.mark.parametrize("size", [10**6, 20992 * 26 * 10, (1 << 64) - 59])
def test_digits_of_the_result_are_spread_evenly(size: int, cipher: IntegerFF1) -> None:
    count = 100_000
    made = Permutation(cipher).permute([size], [b"chi"], 0, every(count))
    bucket = (made.astype(np.float64) * (100 / size)).astype(np.int64)
    seen = np.bincount(bucket, minlength=100)
    # Distinct members: the variance is at most that of independent ones.
    assert ((seen - count / 100) ** 2 / (count / 100)).sum() < 148.2  # 99 degrees, 0.1 %
