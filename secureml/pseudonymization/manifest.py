"""The manifest: what recovery needs to know and the pseudonyms can't carry.

It names the key and how each column was made, and holds no value and no key material. A check
value tells a wrong key before anything is decrypted, and a MAC tells a changed manifest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, astuple, dataclass, fields, replace
from operator import add
from types import NoneType
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from secureml.errors import ManifestChangedError, ManifestError, PseudonymizationError
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.keys import KeyReference, Keyring
from secureml.pseudonymization.manifest_view import manifest_html
from secureml.pseudonymization.sketch import Sketch
from secureml.secret_types import SecretBytes, conceal
from secureml.settings.rules import CHOICES

__all__ = [
    "SCHEMA",
    "Column",
    "ColumnManifests",
    "Counts",
    "Manifest",
    "ManifestDocument",
    "read_json",
]

SCHEMA = 3
"""The version of the manifest's own layout; every earlier one can be read."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows a column had, and what became of them.

    Args:
        rows: all of them; of a column inside of lists, its values.
        nulls: those that were null and stayed so.
        empty: those that were empty strings and stayed so.
        tokens: those that became tokens in place of a pseudonym of their format.
        nulled: those whose value was replaced by null.
    """

    rows: int
    nulls: int
    empty: int
    tokens: int
    nulled: int

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of two parts of a column together."""
        return Counts(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class Column:
    """How one column was pseudonymized.

    Args:
        recipe: all that was decided beforehand.
        dtype: of the column before; recovery restores it.
        versions: whether another column tells the key's version of each row.
        counts: of its rows; None if the manifest was made before they were read.
        arrow: the Arrow type of the column before, or None if it has none.
        tweak_arrow: the Arrow type of the column of tweaks, or None.
        sketches: by version of the key, of the rows under it; none of what can't be reversed, and
            None if the manifest was made before the rows were read.
    """

    recipe: ColumnSpec
    dtype: str
    counts: Counts | None = None
    versions: bool = False
    arrow: str | None = None
    tweak_arrow: str | None = None
    sketches: Mapping[int | None, Sketch] | None = None

    def sketch(self, version: int | None) -> Sketch:
        """Return the sketch of the rows under a version of the key, an empty one if it has none."""
        return Sketch(None) if self.sketches is None else self.sketches.get(version, Sketch(()))

    def document(self) -> dict[str, Any]:
        """Return the entry as plain dicts, fit for JSON."""
        recipe = {field: getattr(self.recipe, name) for field, name in _RECIPE.items()}
        entry = {field.name: getattr(self, field.name) for field in fields(Column)}
        del entry["recipe"], entry["counts"], entry["sketches"]
        entry["options"] = deepcopy(dict(self.recipe.options))
        if self.counts is not None:
            entry |= asdict(self.counts)
        if self.sketches is not None:
            entry["sketches"] = [
                {"version": version, "values": sketch.values, "pairs": sketch.pairs}
                for version, sketch in sorted(self.sketches.items(), key=_by_version)
            ]
        return {**recipe, **entry}


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a table.

    Args:
        key: which one was used; of several versions, the newest.
        columns: by name.
        mac: hexadecimal, HMAC-SHA256 of everything else under a key derived for this alone.
        schema: the version of its layout.
        older: the key's other versions, under which there are rows; schemas 1 and 2 did not tell.
        parts: the manifests that this one was put together of, which have the MACs in its place.
    """

    key: KeyReference
    columns: Mapping[str, Column]
    mac: str
    schema: int = SCHEMA
    older: tuple[KeyReference, ...] = ()
    parts: tuple[Manifest, ...] = ()

    @classmethod
    def of(
        cls, keyring: Keyring, columns: Mapping[str, Column], older: Iterable[KeyReference] = ()
    ) -> Manifest:
        """Make the manifest of a table with these columns.

        Args:
            keyring: of the key that was used.
            columns: by name; sketches that are not encrypted are of this key.
            older: other versions of the key, under which there are rows.

        Raises:
            ManifestError: a column can't be in a manifest.
        """
        sealed = {
            name: replace(
                column,
                sketches=column.sketches
                and {
                    version: keyring.sealed(name, sketch)
                    for version, sketch in column.sketches.items()
                },
            )
            for name, column in columns.items()
        }
        return cls.sign(keyring.reference, sealed, keyring.mac_key(), older)

    @classmethod
    def sign(
        cls,
        key: KeyReference,
        columns: Mapping[str, Column],
        mac_key: bytes | SecretBytes,
        older: Iterable[KeyReference] = (),
    ) -> Manifest:
        """Make a manifest with its MAC.

        Raises:
            ManifestError: a column's name or recipe holds a lone surrogate.
        """
        unsigned = cls(key, dict(columns), "", SCHEMA, tuple(older))
        body = unsigned._body()
        if not is_well_formed(body):
            named = [
                name
                for name, column in body["columns"].items()
                if not is_well_formed({name: column})
            ]
            where = f"column {named[0]!r}: its name, domain, tweak or" if named else "its key or"
            raise ManifestError(
                f"{where} an option has a lone surrogate, which is no character and can't be in a"
                " manifest: give it another name"
            )
        return replace(unsigned, mac=_hmac(body, conceal(mac_key)).finalize().hex())

    @classmethod
    def parse(cls, document: object) -> Manifest:
        """Read a manifest.

        Args:
            document: the mapping that ``document`` returns, or its JSON text; or those that columns
                carry.

        Raises:
            ManifestError: it is not a manifest of a known version, or a field is missing, unknown
                or of the wrong type.
        """
        if isinstance(document, ColumnManifests):
            return document.joined()
        if isinstance(document, str):
            document = _json(document)
        elif isinstance(document, ManifestDocument):
            document = dict(document)
        given = document.get("schema") if type(document) is dict else None
        schema = given if type(given) is int else SCHEMA
        if schema not in _LAYOUTS:
            _refuse(f"its schema is {schema}, and this version reads 1 to {SCHEMA}")
        layout = _LAYOUTS[schema]
        content = _fields(document, "the manifest", layout.manifest)
        named = _fields(content["key"], "its key", layout.key)
        keys = [KeyReference(**named)] if layout.version is None else _keys(named, content)
        columns = {
            name: _column(name, column, layout, keys) for name, column in content["columns"].items()
        }
        if schema > 2 and not is_well_formed(content):
            _refuse("some text in it has a lone surrogate")
        return cls(keys[-1], columns, content["mac"], schema, tuple(keys[:-1]))

    @property
    def keys(self) -> Mapping[int | None, KeyReference]:
        """The versions of the key that the manifest lists."""
        return {key.version: key for key in (*self.older, self.key)}

    def check(self, keyring: Keyring) -> None:
        """Check that the manifest was made with this key and not changed since.

        Raises:
            WrongKeyError: the key is another one.
            ManifestChangedError: the manifest was changed.
        """
        keyring.check(self.key)
        self.verify(keyring.mac_key())

    def verify(self, mac_key: bytes | SecretBytes) -> None:
        """Check the MAC.

        Raises:
            ManifestChangedError: the manifest was changed after it was made.
        """
        for part in self.parts:
            part.verify(mac_key)
        if self.parts:
            return
        mac_key = conceal(mac_key)
        fits = True
        try:
            _hmac(self._body(), mac_key).verify(bytes.fromhex(self.mac))
        except (InvalidSignature, ValueError):
            fits = False
        if not fits:
            raise ManifestChangedError(
                "the manifest can't be used: its MAC does not fit, because it was changed after it"
                " was made. Restore it from where it was kept unchanged"
            )

    def of_columns(self, names: Iterable[str], keyring: Keyring) -> Manifest:
        """Return the manifest of some of the columns alone."""
        return self.of(keyring, {name: self.columns[name] for name in names}, self.older)

    def document(self) -> ManifestDocument:
        """Return the manifest as dicts, strings and integers, fit for JSON."""
        return ManifestDocument({**self._body(), "mac": self.mac})

    def _body(self) -> dict[str, Any]:
        layout = _LAYOUTS[self.schema]
        body: dict[str, Any] = {
            "schema": self.schema,
            "key": {field: getattr(self.key, field) for field in layout.key},
        }
        if layout.version is not None:
            body["versions"] = [
                {field: getattr(one, field) for field in layout.version}
                for one in (*self.older, self.key)
            ]
        body["columns"] = {}
        for name, column in self.columns.items():
            entry = column.document()
            if "sample" in layout.column:
                entry["sample"] = list(column.sketch(self.key.version).values or ())
            body["columns"][name] = {
                field: entry[field] for field in layout.column if field in entry
            }
        return body


class ManifestDocument(dict[str, Any]):
    """A manifest as callers hold it: a dict that notebooks show as tables.

    It is pickled as a dict, which can be read without secureml.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> ManifestDocument:
        # pandas makes one with each frame that has it in its attrs.
        return ManifestDocument(deepcopy(dict(self), memo))

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def _repr_html_(self) -> str | None:
        manifest = None
        with suppress(ManifestError):
            manifest = Manifest.parse(self)
        return None if manifest is None else manifest_html(manifest)


@dataclass(frozen=True, slots=True)
class ColumnManifests:
    """Manifests that the columns of a table carry, each its own.

    Args:
        documents: by the name that the column has.
        column_of: returns the column that a name in a manifest is of, or is inside of.
        mixed: the columns that have rows of other manifests too, or of none.
    """

    documents: Mapping[str, object]
    column_of: Callable[[str], str]
    mixed: frozenset[str] = frozenset()

    def by_key(self) -> list[ColumnManifests]:
        """Return those of each key.

        Raises:
            ManifestError: one can't be read, or its column was renamed.
        """
        keys: list[KeyReference] = []
        parts: list[dict[str, object]] = []
        for name, manifest in self._manifests().items():
            if manifest.key not in keys:
                keys.append(manifest.key)
                parts.append({})
            parts[keys.index(manifest.key)][name] = self.documents[name]
        return [replace(self, documents=part) for part in parts]

    def joined(self) -> Manifest:
        """Return one manifest of all columns.

        Raises:
            ManifestError: one can't be read, its column was renamed, or they are of several keys.
        """
        parts = list(self._manifests().items())
        first, newest = parts[0]
        keys: dict[int | None, KeyReference] = {}
        for name, part in parts:
            if part.key != newest.key:
                raise ManifestError(
                    f"column {first!r} was pseudonymized with {newest.key}, and {name!r} with"
                    f" {part.key}: take the columns of one key at a time"
                )
            for version, key in part.keys.items():
                if keys.setdefault(version, key) != key:
                    raise ManifestError(
                        f"the manifests of two columns name different keys as {key}"
                    )
        del keys[newest.key.version]
        return Manifest(
            newest.key,
            {name: entry for _, part in parts for name, entry in part.columns.items()},
            mac="",
            schema=min(part.schema for _, part in parts),
            older=tuple(keys[version] for version in _ascending(keys)),
            parts=tuple(part for _, part in parts),
        )

    def _manifests(self) -> dict[str, Manifest]:
        manifests = {}
        for name, document in self.documents.items():
            if name in self.mixed:
                raise ManifestError(
                    f"column {name!r} has rows of several manifests, or of none, because tables"
                    " were put together: recover or rekey them before that, or, if key_versions"
                    " was on, pass the manifest that merge_manifests makes of theirs"
                )
            manifests[name] = manifest = Manifest.parse(document)
            renamed = [one for one in manifest.columns if self.column_of(one) != name]
            if renamed:
                raise ManifestError(
                    f"column {name!r} has the manifest of {renamed[0]!r}, which it was renamed or"
                    " copied from: give it its name back, or drop it"
                )
        return manifests


def read_json(text: str | bytes) -> Any:
    """Read JSON in which every name is given once.

    Raises:
        ValueError: it is not JSON, or holds a name twice, of which others may take either.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)


def canonical(body: Mapping[str, Any]) -> bytes:
    """Return the one text of a document: names sorted by code point, ASCII, no spaces.

    Documents that are not well-formed may share a text: two surrogates are written as the one
    character that they would make.
    """
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii")


def is_well_formed(document: object) -> bool:
    """Tell whether no text in a document has a lone surrogate, which is no character."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


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
class _Layout:
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


_COUNTS = tuple(field.name for field in fields(Counts))
_MANIFEST_1: _Checks = {"schema": _count, "key": _mapping, "columns": _mapping, "mac": _text}
_KEY_1: _Checks = {
    "name": _text,
    "version": _version,
    "environment": _optional_text,
    "check": _text,
}
_COLUMN_1: _Checks = {
    **dict.fromkeys(("strategy", "algorithm", "format", "domain", "dtype", "small_domain"), _text),
    **dict.fromkeys(_COUNTS, _count),
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
_VERSION_3: _Checks = {"version": _version, "check": _text, "envelope": _envelope}
_COLUMN_3: _Checks = {
    **{field: check for field, check in _COLUMN_2.items() if field != "sample"},
    **dict.fromkeys(("domain_prefix", "tables", "arrow", "tweak_arrow"), _optional_text),
    "sketches": _mappings,
}
_UNREAD_3 = frozenset(_COUNTS), frozenset(("sketches",))  # what is known of rows that were read
_SKETCH: _Checks = {"version": _version, "values": _optional_text, "pairs": _optional_text}
_LAYOUTS = {
    1: _Layout(_MANIFEST_1, _KEY_1, None, _COLUMN_1),
    2: _Layout(_MANIFEST_1, _KEY_2, None, _COLUMN_2),
    3: _Layout({**_MANIFEST_1, "versions": _mappings}, _KEY_3, _VERSION_3, _COLUMN_3, _UNREAD_3),
}
_RECIPE = {field.name.removeprefix("key_"): field.name for field in fields(ColumnSpec)}
"""The fields of the recipe in a manifest, and the attributes that hold them."""


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


def _column(name: str, given: object, layout: _Layout, keys: Sequence[KeyReference]) -> Column:
    entry = _fields(given, f"column {name!r}", layout.of_column(given))
    recipe = ColumnSpec(**{_RECIPE[field]: entry[field] for field in _RECIPE if field in entry})
    for field in ("small_domain", "on_invalid", "normalize"):
        value = getattr(recipe, field)
        if value not in CHOICES[field] and (field, value) != ("normalize", None):
            _refuse(f"{field} of column {name!r} is not one that this version knows")
    problem = ""
    try:
        recipe.check()
    except PseudonymizationError as error:
        problem = error.message
    if problem:
        _refuse(f"column {name!r}: {problem}")
    rest = {field: value for field, value in entry.items() if field not in _RECIPE}
    counts = {field: rest.pop(field) for field in _COUNTS if field in rest}
    sketches, sample = rest.pop("sketches", None), tuple(rest.pop("sample", ()))
    column = Column(recipe, counts=Counts(**counts) if counts else None, **rest)
    if "sketches" not in layout.column:
        return replace(column, sketches=_sketches_before(column, sample, keys[-1].version))
    if sketches is None:
        return column
    return replace(column, sketches=_sketches(name, sketches, keys))


def _keys(named: Mapping[str, Any], content: Mapping[str, Any]) -> list[KeyReference]:
    """Return the versions that a manifest lists, last the one that its key names."""
    keys = []
    for version in content["versions"]:
        fields = _fields(version, "a version", _VERSION_3)
        keys.append(KeyReference(**{**named, **fields}))
    versions = [key.version for key in keys]
    if versions != _ascending(versions) or versions[-1:] != [named["version"]]:
        _refuse("its versions are not listed once each, ascending, up to that of its key")
    return keys


def _sketches(
    name: str, given: Iterable[object], keys: Sequence[KeyReference]
) -> dict[int | None, Sketch]:
    entries = [_fields(one, f"a sketch of column {name!r}", _SKETCH) for one in given]
    versions = [entry["version"] for entry in entries]
    if versions != _ascending(versions) or not {*versions} <= {one.version for one in keys}:
        _refuse(f"the sketches of column {name!r} are not of the versions that it lists")
    return {entry.pop("version"): Sketch(**entry) for entry in map(dict, entries)}


def _sketches_before(
    column: Column, sample: tuple[str, ...], version: int | None
) -> dict[int | None, Sketch]:
    """Return the sketches of a column in schema 1, which had none, or 2, of one version."""
    if not column.recipe.reversible:
        return {}
    counts = column.counts
    assert counts is not None
    valued = counts.rows > counts.nulls + counts.empty + counts.nulled
    return {version: Sketch(None if valued and not sample else sample)}


def _ascending(versions: Iterable[int | None]) -> list[int | None]:
    return sorted({*versions}, key=lambda version: version or 0)


def _by_version(item: tuple[int | None, object]) -> int:
    return item[0] or 0


def _refuse(problem: str) -> NoReturn:
    raise ManifestError(f"the manifest can't be used: {problem}")


def _json(text: str) -> object:
    document = None
    try:
        document = read_json(text)
    except (ValueError, RecursionError):
        document = None
    if document is None:
        _refuse("it is not JSON")
    return document


def _hmac(body: Mapping[str, Any], mac_key: SecretBytes) -> HMAC:
    authenticator = HMAC(mac_key.reveal(), SHA256())
    authenticator.update(canonical(body))
    return authenticator


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name is given twice")
    return fields


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
