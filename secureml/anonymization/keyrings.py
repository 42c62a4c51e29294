"""Master keys, fetched once for a table."""

from __future__ import annotations

from functools import partial
from itertools import chain

from secureml.errors import (
    KeyDisabledError,
    KeyMaterialError,
    KeyRolledBackError,
    ManifestError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    UncheckedVersionWarning,
    WrongKeyError,
    WrongTableError,
    warn,
)
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.keys import Envelope, Key
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import KeyReference, Manifest

__all__ = ["key_that_made", "keyring_of", "keyring_of_rows", "keyring_that_made"]


def keyring_of(manager: KeyManager | None, name: str | None, version: int | None = None) -> Keyring:
    """Fetch a master key, once; everything else is derived from it."""
    manager = get_default_key_manager() if manager is None else manager
    return _keyring(manager, manager.get_key(name, version, key_bytes=32))


def keyring_that_made(manager: KeyManager, reference: KeyReference) -> Keyring:
    """Fetch the master key that a manifest names.

    Raises:
        SecretError: the key can't be had.
        WrongKeyError: no version of the key is the one of the manifest.
    """
    return _keyring(manager, key_that_made(manager, reference), reference.version)


def key_that_made(manager: KeyManager, reference: KeyReference) -> Key:
    """Fetch the key that a manifest names: the one with its check, whatever its number is there.

    A number can have become another key's, after a restore or in another Vault. The version of
    that number is tried first, then what the manifest carries wrapped, then every other version.

    Raises:
        SecretError: the key can't be had.
        WrongKeyError: no version of the key is the one of the manifest.
    """
    named = None
    refused: SecretError | None = None
    try:
        named = manager.get_key(reference.name, reference.version, key_bytes=32)
    except (SecretNotFoundError, KeyRolledBackError) as error:
        refused = error.with_traceback(None)
    if named is not None and _keyring(manager, named).is_of(reference):
        return named
    try:
        carried = _carried(manager, reference)
    except (KeyDisabledError, KeyMaterialError, SecretDeletedError) as error:
        refused, carried = error.with_traceback(None), ()
    others = 0
    for key in chain(carried, manager.keys_of(reference.name)):
        if _keyring(manager, key).is_of(reference):
            return key
        others += 1
    if named is None and refused is not None:
        # That versions are there which are other keys tells more than that one is not there.
        is_absent = type(refused) in (SecretNotFoundError, KeyRolledBackError)
        if not (others and is_absent):
            raise refused
    raise _wrong_key(manager, reference, named)


def _carried(manager: KeyManager, reference: KeyReference) -> tuple[Key, ...]:
    """Unwrap the key that a manifest carries, if it does."""
    if reference.envelope is None:
        return ()
    return (manager.unwrap_key(_envelope(reference), reference.name, key_bytes=32),)


def _wrong_key(manager: KeyManager, reference: KeyReference, named: Key | None) -> WrongKeyError:
    found = "no version"
    if named is not None:
        found = f"the key that was found is not the same: {_keyring(manager, named)}, and no other"
    return WrongKeyError(
        f"the table was pseudonymized with {reference}, and {found} that can be read has its check"
        f" {reference.check[:32]!r}. Use the environment and the Vault where the table was made, or"
        " restore the version there, or pass the manifest that belongs to the table"
    )


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
