"""The format ``email``: addresses of electronic mail (RFC 5321, RFC 6531).

An address is local@host.tld: a local part of letters, digits and the characters that need no
quotes, in parts between points; and a host of labels with a top-level domain of letters. Quoted
local parts, comments and address literals are invalid. Letters beyond ASCII may stand in local
parts, and in hosts that are kept; the whole is then at most 63 characters.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import (
    NONE_SMALL,
    Format,
    Option,
    TooSmall,
    Transformed,
)
from secureml.pseudonymization.parsing.pieces import blanked, rows_with, transform_pieces
from secureml.pseudonymization.parsing.templates import find_folded
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.tables.character_classes import DIGIT, LETTER, alphabets, kinds
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["EmailFormat"]

_CHOICES = ("keep", "encrypt", "pseudonym")
_SIZES = (15, 25, 35)
"""The octets of a pseudonym before it is spelled in base32: 24, 40 or 56 characters."""

_LETTER, _OTHER = "\x01", "\x02"  # what characters beyond ASCII are folded to
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_LETTER}-]+"
_LABEL = rf"[A-Za-z0-9{_LETTER}](?:[A-Za-z0-9{_LETTER}-]{{0,61}}[A-Za-z0-9{_LETTER}])?"
_TOP = rf"(?:[A-Za-z{_LETTER}]{{2,63}}|[Xx][Nn]--[A-Za-z0-9-]{{0,58}}[A-Za-z0-9])"
_ADDRESS = rf"\A{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_TOP}\z"
_RESERVED = r"[@.][A-Za-z0-9]{2}--"  # labels of this kind are encodings of others
_ENCODED = r"[@.][Xx][Nn]--"

_PSEUDONYM = re.compile("[uh](?:[a-z2-7]{24}|[a-z2-7]{40}|[a-z2-7]{56})")


class EmailFormat(Format):
    """An address becomes another valid one with the same top-level domain.

    Each part is kept; or encrypted, which keeps its length and classes; or replaced by one stable
    pseudonym, which hides these too: equal parts get equal ones, whatever the other part is. All
    that is encrypted is bound to all that is kept. A pseudonym is reversible, and so there is
    none of a part with more than 34 octets in UTF-8, which is invalid.

    Args:
        local: what becomes of the part before the @: "keep", "encrypt" or "pseudonym".
        host: what becomes of the part behind it, but for the top-level domain. Names in other
            scripts, and their encodings that begin with xn--, can't be encrypted and are invalid.

    Raises:
        PseudonymizationError: an option is another word, or both parts are kept.
    """

    name = "email/1"
    takes = (Text,)

    def __init__(self, *, local: str = "encrypt", host: str = "keep") -> None:
        for option, choice in (("local", local), ("host", host)):
            if choice not in _CHOICES:
                allowed = ", ".join(map(repr, _CHOICES))
                raise PseudonymizationError(f"{option} of an email is one of {allowed}")
        if local == host == "keep":
            raise PseudonymizationError("local and host of an email can't both be kept")
        self._local, self._host = local, host

    @property
    def options(self) -> Mapping[str, Option]:
        """What becomes of each part."""
        return {"local": self._local, "host": self._host}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute the parts of every address."""
        assert isinstance(values, Text)
        invalid = self._invalid(values)
        text = blanked(values, invalid)
        if "pseudonym" not in (self._local, self._host):
            return replace(self._encrypted(text, permutation), invalid=invalid)
        rows = np.flatnonzero(text.lengths)
        parts = _Parts.of(text.strings_at(rows))
        wrong = np.zeros(len(rows), np.bool_)
        small, domain = NONE_SMALL, 0
        if self._local == "pseudonym":
            labels = ["local"] * len(rows)
            parts.local, bad, domain = _pseudonyms("u", parts.local, labels, permutation.at(rows))
            wrong |= bad
        if self._host == "pseudonym":
            labels = [f"host {top}" for top in parts.top]
            parts.host, bad, domain = _pseudonyms("h", parts.host, labels, permutation.at(rows))
            wrong |= bad
        if "encrypt" in (self._local, self._host):  # one of them, and bound to the last part only
            hidden = [""] * len(rows)
            local, host = (
                (parts.local, hidden) if self._local == "encrypt" else (hidden, parts.host)
            )
            bare = Text.of(_Parts(local, host, parts.top).addresses())
            made = self._encrypted(bare, permutation.at(rows))
            assert isinstance(made.values, Text)
            new = _Parts.of(made.values.strings())
            if self._local == "encrypt":
                parts.local = new.local
            else:
                parts.host = new.host
            small = TooSmall(rows[made.small.rows], made.small.domain)
            domain = min(filter(None, (domain, made.domain)), default=0)
        text = text.replaced(rows, parts.addresses())
        # What a pseudonym that was changed is decrypted to may make no address.
        wrong[np.isin(rows, self._invalid(text))] = True
        invalid = np.union1d(invalid, rows[wrong]).astype(np.intp)
        rest = np.setdiff1d(small.rows, invalid)
        small = replace(small, rows=rest) if len(rest) else NONE_SMALL
        text = blanked(text, np.union1d(invalid, small.rows).astype(np.intp))
        return Transformed(text, small, invalid, domain)

    def _invalid(self, text: Text) -> Index:
        """Return the rows that hold no address of which the parts can become what they are to."""
        # Of addresses that differ in such characters alone as no pattern tells apart, one is read.
        dashes = text.codes == ord("-")
        folds = _folds(encoded=bool((dashes[1:] & dashes[:-1]).any()))
        distinct, number = find_folded(text, folds)
        foreign = self._foreign(distinct)
        filled = text.lengths > 0
        return np.flatnonzero(filled & foreign[0 if number is None else number])

    def _foreign(self, text: Text) -> NDArray[np.bool_]:
        """Tell which of some folded values are no such addresses."""
        codes, starts, ends = text.codes, text.offsets[:-1], text.offsets[1:]
        buffers = [None, pa.py_buffer(text.offsets), pa.py_buffer(codes)]
        column = pa.Array.from_buffers(pa.large_string(), len(text), buffers)
        fine = _matches(column, _ADDRESS)
        places = np.flatnonzero(codes == ord("@"))
        at = np.full(len(text), -1)
        at[np.searchsorted(text.offsets, places, side="right") - 1] = places
        fine &= (at - starts <= 64) & (ends - at <= 254) & (ends - starts <= 254)
        beyond = (codes == ord(_LETTER)) | (codes == ord(_OTHER))
        wide = np.zeros(len(text), np.bool_)
        wide[rows_with(text, beyond)] = True
        fine &= ~wide | (ends - starts <= 63)
        reserved = _matches(column, _RESERVED)
        if self._host == "encrypt":
            behind = np.arange(len(codes)) > np.repeat(at, text.lengths)
            wide[:] = False
            wide[rows_with(text, beyond & behind)] = True
            fine &= ~reserved & ~wide
        elif reserved.any():
            fine &= ~reserved | _matches(column, _ENCODED)
        return ~fine

    def _encrypted(self, text: Text, permutation: Permutation) -> Transformed:
        """Encrypt the parts of addresses that are to be encrypted."""
        filled = np.flatnonzero(text.lengths)
        starts, ends = text.offsets[filled], text.offsets[filled + 1]
        at = np.flatnonzero(text.codes == ord("@"))
        # What is encrypted and what is kept, by turns.
        edges, parts = [starts, at], [self._local == "encrypt", False]
        if self._host == "encrypt":
            points = np.flatnonzero(text.codes == ord("."))
            edges += [at + 1, points[np.searchsorted(points, ends) - 1]]
            parts += [True, False]
        lengths = np.diff(np.stack([*edges, ends], axis=1), axis=1)
        chosen = np.repeat(np.tile(parts, len(filled)), lengths.reshape(-1))
        name = f"{self.name} {self._local} {self._host} "
        return transform_pieces(text, chosen, permutation, alphabets(), name)


@dataclass
class _Parts:
    """The parts of some addresses."""

    local: list[str]
    host: list[str]
    top: list[str]

    @classmethod
    def of(cls, addresses: Sequence[str]) -> _Parts:
        """Take addresses apart."""
        parts = cls([], [], [])
        for address in addresses:
            local, _, domain = address.partition("@")
            host, _, top = domain.rpartition(".")
            parts.local.append(local)
            parts.host.append(host)
            parts.top.append(top)
        return parts

    def addresses(self) -> list[str]:
        """Put them together."""
        parts = zip(self.local, self.host, self.top, strict=True)
        return [f"{local}@{host}.{top}" for local, host, top in parts]


def _pseudonyms(
    letter: str, parts: Sequence[str], labels: Sequence[str], permutation: Permutation
) -> tuple[list[str], NDArray[np.bool_], int]:
    """Replace parts by pseudonyms, or the other way round.

    Args:
        letter: which pseudonyms begin with.
        parts: one a row.
        labels: what each is bound to.
        permutation: of these rows, in either direction.

    Returns:
        The new parts, which of them can't be had, and the size of the smallest domain.
    """
    read, spell = (_opened, _unpadded) if permutation.decrypt else (_padded, _sealed)
    octets = [read(letter, part) for part in parts]
    new = [""] * len(parts)
    rows = np.array([row for row, one in enumerate(octets) if one], np.intp)
    found = [octets[row] for row in rows.tolist()]
    keys = [(len(one), labels[row]) for row, one in zip(rows.tolist(), found, strict=True)]
    domains = list(dict.fromkeys(keys))
    place = {key: number for number, key in enumerate(domains)}
    group = np.array([place[key] for key in keys], np.intp)
    tweaks = [f"{EmailFormat.name} {size} {label}".encode() for size, label in domains]
    sizes, ranks = [1 << 8 * size for size, _ in domains], np.empty(len(rows), object)
    ranks[:] = [int.from_bytes(one, "big") for one in found]
    ranks = permutation.at(rows).permute(sizes, tweaks, group, ranks)
    for row, rank, one in zip(rows.tolist(), ranks.tolist(), found, strict=True):
        new[row] = spell(letter, rank.to_bytes(len(one), "big"))
    failed = np.array([not part for part in new], np.bool_)
    return new, failed, 1 << 8 * min((size for size, _ in domains), default=0)


def _padded(letter: str, part: str) -> bytes:
    """Return the octets of a part, filled up; none if it has too many."""
    octets = part.encode("utf-8") + b"\x80"
    size = next((size for size in _SIZES if size >= len(octets)), 0)
    return octets.ljust(size, b"\0") if size else b""


def _unpadded(letter: str, octets: bytes) -> str:
    """Return the part that was filled up to these octets; nothing if there is none."""
    part = None
    try:
        part = octets.rstrip(b"\0").removesuffix(b"\x80").decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return part if _padded(letter, part) == octets else ""


def _sealed(letter: str, octets: bytes) -> str:
    return letter + base64.b32encode(octets).decode("ascii").lower()


def _opened(letter: str, pseudonym: str) -> bytes:
    """Return the octets that a pseudonym spells; none if it is none."""
    if not _PSEUDONYM.fullmatch(pseudonym) or pseudonym[0] != letter:
        return b""
    return base64.b32decode(pseudonym[1:].upper())


@cache
def _folds(*, encoded: bool) -> NDArray[np.uint8]:
    """Return what stands for each code point: an octet for all that the patterns take for one.

    Args:
        encoded: tell x and n from other letters, which matters only where -- follows them.
    """
    kind = kinds()
    folds = np.where(kind > 0, np.uint8(ord(_LETTER)), np.uint8(ord(_OTHER)))
    folds[:0x80] = 0
    for octet in b"-.@":
        folds[octet] = octet
    folds[list(b"!#$%&'*+/=?^_`{|}~")] = ord("!")
    narrow = np.arange(0x80)
    folds[narrow[kind[:0x80] == DIGIT]] = ord("0")
    folds[narrow[kind[:0x80] == LETTER]] = ord("a")
    if encoded:
        folds[list(b"XxNn")] = list(b"xxnn")
    return folds


def _matches(column: pa.LargeStringArray, pattern: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.match_substring_regex(column, pattern).to_numpy(
        zero_copy_only=False
    )
    return found.copy()
