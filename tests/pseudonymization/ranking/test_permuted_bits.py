from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.ff1 import FF1
from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.pseudonymization.ranking.permutation import Permutation, RowTweaks

KEY = bytes(range(32))
TWEAKS = [b"one", b"two"]


def permuted(
    bits: int,
    ranks: list[int],
    group: list[int],
    *,
    decrypt: bool = False,
    row_tweaks: RowTweaks | None = None,
) -> list[int]:
    permutation = Permutation(
        IntegerFF1(KEY), tables=SmallDomainCipher(KEY), row_tweaks=row_tweaks, decrypt=decrypt
    )
    words = np.array([divmod(rank, 1 << 64) for rank in ranks], np.uint64).reshape(-1, 2)
    numerals = [(2, bits)] * 2
    made = permutation.permute([1 << bits] * 2, TWEAKS, np.array(group, np.intp), words, numerals)
    return [(high << 64) + low for high, low in made.tolist()]


@given(st.integers(1, 128), st.data())
def test_bits_are_plain_ff1_or_a_table(bits: int, data: st.DataObject) -> None:
    group = data.draw(st.lists(st.integers(0, 1), max_size=5))
    ranks = [data.draw(st.integers(0, (1 << bits) - 1)) for _ in group]
    made = permuted(bits, ranks, group)
    assert permuted(bits, made, group, decrypt=True) == ranks
    for one, rank, new in zip(group, ranks, made, strict=True):
        if 1 << bits < 1_000_000:
            expected = int(SmallDomainCipher(KEY).table(1 << bits, TWEAKS[one])[rank])
        else:
            string = [int(bit) for bit in f"{rank:0{bits}b}"]
            expected = int("".join(map(str, FF1(KEY, 2).encrypt(string, TWEAKS[one]))), 2)
        assert new == expected


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_every_number_has_its_own(bits: int) -> None:
    count = 1 << bits
    assert sorted(permuted(bits, list(range(count)), [0] * count)) == list(range(count))


@pytest.mark.parametrize("bits", [12, 64, 122])
def test_tweaks_of_rows(bits: int) -> None:
    tweaks = RowTweaks([b"", b"x"], np.array([0, 1, 0, 1]))
    made = permuted(bits, [7] * 4, [0, 0, 0, 1], row_tweaks=tweaks)
    assert made[0] == made[2]
    assert len(set(made)) == 3
    assert permuted(bits, made, [0, 0, 0, 1], decrypt=True, row_tweaks=tweaks) == [7] * 4
