"""The fields of each schema of a manifest, and what each may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, NoReturn

from secureml.errors import ManifestError

__all__ = [
    "COUNTS",
    "LAYOUTS",
    "SCHEMA",
    "SKETCH",
    "VERSION_3",
    "Layout",
    "ascending",
    "fields_of",
    "refuse",
]

SCHEMA = 3
"""The version of the manifest's own layout; every earlier one can be read."""

_Check = Callable[[object], bool]


def _is(*kinds: Any) -> _Check:
    return lambda value: type(value) in kinds


def _list_of(fits: _Check) -> _Check:
    return lambda value: type(value) is list and all(map(fits, value))


def _by_name(fits: _Check) -> _Check:
    return lambda value: (
        type(value) is dict and all(map(_text, value)) and all(map(fits, value.values()))
    )


_text = _is(str)
_optional_text = _is(str, NoneType)
_flag = _is(bool)
_texts = _list_of(_text)
_mapping = _by_name(lambda value: True)
_mappings = _list_of(_mapping)


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _version(value: object) -> bool:
    return value is None or (_count(value) and value != 0)


def _envelope(value: object) -> bool:
    return value is None or _by_name(_text)(value)


def _option(value: object) -> bool:
    if type(value) is int:
        return -1 << 127 <= value < 1 << 127
    return value is None or type(value) in (str, bool) or _texts(value)


_options = _by_name(_option)

_Checks = Mapping[str, _Check]


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of one schema, each with the check of its type.

    ``optional`` are those of a column that may be missing, if all of a group are.
    """

    manifest: _Checks
    key: _Checks
    version: _Checks | None
    column: _Checks
    optional: tuple[frozenset[str], ...] = ()

    def of_column(self, entry: object) -> _Checks:
        """Return the fields that the entry of a column must have."""
        given = entry.keys() if type(entry) is dict else set()
        absent = frozenset[str]().union(*(group for group in self.optional if not group & given))
        return {field: check for field, check in self.column.items() if field not in absent}


COUNTS = ("rows", "nulls", "empty", "tokens", "nulled")
"""The fields of a column that tell of its rows."""

_MANIFEST_1: _Checks = {"schema": _count, "key": _mapping, "columns": _mapping, "mac": _text}
_KEY_1: _Checks = {
    "name": _text,
    "version": _version,
    "environment": _optional_text,
    "check": _text,
}
_COLUMN_1: _Checks = {
    **dict.fromkeys(("strategy", "algorithm", "format", "domain", "dtype", "small_domain"), _text),
    **dict.fromkeys(COUNTS, _count),
}
_KEY_2: _Checks = {**_KEY_1, "envelope": _envelope}
_COLUMN_2: _Checks = {
    **_COLUMN_1,
    **dict.fromkeys(("format", "normalize", "tweak"), _optional_text),
    "on_invalid": _text,
    "options": _options,
    "versions": _flag,
    "sample": _texts,
}
_KEY_3: _Checks = {"name": _text, "environment": _optional_text, "version": _version}
VERSION_3: _Checks = {"version": _version, "check": _text, "envelope": _envelope}
_COLUMN_3: _Checks = {
    **{field: check for field, check in _COLUMN_2.items() if field != "sample"},
    **dict.fromkeys(("domain_prefix", "tables", "arrow", "tweak_arrow"), _optional_text),
    "sketches": _mappings,
}
_UNREAD_3 = frozenset(COUNTS), frozenset(("sketches",))  # what is known of rows that were read
SKETCH: _Checks = {"version": _version, "values": _optional_text, "pairs": _optional_text}
LAYOUTS = {
    1: Layout(_MANIFEST_1, _KEY_1, None, _COLUMN_1),
    2: Layout(_MANIFEST_1, _KEY_2, None, _COLUMN_2),
    3: Layout({**_MANIFEST_1, "versions": _mappings}, _KEY_3, VERSION_3, _COLUMN_3, _UNREAD_3),
}


def fields_of(value: object, what: str, checks: _Checks) -> dict[str, Any]:
    """Return a mapping that has exactly the wanted fields, each of its type.

    Args:
        value: what should be such a mapping.
        what: what messages call it.
        checks: the wanted fields, each with the check of its value.

    Raises:
        ManifestError: it is none.
    """
    if type(value) is not dict:
        refuse(f"{what} is {type(value).__name__}, not an object with fields")
    missing = [name for name in checks if name not in value]
    if missing:
        refuse(f"{what} lacks {', '.join(missing)}")
    if len(value) > len(checks):
        refuse(f"{what} has fields that this version does not know")
    for name, fits in checks.items():
        if not fits(value[name]):
            refuse(f"{name} of {what} has the wrong type")
    return value


def ascending(versions: Iterable[int | None]) -> list[int | None]:
    """Return versions in order, each once; that of a key without versions is the first."""
    return sorted({*versions}, key=lambda version: version or 0)


def refuse(problem: str) -> NoReturn:
    """Raise the error of a manifest that can't be read."""
    raise ManifestError(f"the manifest can't be used: {problem}")
