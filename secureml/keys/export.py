"""A key in a file, for a backup or another Vault: every version, sealed with AES-256-GCM.

The file is JSON. Whoever has it sees the name, the environment, the custom metadata, and of each
version its number, state, time, length and fingerprint; all that is authenticated. ``sealed`` holds
the material. The key that seals it is named by ``protection``:

- ``passphrase``: Scrypt with n = 2^17, r = 8 and p = 1 (RFC 7914) and a salt of 16 bytes;
- ``x25519``: HKDF-SHA256 of what an ephemeral key and the recipient's agree on (RFC 7748), with
  both public keys in ``info``. Anybody can make such a file: the fingerprints tell whose keys are
  in it;
- ``transit``: a data key of Vault's transit engine.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from secrets import token_bytes
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from secureml.errors import KeyMaterialError
from secureml.keys.material import Encoding, encode, fingerprint_of
from secureml.secret_types import SecretBytes, SecretFields, SecretText

__all__ = [
    "ExportedVersion",
    "KeyExport",
    "Protection",
    "for_passphrase",
    "for_public_key",
    "with_passphrase",
    "with_private_key",
]

_FORMAT, _SCHEMA = "secureml key export", 1
_LARGEST = 64 * 2**20
_SHORTEST_PASSPHRASE = 12
_HIGHEST_VERSION = 100_000

Protection = tuple[SecretBytes, Mapping[str, str]]
"""The key that seals an export, and what the file says of it."""

Opener = Callable[[Mapping[str, str], "KeyExport"], SecretBytes]
"""Returns the key that sealed an export, by what the file says of it and of its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedVersion:
    """One version of a key in an export.

    Args:
        version: its number.
        state: its state then; ``deleted`` and ``destroyed`` ones are without material.
        created: when it was written, as ISO 8601 has it.
        fingerprint: what tells keys apart; None without material.
        encoding: how Vault kept it.
        material: the key; None if Vault did not give it, or the export was not opened.
        beside: the fields that were beside it.
    """

    version: int
    state: str
    created: str | None = None
    fingerprint: str | None = None
    encoding: Encoding = "hex"
    material: SecretBytes | None = field(default=None, repr=False)
    beside: Mapping[str, object] = field(default_factory=lambda: SecretFields({}), repr=False)

    def described(self) -> dict[str, object]:
        """Return what the file shows of it."""
        return {
            "version": self.version,
            "state": self.state,
            "created": self.created,
            "fingerprint": self.fingerprint,
            "encoding": self.encoding,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyExport:
    """A whole key.

    Args:
        name: the key's name.
        environment: the environment it belongs to; None if none was selected.
        exported: when this was made, as ISO 8601 has it.
        custom_metadata: purpose, rotation period and states, and what others noted.
        versions: every version, oldest first.
    """

    name: str
    environment: str | None
    exported: str
    custom_metadata: Mapping[str, str]
    versions: Sequence[ExportedVersion]

    def sealed(self, protection: Protection) -> bytes:
        """Return the file.

        Args:
            protection: what seals it.
        """
        key, about = protection
        nonce = token_bytes(12)
        header = self._header() | {"protection": dict(about), "nonce": nonce.hex()}
        content = _content(self.versions)
        sealed = AESGCM(key.reveal()).encrypt(nonce, content.reveal(), _octets(header))
        document = header | {"sealed": base64.b64encode(sealed).decode()}
        return (json.dumps(document, indent=1) + "\n").encode()

    @classmethod
    def opened(cls, file: bytes, opener: Opener) -> KeyExport:
        """Open a file and check it.

        Args:
            file: its content.
            opener: finds the key that sealed it.

        Raises:
            KeyMaterialError: it is no export, was changed, or the key is another one.
        """
        document = _document(file)
        export: KeyExport = _read(lambda: _header_in(document))
        about = document.get("protection")
        if not isinstance(about, dict) or not all(isinstance(v, str) for v in about.values()):
            raise _wrong("has no protection that can be read")
        key = opener(about, export)
        header = {name: value for name, value in document.items() if name != "sealed"}
        content = _read(lambda: _decrypted(document, key, _octets(header)))
        if content is None:
            raise _wrong("was changed, or the passphrase or key is not the one it was sealed with")
        return replace(export, versions=_read(lambda: _filled(export.versions, content)))

    def _header(self) -> dict[str, object]:
        return {
            "format": _FORMAT,
            "schema": _SCHEMA,
            "name": self.name,
            "environment": self.environment,
            "exported": self.exported,
            "custom_metadata": dict(self.custom_metadata),
            "versions": [version.described() for version in self.versions],
        }


def for_passphrase(passphrase: SecretText) -> Protection:
    """Return what seals an export with a passphrase.

    Raises:
        KeyMaterialError: it is too short.
    """
    salt = token_bytes(16)
    return _stretched(passphrase, salt), {"kind": "passphrase", "salt": salt.hex()}


def with_passphrase(passphrase: SecretText) -> Opener:
    """Return what opens exports that were sealed with a passphrase."""

    def opened(about: Mapping[str, str], _: KeyExport) -> SecretBytes:
        check_kind(about, "passphrase")
        return _stretched(passphrase, _read(lambda: bytes.fromhex(about["salt"])))

    return opened


def for_public_key(pem: bytes) -> Protection:
    """Return what seals an export for the holder of a private key.

    Args:
        pem: the public key, X25519, as ``openssl pkey -pubout`` writes it.

    Raises:
        KeyMaterialError: it is none.
    """
    recipient = _loaded(lambda: load_pem_public_key(pem))
    if not isinstance(recipient, X25519PublicKey):
        raise KeyMaterialError("the public key is no X25519 key in PEM")
    ephemeral = X25519PrivateKey.generate()
    ours, theirs = ephemeral.public_key().public_bytes_raw(), recipient.public_bytes_raw()
    about = {"kind": "x25519", "ephemeral": ours.hex(), "recipient": theirs.hex()}
    return _agreed(ephemeral, recipient, ours + theirs), about


def with_private_key(pem: SecretBytes) -> Opener:
    """Return what opens exports that were sealed for a public key.

    Args:
        pem: the private key, X25519, without a passphrase, as ``openssl genpkey`` writes it.

    Raises:
        KeyMaterialError: it is none.
    """
    private = _loaded(lambda: load_pem_private_key(pem.reveal(), None))
    if not isinstance(private, X25519PrivateKey):
        raise KeyMaterialError("the private key is no X25519 key in PEM without a passphrase")

    def opened(about: Mapping[str, str], _: KeyExport) -> SecretBytes:
        check_kind(about, "x25519")
        theirs = _read(lambda: bytes.fromhex(about["ephemeral"]))
        sender = _read(lambda: X25519PublicKey.from_public_bytes(theirs))
        ours = private.public_key().public_bytes_raw()
        key: SecretBytes = _read(lambda: _agreed(private, sender, theirs + ours))
        return key

    return opened


def check_kind(about: Mapping[str, str], kind: str) -> None:
    """Refuse an export that is protected in another way.

    Raises:
        KeyMaterialError: it is.
    """
    if about.get("kind") != kind:
        found = about.get("kind", "")
        shown = found if found in ("passphrase", "x25519", "transit") else "something else"
        raise _wrong(f"is protected by {shown}, and not by {kind}")


def _stretched(passphrase: SecretText, salt: bytes) -> SecretBytes:
    if len(passphrase) < _SHORTEST_PASSPHRASE:
        raise KeyMaterialError(f"a passphrase has {_SHORTEST_PASSPHRASE} characters or more")
    kdf = Scrypt(salt=salt, length=32, n=2**17, r=8, p=1)
    return SecretBytes(kdf.derive(passphrase.reveal().encode()))


def _agreed(private: X25519PrivateKey, public: X25519PublicKey, both: bytes) -> SecretBytes:
    kdf = HKDF(SHA256(), 32, salt=None, info=b"secureml/export/1/x25519" + both)
    return SecretBytes(kdf.derive(private.exchange(public)))


def _content(versions: Sequence[ExportedVersion]) -> SecretBytes:
    content = {
        str(each.version): SecretFields(
            {"material": encode(each.material, "base64"), "beside": dict(each.beside)}
        )
        for each in versions
        if each.material is not None
    }
    return SecretBytes(json.dumps(content, default=dict).encode())


def _document(file: bytes) -> dict[str, Any]:
    if len(file) > _LARGEST:
        raise _wrong("is too large for one")
    document = _read(lambda: json.loads(file))
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise _wrong("is none")
    if document.get("schema") != _SCHEMA:
        raise _wrong("is of a schema that this version of secureml does not read")
    return document


def _header_in(document: Mapping[str, Any]) -> KeyExport:
    """Read what is not sealed; raises anything if it is not as written here."""
    versions = tuple(ExportedVersion(**each) for each in document["versions"])
    numbers = [each.version for each in versions]
    about = document["custom_metadata"]
    texts = [document["name"], document["exported"], *about, *about.values()]
    texts += [each.state for each in versions]
    texts += [each.fingerprint for each in versions if each.fingerprint is not None]
    if not all(type(text) is str for text in texts) or not versions:
        raise TypeError
    if not all(type(number) is int and 0 < number <= _HIGHEST_VERSION for number in numbers):
        raise TypeError
    if numbers != sorted(set(numbers)) or any(
        each.encoding not in ("hex", "base64") for each in versions
    ):
        raise ValueError
    if type(document["environment"]) not in (str, type(None)):
        raise TypeError
    return KeyExport(
        name=document["name"],
        environment=document["environment"],
        exported=document["exported"],
        custom_metadata=about,
        versions=versions,
    )


def _decrypted(document: Mapping[str, Any], key: SecretBytes, header: bytes) -> SecretBytes | None:
    nonce, sealed = bytes.fromhex(document["nonce"]), base64.b64decode(document["sealed"])
    try:
        return SecretBytes(AESGCM(key.reveal()).decrypt(nonce, sealed, header))
    except InvalidTag:
        return None


def _filled(versions: Sequence[ExportedVersion], content: SecretBytes) -> list[ExportedVersion]:
    """Put the material into the versions; raises anything if it does not fit them."""
    found = SecretFields(json.loads(content.reveal()))
    if {str(each.version) for each in versions if each.fingerprint} != set(found):
        raise ValueError
    return [_with_material(each, found.get(str(each.version))) for each in versions]


def _with_material(version: ExportedVersion, found: Any) -> ExportedVersion:
    if found is None:
        return version
    material = SecretBytes(base64.b64decode(found["material"]))
    if fingerprint_of(material) != version.fingerprint:
        raise ValueError
    return replace(version, material=material, beside=SecretFields(found["beside"]))


def _octets(header: Mapping[str, object]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()


def _read(read: Callable[[], Any]) -> Any:
    """Do what fails in many ways with a file that is not as it should be."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, KeyMaterialError):
        pass
    raise _wrong("can't be read, or what it says does not fit together")


def _loaded(load: Callable[[], object]) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _wrong(problem: str) -> KeyMaterialError:
    return KeyMaterialError(f"the export {problem}")
