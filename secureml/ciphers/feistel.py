"""The ten Feistel rounds of FF1, whatever the halves are held in.

SP 800-38G, algorithm 7, FF1.Encrypt(K, T, X), X a string of n numerals, T a tweak of t octets:

     1.  u = n // 2;  v = n - u
     2.  A = X[1..u];  B = X[u+1..n]
     3.  b = ceil(ceil(v * log2(radix)) / 8)
     4.  d = 4 * ceil(b / 4) + 4
     5.  P = [1] [2] [1] [radix]3 [10] [u mod 256] [n]4 [t]4      [x]k is x in k octets, else in 1
     6.  for i from 0 to 9:
            i.    Q = T || [0]((-t-b-1) mod 16) || [i] || [NUM(B)]b
            ii.   R = PRF(P || Q)                                 the CBC-MAC with AES
            iii.  S = the first d octets of R || CIPH(R xor [1]16) || CIPH(R xor [2]16) ...
            iv.   y = NUM(S)
            v.    m = u if i is even, else v
            vi.   c = (NUM(A) + y) mod radix**m
            vii.  C = STR(c), m numerals
            viii. A = B
            ix.   B = C
     7.  return A || B

Algorithm 8, FF1.Decrypt, takes i from 9 down to 0, exchanges A and B in step 6, and subtracts y.

This is the same, but for three things. The halves stay numbers from the beginning to the end. They
stay in their places, so that steps 6.viii and 6.ix become a choice: an even round changes the left
half by a function of the right one, and an odd round the right by the left. And P, T and the
padding before [i] are the same for all values of a group: the CBC-MAC over them is run once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secureml.ciphers.aes import BLOCK, BlockCipher, Words, encrypt_blocks

__all__ = [
    "MAX_LENGTH",
    "MAX_RADIX",
    "ROUNDS",
    "RoundFunction",
    "RoundParameters",
    "Shape",
    "check_domain",
    "check_tweak",
    "mac_states",
    "run_rounds",
]

MAX_RADIX = 1 << 16
MAX_LENGTH = (1 << 32) - 1
ROUNDS = 10


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


@dataclass(frozen=True, slots=True)
class Shape:
    """What FF1 derives from radix and length alone (algorithm 7, steps 1 to 4).

    Args:
        radix: the number of numerals, 2 to 65536.
        n: the length of the numeral string.
        left: radix**u, u = n // 2: the number of left halves.
        right: radix**v, v = n - u: the number of right halves.
        octets: b, the octets that hold a right half.
    """

    radix: int
    n: int
    left: int
    right: int
    octets: int

    @classmethod
    def of(cls, radix: int, n: int) -> Shape:
        """Derive the shape of n numerals of this radix."""
        left = radix ** (n // 2)
        right = left * radix if n % 2 else left
        return cls(radix, n, left, right, ((right - 1).bit_length() + 7) // 8)

    @property
    def narrow(self) -> bool:
        """Whether both halves fit the 64-bit arithmetic of ``feistel_u64``."""
        return self.octets <= 7

    @property
    def bits(self) -> bool:
        """Whether these are the bit strings of ``feistel_u192``, in halves of 8 to 12 octets."""
        return self.radix == 2 and 8 <= self.octets <= 12

    @property
    def digest_octets(self) -> int:
        """d, the octets of keystream that a round reduces to a half."""
        return 4 * -(-self.octets // 4) + 4


@dataclass(frozen=True, slots=True)
class RoundParameters:
    """What the rounds in 64-bit words need: uint64 arrays over groups, over rows, or of length 1.

    Args:
        high: the first word of the chaining value, from ``mac_states``.
        low: the second word.
        step: 256**b in ``low``, the place of the round number i; of bit strings it is 256**(b - 8)
            in ``high``.
        left: radix**u; of bit strings it is u.
        right: radix**v; of bit strings it is v.
    """

    high: Words
    low: Words
    step: Words
    left: Words
    right: Words

    @classmethod
    def of(cls, shapes: Sequence[Shape], shape: NDArray[np.intp], states: Words) -> RoundParameters:
        """Make the arrays over groups; a shape that fits no words has zeros.

        Args:
            shapes: the distinct ones.
            shape: which of them each group has.
            states: the chaining value of each group.
        """
        places = [
            (256**one.octets, one.left, one.right)
            if one.narrow
            else (256 ** (one.octets - 8), one.n // 2, one.n - one.n // 2)
            if one.bits
            else (0, 0, 0)
            for one in shapes
        ]
        return cls(*states.T.copy(), *np.array(places, np.uint64).reshape(-1, 3)[shape].T.copy())

    def at(self, index: NDArray[np.intp]) -> RoundParameters:
        """Pick the groups of some rows."""
        return RoundParameters(*(column[index] for column in self._columns))

    @property
    def identity(self) -> bytes:
        """What tells these groups from any others under the same key."""
        return np.stack(self._columns).tobytes()

    @property
    def _columns(self) -> tuple[Words, ...]:
        return self.high, self.low, self.step, self.left, self.right


class RoundFunction(Protocol):
    """A round's function of one half, and how it is added to the other."""

    def value(self, number: int, source: Any) -> Any:
        """Return y of the round, or what is left of it modulo radix**m (steps 6.i to 6.v)."""
        ...

    def add(self, target: Any, value: Any, side: int, *, decrypt: bool) -> None:
        """Add the value modulo radix**m, or subtract it, in place (step 6.vi).

        Args:
            target: the half; it is the left one if ``side`` is 0, and the right one if it is 1.
            value: from ``value``; nothing of use needs to be left in it.
            side: says how large the half is.
            decrypt: subtract.
        """
        ...


def run_rounds(function: RoundFunction, left: Any, right: Any, *, decrypt: bool) -> None:
    """Encrypt or decrypt halves, given as numbers, in place (step 6).

    Args:
        function: of the domains that the halves are of.
        left: NUM(X[1..u]) of each row.
        right: NUM(X[u+1..n]) of each row.
        decrypt: run the rounds backwards.
    """
    for number in reversed(range(ROUNDS)) if decrypt else range(ROUNDS):
        side = number % 2
        target, source = (right, left) if side else (left, right)
        function.add(target, function.value(number, source), side, decrypt=decrypt)


def mac_states(cipher: BlockCipher, shapes: Sequence[Shape], tweaks: Sequence[bytes]) -> Words:
    """Run the CBC-MAC of every group up to the block in which the round number stands.

    Args:
        cipher: AES under the key.
        shapes: one per group.
        tweaks: one per group.

    Returns:
        uint64 of shape (groups, 2): the chaining value, with the constant octets of the next
        block already added; what is left to add there is the round number and NUM(B).

    Source: algorithm 7, steps 5 and 6.i.
    """
    texts: dict[int, list[bytes]] = defaultdict(list)
    members: dict[int, list[int]] = defaultdict(list)
    frames: dict[tuple[int, int, int], tuple[int, bytes, bytes]] = {}
    for group, (shape, tweak) in enumerate(zip(shapes, tweaks, strict=True)):
        length = len(tweak)
        frame = frames.get((shape.radix, shape.n, length))
        if frame is None:
            frame = frames[shape.radix, shape.n, length] = _frame(shape, length)
        whole, head, tail = frame
        texts[whole].append(b"%b%b%b" % (head, tweak, tail))
        members[whole].append(group)
    states = np.empty((len(shapes), 2), np.uint64)
    encryptor = cipher.encryptor()
    for whole, same_length in texts.items():
        blocks = np.frombuffer(b"".join(same_length), ">u8").reshape(-1, whole + 1, 2)
        state = np.zeros((len(same_length), 2), np.uint64)
        for index in range(whole):
            state = encrypt_blocks(encryptor, state ^ blocks[:, index])
        states[members[whole]] = state ^ blocks[:, whole]
    return states


def _frame(shape: Shape, length: int) -> tuple[int, bytes, bytes]:
    """Return what stands around a tweak of so many octets: full blocks, and octets on each side."""
    head = b"\x01\x02\x01%b\x0a%c%b%b" % (
        shape.radix.to_bytes(3, "big"),
        shape.n // 2 % 256,
        shape.n.to_bytes(4, "big"),
        length.to_bytes(4, "big"),
    )
    padding = -(length + shape.octets + 1) % BLOCK
    whole, rest = divmod(BLOCK + length + padding, BLOCK)
    return whole, head, bytes(padding + BLOCK - rest)
