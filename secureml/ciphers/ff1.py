"""FF1 format-preserving encryption (NIST SP 800-38G) of numeral strings, a batch at a time."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.feistel import MAX_RADIX, check_domain, check_tweak
from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.secret_types import SecretBytes, conceal

__all__ = ["FF1"]

Numerals = NDArray[np.integer[Any]]
Array = TypeVar("Array", bound=Numerals)


class FF1:
    """FF1 with AES-128, AES-192 or AES-256: ``IntegerFF1`` as the standard words it.

    Threads may share one.

    Args:
        key: 16, 24 or 32 octets.
        radix: the number of numerals, 2 to 65536.
        min_domain: the least radix**n to accept; Rev. 1 of the standard requires 1,000,000.

    Raises:
        TypeError: the key is not bytes.
        ValueError: the key has another length, or the radix is out of range.

    Source: NIST SP 800-38G, algorithms 7 and 8.
    """

    __slots__ = ("_cipher", "_min_domain", "_radix")

    def __init__(
        self, key: bytes | SecretBytes, radix: int, *, min_domain: int = 1_000_000
    ) -> None:
        key = conceal(key)
        self._cipher = IntegerFF1(key, min_domain=min_domain)
        radix = operator.index(radix)  # one of numpy's integers would overflow in radix**n
        if not 2 <= radix <= MAX_RADIX:
            raise ValueError(f"the radix must be 2 to {MAX_RADIX}, not {radix}")
        self._radix = radix
        self._min_domain = min_domain

    @overload
    def encrypt(self, numerals: Array, tweak: bytes = b"") -> Array: ...
    @overload
    def encrypt(self, numerals: Sequence[int], tweak: bytes = b"") -> list[int]: ...
    def encrypt(self, numerals: Any, tweak: bytes = b"") -> Any:
        """Encrypt numeral strings of one length under one tweak.

        Args:
            numerals: an integer array of shape (rows, n) or (n,), or a sequence of one row; each
                numeral from 0 to radix - 1.
            tweak: up to 2**32 - 1 octets.

        Returns:
            The ciphertext: an array of the same shape and dtype, or a list for a sequence.

        Raises:
            TypeError: the tweak is not bytes.
            ValueError: a numeral is not an integer or out of range, the length is below 2, the
                domain radix**n is below ``min_domain``, or the dtype can't hold every numeral.
        """
        return self._apply(numerals, tweak, decrypt=False)

    @overload
    def decrypt(self, numerals: Array, tweak: bytes = b"") -> Array: ...
    @overload
    def decrypt(self, numerals: Sequence[int], tweak: bytes = b"") -> list[int]: ...
    def decrypt(self, numerals: Any, tweak: bytes = b"") -> Any:
        """Decrypt numeral strings of one length under one tweak; the inverse of ``encrypt``.

        Args:
            numerals: as for ``encrypt``.
            tweak: the one that they were encrypted under.

        Returns:
            The plaintext: an array of the same shape and dtype, or a list for a sequence.

        Raises:
            TypeError: as for ``encrypt``.
            ValueError: as for ``encrypt``.
        """
        return self._apply(numerals, tweak, decrypt=True)

    def _apply(self, numerals: Any, tweak: bytes, *, decrypt: bool) -> Any:
        array = _as_array(numerals)
        rows = np.atleast_2d(array)
        radix, n = self._radix, rows.shape[1]
        check_domain(radix, n, self._min_domain)
        check_tweak(tweak)
        _check_numerals(array, radix)
        result = np.empty_like(rows)
        if rows.size:
            batch = self._cipher.prepare([radix**n], [tweak], [(radix, n)])
            if batch.base[0]:
                halves = slice(n // 2), slice(n // 2, n)
                numbers = [_join(rows[:, half], np.uint64(radix)) for half in halves]
                new = batch.halves(0, *numbers, decrypt=decrypt)
                for half, number in zip(halves, new, strict=True):
                    _split(number, np.uint64(radix), result[:, half])
            else:
                _split(batch.integers(0, _join(rows, radix), decrypt=decrypt), radix, result)
        result = result.reshape(array.shape)
        return result if isinstance(numerals, np.ndarray) else result.tolist()


def _as_array(numerals: Any) -> Numerals:
    array: NDArray[Any] | None = None
    try:
        array = np.asarray(numerals)
    except (ValueError, OverflowError):
        array = None
    if array is None or array.ndim not in (1, 2):
        raise ValueError("numerals must be one row, or an array of shape (rows, n)")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError("numerals must be integers")
    return array


def _check_numerals(numerals: Numerals, radix: int) -> None:
    if not numerals.size:
        return
    if np.iinfo(numerals.dtype).max < radix - 1:
        raise ValueError(f"dtype {numerals.dtype} can't hold every numeral of radix {radix}")
    if numerals.min() < 0 or numerals.max() >= radix:
        raise ValueError(f"numerals must be 0 to {radix - 1}")


def _join(numerals: Numerals, radix: np.uint64 | int) -> NDArray[Any]:
    """Return NUM of every row (SP 800-38G, algorithm 1), of the type of the radix."""
    dtype = object if isinstance(radix, int) else np.uint64
    number: NDArray[Any] = np.zeros(len(numerals), dtype)
    for column in numerals.T:
        number = number * radix + column.astype(dtype)
    return number


def _split(number: NDArray[Any], radix: np.uint64 | int, numerals: Numerals) -> None:
    """Write STR of every number into the rows of numerals (SP 800-38G, algorithm 3)."""
    for column in reversed(range(numerals.shape[1])):
        quotient = number // radix
        numerals[:, column] = number - quotient * radix
        number = quotient
