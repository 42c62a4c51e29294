"""The strategy ``hash``: a keyed hash; equal values stay equal, and none can be recovered."""

from __future__ import annotations

import base64
import math

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from secureml.errors import PseudonymizationError
from secureml.forksafe import CachedProperty
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies.base import Outcome, Strategy, joining_strings
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["Hash", "collision_probability"]

_ENCODINGS = ("hex", "base32")


class Hash(Strategy):
    """Replaces every value by its HMAC-SHA256, truncated.

    The second algorithm is for values with a tweak, for which the first one used the key of values
    without, and for timestamps and decimal numbers, of which the first one hashed all digits of the
    column's unit or scale.

    Args:
        keys: of the column's domain.
        row_tweaks: a tweak for each row, or None.
        bits: the width, a multiple of 8 from 32 to 256.
        encoding: "hex" or "base32" (lower case).

    Raises:
        PseudonymizationError: an option does not fit.

    Source: RFC 2104; FIPS 198-1, section 5 on cutting off.
    """

    algorithm = "HMAC-SHA256"
    second = "HMAC-SHA256/2"
    reversible = False

    def __init__(
        self,
        keys: DomainKeys,
        row_tweaks: RowTweaks | None = None,
        *,
        bits: int = 128,
        encoding: str = "hex",
    ) -> None:
        if type(bits) is not int or not 32 <= bits <= 256 or bits % 8:
            raise PseudonymizationError("bits of a hash is a multiple of 8 from 32 to 256")
        if encoding not in _ENCODINGS:
            raise PseudonymizationError(
                f"encoding={encoding!r} of hashes is not known; use {' or '.join(_ENCODINGS)}"
            )
        super().__init__(keys, row_tweaks, bits=bits, encoding=encoding)
        self._bits, self._encoding = bits, encoding

    def algorithm_for(self, kind: type, *, tweaked: bool) -> str:
        """Return the algorithm by which ``protect`` replaces values."""
        algorithm = self.second if tweaked else None
        return algorithm or super().algorithm_for(kind, tweaked=tweaked)

    def protect(self, values: Values) -> Outcome:
        """Replace every value that is not empty by its hash."""

        def hashed(text: str, context: bytes) -> str:
            mac = self._start.copy()
            mac.update(context + text.encode("utf-8", "surrogatepass"))
            return self._spell(mac.finalize()[: self._bits // 8])

        return Outcome(values=Text.of(self.each(hashed, joining_strings(values), b"")))

    @CachedProperty
    def _start(self) -> HMAC:
        key = self.keys.hash() if self.row_tweaks is None else self.keys.tweaked_hash()
        return HMAC(key.reveal(), SHA256())

    def _spell(self, octets: bytes) -> str:
        if self._encoding == "hex":
            return octets.hex()
        return base64.b32encode(octets).decode("ascii").rstrip("=").lower()


def collision_probability(distinct: int, bits: int) -> float:
    """Return the probability that any two of so many distinct values get one hash.

    Args:
        distinct: the number of distinct values.
        bits: the width of the hash.

    Returns:
        The birthday bound 1 - exp(-n (n - 1) / 2**(bits + 1)).
    """
    return -math.expm1(-distinct * (distinct - 1) / 2 ** (bits + 1))
