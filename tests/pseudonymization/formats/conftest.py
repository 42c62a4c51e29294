"""What every format of text is tried with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.pseudonymization.formats import Format, Transformed
from secureml.pseudonymization.ranking.permutation import MIN_DOMAIN, Permutation, RowTweaks
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.text import Text

KEY = bytes(range(32))


class Lab:
    """Encrypts and recovers strings with a format, and checks what holds for every format."""

    def transform(
        self,
        form: Format,
        values: Sequence[str],
        *,
        decrypt: bool = False,
        tables: bool = False,
        row_tweaks: RowTweaks | None = None,
        wide: bool = False,
    ) -> Transformed:
        permutation = Permutation(
            IntegerFF1(KEY),
            tables=SmallDomainCipher(KEY) if tables else None,
            row_tweaks=row_tweaks,
            decrypt=decrypt,
        )
        text = Text.of(values)
        if wide:
            text = Text(text.codes.astype(np.uint32), text.offsets)
        before = text.codes.copy()
        made = transform(form, text, permutation)
        assert (text.codes == before).all(), "the input was changed"
        return made

    def encrypted(self, form: Format, values: Sequence[str], **how: object) -> list[str]:
        """Encrypt values of the format, and check that they come back."""
        made = self.transform(form, values, **how)  # type: ignore[arg-type]
        assert not len(made.small.rows), made.small
        assert not len(made.invalid), [values[row] for row in made.invalid[:5]]
        pseudonyms = made.values.strings()
        back = self.transform(form, pseudonyms, decrypt=True, **how)  # type: ignore[arg-type]
        assert not len(back.small.rows)
        assert not len(back.invalid), [pseudonyms[row] for row in back.invalid[:5]]
        assert back.values.strings() == list(values)
        return pseudonyms

    def tried(self, form: Format, values: Sequence[str], **how: object) -> list[str | None]:
        """Encrypt any values: each comes back, or is reported and shown as nothing."""
        made = self.transform(form, values, **how)  # type: ignore[arg-type]
        reported = set(made.small.rows.tolist()) | set(made.invalid.tolist())
        assert not set(made.small.rows.tolist()) & set(made.invalid.tolist())
        assert (np.diff(made.small.rows) > 0).all()
        assert (np.diff(made.invalid) > 0).all()
        if not how.get("tables"):
            assert bool(len(made.small.rows)) == bool(made.small.domain or len(made.small.rows))
            assert made.small.domain < MIN_DOMAIN
        pseudonyms = made.values.strings()
        assert len(pseudonyms) == len(values)
        assert all(not pseudonyms[row] for row in made.invalid)
        kept = [row for row in range(len(values)) if row not in reported]
        assert all(bool(pseudonyms[row]) == bool(values[row]) for row in kept)
        for row in kept:
            assert values[row].startswith("~") or not pseudonyms[row].startswith("~")
        if how.get("row_tweaks") is None:
            plain = [values[row] for row in kept]
            assert self.encrypted(form, plain, **how) == [pseudonyms[row] for row in kept]
        return [None if row in reported else pseudonym for row, pseudonym in enumerate(pseudonyms)]

    def invalid(self, form: Format, values: Sequence[str], *, decrypt: bool = False) -> list[str]:
        """Return those of the values that the format reports as invalid."""
        made = self.transform(form, values, decrypt=decrypt)
        assert all(not made.values.strings()[row] for row in made.invalid)
        return [values[row] for row in made.invalid]

    def unlinkable(self, form: Format, value: str) -> None:
        """Check that rows with other tweaks give other pseudonyms, which come back."""
        numbers = np.array([0, 1, 0, 2])
        tweaks = RowTweaks([b"one", b"two", b""], numbers)
        first, second, third, fourth = self.encrypted(form, [value] * 4, row_tweaks=tweaks)
        assert first == third
        assert len({first, second, fourth}) == 3
        (plain,) = self.encrypted(form, [value])
        assert plain not in (first, second, fourth)

    def even(self, strings: Sequence[str], characters: str = "0123456789") -> None:
        """Check that the characters are as frequent as they would be in random strings."""
        counts = Counter("".join(strings))
        total = sum(counts[character] for character in characters)
        expected = total / len(characters)
        assert expected > 1000
        statistic = sum((counts[c] - expected) ** 2 / expected for c in characters)
        freedom = len(characters) - 1
        # Beyond this, by chance, lies one of a million (Wilson and Hilferty's approximation).
        limit = freedom * (1 - 2 / (9 * freedom) + 4.75 * (2 / (9 * freedom)) ** 0.5) ** 3
        assert statistic < limit


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()
