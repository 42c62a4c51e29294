"""The test of a connection to Vault: one check after the other, each failure by its own name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    MalformedAnswerError,
    SecretError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.settings import Settings
from secureml.vault.auth import AuthMethod
from secureml.vault.client.capabilities import Capabilities
from secureml.vault.client.kv_mount import KvMount
from secureml.vault.client.session import VaultSession

__all__ = ["Check", "check_connection"]

_WRITING = {"data": ("create", "update"), "metadata": ("create", "patch", "read", "update")}
"""What it takes to make, describe and rotate a key, and to raise the versions kept for that."""


@dataclass(frozen=True, slots=True)
class Check:
    """What came of one check.

    Args:
        name: what was checked.
        detail: what was found, or what to do about it where it failed.
        error: why it failed; None if it did not.
        is_known: whether it could be checked at all.
    """

    name: str
    detail: str
    error: SecretError | ConfigurationError | None = None
    is_known: bool = True


def check_connection(settings: Settings, auth: AuthMethod | None = None) -> Iterator[Check]:
    """Check that Vault can be used, without leaving a trace in it.

    Args:
        settings: where Vault is, and the path and key to test on.
        auth: how to log in; by default what ``settings`` say.

    Yields:
        Reachable, seal state, token and mount, up to the first failure; then read and write.

    Raises:
        ConfigurationError: Vault's address is not set, or the CA certificate does not exist.
        MissingExtraError: hvac is not installed.
    """
    if settings.vault_url is None:
        raise ConfigurationError("vault_url is not set; give --vault-url")
    session = VaultSession(settings, auth)
    try:
        yield from _Probe(session, settings).checks()
    finally:
        session.close()


class _Probe:
    def __init__(self, session: VaultSession, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        self._mount = settings.vault_mount
        self._folder = "/".join(filter(None, (settings.vault_path, settings.environment)))
        self._path = f"{self._folder}/{settings.master_key_name}"

    def checks(self) -> Iterator[Check]:
        for step in (self._reachable, self._unsealed, self._token, self._mounted):
            check = step()
            yield check
            if check.error is not None:
                return
        yield self._readable()
        yield self._writable()

    def _reachable(self) -> Check:
        try:
            self._session.is_sealed()
        except MalformedAnswerError as error:
            remedy = "see that --vault-url names Vault itself, with the right one of http and https"
            return Check("reachable", remedy, error)
        except AuthenticationError as error:
            return Check("TLS", "give the authority's certificate with --vault-ca-cert", error)
        except VaultUnavailableError as error:
            return Check("reachable", "start Vault, or correct --vault-url", error)
        return Check("reachable", str(self._settings.vault_url))

    def _unsealed(self) -> Check:
        if self._session.is_sealed():
            sealed = VaultSealedError(f"Vault at {self._settings.vault_url} is sealed")
            return Check("seal state", "have an operator unseal it", sealed)
        return Check("seal state", "unsealed")

    def _token(self) -> Check:
        try:
            answer = self._session.lookup_self()
        except AuthenticationError as error:
            # A token without the default policy may not ask about itself, and yet be good.
            if self._may_read():
                return Check("token", "accepted; it may not look itself up")
            return Check("token", "log in anew, and give the new token", error)
        except SecretError as error:
            return Check("token", "try again", error)
        if answer.status != 200:
            missing = SecretError(f"Vault has no namespace {self._settings.vault_namespace!r}")
            return Check("namespace", "correct --vault-namespace", missing)
        return Check("token", f"accepted, {_validity(answer.data.seconds('ttl'))}")

    def _mounted(self) -> Check:
        mount = KvMount(self._session, self._mount)
        remedy = "correct --vault-mount; what follows the mount goes into --vault-path"
        try:
            if mount.check():
                return Check("mount", f"{self._mount!r} is a KV version 2 secrets engine")
            answer = self._read()
            if answer.status == 404:
                mount.check_absence(answer)
        except (AccessDeniedError, AuthenticationError):
            return Check("mount", "the token may not ask about it", is_known=False)
        except ConfigurationError as error:
            return Check("mount", remedy, error)
        except SecretError as error:
            return Check("mount", "try again", error)
        return Check("mount", f"{self._mount!r} answers")

    def _readable(self) -> Check:
        path = f"{self._mount}/data/{self._path}"
        try:
            self._read()
        except SecretError as error:
            return Check("read", f'allow "read" on {self._below("data")} in a policy', error)
        return Check("read", f"allowed on {path}")

    def _writable(self) -> Check:
        paths = {section: f"{self._mount}/{section}/{self._path}" for section in _WRITING}
        try:
            held = Capabilities.of(self._session, paths.values())
        except SecretError as error:
            return Check("write", "try again", error)
        if held is None:
            return Check("write", "the token may not ask what it may do", is_known=False)
        for section, needed in _WRITING.items():
            missing = held.missing(paths[section], needed)
            if missing:
                what = " and ".join(f'"{name}"' for name in missing)
                denied = AccessDeniedError(
                    f"the token's policies lack {what} on {paths[section]}",
                    mount=self._mount,
                    path=paths[section],
                    capability=", ".join(missing),
                )
                return Check("write", f"allow it on {self._below(section)}", denied)
        return Check("write", f"allowed on {paths['data']}")

    def _below(self, section: str) -> str:
        return f'"{self._mount}/{section}/{self._folder}/*"'

    def _may_read(self) -> bool:
        try:
            self._read()
        except SecretError:
            return False
        return True

    def _read(self) -> Any:
        path = f"{self._mount}/data/{self._path}"
        return self._session.request("get", path, mount=self._mount)


def _validity(ttl: object) -> str:
    if not isinstance(ttl, int) or ttl <= 0:
        return "without an end"
    if ttl < 2 * 3600:
        return f"valid for {ttl // 60} more minutes"
    return f"valid for {ttl // 3600} more hours"
