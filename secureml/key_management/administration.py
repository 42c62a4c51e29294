"""The half of KeyManager that changes keys: what each method takes, returns and raises."""

from __future__ import annotations

from datetime import datetime, timedelta

from secureml.key_management.exports import Exports
from secureml.key_management.lifecycle import Lifecycle
from secureml.keys import Encoding, Envelope, KeyInfo, SecretBytes
from secureml.keys.export import KeyExport
from secureml.secret_types import SecretText, conceal, conceals

__all__ = ["KeyAdministration"]


class KeyAdministration:
    """Methods that make, rotate, disable and destroy keys, and list their versions."""

    _lifecycle: Lifecycle
    _exports: Exports

    def generate_key(
        self,
        name: str,
        key_bytes: int = 32,
        encoding: Encoding = "hex",
        *,
        purpose: str | None = None,
        rotation_period: int | timedelta | None = None,
    ) -> KeyInfo:
        """Make a new key in Vault; never over an existing one.

        Args:
            name: the key's name.
            key_bytes: its length in bytes, 16 to 8160.
            encoding: how Vault keeps it: ``hex`` or ``base64``.
            purpose: what it is for, in up to 512 bytes of text; everybody who may list keys sees
                it.
            rotation_period: after how many days, or after what time, ``rotate_due`` rotates it.

        Returns:
            Where it lives, its version and fingerprint.

        Raises:
            SecretExistsError: something is stored under this name, or was and is deleted.
            KeyMaterialError: the length, the purpose or the period is impossible.
            SecretError: it could not be written.
            ConfigurationError: the name can't be used, or Vault is not configured.
        """
        return self._lifecycle.generate_key(name, key_bytes, encoding, purpose, rotation_period)

    @conceals("material")
    def import_key(
        self,
        name: str,
        material: bytes | str | SecretBytes | SecretText,
        encoding: Encoding = "hex",
        *,
        purpose: str | None = None,
        rotation_period: int | timedelta | None = None,
    ) -> KeyInfo:
        """Store a key that was made elsewhere; never over an existing one.

        Args:
            name: the key's name.
            material: 16 to 8160 bytes, or the same as hex or base64 text.
            encoding: how Vault keeps it: ``hex`` or ``base64``.
            purpose: what it is for, as with ``generate_key``.
            rotation_period: when to rotate it, as with ``generate_key``.

        Raises:
            KeyMaterialError: the material is no key, or the purpose or the period is impossible.
            SecretExistsError: something is stored under this name, or was and is deleted.
            SecretError: it could not be written.
        """
        return self._lifecycle.import_key(name, material, encoding, purpose, rotation_period)

    def rotate_key(self, name: str | None = None, *, new_material: bool = False) -> KeyInfo:
        """Give a key a new version of the same length; every older version stays readable.

        Where a transit key wraps it, the transit key is rotated, and the key itself stays the
        same, wrapped afresh, unless it is disabled.

        Args:
            name: the key's name; by default the setting ``master_key_name``.
            new_material: whether a key that a transit key wraps becomes a new one too, as any
                other key does.

        Returns:
            The new version.

        Raises:
            SecretNotFoundError: there is no such key in Vault.
            SecretExistsError: another writer was first.
            SecretError: it could not be written, or writing would prune an old version.
        """
        return self._lifecycle.rotate_key(name, new_material=new_material)

    def rewrap_key(self, envelope: Envelope, name: str | None = None) -> Envelope:
        """Wrap a key that was kept beside data under the newest version of its transit key.

        The key stays the same and does not leave Vault.

        Args:
            envelope: the wrapped key, as ``Key.envelope`` was.
            name: the name of the key; by default the setting ``master_key_name``.

        Raises:
            KeyMaterialError: it is bound to another name or environment, was changed, or names
                another mount than ``vault_transit_mount``.
            KeyDisabledError: the transit key does not decrypt so old a version any more.
            SecretDeletedError: the transit key is gone.
            SecretError: denied, or Vault is unavailable.
        """
        return self._lifecycle.rewrap_key(envelope, name)

    def rotate_due(self, now: datetime | None = None) -> tuple[KeyInfo, ...]:
        """Rotate every key whose rotation period is over; one without a period never is.

        A key that cannot be rotated does not keep the others from it; where one cannot be read,
        none is rotated.

        Args:
            now: the time to go by, with its time zone; by default the present by Vault's clock.

        Returns:
            The new versions; without those that another writer made meanwhile.

        Raises:
            SecretError: some keys could not be rotated. The message tells how many and which;
                the kind is that of the first one's error.
        """
        return self._lifecycle.rotate_due(now)

    def set_rotation_period(self, name: str, rotation_period: int | timedelta | None) -> KeyInfo:
        """Change when a key is to be rotated.

        Args:
            name: the key's name.
            rotation_period: after how many days, or after what time, counted from the newest
                version; None for never.

        Returns:
            The newest version.

        Raises:
            KeyMaterialError: the period is impossible.
            SecretError: there is no such key in Vault, or it could not be changed.
        """
        return self._lifecycle.set_rotation_period(name, rotation_period)

    def key_history(self, name: str | None = None) -> tuple[KeyInfo, ...]:
        """List every version of a key in Vault, oldest first.

        What holds no key, or can't be read with the rights that there are, has no fingerprint.

        Args:
            name: the key's name; by default the setting ``master_key_name``.

        Raises:
            SecretNotFoundError: there is no such key in Vault.
        """
        return self._lifecycle.key_history(name)

    def key_versions(self, name: str | None = None) -> tuple[KeyInfo, ...]:
        """List every version of a key by its metadata alone: no version is read.

        Args:
            name: the key's name; by default the setting ``master_key_name``.

        Returns:
            The versions without fingerprints, oldest first.

        Raises:
            SecretNotFoundError: there is no such key in Vault.
        """
        return self._lifecycle.key_versions(name)

    def list_keys(self) -> tuple[KeyInfo, ...]:
        """List the newest version of every key in Vault, by name; other secrets are left out.

        A secret that may not be read is listed by its metadata, without a fingerprint, whether it
        is a key or not; if that may not be read either, its state is ``denied``.

        Raises:
            SecretError: Vault can't be read.
        """
        return self._lifecycle.list_keys()

    def disable_key_version(self, name: str, version: int) -> KeyInfo:
        """Take a version of a key out of use, until it is enabled again.

        From then on every reading of it is a ``KeyDisabledError``, in this library: what may read
        Vault directly can still do so. Another process notices when it next reads Vault.

        Args:
            name: the key's name.
            version: the version, which may be the newest.

        Returns:
            The version, disabled.

        Raises:
            TypeError: the version is no int.
            KeyMaterialError: it holds no key.
            SecretError: there is no such version, or it could not be changed.
        """
        return self._lifecycle.disable_key_version(name, version)

    def enable_key_version(self, name: str, version: int) -> KeyInfo:
        """Take a disabled version of a key into use again.

        Args:
            name: the key's name.
            version: the version.

        Returns:
            The version, enabled or, if it is not the newest, decrypt-only.

        Raises:
            TypeError: the version is no int.
            KeyMaterialError: it holds no key.
            SecretError: there is no such version, or it could not be changed.
        """
        return self._lifecycle.enable_key_version(name, version)

    def destroy_key_version(self, name: str, version: int, confirm: str) -> KeyInfo:
        """Destroy one version of a key for good, and with it all data pseudonymized under it.

        Args:
            name: the key's name.
            version: the version, which may be disabled.
            confirm: the fingerprint of exactly this version.

        Returns:
            The version, destroyed.

        Raises:
            TypeError: the version is no int, or ``confirm`` no text.
            KeyMaterialError: ``confirm`` is not this version's fingerprint.
            SecretError: there is no such version, or it could not be destroyed.
        """
        return self._lifecycle.destroy_key_version(name, version, confirm)

    def accept_rollback(self, name: str, highest: int | None = None) -> tuple[int, ...]:
        """Confirm that Vault went back to older data, and that the versions it lost are given up.

        Every program goes on with what Vault has; a note in the key's custom metadata tells them.
        The next rotation takes a number that no version ever had.

        Args:
            name: the key's name.
            highest: the highest version that was ever in use, if this machine has not seen it;
                manifests name it.

        Returns:
            The versions that are lost.

        Raises:
            TypeError: the version is no int.
            SecretError: nothing is missing, or it could not be noted.
        """
        return self._lifecycle.accept_rollback(name, highest)

    @conceals("passphrase")
    def export_key(
        self,
        name: str | None = None,
        *,
        passphrase: str | SecretText | None = None,
        public_key: bytes | None = None,
        transit_key: str | None = None,
    ) -> bytes:
        """Return a whole key as a sealed file, for a backup or another Vault.

        Every version is in it, with its number and state, and purpose and rotation period. What
        is deleted or destroyed has no content there.

        Args:
            name: the key's name; by default the setting ``master_key_name``.
            passphrase: what is to open it, in 12 characters or more.
            public_key: or the X25519 key, in PEM, whose private key is to open it.
            transit_key: or the transit key in Vault that is to, its mount before its name.

        Raises:
            ConfigurationError: not exactly one of these is given.
            SecretNotFoundError: there is no such key in Vault.
            SecretError: a version can't be read.

        Warns:
            SecureMLWarning: versions are without content.
        """
        secret = None if passphrase is None else _passphrase(passphrase)
        return self._exports.export_key(name, secret, public_key, transit_key)

    @conceals("passphrase", "private_key")
    def read_export(
        self,
        export: bytes,
        *,
        passphrase: str | SecretText | None = None,
        private_key: bytes | SecretBytes | None = None,
        transit_key: str | None = None,
    ) -> KeyExport:
        """Open an export, and check it by its authentication tag and every fingerprint.

        Args:
            export: what ``export_key`` returned.
            passphrase: what it was sealed with.
            private_key: or the X25519 key, in PEM, that belongs to the public one.
            transit_key: or the transit key.

        Raises:
            ConfigurationError: not exactly one of these is given.
            KeyMaterialError: it was changed, or is sealed with something else.
        """
        secret = None if passphrase is None else _passphrase(passphrase)
        private = None if private_key is None else _private_key(private_key)
        return self._exports.read_export(export, secret, private, transit_key)

    def restore_key(self, export: KeyExport, name: str | None = None) -> tuple[KeyInfo, ...]:
        """Write every version of an exported key; never over an existing one.

        A number without content is written, to count, and destroyed. Until all is there, each
        version is disabled. When versions were created is not restored: a rotation period begins
        again.

        Args:
            export: what ``read_export`` returned.
            name: another name; tables name their key, so they need that of the export.

        Returns:
            Every version, oldest first.

        Raises:
            SecretExistsError: something is stored under this name, or was and is deleted.
            ConfigurationError: it is of another environment.
            SecretError: it could not be written, or in part alone.
        """
        name = export.name if name is None else name
        self._exports.restore_key(export, name)
        return self.key_history(name)


def _passphrase(value: str | SecretText) -> SecretText:
    concealed = conceal(value)
    if not isinstance(concealed, SecretText):
        raise TypeError("a passphrase is a str")
    return concealed


def _private_key(value: bytes | SecretBytes) -> SecretBytes:
    concealed = conceal(value)
    if not isinstance(concealed, SecretBytes):
        raise TypeError("a private key is bytes, in PEM")
    return concealed
