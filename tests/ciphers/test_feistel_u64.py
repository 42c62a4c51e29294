from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers import feistel_u64


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
