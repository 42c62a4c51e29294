"""Master keys, fetched once for a table."""

from __future__ import annotations

from functools import partial

from secureml.errors import (
    KeyMaterialError,
    ManifestError,
    SecretNotFoundError,
    UncheckedVersionWarning,
    WrongTableError,
    warn,
)
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.keys import Envelope, Key
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import KeyReference, Manifest

__all__ = ["keyring_of", "keyring_of_rows", "keyring_that_made"]


def keyring_of(manager: KeyManager | None, name: str | None, version: int | None = None) -> Keyring:
    """Fetch a master key, once; everything else is derived from it."""
    manager = get_default_key_manager() if manager is None else manager
    return _keyring(manager, manager.get_key(name, version, key_bytes=32))


def keyring_that_made(manager: KeyManager, reference: KeyReference) -> Keyring:
    """Fetch the master key that a manifest names.

    Where it is kept no more and the manifest carries it wrapped, Vault unwraps it.

    Raises:
        SecretError: the key can't be had.
        WrongKeyError: the key of that name and version is another one.
    """
    keyring = None
    try:
        keyring = keyring_of(manager, reference.name, reference.version)
    except SecretNotFoundError:
        if reference.envelope is None:
            raise
    if keyring is None:
        key = manager.unwrap_key(_envelope(reference), reference.name, key_bytes=32)
        keyring = _keyring(manager, key, reference.version)
    keyring.check(reference)
    return keyring


def keyring_of_rows(manager: KeyManager, found: Manifest, version: int | None) -> Keyring:
    """Fetch the version of the key that rows of a table are marked with.

    Raises:
        SecretError: the key can't be had.
        WrongKeyError: the key of that name and version is another one.
        WrongTableError: the manifest does not list the version.
    """
    if version in found.keys:
        return keyring_that_made(manager, found.keys[version])
    if found.schema > 2:
        raise WrongTableError(
            f"rows are marked with version {version} of {found.key.name!r}, which the manifest"
            " does not list. If rows of another table were appended, merge both manifests with"
            " merge_manifests, and pass the result"
        )
    warn(
        "rows of an older version of the key are recovered without a check, because the manifest"
        " is of schema 2; rekey makes one that checks them",
        UncheckedVersionWarning,
    )
    return keyring_of(manager, found.key.name, version)


def _envelope(reference: KeyReference) -> Envelope:
    """Read the wrapped key of a manifest, which anybody may have written.

    Raises:
        ManifestError: it is none.
    """
    problem = ""
    try:
        return Envelope(**reference.envelope or {})
    except (TypeError, KeyMaterialError) as error:
        problem = str(error) if isinstance(error, KeyMaterialError) else "its fields are others"
    raise ManifestError(f"the manifest can't be used: its envelope: {problem}")


def _keyring(manager: KeyManager, key: Key, version: int | None = None) -> Keyring:
    envelope = None
    if key.envelope is not None:
        envelope = {"wrapped": key.envelope.wrapped, "transit_key": key.envelope.transit_key}
    return Keyring(
        partial(manager.derive_own_key, key),
        key.name,
        key.version if version is None else version,
        key.environment,
        f"fingerprint {key.fingerprint}, from {key.source}",
        envelope=envelope,
    )
