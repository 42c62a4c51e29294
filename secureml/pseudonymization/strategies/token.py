"""The strategy ``token``: deterministic, reversible tokens that show nothing of the value's format.

A token is AES-SIV over the whole value. It shows the length of the value in octets, and which
values are equal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, partial

from secureml.ciphers.siv import SPELLINGS, SivToken
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import Option
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies.base import (
    Kind,
    Outcome,
    Strategy,
    joining_strings,
    strings_of,
)
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["Token"]

_PREFIX = re.compile(r"[A-Za-z0-9_.:~-]{0,32}", re.ASCII)


class Token(Strategy):
    """Replaces every value by a token.

    The second algorithm is for moments and decimal numbers, of which tokens of the first one hold
    all digits of the column's unit or scale.

    Args:
        keys: of the column's domain.
        row_tweaks: a tweak for each row, or None.
        prefix: what every token begins with, such as ``cus_``.
        encoding: "base32" (lower case, survives systems that fold case) or "base64url" (shorter).

    Raises:
        PseudonymizationError: an option does not fit.
    """

    algorithm = "AES-256-SIV"
    second = "AES-256-SIV/2"

    __slots__ = ("_context", "_encoding", "_keys", "_prefix", "_row_tweaks")

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
        self._keys, self._row_tweaks = keys, row_tweaks
        self._prefix, self._encoding = prefix, encoding
        self._context = b"strategy/token/1/" + keys.domain.encode("utf-8", "surrogatepass")

    @property
    def options(self) -> Mapping[str, Option]:
        """The prefix and the encoding."""
        return {"prefix": self._prefix, "encoding": self._encoding}

    def protect(self, values: Values) -> Outcome:
        """Replace every value that is not empty by its token."""
        sealer = SivToken(self._keys.strategy_tokens(), self._encoding)
        strings = joining_strings(values)
        if self._row_tweaks is None:
            seal = cache(partial(sealer.seal, context=self._context))
            made = [self._prefix + seal(one) if one else "" for one in strings]
        else:
            contexts = self._contexts(self._row_tweaks)
            made = [
                self._prefix + sealer.seal(one, context) if one else ""
                for one, context in zip(strings, contexts, strict=True)
            ]
        return Outcome(values=Text.of(made))

    def recover(self, values: Values, kind: Kind) -> Values:
        """Open every token; the inverse of ``protect``.

        Raises:
            PseudonymizationError: some values are no tokens of this column.
        """
        sealer = SivToken(self._keys.strategy_tokens(), self._encoding)
        tokens = strings_of(values)
        bare = [token.removeprefix(self._prefix) for token in tokens]
        foreign = sum(not token.startswith(self._prefix) for token in tokens if token)
        if foreign:
            raise PseudonymizationError(f"{foreign} values are no tokens of this column")
        opened: Sequence[str] | None = None
        try:
            if self._row_tweaks is None:
                unseal = cache(partial(sealer.open, context=self._context))
                opened = [unseal(token) if token else "" for token in bare]
            else:
                contexts = self._contexts(self._row_tweaks)
                pairs = zip(bare, contexts, strict=True)
                opened = [sealer.open(one, context) if one else "" for one, context in pairs]
        except ValueError:
            opened = None
        if opened is None:
            raise PseudonymizationError("some tokens were changed or belong to another column")
        return kind(opened)

    def _contexts(self, row_tweaks: RowTweaks) -> list[bytes]:
        bound = [row_tweaks.bound(one, self._context) for one in range(len(row_tweaks.values))]
        return [bound[number] for number in row_tweaks.number.tolist()]
