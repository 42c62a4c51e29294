"""The manifest of a table, and the document that callers hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from secureml.errors import ManifestChangedError, ManifestError
from secureml.pseudonymization.keys import KeyReference, Keyring
from secureml.pseudonymization.manifest.canonical import canonical, is_well_formed, read_json
from secureml.pseudonymization.manifest.columns import Column, column_of
from secureml.pseudonymization.manifest.layouts import (
    LAYOUTS,
    SCHEMA,
    VERSION_3,
    ascending,
    fields_of,
    refuse,
)
from secureml.pseudonymization.manifest.view import manifest_html
from secureml.secret_types import SecretBytes, conceal

__all__ = ["Manifest", "ManifestDocument"]


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
            document: the mapping that ``document`` returns, or its JSON text.

        Raises:
            ManifestError: it is not a manifest of a known version, or a field is missing, unknown
                or of the wrong type.
        """
        if isinstance(document, str):
            document = _json(document)
        elif isinstance(document, ManifestDocument):
            document = dict(document)
        given = document.get("schema") if type(document) is dict else None
        schema = given if type(given) is int else SCHEMA
        if schema not in LAYOUTS:
            refuse(f"its schema is {schema}, and this version reads 1 to {SCHEMA}")
        layout = LAYOUTS[schema]
        content = fields_of(document, "the manifest", layout.manifest)
        named = fields_of(content["key"], "its key", layout.key)
        keys = [KeyReference(**named)] if layout.version is None else _keys(named, content)
        columns = {
            name: column_of(name, column, layout, keys)
            for name, column in content["columns"].items()
        }
        if schema > 2 and not is_well_formed(content):
            refuse("some text in it has a lone surrogate")
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
        layout = LAYOUTS[self.schema]
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


def _keys(named: Mapping[str, Any], content: Mapping[str, Any]) -> list[KeyReference]:
    """Return the versions that a manifest lists, last the one that its key names."""
    keys = []
    for version in content["versions"]:
        fields = fields_of(version, "a version", VERSION_3)
        keys.append(KeyReference(**{**named, **fields}))
    versions = [key.version for key in keys]
    if versions != ascending(versions) or versions[-1:] != [named["version"]]:
        refuse("its versions are not listed once each, ascending, up to that of its key")
    return keys


def _json(text: str) -> object:
    document = None
    try:
        document = read_json(text)
    except (ValueError, RecursionError):
        document = None
    if document is None:
        refuse("it is not JSON")
    return document


def _hmac(body: Mapping[str, Any], mac_key: SecretBytes) -> HMAC:
    authenticator = HMAC(mac_key.reveal(), SHA256())
    authenticator.update(canonical(body))
    return authenticator
