"""The keys of a table: one master key, and what is derived from it for each purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from secureml.concealed import SecretBytes
from secureml.errors import WrongKeyError
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.manifest import Column, KeyReference, Manifest
from secureml.pseudonymization.sample import Sampler

__all__ = ["Keyring"]


class Keyring:
    """Derives the keys of a table, and ties its manifest to them.

    Args:
        derive: derives a key of so many octets for a purpose from the master key.
        name: of the master key.
        version: of the master key, None where its source has no versions.
        environment: in which it was fetched, None if none was selected.
        origin: its fingerprint and source, for messages.
        envelope: the master key, wrapped, where it is kept so.
    """

    __slots__ = ("_derive", "_origin", "reference")

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
        check = derive("pseudonymization/key-check", 16).hex()
        self.reference = KeyReference(name, version, environment, check, envelope)

    def domain(self, name: str) -> DomainKeys:
        """Return the keys of one domain."""
        return DomainKeys(self._derive, name)

    def sign(self, columns: dict[str, Column]) -> Manifest:
        """Make the manifest of a table with these columns."""
        return Manifest.sign(self.reference, columns, self._mac_key())

    def sampler(self) -> Sampler:
        """Return what takes samples of pseudonyms for the manifest."""
        return Sampler(SecretBytes(self._derive("pseudonymization/sample", 56)))

    def same_key_as(self, other: Keyring) -> bool:
        """Tell whether both derive the same keys."""
        return bytes_eq(self.reference.check.encode(), other.reference.check.encode())

    def verify(self, manifest: Manifest) -> None:
        """Check that a manifest was made with this key and not changed since.

        Raises:
            WrongKeyError: the key is another one.
            ManifestChangedError: the manifest was changed.
        """
        given = manifest.key.check.encode("utf-8", "replace")
        if not bytes_eq(given, self.reference.check.encode()):
            raise WrongKeyError(
                f"the table was pseudonymized with {manifest.key}, and the key that was found is"
                f" not the same: {self.reference}, {self._origin}. Use the environment and the"
                " Vault where the table was made, or the manifest that belongs to the table"
            )
        manifest.verify(self._mac_key())

    def mac_of(self, note: bytes) -> str:
        """Return the MAC of what work on a table notes down, hexadecimal."""
        mac = HMAC(self._derive("pseudonymization/note", 32), SHA256())
        mac.update(note)
        return mac.finalize().hex()

    def _mac_key(self) -> SecretBytes:
        return SecretBytes(self._derive("pseudonymization/manifest", 32))
