"""Vault's transit engine, which wraps keys under keys of its own that never leave it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping

from secureml.errors import (
    ConfigurationError,
    KeyDisabledError,
    KeyMaterialError,
    MalformedAnswerError,
    SecretDeletedError,
    SecretError,
)
from secureml.secret_types import SecretBytes, SecretText
from secureml.vault.client.answers import Members
from secureml.vault.client.messages import Answer, Objection
from secureml.vault.client.session import VaultSession

__all__ = ["DATA_KEY_SIZES", "TransitEngine", "kind_problem"]

DATA_KEY_SIZES = (16, 32, 64)
"""The lengths in bytes of the data keys that the engine makes."""

_WRAPPED = re.compile(r"vault:v([0-9]{1,9}):")

_KIND: Mapping[str, object] = {
    "type": "aes256-gcm96",
    # The context goes into the key itself. Associated data would bind as well, but the engine
    # takes none where it rewraps.
    "derived": True,
    "exportable": False,
    "allow_plaintext_backup": False,
}


class TransitEngine:
    """Wraps and unwraps keys. A transit key is named by its mount, a slash and its own name.

    What is wrapped with a context is unwrapped only with the same context.

    Every method raises a ``SecretError`` if Vault can't be asked or denies it.

    Args:
        session: the connection to Vault.
    """

    def __init__(self, session: VaultSession) -> None:
        self._session = session
        self._newest: dict[str, int] = {}

    def ensure_key(self, key: str) -> None:
        """Make a transit key, unless it exists.

        Raises:
            ConfigurationError: it exists, and is of another kind than those that are made here.
            SecretError: there is no transit engine.
        """
        traits = (
            self._send("get", "keys/{}", key).data
            or self._send("post", "keys/{}", key, _KIND).data
            or self._send("get", "keys/{}", key).data
        )
        if not traits:
            raise MalformedAnswerError(f"Vault has no transit key {key!r} right after making it")
        _check_kind(traits, key)

    def rotate_key(self, key: str, version: int = 1) -> None:
        """Give a transit key a new version, which wraps from now on.

        Args:
            key: the transit key.
            version: a version that it has, in case Vault does not tell the new one.

        Raises:
            ConfigurationError: it is of another kind than those that are made here.
            SecretDeletedError: there is no such transit key.
        """
        traits = self._send("get", "keys/{}", key).data
        if not traits:
            raise _refusals(key)["key not found"]
        _check_kind(traits, key)
        answer = self._accepted(self._send("post", "keys/{}/rotate", key), key)
        latest = answer.data.integer("latest_version")
        # Not every server tells the new version.
        self._saw(key, latest or version + 1)

    def data_key(self, key: str, size: int, context: bytes) -> tuple[SecretBytes, str]:
        """Return a new data key of the engine's.

        Args:
            key: the transit key to wrap it under.
            size: its length in bytes, one of `DATA_KEY_SIZES`.
            context: what it is bound to.

        Returns:
            The data key in the clear, and wrapped.

        Raises:
            SecretDeletedError: there is no such transit key.
        """
        answer = self._do("datakey/plaintext", key, context, {"bits": 8 * size})
        return _plaintext(answer, key), self._ciphertext(answer, key)

    def encrypt(self, key: str, material: SecretBytes, context: bytes) -> str:
        """Wrap a key that was made elsewhere."""
        body = {"plaintext": SecretText(_text(material.reveal()))}
        return self._ciphertext(self._do("encrypt", key, context, body), key)

    def rewrap(self, key: str, wrapped: str, context: bytes) -> str:
        """Wrap under the newest version what an older one wrapped, inside Vault.

        Raises:
            SecretError: as for ``decrypt``.
        """
        return self._ciphertext(self._do("rewrap", key, context, {"ciphertext": wrapped}), key)

    def decrypt(
        self,
        key: str,
        wrapped: str,
        context: bytes,
        told: Callable[[str | None], None] | None = None,
    ) -> SecretBytes:
        """Unwrap a key.

        Args:
            key: the transit key.
            wrapped: the key, wrapped.
            context: what it is bound to.
            told: takes Vault's own id of the request.

        Raises:
            KeyDisabledError: the transit key's ``min_decryption_version`` is higher than the
                version that wrapped it.
            SecretDeletedError: there is no such transit key.
            KeyMaterialError: it was wrapped with another context, or changed since.
            AccessDeniedError: the token may not decrypt with this transit key.
        """
        answer = self._do("decrypt", key, context, {"ciphertext": wrapped})
        if told is not None:
            told(answer.body.request_id)
        return _plaintext(answer, key)

    def _do(self, operation: str, key: str, context: bytes, body: Mapping[str, object]) -> Answer:
        body = {**body, "context": _text(context)}
        return self._accepted(self._send("post", f"{operation}/{{}}", key, body), key)

    def _accepted(self, answer: Answer, key: str) -> Answer:
        """Tell refusals apart by their texts, which are not repeated: all have the same status."""
        if answer.status in (200, 204):
            return answer
        for words, error in _refusals(key).items():
            if answer.body.says(words):
                raise error
        raise MalformedAnswerError(
            f"Vault rejected the request for the transit key {key!r} as invalid (HTTP 400)"
        )

    def _send(
        self, method: str, path: str, key: str, body: Mapping[str, object] | None = None
    ) -> Answer:
        mount, _, name = key.rpartition("/")
        answer = self._session.request(
            method,
            f"{mount}/{path.format(name)}",
            body=body,
            mount=mount,
            objection=self._objection(key),
        )
        if answer.has_no_route:
            raise SecretError(f"Vault has no transit engine at {mount!r}")
        return answer

    def _ciphertext(self, answer: Answer, key: str) -> str:
        text = answer.data.text("ciphertext")
        if text is None:
            raise MalformedAnswerError(f"Vault gave no ciphertext for the transit key {key!r}")
        self._saw(key, _version_in(answer))
        return text

    def _saw(self, key: str, version: int) -> None:
        self._newest[key] = max(version, self._newest.get(key, 0))

    def _objection(self, key: str) -> Objection:
        """Object to a standby, which for a moment may not know a mount, a key or a version."""
        newest = self._newest.get(key, 0)

        def objection(answer: Answer) -> str:
            if answer.has_no_route:
                return "it does not know the transit engine"
            if newest and answer.status == 404:
                return "it does not know the transit key"
            if answer.body.says("key not found") or answer.body.says("too new"):
                return "it does not know the transit key, or its newest version"
            if 0 < _version_in(answer) < newest:
                return f"it does not know version {newest} of the transit key"
            return ""

        return objection


def kind_problem(traits: Members) -> str:
    """Say why a transit key can't wrap keys; empty if it can.

    Args:
        traits: how Vault describes it.
    """
    kind = traits.word("type")
    if kind != _KIND["type"]:
        return f"is of the type {kind}, and not {_KIND['type']}"
    if not traits.flag("derived"):
        return (
            "was not made with derived=true: it would not tie a wrapped key to its name and "
            "environment"
        )
    if traits.flag("convergent_encryption"):
        return "is convergent: it shows which wrapped keys are equal"
    if traits.flag("exportable") or traits.flag("allow_plaintext_backup"):
        return "is exportable: it may leave Vault"
    return ""


def _check_kind(traits: Members, key: str) -> None:
    problem = kind_problem(traits)
    if problem:
        raise ConfigurationError(f"the transit key {key!r} {problem}")


def _refusals(key: str) -> Mapping[str, SecretError]:
    return {
        "too old": KeyDisabledError(
            f"the transit key {key!r} does not decrypt what this version of it wrapped: its "
            "min_decryption_version is higher, which an operator can change"
        ),
        "soft-deleted": KeyDisabledError(
            f"the transit key {key!r} is soft-deleted; an operator can restore it"
        ),
        "key not found": SecretDeletedError(
            f"there is no transit key {key!r} in Vault; without it, what it wrapped can't be "
            "unwrapped",
            looked_in=(key,),
        ),
        "authentication failed": KeyMaterialError(
            f"the wrapped key does not fit the transit key {key!r}, this name and this "
            "environment: it was copied from elsewhere, or changed, or the transit key was deleted "
            "and made anew"
        ),
        "too new": KeyMaterialError(
            f"the wrapped key is of a version that the transit key {key!r} does not have: that was "
            "made anew, or restored from an old backup"
        ),
        "invalid ciphertext": KeyMaterialError(
            f"the wrapped key is nothing that the transit key {key!r} made"
        ),
    }


def _plaintext(answer: Answer, key: str) -> SecretBytes:
    text = answer.data.text
    try:
        material = SecretBytes(base64.b64decode(text("plaintext") or "", validate=True))
    except ValueError:
        material = None
    if not material:
        raise MalformedAnswerError(f"Vault gave no plaintext for the transit key {key!r}")
    return material


def _version_in(answer: Answer) -> int:
    """Return the version of the transit key in the ciphertext of an answer; 0 for none."""
    wrapped = _WRAPPED.match(answer.data.text("ciphertext") or "")
    return int(wrapped[1]) if wrapped else 0


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
