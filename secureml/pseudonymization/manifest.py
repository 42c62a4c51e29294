"""The manifest: what recovery needs to know and the pseudonyms can't carry.

It names the key and how each column was made, and holds no value and no key material. A check
value tells a wrong key before anything is decrypted, and a MAC tells a changed manifest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from secureml.errors import ManifestError
from secureml.pseudonymization.formats import CLASS_FORMAT
from secureml.pseudonymization.integers import INTEGER_FORMAT
from secureml.pseudonymization.strategies import ALGORITHM, SMALL_DOMAIN

__all__ = ["SCHEMA", "Column", "KeyReference", "Manifest"]

SCHEMA = 1
"""The version of the manifest's own layout."""


@dataclass(frozen=True, slots=True)
class Column:
    """How one column was pseudonymized.

    Args:
        strategy: "fpe".
        algorithm: "FF1-AES256".
        format: "class/1" or "integer/1".
        domain: the name that the column's keys are derived with.
        dtype: of the column before; recovery of integers restores it.
        small_domain: the policy, "error", "token" or "null".
        rows: how many rows the column had.
        nulls: how many of them were null and stayed so.
        empty: how many were empty strings and stayed so.
        tokens: how many became tokens.
        nulled: how many values were replaced by null.
    """

    strategy: str
    algorithm: str
    format: str
    domain: str
    dtype: str
    small_domain: str
    rows: int
    nulls: int
    empty: int
    tokens: int
    nulled: int


@dataclass(frozen=True, slots=True)
class KeyReference:
    """Which key a table was pseudonymized with.

    Args:
        name: as the key manager knows it.
        version: of the key, None where its source has no versions.
        environment: in which it was fetched, None if none was selected.
        check: hexadecimal, derived from the key for this alone.
    """

    name: str
    version: int | None
    environment: str | None
    check: str

    def __str__(self) -> str:
        version = "" if self.version is None else f" version {self.version}"
        place = "" if self.environment is None else f" of environment {self.environment!r}"
        return f"key {self.name!r}{version}{place}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a table.

    Args:
        key: which one was used.
        columns: by name.
        mac: hexadecimal, HMAC-SHA256 of everything else under a key derived for this alone.
    """

    key: KeyReference
    columns: Mapping[str, Column]
    mac: str

    @classmethod
    def sign(cls, key: KeyReference, columns: Mapping[str, Column], mac_key: bytes) -> Manifest:
        """Make a manifest with its MAC."""
        return cls(key, dict(columns), _hmac(key, columns, mac_key).finalize().hex())

    @classmethod
    def parse(cls, document: object) -> Manifest:
        """Read a manifest.

        Args:
            document: the mapping that ``document`` returns, or its JSON text.

        Raises:
            ManifestError: it is not a manifest of a known version, or a field is missing, unknown
                or of the wrong type.
        """
        if isinstance(document, str):
            document = _json(document)
        fields = _fields(document, "the manifest", _MANIFEST)
        if fields["schema"] != SCHEMA:
            _refuse(f"its schema is {fields['schema']}, and this version reads {SCHEMA}")
        key = KeyReference(**_fields(fields["key"], "its key", _KEY))
        columns = {
            name: Column(**_fields(column, f"column {name!r}", _COLUMN))
            for name, column in fields["columns"].items()
        }
        for name, column in columns.items():
            _check_column(name, column)
        return cls(key, columns, fields["mac"])

    def verify(self, mac_key: bytes) -> None:
        """Check the MAC.

        Raises:
            ManifestError: the manifest was changed after it was made.
        """
        fits = True
        try:
            _hmac(self.key, self.columns, mac_key).verify(bytes.fromhex(self.mac))
        except (InvalidSignature, ValueError):
            fits = False
        if not fits:
            _refuse("its MAC does not fit: it was changed after it was made")

    def document(self) -> dict[str, Any]:
        """Return the manifest as plain dicts, strings and integers, fit for JSON."""
        return {**_body(self.key, self.columns), "mac": self.mac}


def _text(value: object) -> bool:
    return type(value) is str


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _version(value: object) -> bool:
    return value is None or (_count(value) and value != 0)


def _optional_text(value: object) -> bool:
    return value is None or _text(value)


def _mapping(value: object) -> bool:
    return type(value) is dict and all(map(_text, value))


_Checks = Mapping[str, Callable[[object], bool]]
_MANIFEST: _Checks = {"schema": _count, "key": _mapping, "columns": _mapping, "mac": _text}
_KEY: _Checks = {
    "name": _text,
    "version": _version,
    "environment": _optional_text,
    "check": _text,
}
_COLUMN: _Checks = {
    **dict.fromkeys(("strategy", "algorithm", "format", "domain", "dtype", "small_domain"), _text),
    **dict.fromkeys(("rows", "nulls", "empty", "tokens", "nulled"), _count),
}
_KNOWN = {
    "strategy": ("fpe",),
    "algorithm": (ALGORITHM,),
    "format": (CLASS_FORMAT, INTEGER_FORMAT),
    "small_domain": SMALL_DOMAIN,
}


def _fields(value: object, what: str, checks: _Checks) -> dict[str, Any]:
    """Return a mapping that has exactly the wanted fields, each of its type."""
    if type(value) is not dict:
        _refuse(f"{what} is {type(value).__name__}, not an object with fields")
    missing = [name for name in checks if name not in value]
    if missing:
        _refuse(f"{what} lacks {', '.join(missing)}")
    if len(value) > len(checks):
        _refuse(f"{what} has fields that this version does not know")
    for name, fits in checks.items():
        if not fits(value[name]):
            _refuse(f"{name} of {what} has the wrong type")
    return value


def _check_column(name: str, column: Column) -> None:
    for field, known in _KNOWN.items():
        if getattr(column, field) not in known:
            _refuse(f"{field} of column {name!r} is not one that this version knows")


def _refuse(problem: str) -> NoReturn:
    raise ManifestError(f"the manifest can't be used: {problem}")


def _json(text: str) -> object:
    document = None
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        document = None
    if document is None:
        _refuse("it is not JSON")
    return document


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a name given twice, of which JSON would keep the last."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name is given twice")
    return fields


def _body(key: KeyReference, columns: Mapping[str, Column]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "key": asdict(key),
        "columns": {name: asdict(column) for name, column in columns.items()},
    }


def _hmac(key: KeyReference, columns: Mapping[str, Column], mac_key: bytes) -> HMAC:
    """Start the MAC over the one JSON text that the content has: sorted, ASCII, no spaces."""
    body = _body(key, columns)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    authenticator = HMAC(mac_key, SHA256())
    authenticator.update(text.encode("ascii"))
    return authenticator
