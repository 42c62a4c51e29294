from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from secureml.ciphers.small_domain import SmallDomainCipher

KEY = bytes(range(32))


def block(size: int, tweak: bytes, member: int) -> int:
    """What AES makes of a member, by which members are sorted."""
    subkey = HMAC(KEY, SHA256())
    subkey.update(b"secureml/table/1" + size.to_bytes(8, "big") + tweak)
    encryptor = Cipher(algorithms.AES(subkey.finalize()), modes.ECB()).encryptor()
    return int.from_bytes(encryptor.update(member.to_bytes(16, "big")), "big")


def slow_table(size: int, tweak: bytes) -> list[int]:
    """The definition, one member at a time."""
    return sorted(range(size), key=lambda member: block(size, tweak, member))


@pytest.mark.parametrize("size", [2, 3, 10, 97, 1000])
@pytest.mark.parametrize("tweak", [b"", b"class/1 tweak"])
def test_a_table_is_what_the_definition_says(size: int, tweak: bytes) -> None:
    assert SmallDomainCipher(KEY).table(size, tweak).tolist() == slow_table(size, tweak)


def test_blocks_that_begin_alike_are_told_apart() -> None:
    size, tweak, members = 1 << 20, b"tie 46", [508_314, 396_751]
    first, second = (block(size, tweak, member) for member in members)
    assert first >> 84 == second >> 84
    assert first < second
    assert SmallDomainCipher(KEY).table(size, tweak)[224_034:224_036].tolist() == members


@pytest.mark.parametrize("size", [2, 10, 26, 676, 10**5, 999_999, 1 << 20])
def test_a_table_is_a_permutation_and_has_an_inverse(size: int) -> None:
    cipher = SmallDomainCipher(KEY)
    table, inverse = cipher.table(size, b"t"), cipher.table(size, b"t", inverse=True)
    assert table.dtype == inverse.dtype == np.uint32
    members = np.arange(size)
    assert (np.sort(table) == members).all()
    assert (inverse[table] == members).all()
    assert (table[inverse] == members).all()
    assert (table == SmallDomainCipher(KEY).table(size, b"t")).all()


def test_golden_table() -> None:
    assert SmallDomainCipher(KEY).table(10, b"golden").tolist() == [1, 5, 7, 8, 2, 3, 9, 6, 0, 4]


@pytest.mark.parametrize(
    "other",
    [
        lambda: SmallDomainCipher(bytes(32)).table(5000, b"t"),
        lambda: SmallDomainCipher(KEY).table(5000, b"u"),
        lambda: SmallDomainCipher(KEY).table(5001, b"t")[:5000],
    ],
)
def test_key_tweak_and_size_separate_tables(other: Callable[[], np.ndarray]) -> None:
    assert (other() == SmallDomainCipher(KEY).table(5000, b"t")).sum() < 20


def test_every_order_of_three_members_occurs_about_equally_often() -> None:
    cipher = SmallDomainCipher(KEY)
    orders = [tuple(cipher.table(3, str(n).encode()).tolist()) for n in range(1200)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert ((counts - 200) ** 2 / 200).sum() < 20.5  # chi-square, 5 degrees of freedom, 0.1 %


@pytest.mark.parametrize("size", [-1, 0, 1, (1 << 20) + 1])
def test_sizes_out_of_range(size: int) -> None:
    with pytest.raises(ValueError, match=f"2 to 1048576 members, not {size}"):
        SmallDomainCipher(KEY).table(size, b"")


@pytest.mark.parametrize("octets", [0, 16, 31, 33, 64])
def test_the_key_has_32_octets(octets: int) -> None:
    with pytest.raises(ValueError, match=f"32 octets, not {octets}"):
        SmallDomainCipher(bytes(octets))
