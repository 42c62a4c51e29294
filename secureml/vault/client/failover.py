"""Get a request to Vault: address by address, again where that helps, each failure told apart."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

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
from secureml.vault.auth import AuthMethod, Login, LoginRedirectedError
from secureml.vault.client.addresses import Address, parse_addresses, redirect_target
from secureml.vault.client.answers import Members
from secureml.vault.client.transport import Failure, Reply, Send, Transport

if TYPE_CHECKING:
    import hvac
    from tenacity import RetryCallState

__all__ = ["Answer", "FailoverClient", "Objection", "seconds_left"]

_log = logging.getLogger("secureml.vault")
# A failover is no matter of the user's until the application has set up a log.
_log.addHandler(logging.NullHandler())

_Result = TypeVar("_Result")

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REASONS: Mapping[int, str] = {
    408: "the request took too long to arrive",
    412: "this node has not seen an earlier write yet",
    429: "it limits the rate of requests",
    472: "it is a standby of a disaster recovery cluster",
    473: "it is a performance standby",
    501: "it is not initialized",
}
_PASSING = frozenset({412, 425, 429, 472, 473, 500, 502, 503, 504})
_NOT_TAKEN_UP = frozenset({412, 429, 472, 473, 503})
"""With these Vault says that it has not begun to work on the request."""

_HEALTH = "/v1/sys/health?standbyok=true&perfstandbyok=true"

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5

_NEXT_TO_NOTHING = 0.01
"""Seconds in which nothing more can be done."""

_ALL, _HALF = 1.0, 0.5
"""Shares of the time that is left."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Vault said: 2xx, 400 or 404; every other status has become an error.

    Args:
        status: the HTTP status.
        body: the answer's members, none where there is no body.
        repeated: whether an earlier attempt may have reached Vault as well.
        date: when it was sent, by the server's clock, as HTTP writes a time.
    """

    status: int
    body: Members
    repeated: bool = False
    date: str | None = None

    @property
    def data(self) -> Members:
        """The object under ``data``; empty if there is none."""
        return self.body.section("data")

    @property
    def has_no_route(self) -> bool:
        """Whether no engine took the request; one that has nothing there gives no reason."""
        return self.status == 404 and bool(self.body.texts("errors"))


Objection = Callable[[Answer], str]
"""Says in words what can't be right about an answer; empty if nothing is wrong."""


class FailoverClient:
    """The way to Vault, over one or more addresses. Threads may share one.

    Args:
        settings: how to reach Vault; ``vault_url`` is set.

    Attributes:
        preferred: the address that answered last.

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
        self._namespace = settings.vault_namespace
        self._has_namespaces = self._namespace is None
        self.preferred = self._addresses[0]

    def in_turn(self) -> tuple[Address, ...]:
        """Return the addresses in the order in which they are tried."""
        preferred = self.preferred
        return preferred, *(address for address in self._addresses if address is not preferred)

    def plain_client(self, token: SecretText) -> hvac.Client:
        """Return a client as hvac's users know it, of the preferred address."""
        return self._transport.plain_client(self.preferred, token)

    def send(
        self,
        send: Send,
        token: SecretText | None,
        *,
        repeatable: bool = True,
        objection: Objection | None = None,
    ) -> Answer:
        """Send a request.

        Args:
            send: makes the request with the client it is given.
            token: the token to send with it.
            repeatable: whether sending it twice does no harm.
            objection: tells whether an answer is out of date. A standby lags behind the active
                node, which alone is believed in spite of it.

        Returns:
            The answer, where it is 2xx, 400, 401, 403 or 404.

        Raises:
            AuthenticationError: a server that can't be trusted.
            VaultUnavailableError: no usable answer.
        """
        attempts = 0

        def at(address: Address) -> Answer | Failure:
            nonlocal attempts
            attempts += 1
            return self._ask(send, address, token, objection)

        attempt = partial(self._anywhere, at, repeatable=repeatable)
        result = self._repeated(attempt, repeatable=repeatable)
        if isinstance(result, Failure):
            raise result.error
        return replace(result, repeated=True) if attempts > 1 else result

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
            return self._logged_in(auth)
        login = None
        try:
            with self._audit.access("login") as access:
                access.note(name=self._method, source="vault")
                login = self._logged_in(auth)
                access.note(accessor=login.accessor, request_id=login.request_id)
        except SecretError:
            # Its event is required and can't be written.
            if login is not None:
                self.revoke(login.token)
            raise
        return login

    def _logged_in(self, auth: AuthMethod) -> Login:
        def at(address: Address) -> Login | Failure:
            result = self._log_in_at(auth, address)
            redirect = result.error if isinstance(result, Failure) else None
            if not isinstance(redirect, LoginRedirectedError):
                return result
            target = self._target(redirect.location, address)
            return (
                target if isinstance(target, Failure) else _staying(self._log_in_at(auth, target))
            )

        attempt = partial(self._anywhere, at, repeatable=True)
        result = self._repeated(attempt, repeatable=True)
        if isinstance(result, Failure):
            raise result.error
        return result

    def revoke(self, token: SecretText) -> None:
        """Revoke a token; one that can't be revoked ends by itself."""
        self._transport.exchange(
            lambda client: client.auth.token.revoke_self(), self.preferred, token
        )

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
            answer = self.send(lambda client: client.adapter.get(_HEALTH), None)
        except MalformedAnswerError:
            # What stands before Vault keeps the question from it.
            enterprise = None
        else:
            enterprise = answer.body.get("enterprise")
        if enterprise is False:
            raise ConfigurationError(
                f"vault_namespace is {self._namespace!r}, and Vault at {self.preferred.shown} has "
                "no namespaces: it would serve what is in its root; leave the setting out, or "
                "correct vault_url"
            )
        self._has_namespaces = True

    def _log_in_at(self, auth: AuthMethod, address: Address) -> Login | Failure:
        client = self._transport.raw_client(address, None)
        return self._transport.guarded(lambda: auth.login(client), address)

    def _repeated(
        self, attempt: Callable[[], _Result | Failure], *, repeatable: bool
    ) -> _Result | Failure:
        """Attempt again while the failure may pass and the deadline allows."""
        first = attempt()
        if not _is_passing(first, repeatable=repeatable):
            return first
        from tenacity import Retrying, retry_if_result

        results = [first]

        def again() -> _Result | Failure:
            results.append(attempt())
            return results[-1]

        def given_up(_: RetryCallState) -> _Result | Failure:
            # An attempt that ran out of time says less than the one before it.
            return results[-2] if len(results) > 1 and _is_late() else results[-1]

        retrying = Retrying(
            retry=retry_if_result(partial(_is_passing, repeatable=repeatable)),
            wait=_pause,
            stop=_is_past_the_deadline,
            retry_error_callback=given_up,
        )
        outcome: _Result | Failure = retrying(next, chain([first], iter(again, object())))
        if isinstance(outcome, Failure) and (outcome.retry_after or -1) >= seconds_left():
            left = f"vault_timeout, {self._timeout:g} s in all, leaves less"
            outcome.error.args = (f"{outcome.error}; {left}",)
        return outcome

    def _anywhere(
        self, at: Callable[[Address], _Result | Failure], *, repeatable: bool
    ) -> _Result | Failure:
        """Go through the addresses until one answers; begin there the next time."""
        from secureml.vault.client.deadline import share

        in_turn = self.in_turn()
        failures: list[Failure] = []
        for address in in_turn:
            has_others = address is not in_turn[-1]
            with share(_HALF if has_others and repeatable else _ALL):
                result = at(address)
            if not isinstance(result, Failure) or not result.elsewhere:
                if failures:
                    problem = _summary(failures).error
                    _log.warning("%s; %s is asked from here on", problem, address.shown)
                self.preferred = address
                return result
            failures.append(result)
            if _is_late() or not (repeatable or result.unsent):
                break
        self.preferred = in_turn[len(failures) % len(in_turn)]
        return _summary(failures)

    def _ask(
        self,
        send: Send,
        address: Address,
        token: SecretText | None,
        objection: Objection | None = None,
    ) -> Answer | Failure:
        """Send to one address, and to where it redirects."""
        reply = self._transport.exchange(send, address, token)
        if not isinstance(reply, Reply) or reply.status not in _REDIRECTS:
            result = self._judged(reply, address)
            if objection is None or isinstance(result, Failure) or not objection(result):
                return result
            return self._believed(send, address, token, objection)
        target = self._target(reply.location or "", address)
        if isinstance(target, Failure):
            return target
        reply = self._transport.exchange(send, target, token)
        if isinstance(reply, Reply) and reply.status in _REDIRECTS:
            # As Vault's own clients: a leader doesn't redirect, and in an election none is known.
            message = f"Vault at {address.shown} redirects to a node that redirects again"
            return Failure(error=VaultUnavailableError(message), passing=True, unsent=True)
        return _staying(self._judged(reply, target))

    def _believed(
        self, send: Send, address: Address, token: SecretText | None, objection: Objection
    ) -> Answer | Failure:
        """Ask again where an answer seems to be out of date, and believe the active node."""
        # Asked first: a standby that becomes active in between has caught up by then.
        is_active = self._is_active(address)
        result = self._judged(self._transport.exchange(send, address, token), address)
        problem = "" if isinstance(result, Failure) or is_active else objection(result)
        if not problem:
            return result
        message = f"Vault at {address.shown} lags behind: {problem}"
        return Failure(error=VaultUnavailableError(message), passing=True, elsewhere=True)

    def _is_active(self, address: Address) -> bool:
        """Tell whether a node is the active one of its cluster, or has no cluster."""
        reply = self._transport.exchange(
            lambda client: client.sys.read_leader_status(), address, None
        )
        body = reply.body if isinstance(reply, Reply) else None
        return body is not None and (body.get("is_self") is True or body.get("ha_enabled") is False)

    def _target(self, location: str, address: Address) -> Address | Failure:
        target = redirect_target(location, address, self._addresses, self._cluster_hosts)
        if target is not None:
            return target
        return Failure(
            error=MalformedAnswerError(
                f"what answers at {address.shown} redirects to a host that is neither its own nor "
                "in vault_cluster_hosts, or from an encrypted connection to a plain one"
            )
        )

    def _judged(self, reply: Reply | Failure, address: Address) -> Answer | Failure:
        if isinstance(reply, Failure):
            return reply
        status = reply.status
        if status in (401, 403, 204):
            return Answer(status, Members({}, address.shown), date=reply.date)
        if status in (200, 400, 404) and reply.body is not None:
            return Answer(status, reply.body, date=reply.date)
        if status == 503 and self._says_sealed(address):
            sealed = VaultSealedError(f"Vault at {address.shown} is sealed")
            return Failure(error=sealed, elsewhere=True, unsent=True)
        if status in _PASSING or status in _REASONS:
            reason = _REASONS.get(status, "it can't serve requests now")
            if reply.retry_after is not None:
                reason += f" and asks to be left alone for {reply.retry_after:g} s"
            unavailable = VaultUnavailableError(
                f"Vault at {address.shown} is not available: {reason} (HTTP status {status})"
            )
            unavailable.retry_after = reply.retry_after
            unavailable.is_limit = status == 429
            return Failure(
                error=unavailable,
                passing=status in _PASSING,
                elsewhere=status not in (412, 429),
                unsent=status in _NOT_TAKEN_UP,
                retry_after=reply.retry_after,
            )
        return Failure(error=_malformed(address, status))

    def _says_sealed(self, address: Address) -> bool:
        reply = self._transport.exchange(
            lambda client: client.sys.read_seal_status(), address, None
        )
        body = reply.body if isinstance(reply, Reply) else None
        return body is not None and body.get("sealed") is True


def _is_passing(result: object, *, repeatable: bool) -> bool:
    return isinstance(result, Failure) and result.passing and (repeatable or result.unsent)


def _summary(failures: Sequence[Failure]) -> Failure:
    """Make one failure of those of all addresses, with the error that tells most."""
    if len(failures) == 1:
        return failures[0]
    # A sealed or failing node tells more than one that is not there.
    telling = min(
        failures, key=lambda each: (not isinstance(each.error, VaultSealedError), each.unsent)
    )
    return Failure(
        error=telling.error,
        # While a cluster elects a leader or restarts, one node after another may be gone.
        passing=any(failure.passing or failure.absent for failure in failures),
        elsewhere=True,
        unsent=all(failure.unsent for failure in failures),
    )


def _staying(result: _Result | Failure) -> _Result | Failure:
    """Keep to the node that redirected: it is alive, and will know the new leader soon."""
    if not isinstance(result, Failure):
        return result
    return replace(result, elsewhere=False, passing=result.passing or result.absent)


def _is_late() -> bool:
    return seconds_left() <= _NEXT_TO_NOTHING


def seconds_left() -> float:
    """Return what is left of the deadline, in seconds; without end where there is none."""
    from secureml.vault.client.deadline import remaining

    try:
        left = remaining()
    except TimeoutError:
        return 0.0
    return math.inf if left is None else left


def _pause(state: RetryCallState) -> float:
    """Return how long to wait: what Vault asks for, or twice as long each time, with jitter."""
    result = state.outcome.result() if state.outcome else None
    asked = result.retry_after if isinstance(result, Failure) else None
    longest = min(_FIRST_PAUSE * 2 ** (state.attempt_number - 1), _LONGEST_PAUSE)
    jittered = random.uniform(longest / 2, longest)  # noqa: S311  # no secret depends on it
    return jittered if asked is None else asked + jittered


def _is_past_the_deadline(state: RetryCallState) -> bool:
    return state.upcoming_sleep >= seconds_left()


def _malformed(address: Address, status: int) -> MalformedAnswerError:
    return MalformedAnswerError(
        f"what answers at {address.shown} does not answer as Vault (HTTP status {status})"
    )
