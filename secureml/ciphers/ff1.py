"""FF1 format-preserving encryption (NIST SP 800-38G) of numeral strings, a batch at a time."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import CHUNK, BlockCipher, Scratch, Shape, mac_states
from secureml.ciphers.feistel_bigint import integer_rounds
from secureml.ciphers.feistel_u64 import Lanes, word_rounds
from secureml.ciphers.round_cache import RoundCache
from secureml.secret_types import SecretBytes, conceal

__all__ = ["FF1", "MAX_LENGTH", "MAX_RADIX", "check_domain", "check_tweak"]

MAX_RADIX = 1 << 16
MAX_LENGTH = (1 << 32) - 1

Numerals = NDArray[np.integer[Any]]
Array = TypeVar("Array", bound=Numerals)
Half = NDArray[np.uint64] | NDArray[np.object_]


def check_domain(radix: int, n: int, min_domain: int) -> None:
    """Refuse a domain that the standard, or the caller's floor, does not allow.

    Args:
        radix: the number of numerals.
        n: the length of the numeral string.
        min_domain: the least radix**n.

    Raises:
        ValueError: the radix, the length or the domain is out of range.

    Source: SP 800-38G Rev. 1, section 5.1.
    """
    if not 2 <= radix <= MAX_RADIX:
        raise ValueError(f"the radix must be 2 to {MAX_RADIX}, not {radix}")
    if not 2 <= n <= MAX_LENGTH:
        raise ValueError(f"a numeral string has 2 to {MAX_LENGTH} numerals, not {n}")
    # radix**n is at least 2**n: a long string passes without computing a huge power.
    if n < min_domain.bit_length() and radix**n < min_domain:
        raise ValueError(
            f"the domain {radix}**{n} = {radix**n} is below the minimum of {min_domain}"
        )


def check_tweak(tweak: bytes) -> None:
    """Refuse what is no tweak.

    Args:
        tweak: at most 2**32 - 1 octets.

    Raises:
        TypeError: the tweak is not bytes.
        ValueError: it is longer.

    Source: SP 800-38G, section 5.1.
    """
    if not isinstance(tweak, bytes):
        raise TypeError(f"a tweak is bytes, not {type(tweak).__name__}")
    if len(tweak) > MAX_LENGTH:
        raise ValueError(f"a tweak has at most {MAX_LENGTH} octets, not {len(tweak)}")


class FF1:
    """FF1 with AES-128, AES-192 or AES-256. Threads may share one.

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
        self._cipher = BlockCipher(key)
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

    def encrypt_halves(
        self, left: Half, right: Half, n: int, tweak: bytes = b""
    ) -> tuple[Half, Half]:
        """Encrypt numeral strings that are held as the numbers of their two halves.

        Args:
            left: NUM(X[1..u]), u = n // 2, shape (rows,): uint64 where radix**(n - u) is at most
                2**56, and Python integers (dtype object) beyond.
            right: NUM(X[u+1..n]), likewise.
            n: the length of the numeral strings.
            tweak: up to 2**32 - 1 octets.

        Returns:
            New arrays: the halves of the ciphertext.

        Raises:
            TypeError: the tweak is not bytes.
            ValueError: the halves differ in shape, have the wrong dtype or are out of range, or
                the domain is not allowed.
        """
        return self._apply_halves(left, right, n, tweak, decrypt=False)

    def decrypt_halves(
        self, left: Half, right: Half, n: int, tweak: bytes = b""
    ) -> tuple[Half, Half]:
        """Decrypt numeral strings that are held as halves; the inverse of ``encrypt_halves``.

        Args:
            left: as for ``encrypt_halves``.
            right: as for ``encrypt_halves``.
            n: the length of the numeral strings.
            tweak: the one that they were encrypted under.

        Returns:
            New arrays: the halves of the plaintext.

        Raises:
            TypeError: as for ``encrypt_halves``.
            ValueError: as for ``encrypt_halves``.
        """
        return self._apply_halves(left, right, n, tweak, decrypt=True)

    def _apply(self, numerals: Any, tweak: bytes, *, decrypt: bool) -> Any:
        array = _as_array(numerals)
        rows = np.atleast_2d(array)
        n = rows.shape[1]
        check_domain(self._radix, n, self._min_domain)
        check_tweak(tweak)
        _check_numerals(array, self._radix)
        result = np.empty_like(rows)
        if rows.size:
            shape = Shape.of(self._radix, n)
            rounds = self._rounds(shape, tweak, len(rows), decrypt=decrypt)
            u = n // 2
            for start in range(0, len(rows), CHUNK):
                chunk = slice(start, start + CHUNK)
                left = _join(rows[chunk, :u], shape)
                right = _join(rows[chunk, u:], shape)
                rounds(left, right)
                _split(left, self._radix, result[chunk, :u])
                _split(right, self._radix, result[chunk, u:])
        result = result.reshape(array.shape)
        return result if isinstance(numerals, np.ndarray) else result.tolist()

    def _apply_halves(
        self, left: Half, right: Half, n: int, tweak: bytes, *, decrypt: bool
    ) -> tuple[Half, Half]:
        n = operator.index(n)
        check_domain(self._radix, n, self._min_domain)
        check_tweak(tweak)
        shape = Shape.of(self._radix, n)
        wanted = np.dtype(np.uint64 if shape.narrow else object)
        if left.dtype != wanted or right.dtype != wanted:
            raise ValueError(f"halves of this size must be of dtype {wanted}")
        if left.ndim != 1 or left.shape != right.shape:
            raise ValueError("the halves must be one-dimensional and of one length")
        for half, size in ((left, shape.left), (right, shape.right)):
            if half.size and not (half.min() >= 0 and half.max() < size):
                raise ValueError("a half is out of range for this radix and length")
        rounds = self._rounds(shape, tweak, len(left), decrypt=decrypt)
        left, right = left.copy(), right.copy()
        for start in range(0, len(left), CHUNK):
            rows = slice(start, start + CHUNK)
            rounds(left[rows], right[rows])
        return left, right

    def _rounds(
        self, shape: Shape, tweak: bytes, rows: int, *, decrypt: bool
    ) -> Callable[[Any, Any], None]:
        """Fix everything but the halves; at most CHUNK rows of them are then changed in place."""
        states, scratch = mac_states(self._cipher, [shape], [tweak]), Scratch(self._cipher)
        if shape.narrow:
            lanes = Lanes.of([shape], np.zeros(1, np.intp), states)
            tables = RoundCache().of(scratch, lanes, rows)
            if tables is not None:
                return partial(tables.rounds, scratch, decrypt=decrypt)
            return partial(word_rounds, scratch, lanes, decrypt=decrypt)
        return partial(
            integer_rounds,
            scratch,
            states=states,
            octets=shape.octets,
            sizes=(shape.left, shape.right),
            decrypt=decrypt,
        )


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


def _join(numerals: Numerals, shape: Shape) -> NDArray[Any]:
    """Return NUM of every row (SP 800-38G, algorithm 1)."""
    dtype = np.uint64 if shape.narrow else object
    radix = np.uint64(shape.radix) if shape.narrow else shape.radix
    number: NDArray[Any] = np.zeros(len(numerals), dtype)
    for column in numerals.T:
        number = number * radix + column.astype(dtype)
    return number


def _split(number: NDArray[Any], radix: int, numerals: Numerals) -> None:
    """Write STR of every number into the rows of numerals (SP 800-38G, algorithm 3)."""
    scale = np.uint64(radix) if number.dtype == np.uint64 else radix
    for column in reversed(range(numerals.shape[1])):
        quotient = number // scale
        numerals[:, column] = number - quotient * scale
        number = quotient
