"""A format and a strategy of another package: licence plates, and tokens in hexadecimal digits."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import Format, Ranks
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies import Kind, Outcome, Strategy
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

_PLATE = re.compile("([A-Z]{2})([0-9]{2})( ?)([A-Z]{3})")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class PlateFormat(Format):
    """A British licence plate, such as AB12 CDE or AB12CDE, becomes another; its space is kept.

    Args:
        keep_area: keep the first two letters, which tell where the vehicle was registered.

    Raises:
        PseudonymizationError: the option is not true or false.
    """

    name = "example:plate/1"
    takes = (Text,)

    def __init__(self, *, keep_area: bool = False) -> None:
        if type(keep_area) is not bool:
            raise PseudonymizationError("keep_area of a plate is true or false")
        self.options = {"keep_area": keep_area}
        self._keep_area = keep_area

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Ranks]:
        """Rank the plates among those that keep the same."""
        found = [
            (row, plate)
            for row, value in enumerate(values.strings())
            if (plate := _PLATE.fullmatch(value))
        ]
        kept = [(plate[1] if self._keep_area else "", plate[3]) for _, plate in found]
        domains = sorted(set(kept))
        number = {domain: place for place, domain in enumerate(domains)}
        yield Ranks(
            rows=np.array([row for row, _ in found], np.intp),
            ranks=np.array([self._rank(plate) for _, plate in found], np.uint64),
            group=np.array([number[one] for one in kept], np.intp),
            sizes=[100 * 26**3 * (1 if self._keep_area else 26**2)] * len(domains),
            tweaks=[f"{self.name} {area}|{space}".encode() for area, space in domains],
            layout=domains,
        )

    def write(self, reading: Ranks, new: np.ndarray) -> Text:
        """Write the plates of the new ranks."""
        domains = [reading.layout[number] for number in reading.group.tolist()]
        return Text.of(
            [
                self._plate(rank, area, space)
                for rank, (area, space) in zip(new.tolist(), domains, strict=True)
            ]
        )

    def _rank(self, plate: re.Match[str]) -> int:
        letters = plate[4] if self._keep_area else plate[1] + plate[4]
        rank = int(plate[2])
        for letter in letters:
            rank = rank * 26 + _LETTERS.index(letter)
        return rank

    def _plate(self, rank: int, area: str, space: str) -> str:
        letters = ""
        for _ in range(3 if area else 5):
            rank, letter = divmod(rank, 26)
            letters = _LETTERS[letter] + letters
        area, letters = (area, letters) if area else (letters[:2], letters[2:])
        return f"{area}{rank:02}{space}{letters}"


class HexToken(Strategy):
    """Replaces every value by a token in hexadecimal digits, for systems that take no others.

    Args:
        keys: of the column's key domain.
        row_tweaks: a tweak for each row, or None.
        upper: whether the digits from 10 to 15 are capital letters.

    Raises:
        PseudonymizationError: the option is not true or false.
    """

    algorithm = "AES-256-SIV/hex"

    def __init__(
        self, keys: DomainKeys, row_tweaks: RowTweaks | None = None, *, upper: bool = False
    ) -> None:
        if type(upper) is not bool:
            raise PseudonymizationError("upper of a hexadecimal token is true or false")
        super().__init__(keys, row_tweaks, upper=upper)
        self._spell = str.upper if upper else str

    def protect(self, values: Values) -> Outcome:
        """Replace every value that is not empty by its token."""
        cipher = self._cipher()

        def seal(value: str, context: bytes) -> str:
            data = value.encode("utf-8", "surrogatepass")
            return self._spell(cipher.encrypt(data, [context]).hex())

        return Outcome(values=Text.of(self.each(seal, values.strings(), b"")))

    def recover(self, values: Values, kind: Kind) -> Values:
        """Open every token."""
        cipher = self._cipher()

        def unseal(token: str, context: bytes) -> str:
            data = cipher.decrypt(bytes.fromhex(token), [context])
            return data.decode("utf-8", "surrogatepass")

        try:
            return kind(self.each(unseal, values.strings(), b""))
        except (InvalidTag, ValueError):
            pass
        raise PseudonymizationError("some tokens were changed or belong to another column")

    def _cipher(self) -> AESSIV:
        return AESSIV(self.keys.of_strategy("example:hex_token/1", 64).reveal())
