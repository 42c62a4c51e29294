"""AppRoles on a real Vault: what an operator made stricter stays, what is wider is put right."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from helpers.vault import Vault
from secureml.settings import Settings
from secureml.vault.client.session import VaultSession
from secureml.vault.setup.bootstrap import Bootstrap
from secureml.vault.setup.policies import KeyLayout

LAYOUT = KeyLayout(mount="secret", path="secureml", environments=("staging",))
DAY = 24 * 3600


@pytest.fixture
def set_up(vault: Vault) -> Iterator[Callable[..., list[str]]]:
    """Set Vault up with options; returns the titles of the changes made."""
    session = VaultSession(
        Settings(vault_url=vault.url, vault_token=vault.token, vault_namespace=vault.namespace)
    )

    def carry_out(**options: object) -> list[str]:
        work = Bootstrap(session, LAYOUT, options)
        plan = work.plan()
        for change in plan.changes:
            work.apply(change)
        return [change.title for change in plan.changes]

    yield carry_out
    session.close()


def role(vault) -> dict[str, object]:
    found: dict[str, object] = vault.client().read("auth/approle/role/secureml-staging")["data"]
    return found


def harden(vault, **fields: object) -> None:
    vault.client().auth.approle.create_or_update_approle("secureml-staging", **fields)


STRICTER = {
    "secret_id_ttl": DAY,
    "secret_id_num_uses": 5,
    "secret_id_bound_cidrs": ["10.0.0.0/8"],
    "token_bound_cidrs": ["10.0.0.0/8"],
    "token_ttl": 600,
    "token_max_ttl": 7200,
    "token_explicit_max_ttl": 1800,
    "token_num_uses": 9,
    "token_type": "service",
}


@pytest.mark.parametrize("field", STRICTER)
def test_a_field_that_an_operator_made_stricter_stays(vault, set_up, field):
    set_up()
    harden(vault, **{field: STRICTER[field]})
    set_up()
    assert role(vault)[field] == STRICTER[field]
    assert set_up() == []


@pytest.mark.parametrize(
    ("field", "wider"),
    [
        ("secret_id_ttl", 0),
        ("secret_id_ttl", 365 * DAY),
        ("token_period", 365 * DAY),
        ("token_ttl", 0),
        ("token_max_ttl", 0),
        ("token_no_default_policy", False),
        ("token_policies", ["secureml-staging-read", "secureml-staging-admin"]),
    ],
)
def test_every_field_that_widens_rights_is_put_right(vault, set_up, field, wider):
    set_up()
    before = role(vault)
    harden(vault, **{field: wider})
    assert role(vault)[field] != before[field]
    assert set_up() == ["AppRole secureml-staging"]
    assert role(vault)[field] == before[field]


def test_a_role_that_needs_no_secret_id_is_put_right(vault, set_up):
    set_up()
    harden(vault, bind_secret_id=False, secret_id_bound_cidrs=["10.0.0.0/8"])
    assert set_up() == ["AppRole secureml-staging"]
    assert role(vault)["bind_secret_id"] is True
    assert role(vault)["secret_id_bound_cidrs"] == ["10.0.0.0/8"]


def test_a_shorter_maximum_ttl_shortens_the_ttl_too(vault, set_up):
    set_up()
    harden(vault, token_ttl=0, token_max_ttl=1800)
    set_up()
    assert (role(vault)["token_ttl"], role(vault)["token_max_ttl"]) == (1800, 1800)


def test_a_requested_value_is_written_even_if_it_widens_rights(vault, set_up):
    set_up()
    harden(vault, secret_id_num_uses=1, secret_id_ttl=60)
    asked = {
        "secret_id_ttl": 7 * DAY,
        "secret_id_num_uses": 3,
        "token_bound_cidrs": ["10.1.2.3/32", "10.20.0.0/16"],
        "secret_id_bound_cidrs": ["10.1.2.3/32", "10.20.0.0/16"],
        "token_type": "service",
        "token_period": 2 * DAY,
    }
    assert set_up(**asked) == ["AppRole secureml-staging"]
    found = role(vault)
    assert (found["secret_id_ttl"], found["secret_id_num_uses"]) == (7 * DAY, 3)
    assert found["token_bound_cidrs"] == ["10.1.2.3", "10.20.0.0/16"]
    assert found["secret_id_bound_cidrs"] == ["10.1.2.3/32", "10.20.0.0/16"]
    assert (found["token_type"], found["token_period"]) == ("service", 2 * DAY)
    assert set_up(**asked) == []


def test_a_new_role_has_the_requested_values(vault, set_up):
    set_up(secret_id_num_uses=1, token_type="batch")
    assert (role(vault)["secret_id_num_uses"], role(vault)["token_type"]) == (1, "batch")
    assert set_up() == []
