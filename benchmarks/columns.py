"""The columns that are measured: made-up values of each kind, distinct or repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from secureml.registry import FORMATS

__all__ = ["DTYPES", "KINDS", "OTHERS", "Kind", "frame", "rule_of"]

CUSTOMERS = Path(__file__).parents[1] / "examples" / "customers.csv"
DTYPES = ("str", "object", "large_string[pyarrow]")
_INTEGERS = ("int64", "Int64", "int64[pyarrow]")
_DIGITS, _HEX, _LOWER = "0123456789", "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz"
_PRIME = 982_451_653  # it divides no size of a domain here, so that its multiples are distinct


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Values of one kind, and how they are pseudonymized.

    Args:
        name: for the table.
        make: makes so many values, distinct unless the kind has too few.
        format: of "fpe", None if another strategy is measured.
        rule: more arguments of ``anonymize`` about the one column ``x``.
        dtypes: of the column.
        alphabet: of the values without their separators, where a peer that takes one alphabet
            can do the kind.
        part: one in so many rows is measured, where all would take minutes.
        share: of the floor that it should reach.
        times: how many times faster than the fastest peer it should be, None for no target.
        few: whether there are so few values that they repeat in any long column.
    """

    name: str
    make: Callable[[int], pa.Array]
    format: str | None
    rule: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Sequence[str] = DTYPES
    alphabet: str | None = None
    part: int = 1
    share: float | None = None
    times: float | None = 20
    few: bool = False

    @property
    def known(self) -> bool:
        """Whether this version of secureml has the format."""
        short = {name.partition("/")[0] for name in FORMATS.built_in}
        return self.format is None or self.format.partition(":")[0] in short

    def plain(self, count: int) -> list[str]:
        """Return values as a peer takes them: of the alphabet alone, where there is one."""
        texts = pc.cast(self.make(count), pa.string()).to_pylist()
        if self.alphabet is None:
            return texts
        return ["".join(one for one in text if one in self.alphabet) for text in texts]


def frame(kind: Kind, rows: int, dtype: str, *, repeated: bool) -> pd.DataFrame:
    """Make a table of one column, ``x``.

    Args:
        kind: of its values.
        rows: how many.
        dtype: of the column.
        repeated: let 1 % of the values be distinct, instead of all.
    """
    if repeated:
        values = kind.make(max(rows // 100, 1))
        values = values.take(pa.array(np.random.default_rng(2).integers(0, len(values), rows)))
    else:
        values = kind.make(rows)
    return pd.DataFrame({"x": pd.Series(values.to_numpy(zero_copy_only=False)).astype(dtype)})


def rule_of(kind: Kind) -> dict[str, Any]:
    """Return the arguments of ``anonymize`` for a kind."""
    formats = {} if kind.format is None else {"x": kind.format}
    return {"sensitive_columns": ["x"], "formats": formats, **kind.rule}


def _spread(count: int, size: int) -> NDArray[np.int64]:
    """Return distinct numbers below a size, in no order to speak of."""
    return np.arange(count) * _PRIME % size


def _digits(numbers: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Return the decimal digits, shape (numbers, width)."""
    places = 10 ** np.arange(width - 1, -1, -1)
    return (numbers[:, None] // places % 10 + ord("0")).astype(np.uint8)


def _hex(octets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the hexadecimal digits, shape (rows, 2 * octets)."""
    digits = np.frombuffer(_HEX.encode(), np.uint8)
    return digits[np.stack([octets >> 4, octets & 15], axis=-1)].reshape(len(octets), -1)


def _text(*parts: NDArray[np.uint8] | str) -> pa.Array:
    """Put columns of characters, and characters that are the same in all rows, side by side."""
    rows = next(len(part) for part in parts if not isinstance(part, str))
    grids = [
        np.broadcast_to(np.frombuffer(part.encode(), np.uint8), (rows, len(part)))
        if isinstance(part, str)
        else part
        for part in parts
    ]
    grid = np.hstack(grids)
    offsets = np.arange(rows + 1) * grid.shape[1]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(grid))]
    return pa.Array.from_buffers(pa.large_string(), rows, buffers)


def _joined(separator: str, *parts: pa.Array) -> pa.Array:
    strings = [pc.cast(part, pa.large_string()) for part in parts]
    return pc.binary_join_element_wise(*strings, pa.scalar(separator, pa.large_string()))


def ssns(count: int) -> pa.Array:
    """Social security numbers, all of which could be assigned."""
    rank = _spread(count, 898 * 99 * 9999)
    area = rank // (99 * 9999) + 1
    area += area >= 666
    group, serial = rank // 9999 % 99 + 1, rank % 9999 + 1
    return _text(_digits(area, 3), "-", _digits(group, 2), "-", _digits(serial, 4))


def cards(count: int) -> pa.Array:
    """Card numbers whose check digit is right."""
    grid = _digits(4 * 10**14 + _spread(count, 10**14), 15)
    doubled = 2 * (grid[:, ::2] - ord("0"))
    total = (doubled // 10 + doubled % 10).sum(axis=1) + (grid[:, 1::2] - ord("0")).sum(axis=1)
    return _text(grid, _digits(-total.astype(np.int64) % 10, 1))


def names(count: int) -> pa.Array:
    """Any first name of the example data with any last name: accents, several scripts."""
    words = pd.read_csv(CUSTOMERS, dtype="str")["name"].dropna().str.split(" ")
    first, last = pa.array(words.str[0].unique()), pa.array(words.str[-1].unique())
    pair = _spread(count, len(first) * len(last))
    return _joined(
        " ", first.take(pa.array(pair // len(last))), last.take(pa.array(pair % len(last)))
    )


def emails(count: int) -> pa.Array:
    """Addresses of the example data, with a number each."""
    parts = pd.read_csv(CUSTOMERS, dtype="str")["email"].dropna().str.split("@")
    local, domain = pa.array(parts.str[0].unique()), pa.array(parts.str[1].unique())
    row = np.arange(count)
    number = pa.array(row // len(local))
    named = _joined("", local.take(pa.array(row % len(local))), number)
    return _joined("@", named, domain.take(pa.array(row % len(domain))))


def uuids(count: int) -> pa.Array:
    """UUIDs of version 4."""
    octets = np.frombuffer(np.random.default_rng(1).bytes(16 * count), np.uint8).reshape(-1, 16)
    octets = octets.copy()
    octets[:, 6] = octets[:, 6] & 0x0F | 0x40
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    digits = _hex(octets)
    a, b, c, d, e = np.split(digits, (8, 12, 16, 20), axis=1)
    return _text(a, "-", b, "-", c, "-", d, "-", e)


def integers(count: int) -> pa.Array:
    """Whole numbers of nine digits, as account numbers are."""
    return pa.array(10**8 + _spread(count, 9 * 10**8))


def _day_numbers(count: int) -> NDArray[np.int64]:
    return _spread(count, 36_500)


def dates(count: int) -> pa.Array:
    """Days of the hundred years from 1925 on, as text; they repeat."""
    days = np.datetime64("1925-01-01", "D") + _day_numbers(count)
    return pa.array(days).cast(pa.string())


def datetimes(count: int) -> pa.Array:
    """Seconds of the hundred years from 1925 on, as text."""
    seconds = np.datetime64("1925-01-01", "s") + _spread(count, 36_500 * 86_400)
    return pa.array(np.datetime_as_string(seconds))


def ibans(count: int) -> pa.Array:
    """German ones with the right check digits."""
    account = _spread(count, 10**18)
    check = 98 - (account % 97 * 10**6 + 131_400) % 97
    return _text("DE", _digits(check, 2), _digits(account, 18))


def phones(count: int) -> pa.Array:
    """Numbers of San Francisco and around, in E.164."""
    areas = np.array([415, 510, 628, 650])
    number = _spread(count, 4 * 8 * 10**6)
    return _text("+1", _digits(areas[number % 4], 3), _digits(number // 4 + 2 * 10**6, 7))


def ipv4s(count: int) -> pa.Array:
    """Any addresses."""
    number = _spread(count, 1 << 32)
    return _joined(".", *[pa.array(number >> shift & 255) for shift in (24, 16, 8, 0)])


def ipv6s(count: int) -> pa.Array:
    """Addresses for documentation, none of them shortened."""
    random = np.random.default_rng(1)
    words = pa.array([f"{word:x}" for word in range(1, 1 << 16)])
    groups = [words.take(pa.array(random.integers(0, len(words), count))) for _ in range(6)]
    return _joined(":", *[pa.array([part] * count) for part in ("2001", "db8")], *groups)


def decimals(count: int) -> pa.Array:
    """Amounts with two decimal places."""
    cents = 10**8 + _spread(count, 9 * 10**8)
    return _text(_digits(cents // 100, 7), ".", _digits(cents % 100, 2))


def digits(count: int) -> pa.Array:
    """Twelve digits with spaces."""
    number = _spread(count, 10**12)
    return _text(*[x for k in (8, 4, 0) for x in (_digits(number // 10**k % 10**4, 4), " ")][:-1])


def letters(count: int) -> pa.Array:
    """Ten small letters."""
    number = _spread(count, 26**10)
    return _text((number[:, None] // 26 ** np.arange(10) % 26 + ord("a")).astype(np.uint8))


def codes(count: int) -> pa.Array:
    """Ten hexadecimal digits."""
    number = _spread(count, 16**10).astype(">i8")
    return _text(_hex(number.view(np.uint8).reshape(-1, 8)[:, 3:]))


def policies(count: int) -> pa.Array:
    """Numbers of contracts, of which a part says nothing of the person."""
    number = _spread(count, 10**8)
    return _text("DE-", _digits(number // 10**4, 4), "/", _digits(number % 10**4, 4), "-L")


KINDS = (
    Kind(name="SSN", make=ssns, format="ssn", alphabet=_DIGITS, share=0.25, times=45),
    Kind(name="card", make=cards, format="credit_card", alphabet=_DIGITS),
    Kind(name="name", make=names, format="class", rule={"small_domain": "token"}),
    Kind(name="e-mail", make=emails, format="email", rule={"small_domain": "token"}),
    Kind(name="UUID", make=uuids, format="uuid", alphabet=_HEX),
    Kind(name="integer", make=integers, format="integer", dtypes=_INTEGERS, alphabet=_DIGITS),
    Kind(name="date", make=dates, format="date", rule={"small_domain": "permute"}, few=True),
)
"""Those that are measured in every dtype, at every size."""

OTHERS = (
    Kind(name="SSN, class", make=ssns, format="class", alphabet=_DIGITS),
    Kind(name="e-mail, class", make=emails, format="class", rule={"small_domain": "token"}),
    Kind(name="digits", make=digits, format="digits", alphabet=_DIGITS),
    Kind(name="letters", make=letters, format="letters", alphabet=_LOWER),
    Kind(name="alphabet", make=codes, format=f"alphabet:{_HEX}", alphabet=_HEX),
    Kind(name="phone", make=phones, format="phone", rule={"on_invalid": "token"}),
    Kind(name="IBAN", make=ibans, format="iban"),
    Kind(name="datetime", make=datetimes, format="datetime"),
    Kind(name="decimal", make=decimals, format="decimal"),
    Kind(name="IPv4", make=ipv4s, format="ipv4"),
    Kind(name="IPv6", make=ipv6s, format="ipv6"),
    Kind(name="regex", make=policies, format=r"regex:DE-(\d{4})/(\d{4})-L", part=10),
    Kind(
        name="token of an SSN",
        make=ssns,
        format=None,
        rule={"strategy": "token"},
        part=10,
        times=None,
    ),
    Kind(name="hash of an SSN", make=ssns, format=None, rule={"strategy": "hash"}, times=None),
    Kind(name="mask of an SSN", make=ssns, format=None, rule={"strategy": "mask"}, times=None),
)
"""Those that are measured as ``str``, at one size."""
