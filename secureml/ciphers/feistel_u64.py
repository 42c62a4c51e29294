"""FF1's rounds on halves of at most seven octets, in 64-bit arithmetic on whole columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import Scratch, Shape, Words, round_numbers

__all__ = ["Lanes", "RoundFunction", "add_modulo", "word_rounds"]

Floats = NDArray[np.float64]

_HALF = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Lanes:
    """The parameters of ``word_rounds``: uint64 arrays over groups, over rows, or of length 1.

    Args:
        high: the first word of the chaining value.
        low: the second word.
        step: 256**b, the place of the round number in ``low``.
        left: radix**u.
        right: radix**v.
    """

    high: Words
    low: Words
    step: Words
    left: Words
    right: Words

    @classmethod
    def of(cls, shapes: Sequence[Shape], shape: NDArray[np.intp], states: Words) -> Lanes:
        """Make the arrays over groups; ``right`` is 0 for a shape that is not narrow.

        Args:
            shapes: the distinct ones.
            shape: which of them each group has.
            states: the chaining value of each group.
        """
        sizes = [
            (256**shape.octets, shape.left, shape.right) if shape.narrow else (0, 0, 0)
            for shape in shapes
        ]
        step, left, right = np.array(sizes, np.uint64).reshape(-1, 3)[shape].T.copy()
        high, low = states.T.copy()
        return cls(high, low, step, left, right)

    def at(self, index: NDArray[np.intp]) -> Lanes:
        """Pick the groups of some rows."""
        return Lanes(*(column[index] for column in self._columns))

    @property
    def identity(self) -> bytes:
        """What tells these groups from any others under the same key."""
        return np.stack(self._columns).tobytes()

    @property
    def _columns(self) -> tuple[Words, ...]:
        return self.high, self.low, self.step, self.left, self.right


def word_rounds(
    scratch: Scratch, lanes: Lanes, left: Words, right: Words, *, decrypt: bool
) -> None:
    """Encrypt or decrypt in place: a round changes one half by a function of the other.

    Args:
        scratch: under the key; no other thread may be using it.
        lanes: of one group, or of each row. They need as much keystream each: their b is at most
            4, or it is 5 to 7.
        left: uint64, shape (rows,) with at most CHUNK rows, each below its radix**u.
        right: uint64, shape (rows,), each below its radix**v.
        decrypt: run the rounds backwards.

    Source: SP 800-38G, algorithms 7 and 8, step 6.
    """
    function = RoundFunction(scratch, lanes, len(left))
    for number in round_numbers(decrypt=decrypt):
        odd = number % 2
        target, source, size = (right, left, lanes.right) if odd else (left, right, lanes.left)
        add_modulo(target, function(number, source), size, decrypt=decrypt)


class RoundFunction:
    """What a round adds to one half, as a function of the other: NUM(S) modulo a half's size.

    Args:
        scratch: under the key; no other thread may be using it.
        lanes: as for ``word_rounds``.
        rows: at most CHUNK.
    """

    __slots__ = (
        "_ciphertext",
        "_lanes",
        "_long",
        "_plaintext",
        "_rows",
        "_scratch",
        "_shares",
        "_words",
    )

    def __init__(self, scratch: Scratch, lanes: Lanes, rows: int) -> None:
        self._scratch, self._lanes, self._rows = scratch, lanes, rows
        self._words = scratch.words[:, :rows]
        self._plaintext, self._ciphertext = scratch.blocks(rows)
        self._plaintext[:, 0] = lanes.high
        self._long = bool(lanes.step.max(initial=0) > 1 << 32)
        if self._long:
            self._shares = 1.0 / lanes.left, 1.0 / lanes.right

    def __call__(self, number: int, source: Words) -> Words:
        """Return the values of a round.

        Args:
            number: of the round, 0 to 9.
            source: the half that stays, uint64, shape (rows,).

        Returns:
            A part of the scratch, shape (rows,).
        """
        value: Words
        value, quotient, tail = self._words
        size = self._lanes.right if number % 2 else self._lanes.left
        np.bitwise_xor(source, self._lanes.low ^ self._lanes.step * np.uint64(number), out=value)
        self._plaintext[:, 1] = value
        self._scratch.encrypt(self._rows)
        value[:] = self._ciphertext[:, 0]
        _reduce(value, size, quotient)
        if self._long:
            tail[:] = self._ciphertext[:, 1]
            _extend(value, tail, size, self._shares[number % 2], quotient)
        return value


def add_modulo(target: Words, value: Words, size: Words, *, decrypt: bool) -> None:
    """Add values to the halves, or subtract them, modulo size; both are changed in place.

    Args:
        target: uint64, shape (rows,), each below size.
        value: likewise; nothing of use is left in it.
        size: at most 2**56.
        decrypt: subtract.
    """
    # All operands are below 2**57, so the wrong one of two results is the larger one:
    # it has wrapped round to a huge number, or was not reduced.
    if decrypt:
        np.subtract(target, value, out=target)
        np.add(target, size, out=value)
    else:
        np.add(target, value, out=target)
        np.subtract(target, size, out=value)
    np.minimum(target, value, out=target)


def _reduce(value: Words, size: Words, quotient: Words) -> None:
    """Set value to value mod size; numpy divides by a constant fast, and has no fast remainder."""
    np.floor_divide(value, size, out=quotient)
    np.multiply(quotient, size, out=quotient)
    np.subtract(value, quotient, out=value)


def _extend(value: Words, tail: Words, size: Words, share: Floats, quotient: Words) -> None:
    """Append the upper four octets of tail to value, modulo size; share is 1 / size."""
    np.right_shift(tail, _HALF, out=tail)
    # The quotient is below 2**32, as value is below size, and five roundings of 2**-53 leave it
    # off by less than one. So what is rounded down is off by one at most, either way.
    estimate = quotient.view(np.float64)
    np.multiply(value.view(np.int64), 2.0**32, out=estimate)
    np.add(estimate, tail.view(np.int64), out=estimate)
    np.multiply(estimate, share, out=estimate)
    np.left_shift(value, _HALF, out=value)
    np.bitwise_or(value, tail, out=value)
    tail[:] = estimate
    np.multiply(tail, size, out=tail)
    np.subtract(value, tail, out=value)
    # What is off has wrapped round, or is not below size.
    np.add(value, size, out=tail)
    np.minimum(value, tail, out=value)
    np.subtract(value, size, out=tail)
    np.minimum(value, tail, out=value)
