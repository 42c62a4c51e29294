"""The format ``email``: addresses of electronic mail (RFC 5321, RFC 6531).

An address is local@host.tld: a local part of letters, digits and the characters that need no
quotes, in parts between points; and a host of labels with a top-level domain of letters. Quoted
local parts, comments and address literals are invalid. Letters beyond ASCII may stand in local
parts, and in hosts that are kept; the whole is then at most 63 characters.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats.base import Characters, Format, Ranks, Reading
from secureml.pseudonymization.parsing.chosen import ChosenCharacters
from secureml.pseudonymization.parsing.templates import find_folded
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.tables.character_classes import DIGIT, LETTER, alphabets, kinds
from secureml.pseudonymization.values.buffers import mask_of
from secureml.pseudonymization.values.kinds import Values
from secureml.pseudonymization.values.text import Text

__all__ = ["EmailFormat"]

_CHOICES = ("keep", "encrypt", "pseudonym")
_SIZES = (15, 25, 35)
"""The octets of a pseudonym before it is spelled in base32: 24, 40 or 56 characters."""
_LETTERS = {"local": "u", "host": "h"}
"""What pseudonyms begin with."""
_PARTS, _TOP = {"local": 0, "host": 1}, 2

Parts = NDArray[np.object_]
"""The parts of addresses, shape (rows, 3)."""

_LETTER, _OTHER = "\x01", "\x02"  # what characters beyond ASCII are folded to
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_LETTER}-]+"
_LABEL = rf"[A-Za-z0-9{_LETTER}](?:[A-Za-z0-9{_LETTER}-]{{0,61}}[A-Za-z0-9{_LETTER}])?"
_DOMAIN = rf"(?:[A-Za-z{_LETTER}]{{2,63}}|[Xx][Nn]--[A-Za-z0-9-]{{0,58}}[A-Za-z0-9])"
_ADDRESS = rf"\A{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_DOMAIN}\z"
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
        self.options = self._choices = {"local": local, "host": host}
        for option, choice in self._choices.items():
            if choice not in _CHOICES:
                allowed = ", ".join(map(repr, _CHOICES))
                raise PseudonymizationError(f"{option} of an email is one of {allowed}")
        if local == host == "keep":
            raise PseudonymizationError("local and host of an email can't both be kept")
        self._replaced = [part for part, one in self._choices.items() if one == "pseudonym"]

    def read(self, values: Text, *, decrypt: bool) -> Iterator[Reading]:
        """Read parts that become pseudonyms as ranks of octets, encrypted ones as characters."""
        rows, text = values.without(self._invalid(values))
        if not self._replaced:
            yield self._encrypted(rows, text)
            return
        rows = rows[text.lengths > 0]
        parts, read = _split(values.strings_at(rows)), _opened if decrypt else _padded
        octets = np.empty((len(rows), len(self._replaced)), object)
        for number, part in enumerate(self._replaced):
            octets[:, number] = [read(part, one) for one in parts[:, _PARTS[part]]]
        known = octets.astype(np.bool_).all(axis=1)
        rows, parts, octets = rows[known], parts[known], octets[known]
        for part, column in zip(self._replaced, octets.T, strict=True):
            yield self._ranks(part, rows, parts, column.tolist(), decrypt=decrypt)
        if "encrypt" in self._choices.values():
            bare = parts.copy()
            bare[:, [_PARTS[part] for part in self._replaced]] = ""
            yield self._encrypted(rows, Text.of(_joined(bare)))

    def written(self, made: Sequence[tuple[Any, Any]]) -> Iterable[tuple[Index, Values]]:
        """Put the parts of each address together."""
        if not self._replaced or not made:
            return super().written(made)
        rows = reduce(np.intersect1d, [reading.rows for reading, _ in made])
        first, _ = made[0]
        parts = first.context[np.searchsorted(first.rows, rows)]
        for reading, new in made:
            members = np.searchsorted(reading.rows, rows)
            if isinstance(reading, Characters):
                (part,) = set(_PARTS) - set(self._replaced)
                encrypted = _split(self.write(reading, new).strings_at(members))
                parts[:, _PARTS[part]] = encrypted[:, _PARTS[part]]
                continue
            part, spell = reading.layout
            counts = np.array(reading.sizes, object)[reading.group[members]]
            parts[:, _PARTS[part]] = [
                spell(part, rank.to_bytes((size.bit_length() - 1) // 8, "big"))
                for rank, size in zip(new[members], counts, strict=True)
            ]
        # What a pseudonym that was changed is decrypted to may make no address.
        text = Text.of(_joined(parts))
        return [(rows, text.blanked(self._invalid(text)))]

    def write(self, reading: Characters, new: Text) -> Text:
        """Write addresses with other characters in the encrypted parts."""
        text: Text = reading.context.put(new)
        return text

    def _ranks(
        self, part: str, rows: Index, parts: Parts, octets: Sequence[bytes], *, decrypt: bool
    ) -> Ranks:
        """Return the ranks of parts that become pseudonyms, or of pseudonyms.

        Each number of octets is a domain; of hosts, also each top-level domain.
        """
        labels = [f"host {top}" if part == "host" else part for top in parts[:, _TOP]]
        keys = list(zip(map(len, octets), labels, strict=True))
        domains = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        ranks = np.empty(len(rows), object)
        ranks[:] = [int.from_bytes(one, "big") for one in octets]
        return Ranks(
            rows=rows,
            ranks=ranks,
            group=np.array([domains[key] for key in keys], np.intp),
            sizes=[1 << 8 * size for size, _ in domains],
            tweaks=[f"{self.name} {size} {label}".encode() for size, label in domains],
            context=parts,
            layout=(part, _unpadded if decrypt else _sealed),
        )

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
        wide[text.rows_with(beyond)] = True
        fine &= ~wide | (ends - starts <= 63)
        reserved = _matches(column, _RESERVED)
        if self._choices["host"] == "encrypt":
            behind = np.arange(len(codes)) > np.repeat(at, text.lengths)
            wide[:] = False
            wide[text.rows_with(beyond & behind)] = True
            fine &= ~reserved & ~wide
        elif reserved.any():
            fine &= ~reserved | _matches(column, _ENCODED)
        return ~fine

    def _encrypted(self, rows: Index, text: Text) -> Characters:
        """Return the characters of those parts of addresses that are to be encrypted."""
        filled = np.flatnonzero(text.lengths)
        starts, ends = text.offsets[filled], text.offsets[filled + 1]
        at = np.flatnonzero(text.codes == ord("@"))
        # What is encrypted and what is kept, by turns.
        edges, parts = [starts, at], [self._choices["local"] == "encrypt", False]
        if self._choices["host"] == "encrypt":
            points = np.flatnonzero(text.codes == ord("."))
            edges += [at + 1, points[np.searchsorted(points, ends) - 1]]
            parts += [True, False]
        lengths = np.diff(np.stack([*edges, ends], axis=1), axis=1)
        chosen = ChosenCharacters(text, np.repeat(np.tile(parts, len(filled)), lengths.reshape(-1)))
        return Characters(
            rows=rows,
            text=chosen.picked(),
            table=alphabets(),
            label=f"{self.name} {self._choices['local']} {self._choices['host']} ",
            bound=chosen.kept(),
            context=chosen,
        )


def _split(addresses: Sequence[str]) -> Parts:
    """Take addresses apart, shape (addresses, 3): local part, host and top-level domain."""
    parts = np.empty((len(addresses), 3), object)
    for row, address in enumerate(addresses):
        local, _, domain = address.partition("@")
        host, _, top = domain.rpartition(".")
        parts[row] = local, host, top
    return parts


def _joined(parts: Parts) -> list[str]:
    """Put addresses together."""
    return [f"{local}@{host}.{top}" for local, host, top in parts.tolist()]


def _padded(part: str, written: str) -> bytes:
    """Return the octets of a part, filled up; none if it has too many."""
    octets = written.encode("utf-8") + b"\x80"
    size = next((size for size in _SIZES if size >= len(octets)), 0)
    return octets.ljust(size, b"\0") if size else b""


def _unpadded(part: str, octets: bytes) -> str:
    """Return what was filled up to these octets; nothing if there is none."""
    try:
        written = octets.rstrip(b"\0").removesuffix(b"\x80").decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return written if _padded(part, written) == octets else ""


def _sealed(part: str, octets: bytes) -> str:
    return _LETTERS[part] + base64.b32encode(octets).decode("ascii").lower()


def _opened(part: str, pseudonym: str) -> bytes:
    """Return the octets that a pseudonym spells; none if it is none."""
    if not _PSEUDONYM.fullmatch(pseudonym) or pseudonym[0] != _LETTERS[part]:
        return b""
    return base64.b32decode(pseudonym[1:].upper())


@cache
def _folds(*, encoded: bool) -> NDArray[np.uint8]:
    """Return what stands for each code point: an octet for all that the patterns take for one.

    Args:
        encoded: tell x and n from other letters, which matters only if -- follows them.
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
    return mask_of(pc.match_substring_regex(column, pattern))
