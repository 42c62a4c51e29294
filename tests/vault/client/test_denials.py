"""Why a real Vault refuses: a right that is missing, an answer to be wrapped, another address."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from helpers.vault import Vault
from secureml.errors import AccessDeniedError, AuthenticationError
from secureml.key_management import KeyManager
from secureml.settings import Settings

ASKING = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "sys/capabilities-self" { capabilities = ["update"] }
"""
ELSEWHERE = ["10.255.255.254/32"]


@pytest.fixture
def manager(vault: Vault) -> Iterator[Callable[..., KeyManager]]:
    opened: list[KeyManager] = []

    def open_one(**login: object) -> KeyManager:
        place = {"vault_url": vault.url, "vault_namespace": vault.namespace}
        settings = Settings(**place, use_env_fallback=False, environment="staging", **login)
        opened.append(KeyManager(settings=settings))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def test_a_policy_that_asks_for_a_wrapped_answer_is_told_from_one_that_lacks_the_right(
    vault, manager
):
    allowing = 'path "secret/data/secureml/*" { capabilities = ["read"] min_wrapping_ttl = "1s" }'
    wrapping = manager(vault_token=vault.policy_token(ASKING + allowing))
    with pytest.raises(AccessDeniedError, match=r"though .* wrapped answer \(min_wrapping_ttl\)"):
        wrapping.get_key("k")
    lacking = manager(vault_token=vault.policy_token(ASKING))
    with pytest.raises(AccessDeniedError, match="the token's policies lack it"):
        lacking.get_key("k")


def test_a_token_that_may_not_ask_for_its_capabilities_is_said_to_lack_the_right(vault, manager):
    token = vault.policy_token(ASKING.replace("sys/capabilities-self", "nowhere"))
    with pytest.raises(AccessDeniedError, match=r"'read' on .* the token's policies lack it"):
        manager(vault_token=token).get_key("k")


def test_a_given_token_that_is_bound_to_another_address_is_refused(vault, manager):
    client = vault.client()
    client.write_data("auth/token/roles/bound", data={"token_bound_cidrs": ELSEWHERE})
    token = client.write_data("auth/token/create/bound", data={})["auth"]["client_token"]
    with pytest.raises(AuthenticationError, match="bound to other addresses"):
        manager(vault_token=token).get_key("k")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("secret_id_bound_cidrs", "bound to other addresses .*secret_id_bound_cidrs"),
        ("token_bound_cidrs", "accepts the login, .* other addresses .*token_bound_cidrs"),
    ],
)
def test_a_role_that_is_bound_to_another_address_is_refused(vault, manager, field, message):
    client = vault.client()
    client.sys.enable_auth_method("approle")
    client.auth.approle.create_or_update_approle("bound", **{field: ELSEWHERE})
    role_id = client.auth.approle.read_role_id("bound")["data"]["role_id"]
    secret_id = client.auth.approle.generate_secret_id("bound")["data"]["secret_id"]
    login = {"vault_auth": "approle", "vault_role_id": role_id, "vault_secret_id": secret_id}
    with pytest.raises(AuthenticationError, match=message):
        manager(**login).get_key("k")


@pytest.mark.parametrize("backend", ["kv", "transit"])
@pytest.mark.parametrize("held", ["read", "create"])
def test_a_key_that_may_not_be_written_leaves_nothing_behind(vault, manager, backend, held):
    client = vault.client()
    client.sys.enable_secrets_engine("transit")
    rights = f"""
    path "secret/data/secureml/*" {{ capabilities = ["read", "{held}"] }}
    path "secret/metadata/secureml/*" {{ capabilities = ["create", "read", "update", "patch"] }}
    path "transit/*" {{ capabilities = ["create", "read", "update"] }}
    """
    admin = manager(vault_token=vault.policy_token(ASKING + rights), key_backend=backend)
    with pytest.raises(AccessDeniedError, match="'update' on 'secret/data/secureml"):
        admin.generate_key("k")
    assert client.list("secret/metadata/secureml/staging") is None
    assert client.list("transit/keys") is None


def test_a_rotation_that_may_not_be_written_adds_no_version_of_the_transit_key(vault, manager):
    client = vault.client()
    client.sys.enable_secrets_engine("transit")
    manager(vault_token=vault.token, key_backend="transit").generate_key("k")
    rights = """
    path "secret/+/secureml/*" { capabilities = ["read"] }
    path "transit/*" { capabilities = ["create", "read", "update"] }
    """
    with pytest.raises(AccessDeniedError):
        manager(vault_token=vault.policy_token(ASKING + rights)).rotate_key("k")
    assert client.read("transit/keys/secureml.staging.k")["data"]["latest_version"] == 1
