"""A session with Vault: logged in, kept so, and telling a denied request from an expired login.

Requests go through hvac with its error handling off, because the exceptions it raises carry the
response body and the URL; what went wrong is read from the status instead.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from secureml.concurrency import BusyError, SharedLock
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    InsecureConnectionWarning,
    MalformedAnswerError,
    ResourceLimitError,
    VaultUnavailableError,
)
from secureml.settings import Settings
from secureml.settings.checks import is_loopback
from secureml.vault.auth import AuthMethod, Login, auth_from
from secureml.vault.delivery import Answer, Delivery, Objection, seconds_left
from secureml.vault.transport import Send, require_extra

if TYPE_CHECKING:
    import hvac

__all__ = ["Answer", "Objection", "Send", "VaultSession"]

_RENEW_AFTER = 2 / 3
"""The share of its life after which a token is renewed."""

_HALF_OF_WHAT_IS_LEFT = 0.5


@dataclass(frozen=True, slots=True)
class _LoggedIn:
    """A login on the clock.

    Args:
        login: what the method brought.
        renew_at: when to prolong its life; None for never.
        ends_at: when it ends; None for never, or not known.
    """

    login: Login
    renew_at: float | None
    ends_at: float | None

    @classmethod
    def since(cls, login: Login, now: float) -> _LoggedIn:
        if login.ttl is None or not login.own:
            return cls(login, None, None)
        return cls(login, now + login.ttl * _RENEW_AFTER, now + login.ttl)

    def tried_at(self, now: float) -> _LoggedIn:
        """Put the next attempt at two thirds of the life that is left."""
        ends_at = now if self.ends_at is None else self.ends_at
        return replace(self, renew_at=now + (ends_at - now) * _RENEW_AFTER)


class _Process:
    """What belongs to one process: its connections, and its login. No child ever uses it.

    Args:
        settings: how to reach Vault.
    """

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.delivery = Delivery(settings)
        self.lock = SharedLock()
        """Held by the thread that logs in for all."""
        self.login: _LoggedIn | None = None


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
        self._lock = SharedLock()
        self._process = _Process(settings)
        _warn_of_plain_http(self.addresses)

    @property
    def client(self) -> hvac.Client:
        """A plain hvac client, logged in, that shares this session's connections."""
        from secureml.vault.deadline import deadline

        here = self._here()
        with deadline(self._settings.vault_timeout):
            token = self._authenticated(here).login.token
        return here.delivery.plain_client(token)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses, the one that answered last first."""
        return tuple(address.shown for address in self._here().delivery.in_turn())

    @property
    def accessor(self) -> str | None:
        """The accessor of the token that this process obtained; None where it is not known."""
        here = self._process
        current = here.login if here.pid == os.getpid() else None
        return None if current is None else current.login.accessor

    def request(
        self,
        send: Send,
        *,
        mount: str,
        path: str,
        capability: str,
        repeatable: bool = True,
        objection: Objection | None = None,
    ) -> Answer:
        """Send one request, logging in where needed, once more where the token has expired.

        Args:
            send: makes the request with the client it is given.
            mount: the mount it goes to, for messages.
            path: the API path it goes to, for messages.
            capability: the policy capability it takes, for messages.
            repeatable: whether sending it twice does no harm. One that is not is tried again only
                if Vault has not begun to work on it.
            objection: tells whether an answer is out of date; it is then asked for again, also
                elsewhere, and believed from the active node alone.

        Returns:
            The answer, where it is 2xx, 400 or 404.

        Raises:
            AccessDeniedError: the token is valid and may not do this.
            AuthenticationError: no valid credentials, or a server that can't be trusted.
            VaultUnavailableError: no answer, or one that says that Vault can't serve.
            VaultSealedError: Vault is sealed.
            MalformedAnswerError: an answer that is not Vault's.
        """
        from secureml.vault.deadline import deadline

        here = self._here()
        attempt = partial(here.delivery.send, send, repeatable=repeatable, objection=objection)
        with deadline(self._settings.vault_timeout):
            current = self._authenticated(here)
            answer = attempt(current.login.token)
            if answer.status not in (401, 403):
                return answer
            if _is_valid(here, current):
                raise _denied(mount, path, capability)
            current = self._authenticated(here, instead_of=current)
            repeated = answer.repeated
            answer = attempt(current.login.token)
            if answer.status not in (401, 403):
                return replace(answer, repeated=True) if repeated else answer
            if _is_valid(here, current):
                raise _denied(mount, path, capability)
        raise AuthenticationError(
            "Vault does not accept the token: it is wrong, expired or revoked (a valid token that "
            "may not look itself up, for want of the default policy, looks the same)"
        )

    def lookup_self(self) -> Answer:
        """Ask Vault about the session's token: TTL, policies and the like.

        Raises:
            SecretError: as for ``request``.
        """
        return self.request(
            lambda client: client.auth.token.lookup_self(),
            mount="auth/token",
            path="auth/token/lookup-self",
            capability="read",
        )

    def is_sealed(self) -> bool:
        """Ask whether Vault is sealed; this needs no login.

        Raises:
            VaultUnavailableError: no usable answer.
            AuthenticationError: the server's certificate is not trusted.
        """
        from secureml.vault.deadline import deadline

        with deadline(self._settings.vault_timeout):
            answer = self._here().delivery.send(lambda client: client.sys.read_seal_status(), None)
        sealed = answer.body.get("sealed")
        if not isinstance(sealed, bool):
            raise MalformedAnswerError(
                f"what answers at {self.addresses[0]} does not answer as Vault"
            )
        return sealed

    def close(self) -> None:
        """Revoke the token if the session obtained it, close the connections, forget both.

        It takes no longer than ``vault_timeout``, also while another thread logs in, or this one
        does and a signal handler closes the session.
        """
        from secureml.vault.deadline import deadline

        here = self._process
        # The parent's login and connections are the parent's to revoke and close.
        if here.pid != os.getpid():
            return
        with deadline(self._settings.vault_timeout):
            with suppress(BusyError), here.lock.within(seconds_left() * _HALF_OF_WHAT_IS_LEFT):
                pass
            current, here.login = here.login, None
            if current is not None:
                self._revoke(here, current)
        here.delivery.close()

    def _here(self) -> _Process:
        """Return what belongs to this process; everything of a request is taken from it."""
        here = self._process
        if here.pid == os.getpid():
            return here
        with self._lock.mutex:
            if self._process.pid != os.getpid():
                made = _Process(self._settings)
                # A signal handler of this thread may have been here meanwhile.
                if self._process.pid != made.pid:
                    self._process = made
            return self._process

    def _authenticated(self, here: _Process, *, instead_of: _LoggedIn | None = None) -> _LoggedIn:
        """Return the login in force: one thread renews or replaces it, for all."""
        current = here.login
        if current is not None and current is not instead_of and not self._is_due(current):
            return current
        # While the old login still holds, nobody needs to wait for the new one.
        usable = current is not None and current is not instead_of and not self._is_over(current)
        with suppress(BusyError), here.lock.within(0 if usable else seconds_left()):
            before = here.login
            if before is not None and before is not instead_of and not self._is_due(before):
                return before
            made = self._prolonged(here, before, instead_of)
            if here.login is before:
                here.login = made
                return made
            # A signal handler of this thread came in between: it logged in for itself, or closed.
            in_force = here.login
            if in_force is None or in_force.login.token != made.login.token:
                self._revoke(here, made)
            return in_force or made
        if usable and current is not None:
            return current
        raise VaultUnavailableError(
            "Vault did not answer in time the login that another thread waits for too"
        )

    def _is_due(self, current: _LoggedIn) -> bool:
        return current.renew_at is not None and self._clock() >= current.renew_at

    def _is_over(self, current: _LoggedIn) -> bool:
        return current.ends_at is not None and self._clock() >= current.ends_at

    def _prolonged(
        self, here: _Process, old: _LoggedIn | None, refused: _LoggedIn | None
    ) -> _LoggedIn:
        from secureml.vault.deadline import share

        if old is None or old is refused or self._is_over(old):
            return self._log_in(here)
        try:
            # The old login still holds: whoever asked needs time for the request itself.
            with share(_HALF_OF_WHAT_IS_LEFT):
                return self._renewed(here, old) or self._replaced(here, old)
        except (AuthenticationError, ResourceLimitError, VaultUnavailableError):
            # It shows when the old login ends, if it lasts for so long.
            return old.tried_at(self._clock())

    def _renewed(self, here: _Process, old: _LoggedIn) -> _LoggedIn | None:
        """Renew; None where that is refused, or no longer gives the token more time."""
        if not old.login.renewable:
            return None
        token = old.login.token
        answer = here.delivery.send(lambda client: client.auth.token.renew_self(), token)
        seconds = answer.body.section("auth").seconds("lease_duration")
        if answer.status != 200:
            return None
        left = (old.ends_at or 0) - self._clock()
        if seconds <= left + 1:
            return None
        login = replace(old.login, ttl=float(seconds), renewable=True)
        return _LoggedIn.since(login, self._clock())

    def _replaced(self, here: _Process, old: _LoggedIn) -> _LoggedIn:
        new = self._log_in(here)
        self._revoke(here, old)
        return new

    def _log_in(self, here: _Process) -> _LoggedIn:
        return _LoggedIn.since(here.delivery.log_in(self._auth), self._clock())

    def _revoke(self, here: _Process, old: _LoggedIn) -> None:
        if old.login.own and not self._is_over(old):
            here.delivery.revoke(old.login.token)


def _is_valid(here: _Process, current: _LoggedIn) -> bool:
    token = current.login.token
    return here.delivery.send(lambda client: client.auth.token.lookup_self(), token).status == 200


def _warn_of_plain_http(addresses: Sequence[str]) -> None:
    for address in addresses:
        if address.lower().startswith("http://") and not is_loopback(address):
            warnings.warn(
                f"tokens and secrets travel to {address} in the clear: use https",
                InsecureConnectionWarning,
                stacklevel=3,
            )


def _denied(mount: str, path: str, capability: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"Vault denies {capability!r} on {path!r}: the token's policies lack it",
        mount=mount,
        path=path,
        capability=capability,
    )
