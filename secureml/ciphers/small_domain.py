"""A permutation of a small domain, written out as a table.

FF1 is not to be used on fewer than a million members. A domain of that size fits in memory: its
members are sorted by what AES makes of their numbers under a key for this domain alone, and the
order is the permutation. This is not SP 800-38G, nor any other standard.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from numpy.typing import NDArray

from secureml.secret_types import SecretBytes, conceal

__all__ = ["SmallDomainCipher"]

LARGEST = 1 << 20
_KEPT = 1 << 24  # members of tables that are kept for more values


class SmallDomainCipher:
    """Permutes domains of up to 2**20 members.

    Args:
        key: 32 octets.

    Raises:
        ValueError: the key has another length.
    """

    __slots__ = ("_key", "_members", "_tables")

    def __init__(self, key: bytes | SecretBytes) -> None:
        key = conceal(key)
        if len(key) != 32:
            raise ValueError(f"a key for tables has 32 octets, not {len(key)}")
        self._key, self._members = key, 0
        self._tables: dict[tuple[int, bytes, bool], NDArray[np.uint32]] = {}

    def table(self, size: int, tweak: bytes, *, inverse: bool = False) -> NDArray[np.uint32]:
        """Return the permutation of one domain.

        Args:
            size: the number of members, 2 to 2**20.
            tweak: what tells the domain from others of its size.
            inverse: return the inverse permutation.

        Returns:
            The new member of each, shape (size,); not to be written to.

        Raises:
            ValueError: the size is out of range.
        """
        if not 2 <= size <= LARGEST:
            raise ValueError(f"a table has 2 to {LARGEST} members, not {size}")
        table = self._tables.get((size, tweak, inverse))
        if table is None:
            table = _table(self._key, size, tweak, inverse)
            # Threads that count at the same time keep some more or fewer, and that is all.
            if self._members + size > _KEPT:
                self._tables.clear()
                self._members = 0
            self._tables[size, tweak, inverse] = table
            self._members += size
        return table


def _table(key: SecretBytes, size: int, tweak: bytes, inverse: bool) -> NDArray[np.uint32]:
    subkey = HMAC(key.reveal(), SHA256())
    subkey.update(b"secureml/table/1" + size.to_bytes(8, "big") + tweak)
    blocks = np.zeros((size, 2), ">u8")
    blocks[:, 1] = np.arange(size)
    encryptor = Cipher(algorithms.AES(subkey.finalize()), modes.ECB()).encryptor()  # noqa: S305  # nosec B305  # no two blocks are alike
    words = np.frombuffer(encryptor.update(blocks.tobytes()), ">u8").reshape(-1, 2)
    order = _order(words)
    table = order
    if inverse:
        table = np.empty_like(order)
        table[order] = np.arange(size, dtype=np.uint32)
    table.flags.writeable = False
    return table


def _order(words: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the order of distinct blocks, which has no ties.

    To sort numbers is several times faster than to sort places. So each first word carries its
    place in its lowest bits, and only if the bits above do not tell two blocks apart, all of
    both words have to.

    Args:
        words: the blocks as two words each, the most significant first, shape (blocks, 2).
    """
    place = np.arange(len(words), dtype=np.uint64)
    bits = np.uint64((len(words) - 1).bit_length())
    mask = (np.uint64(1) << bits) - np.uint64(1)
    keyed = words[:, 0] & ~mask | place
    keyed.sort()
    above = keyed >> bits
    if (above[1:] == above[:-1]).any():
        return np.lexsort((words[:, 1], words[:, 0])).astype(np.uint32)
    order: NDArray[np.uint32] = (keyed & mask).astype(np.uint32)
    return order
