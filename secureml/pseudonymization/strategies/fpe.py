"""The strategy ``fpe``: format-preserving encryption, and policies for values without it.

A value with too few possible pseudonyms is not encrypted in its format, because its pseudonym
could be guessed or found by counting; nor is a value that is not of the column's format. A policy
for each decides: refuse the table, replace the value by a token, which is reversible and shows
nothing of the format, or by a null, which is not reversible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.siv import SivToken
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.errors import PseudonymizationError
from secureml.forksafe import CachedProperty
from secureml.pseudonymization.formats import NO_ROWS, NONE_SMALL, Format
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import (
    MIN_DOMAIN,
    MIN_TABLE,
    Permutation,
    RowTweaks,
)
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.strategies.base import Kind, Outcome, Strategy
from secureml.pseudonymization.values.kinds import Values, as_numbers
from secureml.pseudonymization.values.text import Text

__all__ = ["TOKEN_PREFIX", "Fpe"]

TOKEN_PREFIX = "~"  # noqa: S105  # no password, though "token" in the name looks like one
"""The beginning of every token, and of no encrypted value in a column with tokens.

The tilde belongs to no class, so the formats keep it at its place: a value is encrypted to one that
starts with a tilde if and only if it starts with one itself. In a column with tokens such values
become tokens too, whatever their domain.
"""


class Fpe(Strategy):
    """Pseudonymizes and recovers the values of one column.

    Args:
        keys: of the column's domain.
        form: the format.
        small_domain: what becomes of values whose domain is too small; as rules have it.
        on_invalid: what becomes of values that are not of the format; as rules have it.
        row_tweaks: a tweak for each row, or None.
        smallest: the smallest size of a domain that is permuted by a table.
    """

    algorithm = "FF1-AES256"

    def __init__(
        self,
        keys: DomainKeys,
        form: Format,
        small_domain: str = "error",
        on_invalid: str = "error",
        row_tweaks: RowTweaks | None = None,
        *,
        smallest: int = MIN_TABLE,
    ) -> None:
        super().__init__(keys, row_tweaks, **form.options)
        self._form = form
        self._small_domain = small_domain
        self._on_invalid = on_invalid
        self._smallest = smallest
        self._context = b"token/1/" + keys.domain.encode("utf-8", "surrogatepass")

    def protect(self, values: Values) -> Outcome:
        """Replace every value by a pseudonym of its format."""
        escaped = NO_ROWS
        plain = values
        if self._makes_tokens and isinstance(values, Text):
            escaped = values.starting_with(TOKEN_PREFIX)
            plain = values.blanked(escaped)
        made = transform(self._form, plain, self._encryption)
        tokens, nulled, new = [escaped], NO_ROWS, made.values
        for rows, policy in (
            (made.small.rows, self._small_domain),
            (made.invalid, self._on_invalid),
        ):
            if policy == "token":
                tokens.append(rows)
            elif policy == "null":
                nulled = np.union1d(nulled, rows)
        rows = np.unique(np.concatenate(tokens)).astype(np.intp)
        if self._makes_tokens:
            new = new if isinstance(new, Text) else Text.of(new.strings())
            new = new.replaced(rows, self._seal(_strings_at(values, rows), rows))
        if len(nulled) and isinstance(new, Text):
            new = new.blanked(nulled)
        refuses_small = self._small_domain in ("error", "permute")
        return Outcome(
            values=new,
            tokens=rows,
            nulled=nulled,
            small=made.small if refuses_small else NONE_SMALL,
            invalid=made.invalid if self._on_invalid == "error" else NO_ROWS,
            domain=made.domain,
        )

    def recover(self, values: Values, kind: Kind) -> Values:
        """Replace every pseudonym by its value; the inverse of ``protect``.

        Raises:
            PseudonymizationError: some values can't be pseudonyms of this domain and policy.
        """
        if isinstance(values, Text) and isinstance(kind([]), Text):
            tokens = self._token_rows(values)
            new = self._decrypted(values.blanked(tokens))
            assert isinstance(new, Text)
            return new.replaced(tokens, self._open(values.strings_at(tokens), tokens))
        if not isinstance(values, Text):
            return self._decrypted(values)
        tokens = self._token_rows(values)
        plain = np.setdiff1d(np.arange(len(values)), tokens)
        opened = as_numbers(kind(self._open(values.strings_at(tokens), tokens)))
        _refuse_foreign(int(opened.outside().sum()))
        recovered = as_numbers(self._decrypted(kind(values.strings_at(plain)), plain))
        return recovered.scattered(len(values), [(plain, recovered), (tokens, opened)])

    @property
    def _makes_tokens(self) -> bool:
        return "token" in (self._small_domain, self._on_invalid)

    @CachedProperty
    def _encryption(self) -> Permutation:
        """The permutation, which keeps what it computes for more values of the column."""
        permute = self._small_domain == "permute"
        return Permutation(
            IntegerFF1(self.keys.fpe(), min_domain=MIN_DOMAIN),
            tables=SmallDomainCipher(self.keys.tables()) if permute else None,
            row_tweaks=self.row_tweaks,
            smallest=self._smallest,
        )

    @CachedProperty
    def _decryption(self) -> Permutation:
        """The inverse."""
        return replace(self._encryption, decrypt=True, smallest=2, prepared={})

    def _decrypted(self, values: Values, rows: Index | None = None) -> Values:
        """Decrypt values: all of the column, or those of some rows."""
        if not isinstance(values, Text):
            _refuse_foreign(int(as_numbers(values).outside().sum()))
        permutation = self._decryption
        made = transform(self._form, values, permutation if rows is None else permutation.at(rows))
        _refuse_foreign(len(made.small.rows) + len(made.invalid))
        return made.values

    def _token_rows(self, text: Text) -> Index:
        return text.starting_with(TOKEN_PREFIX) if self._makes_tokens else NO_ROWS

    def _seal(self, values: Sequence[str], rows: Index) -> list[str]:
        sealed = self.each(self._cipher.seal, values, self._context, rows)
        return [TOKEN_PREFIX + token for token in sealed]

    def _open(self, tokens: Sequence[str], rows: Index) -> list[str]:
        return self.opened(self._cipher, tokens, TOKEN_PREFIX, self._context, rows)

    @CachedProperty
    def _cipher(self) -> SivToken:
        return SivToken(self.keys.tokens())


def _strings_at(values: Values, rows: Index) -> list[str]:
    if isinstance(values, Text):
        return values.strings_at(rows)
    return as_numbers(values).at(rows).strings()


def _refuse_foreign(count: int) -> None:
    if count:
        raise PseudonymizationError(
            f"{count} values can't be pseudonyms of this column: they were changed, or the column"
            " is not the one that the manifest describes"
        )
