"""The keys of a table: one master key, by reference, and what is derived from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from secureml.errors import (
    KeyDisabledError,
    KeyMaterialError,
    KeyRolledBackError,
    ManifestError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    WrongKeyError,
)
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.keys import Envelope, Key
from secureml.pseudonymization.sketch import Sketch, Sketcher, SketchSeal
from secureml.secret_types import SecretBytes

__all__ = [
    "DomainKeys",
    "KeyReference",
    "Keyring",
    "key_that_made",
    "keyring_of",
    "keyring_that_made",
]

_Kept = TypeVar("_Kept")


@dataclass(frozen=True, slots=True)
class KeyReference:
    """Which key a table was pseudonymized with.

    Args:
        name: as the key manager knows it.
        version: of the key, None if its source has no versions.
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


class DomainKeys:
    """Derives the keys that the columns of one domain share.

    Args:
        derive: derives a key of so many octets for a purpose from the master key.
        domain: the name of the domain.
        prefix: what sets it apart from domains of the same name, or None.
    """

    __slots__ = ("_derive", "_prefix", "domain")

    def __init__(
        self, derive: Callable[[str, int], bytes], domain: str, prefix: str | None = None
    ) -> None:
        self._derive = derive
        self._prefix = prefix
        self.domain: str = domain

    def fpe(self) -> SecretBytes:
        """Return the key for FF1, 32 octets."""
        return self._key("fpe", 32)

    def tokens(self) -> SecretBytes:
        """Return the key for tokens in place of values that have no pseudonym, 64 octets."""
        return self._key("token", 64)

    def strategy_tokens(self) -> SecretBytes:
        """Return the key for the strategy ``token``, 64 octets."""
        return self._key("siv", 64)

    def hash(self) -> SecretBytes:
        """Return the key for the strategy ``hash``, 32 octets."""
        return self._key("hash", 32)

    def tweaked_hash(self) -> SecretBytes:
        """Return the key for the strategy ``hash`` of rows with tweaks, 32 octets."""
        return self._key("tweaked-hash", 32)

    def tables(self) -> SecretBytes:
        """Return the key for permutations of small domains, 32 octets."""
        return self._key("table", 32)

    def of_strategy(self, name: str, size: int) -> SecretBytes:
        """Return the key for a strategy of another package.

        Args:
            name: of the strategy, such as ``vendor:name/1``.
            size: of the key, in octets.
        """
        return self._key(f"strategy/{len(name)}/{name}", size)

    def _key(self, purpose: str, size: int) -> SecretBytes:
        place = f"{purpose}/{self.domain}"
        if self._prefix is not None:
            # With its length no prefix and domain read as others, and no purpose is "prefixed".
            place = f"prefixed/{purpose}/{len(self._prefix)}/{self._prefix}/{self.domain}"
        return SecretBytes(self._derive(f"pseudonymization/{place}", size))


class Keyring:
    """Derives the keys of a table, and ties its manifest to them.

    It keeps the strategies that were made with its keys, for the next batch of a stream.

    Args:
        derive: derives a key of so many octets for a purpose from the master key.
        name: of the master key.
        version: of the master key, None if its source has no versions.
        environment: in which it was fetched, None if none was selected.
        origin: its fingerprint and source, for messages.
        envelope: the master key, wrapped, if it is kept so.
    """

    __slots__ = ("_derive", "_kept", "_origin", "_seal", "reference")

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
        self._kept: dict[Hashable, Any] = {}
        check = derive("pseudonymization/key-check", 16).hex()
        self.reference: KeyReference = KeyReference(name, version, environment, check, envelope)

    def __str__(self) -> str:
        return f"{self.reference}, {self._origin}"

    def domain(self, name: str, prefix: str | None = None) -> DomainKeys:
        """Return the keys of one domain, which a prefix sets apart from that of others."""
        return DomainKeys(self._derive, name, prefix)

    def kept(self, what: Hashable, make: Callable[[], _Kept]) -> _Kept:
        """Return what was made with these keys before; make it at first.

        It lives as long as the keyring. Threads that ask at the same time may each make one.

        Args:
            what: all that it depends on beside the keys.
            make: makes it.
        """
        if what not in self._kept:
            self._kept[what] = make()
        kept: _Kept = self._kept[what]
        return kept

    def sketcher(self, *, pairs: bool = False) -> Sketcher:
        """Return what takes sketches for the manifest, of pseudonyms or of pairs with tweaks."""
        purpose = "pseudonymization/pairs" if pairs else "pseudonymization/sample"
        return Sketcher(SecretBytes(self._derive(purpose, 56)))

    def sealed(self, column: str, sketch: Sketch) -> Sketch:
        """Return the sketch of a column as a manifest holds it: encrypted."""
        return self._with_seal(column, sketch, tuple, SketchSeal.seal)

    def opened(self, column: str, sketch: Sketch) -> Sketch:
        """Return a sketch of a verified manifest with its places; the inverse of ``sealed``.

        Raises:
            ManifestError: the sketch is of another column or key.
        """
        return self._with_seal(column, sketch, str, SketchSeal.open)

    def _with_seal(
        self, column: str, sketch: Sketch, kind: type, action: Callable[..., Any]
    ) -> Sketch:
        """Encrypt or decrypt what is of a kind, and leave the rest as it is."""
        if self._seal is None:
            self._seal = SketchSeal(SecretBytes(self._derive("pseudonymization/sketch", 64)))
        parts = {"values": sketch.values, "pairs": sketch.pairs}
        return Sketch(
            **{
                name: action(self._seal, name, column, part) if isinstance(part, kind) else part
                for name, part in parts.items()
            }
        )

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
                f"the table was pseudonymized with {reference}, and the key that was found is not"
                f" the same: {self}. Use the environment and the Vault where the table was made, or"
                " the manifest that belongs to the table"
            )

    def mac_of(self, note: bytes) -> str:
        """Return the MAC of what work on a table notes down, hexadecimal."""
        mac = HMAC(self._derive("pseudonymization/note", 32), SHA256())
        mac.update(note)
        return mac.finalize().hex()

    def mac_key(self) -> SecretBytes:
        """Return the key of the MAC of a manifest, 32 octets."""
        return SecretBytes(self._derive("pseudonymization/manifest", 32))


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
    carried = []
    try:
        if reference.envelope is not None:
            wrapped = _envelope(reference.envelope)
            carried = [manager.unwrap_key(wrapped, reference.name, key_bytes=32)]
    except (KeyDisabledError, KeyMaterialError, SecretDeletedError) as error:
        refused = error.with_traceback(None)
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


def _wrong_key(manager: KeyManager, reference: KeyReference, named: Key | None) -> WrongKeyError:
    state = "no version"
    if named is not None:
        state = f"the key that was found is not the same: {_keyring(manager, named)}, and no other"
    return WrongKeyError(
        f"the table was pseudonymized with {reference}, and {state} that can be read has its check"
        f" {reference.check[:32]!r}. Use the environment and the Vault where the table was made, or"
        " restore the version there, or pass the manifest that belongs to the table"
    )


def _envelope(fields: Mapping[str, str]) -> Envelope:
    """Read the wrapped key of a manifest, which anybody may have written."""
    problem = ""
    try:
        return Envelope(**fields)
    except (TypeError, KeyMaterialError) as error:
        problem = error.message if isinstance(error, KeyMaterialError) else "its fields are others"
    raise ManifestError(f"the manifest can't be used: its envelope: {problem}")


def _keyring(manager: KeyManager, key: Key, version: int | None = None) -> Keyring:
    info, envelope = key.info, None
    if key.envelope is not None:
        envelope = {"wrapped": key.envelope.wrapped, "transit_key": key.envelope.transit_key}
    return Keyring(
        partial(manager.derive_own_key, key),
        info.name,
        info.version if version is None else version,
        info.environment,
        f"fingerprint {info.fingerprint}, from {info.source}",
        envelope=envelope,
    )
