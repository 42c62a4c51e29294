"""The manifest: what recovery needs to know and the pseudonyms can't carry.

It names the key and how each column was made, and holds no value and no key material. A check
value tells a wrong key before anything is decrypted, and a MAC tells a changed manifest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from secureml.concealed import SecretBytes, conceal
from secureml.errors import ManifestChangedError, ManifestError, PseudonymizationError
from secureml.pseudonymization.recipe import NORMALIZE, STRATEGIES, Recipe
from secureml.pseudonymization.strategies import ON_INVALID, SMALL_DOMAIN

__all__ = ["SCHEMA", "Column", "KeyReference", "Manifest"]

SCHEMA = 2
"""The version of the manifest's own layout; every earlier one can be read."""


@dataclass(frozen=True, slots=True)
class Column:
    """How one column was pseudonymized.

    Args:
        recipe: all that was decided beforehand.
        dtype: of the column before; recovery restores it.
        versions: whether another column tells the key's version of each row.
        rows: how many rows the column had.
        nulls: how many of them were null and stayed so.
        empty: how many were empty strings and stayed so.
        tokens: how many became tokens in place of a pseudonym of their format.
        nulled: how many values were replaced by null.
        sample: keyed digests of some pseudonyms, which tell this table from others.
    """

    recipe: Recipe
    dtype: str
    rows: int
    nulls: int
    empty: int
    tokens: int
    nulled: int
    versions: bool = False
    sample: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the entry as plain dicts, fit for JSON."""
        recipe = {one.name: getattr(self.recipe, one.name) for one in fields(Recipe)}
        entry = {one.name: getattr(self, one.name) for one in fields(Column)}
        del entry["recipe"]
        options = deepcopy(dict(self.recipe.options))
        return {**recipe, "options": options, **entry, "sample": list(self.sample)}


@dataclass(frozen=True, slots=True)
class KeyReference:
    """Which key a table was pseudonymized with.

    Args:
        name: as the key manager knows it.
        version: of the key, None where its source has no versions.
        environment: in which it was fetched, None if none was selected.
        check: hexadecimal, derived from the key for this alone.
        envelope: the key itself, wrapped under one that never leaves Vault; None for a key that
            is kept elsewhere.
    """

    name: str
    version: int | None
    environment: str | None
    check: str
    envelope: Mapping[str, str] | None = None

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
        schema: the version of its layout.
    """

    key: KeyReference
    columns: Mapping[str, Column]
    mac: str
    schema: int = SCHEMA

    @classmethod
    def sign(
        cls, key: KeyReference, columns: Mapping[str, Column], mac_key: bytes | SecretBytes
    ) -> Manifest:
        """Make a manifest with its MAC."""
        mac_key = conceal(mac_key)
        body = _body(SCHEMA, key, columns)
        return cls(key, dict(columns), _hmac(body, mac_key).finalize().hex())

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
        content = _fields(document, "the manifest", _MANIFEST)
        schema = content["schema"]
        if schema not in _LAYOUTS:
            _refuse(f"its schema is {schema}, and this version reads 1 to {SCHEMA}")
        key_fields, column_fields = _LAYOUTS[schema]
        key = KeyReference(**_fields(content["key"], "its key", key_fields))
        columns = {
            name: _column(name, _fields(column, f"column {name!r}", column_fields))
            for name, column in content["columns"].items()
        }
        return cls(key, columns, content["mac"], schema)

    def verify(self, mac_key: bytes | SecretBytes) -> None:
        """Check the MAC.

        Raises:
            ManifestChangedError: the manifest was changed after it was made.
        """
        mac_key = conceal(mac_key)
        fits = True
        try:
            body = _body(self.schema, self.key, self.columns)
            _hmac(body, mac_key).verify(bytes.fromhex(self.mac))
        except (InvalidSignature, ValueError):
            fits = False
        if not fits:
            raise ManifestChangedError(
                "the manifest can't be used: its MAC does not fit, because it was changed after it"
                " was made. Restore it from where it was kept unchanged"
            )

    def document(self) -> dict[str, Any]:
        """Return the manifest as plain dicts, strings and integers, fit for JSON."""
        return {**_body(self.schema, self.key, self.columns), "mac": self.mac}


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


def _texts(value: object) -> bool:
    return type(value) is list and all(map(_text, value))


def _optional_texts(value: object) -> bool:
    return value is None or (
        isinstance(value, dict) and _mapping(value) and all(map(_text, value.values()))
    )


def _options(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _mapping(value)
        and all(
            one is None or type(one) in (str, int, bool) or _texts(one) for one in value.values()
        )
    )


def _flag(value: object) -> bool:
    return type(value) is bool


_Checks = Mapping[str, Callable[[object], bool]]
_MANIFEST: _Checks = {"schema": _count, "key": _mapping, "columns": _mapping, "mac": _text}
_KEY_1: _Checks = {
    "name": _text,
    "version": _version,
    "environment": _optional_text,
    "check": _text,
}
_COLUMN_1: _Checks = {
    **dict.fromkeys(("strategy", "algorithm", "format", "domain", "dtype", "small_domain"), _text),
    **dict.fromkeys(("rows", "nulls", "empty", "tokens", "nulled"), _count),
}
_KEY_2: _Checks = {**_KEY_1, "envelope": _optional_texts}
_COLUMN_2: _Checks = {
    **_COLUMN_1,
    **dict.fromkeys(("format", "normalize", "tweak"), _optional_text),
    "on_invalid": _text,
    "options": _options,
    "versions": _flag,
    "sample": _texts,
}
_LAYOUTS = {1: (_KEY_1, _COLUMN_1), 2: (_KEY_2, _COLUMN_2)}
_KNOWN = {
    "strategy": STRATEGIES,
    "small_domain": SMALL_DOMAIN,
    "on_invalid": ON_INVALID,
    "normalize": (None, *NORMALIZE),
}
_RECIPE = tuple(one.name for one in fields(Recipe))


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


def _column(name: str, entry: Mapping[str, Any]) -> Column:
    recipe = Recipe(**{field: entry[field] for field in _RECIPE if field in entry})
    for field, known in _KNOWN.items():
        if getattr(recipe, field) not in known:
            _refuse(f"{field} of column {name!r} is not one that this version knows")
    problem = ""
    try:
        recipe.check()
    except PseudonymizationError as error:
        problem = str(error)
    if problem:
        _refuse(f"column {name!r}: {problem}")
    rest = {field: value for field, value in entry.items() if field not in _RECIPE}
    return Column(recipe, **{**rest, "sample": tuple(rest.get("sample", ()))})


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


def _body(schema: int, key: KeyReference, columns: Mapping[str, Column]) -> dict[str, Any]:
    key_fields, column_fields = _LAYOUTS[schema]
    entries = {name: column.document() for name, column in columns.items()}
    return {
        "schema": schema,
        "key": {field: getattr(key, field) for field in key_fields},
        "columns": {
            name: {field: entry[field] for field in column_fields}
            for name, entry in entries.items()
        },
    }


def _hmac(body: Mapping[str, Any], mac_key: SecretBytes) -> HMAC:
    """Start the MAC over the one JSON text that the content has: sorted, ASCII, no spaces."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    authenticator = HMAC(mac_key.reveal(), SHA256())
    authenticator.update(text.encode("ascii"))
    return authenticator
