"""The keys of a table: one master key, and what is derived from it for each purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from secureml.errors import WrongKeyError
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.manifest import Column, KeyReference, Manifest, Sketch
from secureml.pseudonymization.sealing import SketchSeal
from secureml.pseudonymization.sketch import Sketcher
from secureml.secret_types import SecretBytes

__all__ = ["Keyring"]

_KINDS = ("values", "pairs")


class Keyring:
    """Derives the keys of a table, and ties its manifest to them.

    Args:
        derive: derives a key of so many octets for a purpose from the master key.
        name: of the master key.
        version: of the master key, None if its source has no versions.
        environment: in which it was fetched, None if none was selected.
        origin: its fingerprint and source, for messages.
        envelope: the master key, wrapped, where it is kept so.
    """

    __slots__ = ("_derive", "_origin", "_seal", "reference")

    def __init__(
        self,
        derive: Callable[[str, int], bytes],
        name: str,
        version: int | None,
        environment: str | None,
        origin: str,
        *,
        envelope: Mapping[str, str] | None = None,
    ) -> None:
        self._derive = derive
        self._origin = origin
        self._seal: SketchSeal | None = None
        check = derive("pseudonymization/key-check", 16).hex()
        self.reference = KeyReference(name, version, environment, check, envelope)

    def __str__(self) -> str:
        return f"{self.reference}, {self._origin}"

    def domain(self, name: str, prefix: str | None = None) -> DomainKeys:
        """Return the keys of one domain, which a prefix sets apart from that of others."""
        return DomainKeys(self._derive, name, prefix)

    def sign(self, columns: dict[str, Column], older: Iterable[KeyReference] = ()) -> Manifest:
        """Make the manifest of a table with these columns.

        Args:
            columns: by name; sketches that are not encrypted are of this key.
            older: its other versions, under which there are rows.

        Raises:
            ManifestError: a column can't be in a manifest.
        """
        sealed = {}
        for name, column in columns.items():
            sketches = {one: self.sealed(name, sketch) for one, sketch in column.sketches.items()}
            sealed[name] = replace(column, sketches=sketches)
        return Manifest.sign(self.reference, sealed, self._mac_key(), older)

    def sketcher(self, *, pairs: bool = False) -> Sketcher:
        """Return what takes sketches for the manifest, of pseudonyms or of pairs with tweaks."""
        purpose = "pseudonymization/pairs" if pairs else "pseudonymization/sample"
        return Sketcher(SecretBytes(self._derive(purpose, 56)))

    def sealed(self, column: str, sketch: Sketch) -> Sketch:
        """Return the sketch of a column as a manifest holds it: encrypted."""
        return Sketch(
            *(
                self._sketch_seal().seal(kind, column, places)
                if isinstance(places := getattr(sketch, kind), tuple)
                else places
                for kind in _KINDS
            )
        )

    def opened(self, column: str, sketch: Sketch) -> Sketch:
        """Return a sketch of a verified manifest with its places; the inverse of ``sealed``.

        Raises:
            ManifestError: the sketch is of another column or key.
        """
        return Sketch(
            *(
                self._sketch_seal().open(kind, column, sealed)
                if isinstance(sealed := getattr(sketch, kind), str)
                else sealed
                for kind in _KINDS
            )
        )

    def same_key_as(self, other: Keyring) -> bool:
        """Tell whether both derive the same keys."""
        return bytes_eq(self.reference.check.encode(), other.reference.check.encode())

    def is_of(self, reference: KeyReference) -> bool:
        """Tell whether this is the key that a manifest names, whatever its number is."""
        given = reference.check.encode("utf-8", "replace")
        return bytes_eq(given, self.reference.check.encode())

    def check(self, reference: KeyReference) -> None:
        """Check that this is the key that a manifest names.

        Raises:
            WrongKeyError: it is another one.
        """
        if not self.is_of(reference):
            raise WrongKeyError(
                f"the table was pseudonymized with {reference}, and the key that was found is"
                f" not the same: {self}. Use the environment and the"
                " Vault where the table was made, or the manifest that belongs to the table"
            )

    def verify(self, manifest: Manifest) -> None:
        """Check that a manifest was made with this key and not changed since.

        Raises:
            WrongKeyError: the key is another one.
            ManifestChangedError: the manifest was changed.
        """
        self.check(manifest.key)
        manifest.verify(self._mac_key())

    def mac_of(self, note: bytes) -> str:
        """Return the MAC of what work on a table notes down, hexadecimal."""
        mac = HMAC(self._derive("pseudonymization/note", 32), SHA256())
        mac.update(note)
        return mac.finalize().hex()

    def _sketch_seal(self) -> SketchSeal:
        if self._seal is None:
            self._seal = SketchSeal(SecretBytes(self._derive("pseudonymization/sketch", 64)))
        return self._seal

    def _mac_key(self) -> SecretBytes:
        return SecretBytes(self._derive("pseudonymization/manifest", 32))
