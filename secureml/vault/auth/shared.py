"""Logins of this process: sessions with the same credentials share one.

Its token is revoked when the last of them is closed or dropped, and when the process ends.
"""

from __future__ import annotations

import math
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
from secureml.vault.client.answers import Members
from secureml.vault.client.deadline import deadline, deadline_fraction, seconds_left
from secureml.vault.client.failover import LOOKUP_SELF, FailoverClient
from secureml.vault.client.messages import Request

__all__ = ["LoggedIn", "SharedLogin", "end", "shared_login"]

_RENEW_AFTER = 2 / 3
"""The fraction of its life after which a token is renewed."""

_RENEW_SELF = Request("post", "auth/token/renew-self", {})

_LAST = -100
"""The priority of what multiprocessing does at the end of a child: after all that may read keys."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A login with the times of its life, by the session's clock.

    Args:
        login: the login.
        renew_at: when to renew it; infinite for never.
        ends_at: when it ends; infinite for never, or if that is not known.
    """

    login: Login
    renew_at: float
    ends_at: float

    @classmethod
    def since(cls, login: Login, now: float) -> LoggedIn:
        """Return a login whose life begins now."""
        ttl = math.inf if login.ttl is None else login.ttl
        return cls(login, now + ttl * _RENEW_AFTER, now + ttl)


class SharedLogin:
    """One login for all its users: one thread makes, renews or replaces it, and the others wait.

    Args:
        identity: equal for logins that are the same.
        timeout: seconds that revoking it may take at the end of the process.
        clock: returns seconds, for the age of the login.

    Attributes:
        users: the clients of the sessions that use it.
        current: the login in force; None before the first one.
        is_over: whether the last user has gone; later sessions need another one.
        lock: held by the thread that logs in for all.
    """

    def __init__(
        self, identity: object, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.identity = identity
        self.timeout = timeout
        self.users: list[FailoverClient] = []
        self.current: LoggedIn | None = None
        self.is_over: bool = False
        self.lock: ForkSafeLock = ForkSafeLock()
        self._clock = clock
        self._looked_up: LoggedIn | None = None
        self._limit: VaultUnavailableError | None = None
        self._limited_until = 0.0

    def in_force(
        self, client: FailoverClient, auth: AuthMethod, *, instead_of: LoggedIn | None = None
    ) -> LoggedIn | None:
        """Return the login in force; None if the last user has gone meanwhile.

        Args:
            client: sends the requests.
            auth: how to log in.
            instead_of: a login that Vault has refused.

        Raises:
            SecretError: no login is possible.
        """
        usable = self._usable(instead_of)
        if usable is not None and not self._is_due(usable):
            return usable
        # While the old login still holds, nobody needs to wait for the new one.
        with suppress(BusyError), self.lock.within(seconds_left() if usable is None else 0):
            return self._refreshed(client, auth, instead_of)
        if usable is None:
            raise VaultUnavailableError(
                "Vault did not answer in time the login that another thread waits for too"
            )
        return usable

    def look_after(self, client: FailoverClient) -> None:
        """Have a given token that is periodic renewed as logins are; looks it up once.

        Args:
            client: sends the requests.
        """
        current = self.current
        if current is None or current is self._looked_up or current.renew_at < math.inf:
            return
        if current.login.own or not current.login.token:
            return
        with suppress(BusyError), self.lock.within(0):
            if self.current is not current or self.is_over:
                return
            self._looked_up = current
            # What goes wrong says nothing of the request that was answered.
            with suppress(SecretError), deadline_fraction(0.5):
                answer = client.send(LOOKUP_SELF, current.login.token)
                scheduled = self._scheduled(client, current.login, answer.data)
                # A signal handler of this thread may have replaced or revoked the login.
                if self.current is current:
                    self.current = scheduled or current

    def leave(self, client: FailoverClient) -> None:
        """End the use by one session; the last one revokes the token.

        Args:
            client: the session's.
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
        """Revoke the token; wait first for a thread that logs in, but not for ever."""
        with suppress(BusyError), self.lock.within(seconds_left() * 0.5):
            pass
        self._revoke_current(client)

    def _usable(self, refused: LoggedIn | None) -> LoggedIn | None:
        current = self.current
        if current is None or current is refused or self._clock() >= current.ends_at:
            return None
        return current

    def _is_due(self, current: LoggedIn) -> bool:
        return self._clock() >= current.renew_at

    def _refreshed(
        self, client: FailoverClient, auth: AuthMethod, refused: LoggedIn | None
    ) -> LoggedIn | None:
        """Renew or replace the login, unless another thread has done so."""
        before, usable = self.current, self._usable(refused)
        if usable is not None and not self._is_due(usable):
            return usable
        if self.is_over:
            return None
        if usable is None:
            refreshed = self._logged_in(client, auth)
        else:
            refreshed = self._prolonged(client, auth, usable)
        if self.current is not before:
            # A signal handler of this thread came in between: it logged in for itself, or closed.
            in_force = self.current
            if in_force is None or in_force.login.token != refreshed.login.token:
                self._revoke(client, refreshed)
            return in_force
        self.current = refreshed
        if not self.is_over:
            return refreshed
        # The last user to leave did not find it.
        self._revoke_current(client)
        return None

    def _prolonged(self, client: FailoverClient, auth: AuthMethod, old: LoggedIn) -> LoggedIn:
        try:
            # The old login still holds: the request itself needs time too.
            with deadline_fraction(0.5):
                renewed = self._renewed(client, old)
                if renewed is None:
                    renewed = self._logged_in(client, auth)
                    self._revoke(client, old)
                return renewed
        except (AuthenticationError, ResourceLimitError, VaultUnavailableError):
            # If it lasts, it shows when the old login ends; the next attempt comes before that.
            now = self._clock()
            return replace(old, renew_at=now + (old.ends_at - now) * _RENEW_AFTER)

    def _scheduled(self, client: FailoverClient, login: Login, found: Members) -> LoggedIn | None:
        """Return a given token with its times; None if renewing does not keep it alive."""
        period, ttl = found.seconds("period"), found.seconds("ttl")
        if not (period and ttl and found.flag("renewable")):
            return None
        ends_at = self._clock() + ttl
        renewable = replace(login, ttl=float(ttl), renewable=True)
        scheduled = LoggedIn(renewable, ends_at - period * (1 - _RENEW_AFTER), ends_at)
        # A program that ends soon renews it too, if most of its time has passed.
        return self._renewed(client, scheduled) if self._is_due(scheduled) else scheduled

    def _renewed(self, client: FailoverClient, old: LoggedIn) -> LoggedIn | None:
        """Renew; None if Vault refuses, or no longer gives the token more time."""
        if not old.login.renewable:
            return None
        answer = client.send(_RENEW_SELF, old.login.token)
        seconds = answer.body.section("auth").seconds("lease_duration")
        now = self._clock()
        if answer.status != 200 or seconds <= old.ends_at - now + 1:
            return None
        return LoggedIn.since(replace(old.login, ttl=float(seconds), renewable=True), now)

    def _logged_in(self, client: FailoverClient, auth: AuthMethod) -> LoggedIn:
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

    def _revoke_current(self, client: FailoverClient) -> None:
        current, self.current = self.current, None
        if current is not None:
            self._revoke(client, current)

    def _revoke(self, client: FailoverClient, old: LoggedIn) -> None:
        if old.login.own and self._clock() < old.ends_at:
            with suppress(SecretError):
                client.revoke(old.login)


class _Logins(Renewed):
    """The logins of this process that have users; a child begins with none."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = ForkSafeLock()

    def renew(self) -> None:
        """Forget the parent's logins."""
        self.known: list[SharedLogin] = []
        self.are_ending = False
        self._has_end = False

    def revoke_at_end(self) -> None:
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
        client: the session's.
        timeout: seconds that revoking it may take at the end of the process.
        clock: returns seconds, for the age of the login.
    """
    with _logins.lock.mutex:
        _logins.revoke_at_end()
        # A signal handler that comes in between finds this one too.
        added = SharedLogin(identity, timeout, clock)
        _logins.known.append(added)
        found = next(each for each in _logins.known if each.identity == identity)
        if found is not added:
            _logins.known.remove(added)
        if client not in found.users:
            found.users.append(client)
        return found


def end() -> None:
    """Revoke the tokens of this process, which ends."""
    _logins.are_ending = True
    logins = list(_logins.known)
    with deadline(max((each.timeout for each in logins), default=0)):
        for login in logins:
            for client in login.users[:1]:
                login.give_up(client)
