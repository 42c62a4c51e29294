"""Logins of this process: sessions with the same credentials share one.

Its token is revoked when the last of them is closed or dropped, and when the process ends.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace

from secureml.errors import (
    AuthenticationError,
    ResourceLimitError,
    SecretError,
    VaultUnavailableError,
)
from secureml.forksafe import BusyError, ForkSafeLock, Renewed
from secureml.vault.auth import AuthMethod, Login
from secureml.vault.client.deadline import deadline, deadline_fraction, seconds_left
from secureml.vault.client.failover import LOOKUP_SELF, FailoverClient
from secureml.vault.client.messages import Request

__all__ = ["LoggedIn", "SharedLogin", "end", "shared_login"]

_RENEW_AFTER = 2 / 3
"""The share of its life after which a token is renewed."""

_HALF = 0.5

_RENEW_SELF = Request("post", "auth/token/renew-self", {})

_LAST = -100
"""The priority of what multiprocessing does at the end of a child: after all that may read keys."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
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
    def since(cls, login: Login, now: float) -> LoggedIn:
        """Put a new login on the clock."""
        if login.ttl is None:
            return cls(login, None, None)
        return cls(login, now + login.ttl * _RENEW_AFTER, now + login.ttl)

    def tried_at(self, now: float) -> LoggedIn:
        """Put the next attempt at two thirds of the life that is left."""
        ends_at = now if self.ends_at is None else self.ends_at
        return replace(self, renew_at=now + (ends_at - now) * _RENEW_AFTER)


class SharedLogin:
    """One login for all its users: one thread makes, renews or replaces it, and the others wait.

    Args:
        identity: equal for logins that are the same.
        timeout: seconds that giving it up may take at the end of the process.
        clock: returns seconds, for the age of the login.

    Attributes:
        users: the clients of the sessions that use it.
        current: the login in force; None before the first one.
        is_over: whether the last user has gone; whoever comes now needs another one.
        lock: held by the thread that logs in for all.
    """

    def __init__(
        self, identity: object, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.identity = identity
        self.timeout = timeout
        self.users: list[FailoverClient] = []
        self.current: LoggedIn | None = None
        self.is_over = False
        self.lock = ForkSafeLock()
        self._clock = clock
        self._seen: LoggedIn | None = None
        self._limit: VaultUnavailableError | None = None
        self._limited_until = 0.0

    def in_force(
        self, client: FailoverClient, auth: AuthMethod, *, instead_of: LoggedIn | None = None
    ) -> LoggedIn | None:
        """Return the login in force; None if the last user has gone meanwhile.

        Args:
            client: the way to Vault of the session that asks.
            auth: how to log in.
            instead_of: a login that Vault has refused.

        Raises:
            SecretError: no login is possible.
        """
        current = self.current
        if current is not None and current is not instead_of and not self._is_due(current):
            return current
        # While the old login still holds, nobody needs to wait for the new one.
        usable = current is not None and current is not instead_of and not self._has_ended(current)
        with suppress(BusyError), self.lock.within(0 if usable else seconds_left()):
            return self._agreed(client, auth, instead_of)
        if usable:
            return current
        raise VaultUnavailableError(
            "Vault did not answer in time the login that another thread waits for too"
        )

    def look_after(self, client: FailoverClient) -> None:
        """Have a periodic token that was given renewed, as logins are; looks at it once.

        Args:
            client: the way to Vault of the session that has just used it.
        """
        current = self.current
        if current is None or current is self._seen or current.renew_at is not None:
            return
        if current.login.own or not current.login.token:
            return
        with suppress(BusyError), self.lock.within(0):
            if self.current is not current or self.is_over:
                return
            self._seen = current
            # What goes wrong says nothing of the request that was answered.
            with suppress(SecretError), deadline_fraction(_HALF):
                scheduled = self._scheduled(client, current)
                # A signal handler of this thread may have replaced or given up the login.
                if scheduled is not None and self.current is current:
                    self.current = scheduled

    def _scheduled(self, client: FailoverClient, current: LoggedIn) -> LoggedIn | None:
        """Put a given token on the clock; None if it is none that renewing keeps alive."""
        login = current.login
        token = client.send(LOOKUP_SELF, login.token).data
        period, ttl = token.seconds("period"), token.seconds("ttl")
        if not (period and ttl and token.flag("renewable")):
            return None
        now = self._clock()
        renewable = replace(login, ttl=float(ttl), renewable=True)
        renew_at = now + ttl - period * (1 - _RENEW_AFTER)
        found = LoggedIn(renewable, renew_at, now + ttl)
        # A program that ends soon is to renew it too, if most of its time has passed.
        return self._renewed(client, found) if self._is_due(found) else found

    def leave(self, client: FailoverClient) -> None:
        """End the use of one session; the last one gives the token up.

        Args:
            client: the way to Vault of that session.
        """
        with _logins.lock.mutex:
            with suppress(ValueError):
                self.users.remove(client)
            if self.users:
                return
            self.is_over = True
            with suppress(ValueError):
                _logins.known.remove(self)
        self.give_up(client)

    def give_up(self, client: FailoverClient) -> None:
        """Revoke the token. Where a thread logs in just now, wait for it, but not for ever."""
        with suppress(BusyError), self.lock.within(seconds_left() * _HALF):
            pass
        self._given_up(client)

    def _agreed(
        self, client: FailoverClient, auth: AuthMethod, refused: LoggedIn | None
    ) -> LoggedIn | None:
        """Renew or replace the login, unless another thread has done so."""
        before = self.current
        if before is not None and before is not refused and not self._is_due(before):
            return before
        if self.is_over:
            return None
        made = self._prolonged(client, auth, before, refused)
        if self.current is not before:
            # A signal handler of this thread came in between: it logged in for itself, or closed.
            in_force = self.current
            if in_force is None or in_force.login.token != made.login.token:
                self._revoke(client, made)
            return in_force
        self.current = made
        if not self.is_over:
            return made
        # Whoever was the last to leave did not find it.
        self._given_up(client)
        return None

    def _given_up(self, client: FailoverClient) -> None:
        current, self.current = self.current, None
        if current is not None:
            self._revoke(client, current)

    def _is_due(self, current: LoggedIn) -> bool:
        return current.renew_at is not None and self._clock() >= current.renew_at

    def _has_ended(self, current: LoggedIn) -> bool:
        return current.ends_at is not None and self._clock() >= current.ends_at

    def _prolonged(
        self,
        client: FailoverClient,
        auth: AuthMethod,
        old: LoggedIn | None,
        refused: LoggedIn | None,
    ) -> LoggedIn:
        if old is None or old is refused or self._has_ended(old):
            return self._made(client, auth)
        try:
            # The old login still holds: whoever asked needs time for the request itself.
            with deadline_fraction(_HALF):
                return self._renewed(client, old) or self._replaced(client, auth, old)
        except (AuthenticationError, ResourceLimitError, VaultUnavailableError):
            # It shows when the old login ends, if it lasts for so long.
            return old.tried_at(self._clock())

    def _renewed(self, client: FailoverClient, old: LoggedIn) -> LoggedIn | None:
        """Renew; None if that is refused, or no longer gives the token more time."""
        if not old.login.renewable:
            return None
        answer = client.send(_RENEW_SELF, old.login.token)
        seconds = answer.body.section("auth").seconds("lease_duration")
        if answer.status != 200:
            return None
        left = (old.ends_at or 0) - self._clock()
        if seconds <= left + 1:
            return None
        login = replace(old.login, ttl=float(seconds), renewable=True)
        return LoggedIn.since(login, self._clock())

    def _replaced(self, client: FailoverClient, auth: AuthMethod, old: LoggedIn) -> LoggedIn:
        new = self._made(client, auth)
        self._revoke(client, old)
        return new

    def _made(self, client: FailoverClient, auth: AuthMethod) -> LoggedIn:
        if _logins.are_ending and threading.current_thread() is not threading.main_thread():
            raise SecretError("the process ends: no thread logs in to Vault any more")
        if self._limit is not None and self._limited_until - self._clock() > seconds_left():
            raise copy(self._limit)
        self._limit = None
        try:
            login = client.log_in(auth)
        except VaultUnavailableError as error:
            if error.is_limit:
                self._limited_until = self._clock() + (error.retry_after or 0)
                self._limit = copy(error).with_traceback(None)
            raise
        return LoggedIn.since(login, self._clock())

    def _revoke(self, client: FailoverClient, old: LoggedIn) -> None:
        if old.login.own and not self._has_ended(old):
            with suppress(SecretError):
                client.revoke(old.login.token)


class _Logins(Renewed):
    """The logins of this process; a child begins with none.

    Attributes:
        known: those that have users.
        are_ending: whether the process ends, and only what it does at its end may need one.
        lock: held to change ``known``, and who uses what.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = ForkSafeLock()

    def renew(self) -> None:
        """Forget the parent's logins."""
        self.known: list[SharedLogin] = []
        self.are_ending = False
        self._has_end = False

    def see_to_the_end(self) -> None:
        """Have the tokens revoked at the end of a child of multiprocessing, which skips atexit."""
        if self._has_end:
            return
        self._has_end = True
        process = sys.modules.get("multiprocessing.process")
        util = sys.modules.get("multiprocessing.util")
        if process and util and process.parent_process() is not None:
            util.Finalize(None, end, exitpriority=_LAST)


_logins = _Logins()


def shared_login(
    identity: object,
    client: FailoverClient,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> SharedLogin:
    """Return the login of this process with these credentials; the session becomes a user of it.

    Args:
        identity: equal for logins that are the same; compared, and neither hashed nor shown.
        client: the session's way to Vault.
        timeout: seconds that giving it up may take at the end of the process.
        clock: returns seconds, for the age of the login.
    """
    with _logins.lock.mutex:
        _logins.see_to_the_end()
        # A signal handler that comes in between finds this one too.
        made = SharedLogin(identity, timeout, clock)
        _logins.known.append(made)
        found = next(each for each in _logins.known if each.identity == identity)
        if found is not made:
            _logins.known.remove(made)
        if client not in found.users:
            found.users.append(client)
        return found


def end() -> None:
    """Revoke the tokens of this process, which ends."""
    _logins.are_ending = True
    logins = list(_logins.known)
    if not logins:
        return
    with deadline(max(each.timeout for each in logins)):
        for login in logins:
            for client in login.users[:1]:
                login.give_up(client)
