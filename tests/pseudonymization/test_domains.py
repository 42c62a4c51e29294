from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.pseudonymization.alphabets import Alphabets
from secureml.pseudonymization.domains import Canvas, GridCells, MixedRadix, RaggedCells


class _Ordinals(Alphabets):
    """Numbers that are ordinals already."""

    def __init__(self) -> None:
        pass

    def ordinals(self, codes: np.ndarray) -> np.ndarray:
        return codes


def grid(source: np.ndarray, target: np.ndarray, positions: list[int]) -> GridCells:
    canvas = Canvas(_Ordinals(), source.reshape(-1), target.reshape(-1), np.zeros(0, np.int64))
    return GridCells(canvas, source.shape[1], slice(None), positions)


SIZES = st.lists(st.sampled_from([2, 10, 26, 32, 33, 48, 256, 11172, 20992, 32768]), max_size=24)


def expected_rank(digits: list[int], sizes: list[int]) -> int:
    rank = 0
    for digit, size in zip(digits, sizes, strict=True):
        rank = rank * size + digit
    return rank


def matrix(rows: list[list[int]], dtype: type = np.uint32) -> np.ndarray:
    return np.array(rows, dtype).reshape(len(rows), -1)


@given(SIZES.filter(bool), st.data())
def test_words_and_integers_hold_the_same_rank(sizes: list[int], data: st.DataObject) -> None:
    digits = [data.draw(st.integers(0, size - 1)) for size in sizes]
    firsts = [data.draw(st.integers(0, 0x10FFFF)) for _ in sizes]
    room = (1 << 64) // max(sizes)
    smallest = -(-math.prod(sizes) // (1 << 64))  # the rank's high word has to fit as well
    base = data.draw(st.integers(min(max(smallest, 2), room), min(room, 1 << 56)))
    source = matrix([[a + b for a, b in zip(digits, firsts, strict=True)]])
    rank, places = expected_rank(digits, sizes), list(range(len(sizes)))
    cells = grid(source, np.zeros_like(source), places)
    wide = MixedRadix(matrix([sizes]), matrix([firsts]), None)
    assert wide.wide
    assert wide.rank_wide(cells, None).tolist() == [rank]
    if rank // base < 1 << 64 and base * max(sizes) <= 1 << 64:
        words = MixedRadix(matrix([sizes]), matrix([firsts]), np.array([base], np.uint64))
        assert not words.wide
        high, low = words.rank(cells, None)
        assert (int(high[0]), int(low[0])) == divmod(rank, base)
        target = np.zeros_like(source)
        words.unrank(high, low, grid(source, target, places), None)
        assert (target == source).all()
    target = np.zeros_like(source)
    value = np.array([rank], dtype=object)
    wide.unrank_wide(value, grid(source, target, places), None)
    assert (target == source).all()


def test_rows_of_several_templates_together() -> None:
    sizes = matrix([[10, 26, 20992], [48, 10, 10]])
    firsts = matrix([[48, 97, 5000], [300, 48, 48]])
    base = np.array([1 << 20, 1 << 13], np.uint64)
    positions = np.array([[0, 2, 3], [1, 2, 4]])
    flat = np.zeros(15, np.uint32)
    digits = [[7, 25, 20991], [47, 0, 9], [9, 3, 1]]
    member = np.array([0, 1, 0])
    starts = np.array([10, 5, 0])
    for row, group in enumerate(member):
        flat[starts[row] + positions[group]] = firsts[group] + matrix([digits[row]])[0]
    radix = MixedRadix(sizes, firsts, base)
    target = np.zeros_like(flat)
    cells = RaggedCells(Canvas(_Ordinals(), flat, target, starts), starts, positions, member)
    high, low = radix.rank(cells, member)
    for row, group in enumerate(member):
        rank = expected_rank(digits[row], sizes[group].tolist())
        assert (int(high[row]), int(low[row])) == divmod(rank, int(base[group]))
    radix.unrank(high, low, cells, member)
    assert (target == flat).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
def test_only_the_cells_of_the_rows_are_written(dtype: type) -> None:
    values = np.full((3, 4), ord("7"), dtype)
    target = np.zeros_like(values)
    radix = MixedRadix(matrix([[10, 10]]), matrix([[48, 48]]), np.array([10], np.uint64))
    cells = grid(values, target, [1, 3])
    radix.unrank(*radix.rank(cells, None), cells, None)
    assert target.tolist() == [[0, ord("7"), 0, ord("7")]] * 3
