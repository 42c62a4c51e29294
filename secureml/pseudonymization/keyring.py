"""The keys of a table: one master key, and what is derived from it for each purpose."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.constant_time import bytes_eq

from secureml.errors import ManifestError
from secureml.pseudonymization.manifest import Column, KeyReference, Manifest
from secureml.pseudonymization.strategies import Fpe

__all__ = ["Keyring"]


class Keyring:
    """Derives the keys of a table, and ties its manifest to them.

    Args:
        derive: derives a key of so many octets for a purpose from the master key.
        name: of the master key.
        version: of the master key, None where its source has no versions.
        environment: in which it was fetched, None if none was selected.
        origin: its fingerprint and source, for messages.
    """

    __slots__ = ("_derive", "_origin", "reference")

    def __init__(
        self,
        derive: Callable[[str, int], bytes],
        name: str,
        version: int | None,
        environment: str | None,
        origin: str,
    ) -> None:
        self._derive = derive
        self._origin = origin
        check = derive("pseudonymization/key-check", 16).hex()
        self.reference = KeyReference(name, version, environment, check)

    def cipher(self, domain: str, small_domain: str) -> Fpe:
        """Return the cipher of one domain under a policy for small domains."""
        key = self._derive(f"pseudonymization/fpe/{domain}", 32)
        token_key = self._derive(f"pseudonymization/token/{domain}", 64)
        return Fpe(key, token_key, domain, small_domain)

    def sign(self, columns: dict[str, Column]) -> Manifest:
        """Make the manifest of a table with these columns."""
        return Manifest.sign(self.reference, columns, self._mac_key())

    def verify(self, manifest: Manifest) -> None:
        """Check that a manifest was made with this key and not changed since.

        Raises:
            ManifestError: the key is another one, or the manifest was changed.
        """
        given = manifest.key.check.encode("utf-8", "replace")
        if not bytes_eq(given, self.reference.check.encode()):
            raise ManifestError(
                f"the table was pseudonymized with {manifest.key}, and the key that was found is"
                f" not the same: {self.reference}, {self._origin}"
            )
        manifest.verify(self._mac_key())

    def _mac_key(self) -> bytes:
        return self._derive("pseudonymization/manifest", 32)
