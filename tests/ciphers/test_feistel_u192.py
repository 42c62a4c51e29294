from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.ff1 import FF1
from secureml.ciphers.integer_ff1 import DomainBatch, IntegerFF1

KEY = bytes(range(32))


def batch_of(bits: list[int]) -> DomainBatch:
    tweaks = [bytes([number]) for number in range(len(bits))]
    return IntegerFF1(KEY).prepare([1 << n for n in bits], tweaks, [(2, n) for n in bits])


def words(numbers: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    octets = b"".join(number.to_bytes(24, "big") for number in numbers)
    return np.frombuffer(octets, ">u8").astype(np.uint64).reshape(-1, 3)


def numbers(array: np.ndarray[tuple[int, ...], np.dtype[np.uint64]]) -> list[int]:
    return [int.from_bytes(row.astype(">u8").tobytes(), "big") for row in array]


@given(st.lists(st.integers(113, 192), min_size=1, max_size=4), st.data())
def test_bits_are_plain_ff1(bits: list[int], data: st.DataObject) -> None:
    batch = batch_of(bits)
    group = data.draw(st.lists(st.integers(0, len(bits) - 1), max_size=6))
    ranks = [data.draw(st.integers(0, (1 << bits[one]) - 1)) for one in group]
    index = np.array(group, np.intp)
    made = numbers(batch.words(index, words(ranks), decrypt=False))
    for one, rank, new in zip(group, ranks, made, strict=True):
        string = [int(bit) for bit in f"{rank:0{bits[one]}b}"]
        expected = FF1(KEY, 2).encrypt(string, bytes([one]))
        assert new == int("".join(map(str, expected)), 2)
    assert numbers(batch.words(index, words(made), decrypt=True)) == ranks
    assert batch.integers(index, ranks, decrypt=False).tolist() == made


SIZES = st.integers(113, 192).flatmap(lambda n: st.integers((1 << n - 1) + 1, 1 << n))


@given(st.lists(SIZES, min_size=1, max_size=4), st.data())
def test_words_and_integers_walk_alike(sizes: list[int], data: st.DataObject) -> None:
    batch = IntegerFF1(KEY).prepare(sizes, [bytes([number]) for number in range(len(sizes))])
    assert batch.bits.all()
    group = data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=6))
    ranks = [data.draw(st.integers(0, sizes[one] - 1)) for one in group]
    index = np.array(group, np.intp)
    made = batch.words(index, words(ranks), decrypt=False)
    assert numbers(made) == batch.integers(index, ranks, decrypt=False).tolist()
    assert numbers(batch.words(index, made, decrypt=True)) == ranks


@pytest.mark.parametrize("size", [(1 << 112) + 1, 1 << 128, (1 << 128) + 1, (1 << 191) + 1])
def test_a_rank_outside_of_its_domain_is_refused(size: int) -> None:
    batch, index = IntegerFF1(KEY).prepare([size], [b""]), np.zeros(1, np.intp)
    assert len(numbers(batch.words(index, words([size - 1]), decrypt=False))) == 1
    with pytest.raises(ValueError, match="outside the domain"):
        batch.words(index, words([size]), decrypt=False)


def test_columns_longer_than_a_chunk() -> None:
    batch, index = batch_of([128, 113]), np.arange(70_000) % 2
    ranks = words([5 * number for number in range(70_000)])
    before = ranks.copy()
    made = batch.words(index, ranks, decrypt=False)
    assert (ranks == before).all()
    last = batch.integers(index[-3:], numbers(ranks[-3:]), decrypt=False)
    assert numbers(made[-3:]) == last.tolist()
    assert (batch.words(index, made, decrypt=True) == ranks).all()
    assert batch.words(index[:0], ranks[:0], decrypt=False).shape == (0, 3)


@pytest.mark.parametrize(
    ("group", "ranks"),
    [
        ([0], words([1 << 120])),
        ([0], words([1 << 191])),
        ([1], words([0])),
        ([2], words([1 << 191])),
        ([2], words([(1 << 120) - 1])),
        ([3], words([0])),
        ([4], words([0])),
        ([-1], words([0])),
        ([0, 0], words([0])),
        ([0], words([0]).astype(np.int64)),
        ([0], words([0])[:, 1:]),
        ([0], words([0])[0]),
    ],
)
def test_what_is_refused(
    group: list[int], ranks: np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
) -> None:
    sizes = [1 << 120, 1 << 100, (1 << 120) - 1, (1 << 192) + 1]
    batch = IntegerFF1(KEY).prepare(sizes, [b""] * 4)
    with pytest.raises(ValueError, match=r"group|rank"):
        batch.words(np.array(group), ranks, decrypt=False)
