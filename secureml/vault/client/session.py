"""A session with Vault: logs in, keeps the login, and tells a denied request from an expired login.

Requests go through hvac with its error handling off, because its exceptions carry the response body
and the URL; the status tells what went wrong.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    InsecureConnectionWarning,
    SecretError,
)
from secureml.forksafe import ForkSafeLock
from secureml.settings import Settings
from secureml.settings.checks import is_loopback
from secureml.vault.auth import AuthMethod, auth_from
from secureml.vault.auth.shared import LoggedIn, SharedLogin, shared_login
from secureml.vault.client.answers import Members
from secureml.vault.client.deadline import deadline
from secureml.vault.client.failover import LOOKUP_SELF, FailoverClient
from secureml.vault.client.messages import Answer, Objection, Request
from secureml.vault.client.transport import require_extra

if TYPE_CHECKING:
    import hvac

__all__ = ["Answer", "Objection", "VaultSession"]

_IDENTITY = (
    "vault_url",
    "vault_cluster_hosts",
    "vault_namespace",
    "vault_proxy",
    "vault_ca_cert",
    "vault_tls_verify",
    "vault_tls_server_name",
    "vault_client_cert",
    "vault_client_key",
)
"""The settings by which two logins differ, besides the credentials."""

_CAPABILITIES = {"get": "read", "list": "list", "post": "update", "patch": "patch"}
"""The policy capability that a request takes, by its method."""

_REFUSED = (401, 403)

_REFUSED_AFTER_LOGIN = (
    "Vault accepts the login, and not the token that came of it: the role binds that to other "
    "addresses than this machine's (token_bound_cidrs), or it is wrong, expired or revoked by now, "
    "or its policies allow neither this nor to look itself up"
)
_REFUSED_AS_GIVEN = (
    "Vault does not accept the token: it is wrong, expired or revoked, or bound to other addresses "
    "than this machine's (a valid token that may not look itself up, for want of the default "
    "policy, looks the same)"
)


class _Process:
    """What belongs to one process: its connections and its login. No child ever uses them."""

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.client = FailoverClient(settings)
        self.login: SharedLogin | None = None
        self._timeout = settings.vault_timeout

    def close(self) -> None:
        """Leave the login, and close the connections."""
        # Those of the parent are the parent's to revoke and close.
        if self.pid != os.getpid():
            return
        with deadline(self._timeout):
            self.leave()
        self.client.close()

    def leave(self) -> None:
        """Leave the login, if there is one."""
        login, self.login = self.login, None
        if login is not None:
            login.leave(self.client)


class VaultSession:
    """A connection to one Vault. It logs in when it is first used, and again when it must.

    Every request keeps the deadline ``vault_timeout`` with all attempts that it takes. Safe to
    share between threads; after a fork, the child logs in for itself.

    Args:
        settings: where Vault is and how to log in; ``vault_url`` is set.
        auth: how to log in; by default what the settings say.
        clock: returns seconds, for the age of the login.

    Raises:
        MissingExtraError: hvac or what it needs is not installed.
        ConfigurationError: a certificate does not exist.

    Warns:
        InsecureConnectionWarning: an address is plain HTTP to another machine.
    """

    def __init__(
        self,
        settings: Settings,
        auth: AuthMethod | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_extra()
        self._settings = settings
        self._auth = auth or auth_from(settings)
        self._clock = clock
        self._is_closed = False
        self._lock = ForkSafeLock()
        self._process = self._new_process()
        _warn_of_plain_http(self.addresses)

    @property
    def client(self) -> hvac.Client:
        """A plain hvac client, logged in, that shares this session's connections."""
        here = self._here()
        with deadline(self._settings.vault_timeout):
            token = self._authenticated(here).login.token
        client = here.client.plain_client(token)
        # Its token is valid as long as the session exists.
        adapter: Any = client.adapter
        adapter.secureml_session = self
        return client

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses, the one that answered last first."""
        return tuple(address.shown for address in self._here().client.in_turn())

    @property
    def accessor(self) -> str | None:
        """The accessor of the token that this process obtained; None if it is not known."""
        here = self._process
        login = here.login if here.pid == os.getpid() else None
        current = None if login is None else login.current
        return None if current is None else current.login.accessor

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        mount: str | None = None,
        capability: str | None = None,
        repeatable: bool = True,
        objection: Objection | None = None,
    ) -> Answer:
        """Send one request, logging in if needed, once more if the token has expired.

        Args:
            method: ``get``, ``list``, ``post`` or ``patch``.
            path: the path below ``/v1/``.
            body: what to send as JSON; secrets as `SecretText`.
            params: the parameters of the query.
            headers: further headers.
            mount: the mount, for messages; by default the first segment of the path.
            capability: the policy capability that it takes, for messages; by default the method's.
            repeatable: whether sending it twice does no harm. One that is not is tried again only
                if Vault has not begun to work on it.
            objection: tells whether an answer is out of date; it is then asked for again, also
                elsewhere, and believed from the active node alone.

        Returns:
            The answer, if it is 2xx, 400 or 404.

        Raises:
            AccessDeniedError: the token is valid and may not do this.
            AuthenticationError: no valid credentials, or a server that can't be trusted.
            VaultUnavailableError: no answer, or one that says that Vault can't serve.
            VaultSealedError: Vault is sealed.
            MalformedAnswerError: an answer that is not Vault's.
        """
        request = Request(method, quote(path), body, params, headers or {}, repeatable, objection)
        here = self._here()
        with deadline(self._settings.vault_timeout):
            current = self._authenticated(here)
            answer = here.client.send(request, current.login.token)
            if answer.status in _REFUSED and not _is_valid(here, current):
                repeated = answer.repeated
                current = self._authenticated(here, instead_of=current)
                answer = here.client.send(request, current.login.token)
                answer = replace(answer, repeated=repeated or answer.repeated)
                if answer.status in _REFUSED and not _is_valid(here, current):
                    raise AuthenticationError(
                        _REFUSED_AFTER_LOGIN if current.login.own else _REFUSED_AS_GIVEN
                    )
            if answer.status in _REFUSED:
                capability = capability or _CAPABILITIES[method]
                why = _why_denied(here, current, path, capability)
                mount = mount or path.partition("/")[0]
                raise AccessDeniedError(why, mount=mount, path=path, capability=capability)
            if here.login is not None:
                here.login.look_after(here.client)
            return answer

    def lookup_self(self) -> Answer:
        """Ask Vault about the session's token: TTL, policies and the like.

        Raises:
            SecretError: as for ``request``.
        """
        return self.request("get", LOOKUP_SELF.path, mount="auth/token")

    def seal_status(self) -> Members:
        """Ask whether Vault is initialized and sealed; this needs no login.

        Raises:
            VaultUnavailableError: no usable answer.
            AuthenticationError: the server's certificate is not trusted.
        """
        with deadline(self._settings.vault_timeout):
            answer = self._here().client.send(Request("get", "sys/seal-status"), None)
        if not isinstance(answer.body.get("sealed"), bool):
            raise answer.body.malformed("sealed")
        return answer.body

    def close(self) -> None:
        """Close the connections, and revoke the token if no other session of the process uses it.

        It takes no longer than ``vault_timeout``, even while a thread logs in. A closed session
        does not log in again. A session that is dropped, or exists when the process ends, is closed
        then.
        """
        self._is_closed = True
        # Nothing can be imported or sent at the end of the interpreter: that was done before.
        if not sys.is_finalizing():
            self._process.close()

    def _here(self) -> _Process:
        """Return what belongs to this process; a request takes everything from it."""
        here = self._process
        if here.pid == os.getpid():
            return here
        with self._lock.mutex:
            if self._process.pid != os.getpid():
                process = self._new_process()
                # A signal handler of this thread may have been here meanwhile.
                if self._process.pid != process.pid:
                    self._process = process
            return self._process

    def _new_process(self) -> _Process:
        process = _Process(self._settings)
        # In a context of its own: the deadline of the code that is interrupted does not apply.
        weakref.finalize(self, Context().run, process.close).atexit = False
        return process

    def _authenticated(self, here: _Process, *, instead_of: LoggedIn | None = None) -> LoggedIn:
        while True:
            login = self._login(here)
            current = login.in_force(here.client, self._auth, instead_of=instead_of)
            if current is not None:
                return current

    def _login(self, here: _Process) -> SharedLogin:
        login = here.login
        if login is None or login.is_over:
            login = here.login = self._shared_login(here.client)
        if self._is_closed:
            # Whoever closed it did not find this login.
            here.leave()
            raise SecretError("this connection to Vault is closed")
        return login

    def _shared_login(self, client: FailoverClient) -> SharedLogin:
        credentials = self._auth.credentials()
        identity: object = client
        if credentials is not None:
            place = [getattr(self._settings, name) for name in _IDENTITY]
            identity = (self._clock, place, credentials)
        return shared_login(identity, client, self._settings.vault_timeout, self._clock)


def _is_valid(here: _Process, current: LoggedIn) -> bool:
    return here.client.send(LOOKUP_SELF, current.login.token).status == 200


def _warn_of_plain_http(addresses: Sequence[str]) -> None:
    for address in addresses:
        if address.lower().startswith("http://") and not is_loopback(address):
            warnings.warn(
                f"tokens and secrets travel to {address} in the clear: use https",
                InsecureConnectionWarning,
                stacklevel=3,
            )


def _why_denied(here: _Process, current: LoggedIn, path: str, capability: str) -> str:
    """Say why Vault denies a request to a token that is valid."""
    held: list[str] = []
    # If the token may not ask, the usual reason is the likely one.
    with suppress(SecretError):
        question = Request("post", "sys/capabilities-self", {"paths": [path]})
        answer = here.client.send(question, current.login.token)
        held = answer.data.texts(path) if answer.status == 200 else []
    # Of several, a request takes one or all of them; which it is, is for the caller to say.
    is_held = "root" in held or all(
        any(name in held for name in names.split(" or ")) for names in capability.split(" and ")
    )
    if not is_held:
        return f"Vault denies {capability!r} on {path!r}: the token's policies lack it"
    return (
        f"Vault denies {capability!r} on {path!r}, though the token's policies have it: they ask "
        "for a wrapped answer (min_wrapping_ttl) or for other parameters there, or another policy "
        "denies it"
    )
