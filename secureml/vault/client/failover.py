"""Failover between addresses, retries until the deadline, redirects, and logins."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from secureml.audit import Audit
from secureml.errors import (
    ConfigurationError,
    MalformedAnswerError,
    SecretError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.secret_types import SecretText
from secureml.settings import Settings
from secureml.vault.auth import AuthMethod, Login
from secureml.vault.client.addresses import Address, parse_addresses, redirect_target
from secureml.vault.client.answers import Members
from secureml.vault.client.deadline import deadline_fraction, seconds_left
from secureml.vault.client.failures import Failure, failure_in, sealed
from secureml.vault.client.messages import Answer, Request
from secureml.vault.client.transport import Transport

if TYPE_CHECKING:
    import hvac

__all__ = ["LOOKUP_SELF", "FailoverClient"]

LOOKUP_SELF = Request("get", "auth/token/lookup-self")
_HEALTH = Request("get", "sys/health", params={"standbyok": "true", "perfstandbyok": "true"})

_log = logging.getLogger("secureml.vault")
# Silent until the application configures logging.
_log.addHandler(logging.NullHandler())

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5

_LIMIT_SHARE = 1 / 8
"""The share of the time left that a pause may take if Vault limits the rate of requests."""

_TOO_LATE = 0.01
"""Seconds in which no further attempt can succeed."""


class FailoverClient:
    """Sends requests to Vault, over one or more addresses. Threads may share one.

    Args:
        settings: how to reach Vault; ``vault_url`` is set.

    Attributes:
        preferred: the address that answered last.
        namespace: the namespace that requests go to.

    Raises:
        ConfigurationError: a certificate can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._addresses = parse_addresses(settings.vault_url or "")
        hosts = settings.vault_cluster_hosts
        self._cluster_hosts = tuple(hosts.split(",")) if hosts else ()
        self._transport = Transport(settings, self._addresses)
        self._audit = Audit(settings)
        self._timeout = settings.vault_timeout
        self._method = settings.vault_auth_mount or settings.vault_auth
        self.namespace: str | None = settings.vault_namespace
        self._has_namespaces = self.namespace is None
        self.preferred: Address = self._addresses[0]

    def in_turn(self) -> tuple[Address, ...]:
        """Return the addresses in the order in which they are tried."""
        preferred = self.preferred
        return preferred, *(address for address in self._addresses if address is not preferred)

    def plain_client(self, token: SecretText) -> hvac.Client:
        """Return a client as hvac's users know it, of the preferred address."""
        return self._transport.plain_client(self.preferred, token)

    def send(self, request: Request, token: SecretText | None) -> Answer:
        """Send a request, again while the failure is transient and the deadline allows.

        Args:
            request: what to send.
            token: the token to send with it.

        Returns:
            The answer, if it is 2xx, 400, 401, 403 or 404.

        Raises:
            AuthenticationError: a server that can't be trusted.
            VaultUnavailableError: no usable answer.
        """
        previous: Failure | None = None
        longest = _FIRST_PAUSE
        while True:
            result = self._round(request, token)
            if not isinstance(result, Failure):
                return result if previous is None else replace(result, repeated=True)
            if not result.transient or not (request.repeatable or result.not_processed):
                raise result.error
            asked = result.retry_after or 0
            limit = _LONGEST_PAUSE
            if result.is_limit:
                limit = max(limit, (seconds_left() - asked) * _LIMIT_SHARE)
            longest = min(longest, limit)
            # A crowd that comes back together would be too many again.
            shortest = 0 if result.is_limit else longest / 2
            # No secret depends on it.
            pause = asked + random.uniform(shortest, longest)  # noqa: S311  # nosec B311
            if pause >= seconds_left():
                raise self._given_up(result, previous)
            time.sleep(pause)
            previous, longest = result, 2 * longest

    def post(
        self,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        token: SecretText | None = None,
    ) -> Answer:
        """Send one request of a login.

        Args:
            path: the path below ``/v1/``, percent-encoded if needed.
            body: what to send as JSON; secrets as `SecretText`.
            token: the token to send with it.

        Returns:
            The answer: 200, or a refusal.

        Raises:
            SecretError: as for ``send``.
        """
        return self.send(Request("post", path, body or {}, is_login=True), token)

    def log_in(self, auth: AuthMethod) -> Login:
        """Log in.

        Args:
            auth: how.

        Raises:
            AuthenticationError: the credentials are not accepted, or the server can't be trusted.
            ConfigurationError: a namespace is set, and the server has none.
            VaultUnavailableError: no usable answer.
        """
        self._check_namespace()
        if not auth.asks_vault:
            return auth.login(self)
        login = None
        try:
            with self._audit.access("login") as access:
                access.note(name=self._method, source="vault")
                login = auth.login(self)
                access.note(accessor=login.accessor, request_id=login.request_id)
        except SecretError:
            # Its event is required and can't be written.
            if login is not None:
                self.revoke(login)
            raise
        return login

    def revoke(self, login: Login) -> None:
        """Revoke a token, by one attempt; one that can't be revoked ends by itself."""
        if not login.batch:
            request = Request("post", "auth/token/revoke-self")
            self._transport.exchange(request, self.preferred, login.token)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _check_namespace(self) -> None:
        """Ask once whether there are namespaces, before a credential goes to another's.

        HashiCorp's Community edition takes every request for one to its root namespace.
        """
        if self._has_namespaces:
            return
        try:
            answer = self.send(_HEALTH, None)
        except MalformedAnswerError:
            # What stands before Vault keeps the question from it.
            enterprise = None
        else:
            enterprise = answer.body.get("enterprise")
        if enterprise is False:
            raise ConfigurationError(
                f"vault_namespace is {self.namespace!r}, and Vault at {self.preferred.shown} has "
                "no namespaces: it would serve what is in its root; leave the setting out, or "
                "correct vault_url"
            )
        self._has_namespaces = True

    def _round(self, request: Request, token: SecretText | None) -> Answer | Failure:
        """Try the addresses in turn until one answers; the next round begins there."""
        in_turn = self.in_turn()
        failures: list[Failure] = []
        for address in in_turn:
            has_others = address is not in_turn[-1]
            with deadline_fraction(0.5 if has_others and request.repeatable else 1):
                answer = self._transport.exchange(request, address, token)
                result = self._judged(answer, request, address, token)
            if not isinstance(result, Failure) or not result.try_next:
                self.preferred = address
                if not failures:
                    return result
                problem = _summary(failures).error.message
                _log.warning("%s; %s is asked from here on", problem, address.shown)
                return result if isinstance(result, Failure) else replace(result, repeated=True)
            failures.append(result)
            if _is_late() or not (request.repeatable or result.not_processed):
                break
        self.preferred = in_turn[len(failures) % len(in_turn)]
        return _summary(failures)

    def _given_up(self, last: Failure, previous: Failure | None) -> SecretError:
        """Return the error of the last round, or of the one before it if this ran out of time."""
        failure = previous if previous is not None and _is_late() else last
        if (failure.retry_after or -1) >= seconds_left():
            left = f"vault_timeout, {self._timeout:g} s in all, leaves less"
            failure.error.reword(f"{failure.error.message}; {left}")
        return failure.error

    def _judged(
        self,
        answer: Answer | Failure,
        request: Request,
        address: Address,
        token: SecretText | None,
    ) -> Answer | Failure:
        """Follow a redirect, and ask again if the answer seems to be out of date."""
        if isinstance(answer, Failure):
            return answer
        if answer.status in _REDIRECTS and "Location" in answer.headers:
            return self._redirected(answer.headers["Location"], request, address, token)
        result = self._classified(answer, request, address)
        if isinstance(result, Failure) or not request.objection or not request.objection(result):
            return result
        # Asked first: a standby that becomes active in between has caught up by then.
        leader = self._ask("sys/leader", address)
        is_active = leader.get("is_self") is True or leader.get("ha_enabled") is False
        again = self._transport.exchange(request, address, token)
        result = self._classified(again, request, address)
        problem = "" if isinstance(result, Failure) or is_active else request.objection(result)
        if not problem:
            return result
        message = f"Vault at {address.shown} lags behind: {problem}"
        return Failure(error=VaultUnavailableError(message), transient=True, try_next=True)

    def _redirected(
        self, location: str, request: Request, address: Address, token: SecretText | None
    ) -> Answer | Failure:
        target = redirect_target(location, address, self._addresses, self._cluster_hosts)
        if target is None:
            message = (
                f"what answers at {address.shown} redirects to a host that is neither its own nor "
                "in vault_cluster_hosts, or from an encrypted connection to a plain one"
            )
            return Failure(error=MalformedAnswerError(message))
        answer = self._transport.exchange(request, target, token)
        if isinstance(answer, Answer) and answer.status in _REDIRECTS:
            # As Vault's own clients: a leader doesn't redirect, and in an election none is known.
            message = f"Vault at {address.shown} redirects to a node that redirects again"
            unavailable = VaultUnavailableError(message)
            return Failure(error=unavailable, transient=True, not_processed=True)
        result = self._classified(answer, request, target)
        if not isinstance(result, Failure):
            return result
        # The node that redirected is alive, and will know the new leader soon.
        return replace(result, try_next=False, transient=result.transient or result.absent)

    def _classified(
        self, answer: Answer | Failure, request: Request, address: Address
    ) -> Answer | Failure:
        if isinstance(answer, Failure):
            return answer
        if answer.status == 503 and self._ask("sys/seal-status", address).get("sealed") is True:
            return sealed(address)
        return failure_in(answer, address, is_login=request.is_login) or answer

    def _ask(self, path: str, address: Address) -> Members:
        """Ask one node about itself; the answer is empty if it gives none."""
        answer = self._transport.exchange(Request("get", path), address, None)
        return Members({}, address.shown) if isinstance(answer, Failure) else answer.body


def _summary(failures: Sequence[Failure]) -> Failure:
    """Make one failure of those of all addresses, with the error that tells most."""
    if len(failures) == 1:
        return failures[0]
    # A sealed or failing node tells more than one that is not there.
    telling = min(
        failures,
        key=lambda each: (not isinstance(each.error, VaultSealedError), each.not_processed),
    )
    return Failure(
        error=telling.error,
        # While a cluster elects a leader or restarts, one node after another may be gone.
        transient=any(failure.transient or failure.absent for failure in failures),
        try_next=True,
        not_processed=all(failure.not_processed for failure in failures),
    )


def _is_late() -> bool:
    return seconds_left() <= _TOO_LATE
