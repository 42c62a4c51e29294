"""The life of a login: renewed, replaced, found expired, revoked, and left alone by a child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from helpers.clock import Clock
from helpers.vault import Vault
from secureml.errors import AccessDeniedError, AuthenticationError, VaultUnavailableError
from secureml.secret_types import SecretText
from secureml.settings import Layers, load_settings
from secureml.vault.auth import AuthMethod, Login, auth_from
from secureml.vault.client.session import VaultSession
from secureml.vault.client.transport import Transport

READ = """
path "secret/data/*" { capabilities = ["read"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
"""


class Tokens(AuthMethod):
    """Logs in as a real method does: with a new token of Vault's each time, which is our own."""

    def __init__(self, vault: Any, **options: Any) -> None:
        self._vault = vault
        self._options = {"ttl": "300s", **options}
        self.given: list[str] = []
        self.claimed: dict[str, Any] = {"ttl": 300.0, "renewable": True}
        self.failure: Exception | None = None

    def login(self, client: Any) -> Login:
        if self.failure is not None:
            raise self.failure
        token = self._vault.policy_token(READ, **self._options)
        self.given.append(token)
        return Login(token=SecretText(token), own=True, **self.claimed)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def session_with(vault: Vault, clock: Clock) -> Iterator[Callable[..., VaultSession]]:
    """Make sessions in the test's namespace that log in by a method, and close them."""
    vault.client().secrets.kv.v2.create_or_update_secret("k", {"value": "v"})
    sessions: list[VaultSession] = []

    def make(auth: AuthMethod | None = None, **more: Any) -> VaultSession:
        arguments = {"vault_url": vault.url, "vault_namespace": vault.namespace, **more}
        settings = load_settings(Layers(arguments=arguments))
        sessions.append(VaultSession(settings, auth, clock=clock))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


def value_of(session: VaultSession, path: str = "k") -> Any:
    return session.request("get", f"secret/data/{path}").data["data"]["value"]


def is_alive(vault: Any, token: str) -> bool:
    answer = vault.client().adapter.post(
        "/v1/auth/token/lookup", json={"token": token}, raise_exception=False
    )
    return isinstance(answer, dict) and "data" in answer


def test_a_login_is_renewed_after_two_thirds_of_its_life(
    vault: Any, session_with: Any, clock: Clock
) -> None:
    auth = Tokens(vault)
    session = session_with(auth)
    assert value_of(session) == "v"
    renewed_at = session.lookup_self().data.get("last_renewal_time")
    clock.now += 199
    assert value_of(session) == "v"
    assert session.lookup_self().data.get("last_renewal_time") == renewed_at is None
    clock.now += 2
    assert value_of(session) == "v"
    assert session.lookup_self().data["last_renewal_time"]
    assert len(auth.given) == 1


def test_a_login_is_replaced_when_renewal_no_longer_helps(
    vault: Any, session_with: Any, clock: Clock
) -> None:
    auth = Tokens(vault, ttl="60s", explicit_max_ttl="60s")
    auth.claimed = {"ttl": 300.0, "renewable": True}
    session = session_with(auth)
    assert value_of(session) == "v"
    clock.now += 201  # 99 s are left by this clock; Vault grants 60 more at most
    assert value_of(session) == "v"
    first, second = auth.given
    assert not is_alive(vault, first)
    assert is_alive(vault, second)


def test_a_login_that_can_not_be_renewed_is_replaced_and_the_old_one_revoked_after(
    vault: Any, session_with: Any, clock: Clock
) -> None:
    class Watching(Tokens):
        def login(self, client: Any) -> Login:
            alive.append([is_alive(vault, token) for token in self.given])
            return super().login(client)

    alive: list[list[bool]] = []
    auth = Watching(vault, renewable=False)
    auth.claimed["renewable"] = False
    session = session_with(auth)
    for _ in range(3):
        assert value_of(session) == "v"
        clock.now += 201
    assert alive == [[], [True], [False, True]]


@pytest.mark.parametrize("failure", [VaultUnavailableError, AuthenticationError])
def test_a_login_is_kept_while_it_holds_and_no_other_is_to_be_had(
    vault: Any, session_with: Any, clock: Clock, failure: type[Exception]
) -> None:
    auth = Tokens(vault, renewable=False)
    auth.claimed["renewable"] = False
    session = session_with(auth, vault_timeout=0.5)
    assert value_of(session) == "v"
    auth.failure = failure("no login is possible")
    clock.now += 201
    for _ in range(3):
        assert value_of(session) == "v"
    auth.failure = None
    clock.now += 67  # two thirds of the 99 s that were left
    assert value_of(session) == "v"
    assert len(auth.given) == 2
    auth.failure = failure("no login is possible")
    clock.now += 300
    with pytest.raises(failure, match="no login is possible"):
        value_of(session)


def test_a_login_that_ended_is_replaced_before_any_request_fails(
    vault: Any, session_with: Any, clock: Clock
) -> None:
    auth = Tokens(vault)
    session = session_with(auth)
    assert value_of(session) == "v"
    vault.client().auth.token.revoke(auth.given[0])
    clock.now += 301
    assert value_of(session) == "v"
    assert len(auth.given) == 2


def values_read_by_sixteen_threads(session: Any, happens: Callable[[], object]) -> set[str]:
    """Read in all of them before and after something happens."""
    started = threading.Barrier(17)

    def reads(_: int) -> set[str]:
        found = {value_of(session) for _ in range(5)}
        started.wait()
        return found | {value_of(session) for _ in range(20)}

    with ThreadPoolExecutor(16) as pool:
        results = [pool.submit(reads, number) for number in range(16)]
        started.wait()
        happens()
        return set().union(*(result.result() for result in results))


def test_expiry_under_sixteen_threads_is_one_login_and_no_failed_read(
    vault: Any, session_with: Any
) -> None:
    auth = Tokens(vault)
    auth.claimed = {"ttl": None}  # the session does not foresee it
    session = session_with(auth)
    assert value_of(session) == "v"
    revoke = partial(vault.client().auth.token.revoke, auth.given[0])
    assert values_read_by_sixteen_threads(session, revoke) == {"v"}
    assert len(auth.given) == 2


def test_a_renewal_under_sixteen_threads_is_one_login_and_no_failed_read(
    vault: Any, session_with: Any, clock: Clock
) -> None:
    auth = Tokens(vault, renewable=False)
    auth.claimed["renewable"] = False
    session = session_with(auth)
    over = partial(setattr, clock, "now", clock.now + 201)
    assert values_read_by_sixteen_threads(session, over) == {"v"}
    assert len(auth.given) == 2
    assert not is_alive(vault, auth.given[0])


def test_a_denied_path_costs_no_login(vault: Any, session_with: Any) -> None:
    auth = Tokens(vault)
    session = session_with(auth)
    for _ in range(3):
        with pytest.raises(AccessDeniedError):
            session.request("get", "sys/mounts")
    assert len(auth.given) == 1


def test_a_login_that_is_refused_again_and_again_is_tried_once_a_request(
    vault: Any, session_with: Any
) -> None:
    class Refused(Tokens):
        def login(self, client: Any) -> Login:
            login = super().login(client)
            vault.client().auth.token.revoke(login.token.reveal())
            return login

    auth = Refused(vault)
    session = session_with(auth)
    with pytest.raises(AuthenticationError, match="wrong, expired or revoked"):
        value_of(session)
    assert len(auth.given) == 2


def test_closing_revokes_what_the_session_obtained(vault: Any, session_with: Any) -> None:
    auth = Tokens(vault)
    session = session_with(auth)
    assert value_of(session) == "v"
    assert is_alive(vault, auth.given[0])
    session.close()
    assert not is_alive(vault, auth.given[0])
    session.close()


@pytest.mark.parametrize("token_type", ["service", "batch"])
def test_a_batch_token_is_replaced_and_neither_renewed_nor_revoked(
    vault: Any, session_with: Any, clock: Clock, monkeypatch: Any, token_type: str
) -> None:
    admin = vault.client()
    admin.sys.create_or_update_policy("reader", READ)
    admin.sys.enable_auth_method("approle")
    approle = admin.auth.approle
    approle.create_or_update_approle(
        "app", token_policies=["reader"], token_ttl="300s", token_type=token_type
    )
    session = session_with(
        vault_auth="approle",
        vault_role_id=approle.read_role_id("app")["data"]["role_id"],
        vault_secret_id=approle.generate_secret_id("app")["data"]["secret_id"],
    )
    sent: list[str] = []
    exchange = Transport.exchange

    def noted(self: Any, request: Any, *more: Any) -> Any:
        if request.path != "sys/health":  # whether there are namespaces
            sent.append(request.path)
        return exchange(self, request, *more)

    monkeypatch.setattr(Transport, "exchange", noted)
    assert value_of(session) == "v"
    clock.now += 201
    assert value_of(session) == "v"
    session.close()
    login, read = "auth/approle/login", "secret/data/k"
    if token_type == "batch":
        assert sent == [login, read, login, read]
    else:
        assert sent == [login, read, "auth/token/renew-self", read, "auth/token/revoke-self"]


def test_a_token_that_was_given_is_never_revoked(
    vault: Any, session_with: Any, clock: Clock
) -> None:
    token = vault.policy_token(READ, ttl="300s")
    session = session_with(vault_token=token)
    assert value_of(session) == "v"
    clock.now += 10_000
    assert value_of(session) == "v"
    session.close()
    assert is_alive(vault, token)


def test_a_child_logs_in_for_itself_and_leaves_its_parents_login_alone(
    vault: Any, session_with: Any
) -> None:
    admin = vault.client()
    admin.sys.create_or_update_policy("reader", READ)
    admin.sys.enable_auth_method("userpass")
    admin.auth.userpass.create_or_update_user("app", password="pw", policies=["reader"])
    login = {"vault_auth": "userpass", "vault_username": "app", "vault_password": "pw"}
    session = session_with(**login)
    mine = session.lookup_self().data["accessor"]
    reading, writing = os.pipe()
    with session._login(
        session._here()
    ).lock.mutex:  # as when another thread of the parent is just logging in
        child = os.fork()
        if child == 0:
            report = b"failed"
            try:
                report = session.lookup_self().data["accessor"].encode()
                session.close()
            finally:
                os.write(writing, report)
                os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        theirs = answer.read().decode()
    assert theirs not in {mine, "failed"}
    assert session.lookup_self().data["accessor"] == mine
    accessors = admin.auth.token.list_accessors()["data"]["keys"]
    assert mine in accessors
    assert theirs not in accessors


def test_the_method_of_the_settings_is_used_where_none_is_given(vault: Any) -> None:
    settings = load_settings(Layers(arguments={"vault_url": vault.url, "vault_token": "t"}))
    assert auth_from(settings).login(None).token.reveal() == "t"  # type: ignore[arg-type]  # no use
