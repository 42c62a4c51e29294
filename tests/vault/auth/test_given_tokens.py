"""Tokens that were given: a periodic one is kept alive, any other is left as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helpers.clock import Clock
from secureml.settings import Settings
from secureml.vault.auth import TokenAuth
from secureml.vault.client.session import VaultSession

HOUR = 3600.0


@pytest.fixture
def session(clock: Clock) -> Iterator[Callable[..., VaultSession]]:
    opened: list[VaultSession] = []

    def open_one(
        url: str, token: str, *, auth: TokenAuth | None = None, **more: Any
    ) -> VaultSession:
        settings = Settings(vault_url=url, vault_token=token, **more)
        opened.append(VaultSession(settings, auth, clock=clock))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def ask(session: VaultSession) -> None:
    session.request("post", "sys/capabilities-self", body={"paths": ["secret/data/x"]})


def token_of(vault, **options: object) -> tuple[str, str]:
    auth = vault.client().auth.token.create(no_parent=True, **options)["auth"]
    return auth["client_token"], auth["accessor"]


def renewed_at(vault, accessor: str) -> int | None:
    found: int | None = (
        vault.client().auth.token.lookup_accessor(accessor)["data"].get("last_renewal_time")
    )
    return found


def test_a_periodic_token_is_renewed_as_logins_are(vault, session, clock):
    token, accessor = token_of(vault, period="1h")
    here = session(vault.url, token, vault_namespace=vault.namespace)
    ask(here)
    clock.now = 0.6 * HOUR
    ask(here)
    assert renewed_at(vault, accessor) is None
    clock.now = 0.7 * HOUR
    ask(here)
    assert renewed_at(vault, accessor) is not None
    here.close()
    assert vault.client().auth.token.lookup_accessor(accessor)["data"]["ttl"] > 0


@pytest.mark.parametrize(
    "options", [{"ttl": "1h"}, {"period": "1h", "renewable": False}, {"ttl": "1h", "num_uses": 9}]
)
def test_a_given_token_without_a_period_is_not_renewed(vault, session, clock, options):
    token, accessor = token_of(vault, **options)
    here = session(vault.url, token, vault_namespace=vault.namespace)
    for clock.now in (0.0, 0.9 * HOUR):
        ask(here)
    assert renewed_at(vault, accessor) is None


def test_a_token_that_may_not_look_itself_up_is_used_as_it_is(vault, session):
    asking = 'path "sys/capabilities-self" { capabilities = ["update"] }'
    here = session(vault.url, vault.policy_token(asking), vault_namespace=vault.namespace)
    for _ in range(3):
        ask(here)


def answer(body: dict[str, object]) -> dict[str, bytes]:
    return {"body": json.dumps(body).encode()}


def test_a_program_that_ends_soon_renews_a_token_most_of_whose_time_has_passed(faulty, session):
    told = answer({"data": {"period": 3600, "ttl": 60, "renewable": True}})
    server = faulty(b'{"auth": {"lease_duration": 3600}}', first=[answer({"data": {}}), told])
    ask(session(server.url, "t"))
    lines = [request.split(b" ")[1] for request in server.received]
    assert lines[1:] == [b"/v1/auth/token/lookup-self", b"/v1/auth/token/renew-self"]


def test_a_token_that_can_not_be_renewed_is_looked_at_once(faulty, session):
    told = answer({"data": {"period": 3600, "ttl": 60, "renewable": True}})
    denied = {"body": b'{"errors": ["permission denied"]}', "status": "403 Forbidden"}
    server = faulty(b'{"data": {}}', first=[answer({"data": {}}), told, denied])
    here = session(server.url, "t")
    for _ in range(3):
        ask(here)
    assert len(server.received) == 5
