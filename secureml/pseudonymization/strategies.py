"""The strategy ``fpe``: format-preserving encryption, and what to do where it is not allowed.

A value with too few possible pseudonyms can't be encrypted in its format: whoever has the table
could count or guess. The policy decides: refuse the table, replace the value by a token, which is
reversible and shows nothing of the format, or by a null, which is not reversible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from secureml.ciphers.ranked import RankedFF1
from secureml.ciphers.siv import SivToken
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.domains import Index
from secureml.pseudonymization.formats import MIN_DOMAIN, TooSmall, transform_text
from secureml.pseudonymization.integers import Limits, WholeNumbers, transform_integers
from secureml.pseudonymization.text import Text

__all__ = ["ALGORITHM", "SMALL_DOMAIN", "TOKEN_PREFIX", "Fpe", "Outcome"]

ALGORITHM = "FF1-AES256"
SMALL_DOMAIN = ("error", "token", "null")

TOKEN_PREFIX = "~"  # noqa: S105  # no password, though "token" in the name looks like one
"""What every token starts with, and no encrypted value beside tokens.

The tilde belongs to no class, so the format keeps it at its place: a value is encrypted to one
that starts with it if and only if it starts with it itself. Where tokens are used, such values
become tokens too, whatever their domain. So what starts with a tilde is a token.
"""

_NO_ROWS: Index = np.empty(0, np.intp)
_NONE_SMALL = TooSmall(_NO_ROWS, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of a column.

    Args:
        values: the new ones.
        tokens: the rows that hold tokens.
        nulled: the rows that are to be null; in ``values`` they are empty.
        refused: the values that the policy ``error`` refuses; in ``values`` they show no more
            than their format.
    """

    values: Text | WholeNumbers
    tokens: Index
    nulled: Index
    refused: TooSmall


class Fpe:
    """Pseudonymizes and recovers the values of one domain.

    Args:
        key: 32 octets, for FF1.
        token_key: 64 octets, for tokens.
        domain: the name of the domain, which tokens are bound to.
        small_domain: one of SMALL_DOMAIN.
    """

    __slots__ = ("_cipher", "_context", "_policy", "_sealer")

    def __init__(self, key: bytes, token_key: bytes, domain: str, small_domain: str) -> None:
        self._cipher = RankedFF1(key, min_domain=MIN_DOMAIN)
        self._sealer = SivToken(token_key)
        self._context = b"token/1/" + domain.encode("utf-8", "surrogatepass")
        self._policy = small_domain

    def protect_text(self, text: Text) -> Outcome:
        """Replace every value that is not empty by a pseudonym of its format."""
        if self._policy != "token":
            new, small = transform_text(text, self._cipher)
            return self._outcome(new, small)
        escaped = text.starting_with(TOKEN_PREFIX)
        new, small = transform_text(_blanked(text, escaped), self._cipher)
        rows = np.union1d(escaped, small.rows)
        return _tokenized(new.replaced(rows, self._seal(text.strings_at(rows))), rows)

    def recover_text(self, text: Text) -> Text:
        """Replace every pseudonym by its value; the inverse of ``protect_text``.

        Raises:
            PseudonymizationError: some values can't be pseudonyms of this domain and policy.
        """
        tokens = self._token_rows(text)
        new, small = transform_text(_blanked(text, tokens), self._cipher, decrypt=True)
        _refuse_foreign(len(small.rows))
        return new.replaced(tokens, self._open(text.strings_at(tokens)))

    def protect_integers(self, numbers: WholeNumbers, limits: Limits) -> Outcome:
        """Replace every number by one of its sign and digits; under ``token`` as decimal text."""
        new, small = transform_integers(numbers, limits, self._cipher)
        if self._policy != "token":
            return self._outcome(new, small)
        sealed = self._seal(numbers.at(small.rows).strings())
        text = Text.of(new.strings()).replaced(small.rows, sealed)
        return _tokenized(text, small.rows)

    def recover_integers(self, numbers: WholeNumbers, limits: Limits) -> WholeNumbers:
        """Replace every pseudonym by its number; the inverse of ``protect_integers``.

        Raises:
            PseudonymizationError: some numbers can't be pseudonyms of this domain and policy.
        """
        _refuse_foreign(int(numbers.outside(limits).sum()))
        new, small = transform_integers(numbers, limits, self._cipher, decrypt=True)
        _refuse_foreign(len(small.rows))
        return new

    def recover_decimal(self, strings: Sequence[str], limits: Limits) -> WholeNumbers:
        """Recover numbers from the decimal strings and the tokens that ``token`` made of them.

        Raises:
            PseudonymizationError: some values can't be pseudonyms of this domain and policy.
        """
        tokens = self._token_rows(Text.of(strings))
        opened = WholeNumbers.parse(self._open([strings[row] for row in tokens.tolist()]))
        _refuse_foreign(int(opened.outside(limits).sum()))
        plain = np.ones(len(strings), np.bool_)
        plain[tokens] = False
        numbers = WholeNumbers.parse([strings[row] for row in np.flatnonzero(plain).tolist()])
        result = WholeNumbers(np.zeros(len(strings), np.uint64), np.zeros(len(strings), np.bool_))
        result.put(tokens, opened)
        result.put(plain, self.recover_integers(numbers, limits))
        return result

    def _outcome(self, new: Text | WholeNumbers, small: TooSmall) -> Outcome:
        if self._policy == "error":
            return Outcome(new, _NO_ROWS, _NO_ROWS, small)
        blank = _blanked(new, small.rows) if isinstance(new, Text) else new
        return Outcome(blank, _NO_ROWS, small.rows, _NONE_SMALL)

    def _token_rows(self, text: Text) -> Index:
        return text.starting_with(TOKEN_PREFIX) if self._policy == "token" else _NO_ROWS

    def _seal(self, values: Sequence[str]) -> list[str]:
        # Values of small domains repeat.
        seal = cache(partial(self._sealer.seal, context=self._context))
        return [TOKEN_PREFIX + seal(value) for value in values]

    def _open(self, tokens: Sequence[str]) -> list[str]:
        unseal = cache(partial(self._sealer.open, context=self._context))
        values: list[str] | None = None
        try:
            values = [unseal(token.removeprefix(TOKEN_PREFIX)) for token in tokens]
        except ValueError:
            values = None
        if values is None:
            raise PseudonymizationError("some tokens were changed or belong to another column")
        return values


def _tokenized(text: Text, rows: Index) -> Outcome:
    return Outcome(text, rows, _NO_ROWS, _NONE_SMALL)


def _blanked(text: Text, rows: Index) -> Text:
    return text.replaced(rows, [""] * len(rows))


def _refuse_foreign(count: int) -> None:
    if count:
        raise PseudonymizationError(
            f"{count} values can't be pseudonyms of this column: they were changed, or the column"
            " is not the one that the manifest describes"
        )
