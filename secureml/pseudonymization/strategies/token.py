"""The strategy ``token``: deterministic, reversible tokens without the format of the value.

A token is the whole value under AES-SIV. It shows the length of the value in octets, and which
values are equal.
"""

from __future__ import annotations

import re

from secureml.ciphers.siv import SPELLINGS, SivToken
from secureml.errors import PseudonymizationError
from secureml.forksafe import CachedProperty
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies.base import Kind, Outcome, Strategy, joining_strings
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["Token"]

_PREFIX = re.compile(r"[A-Za-z0-9_.:~-]{0,32}", re.ASCII)


class Token(Strategy):
    """Replaces every value by a token.

    The second algorithm is for timestamps and decimal numbers, of which tokens of the first one
    hold all digits of the column's unit or scale.

    Args:
        keys: of the column's domain.
        row_tweaks: a tweak for each row, or None.
        prefix: the beginning of every token, such as ``cus_``.
        encoding: "base32" (lower case, survives systems that fold case) or "base64url" (shorter).

    Raises:
        PseudonymizationError: an option does not fit.
    """

    algorithm = "AES-256-SIV"
    second = "AES-256-SIV/2"

    def __init__(
        self,
        keys: DomainKeys,
        row_tweaks: RowTweaks | None = None,
        *,
        prefix: str = "",
        encoding: str = "base32",
    ) -> None:
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise PseudonymizationError(
                "the prefix of tokens has up to 32 ASCII letters, digits and characters of _.:~-"
            )
        if encoding not in SPELLINGS:
            raise PseudonymizationError(
                f"encoding={encoding!r} of tokens is not known; use {' or '.join(SPELLINGS)}"
            )
        super().__init__(keys, row_tweaks, prefix=prefix, encoding=encoding)
        self._prefix, self._encoding = prefix, encoding
        self._context = b"strategy/token/1/" + keys.domain.encode("utf-8", "surrogatepass")

    def protect(self, values: Values) -> Outcome:
        """Replace every value that is not empty by its token."""
        seal = self._cipher.seal

        def sealed(text: str, context: bytes) -> str:
            return self._prefix + seal(text, context)

        return Outcome(values=Text.of(self.each(sealed, joining_strings(values), self._context)))

    def recover(self, values: Values, kind: Kind) -> Values:
        """Open every token; the inverse of ``protect``.

        Raises:
            PseudonymizationError: some values are no tokens of this column.
        """
        return kind(self.opened(self._cipher, values.strings(), self._prefix, self._context))

    @CachedProperty
    def _cipher(self) -> SivToken:
        return SivToken(self.keys.strategy_tokens(), self._encoding)
