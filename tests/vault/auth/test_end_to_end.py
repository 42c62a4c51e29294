"""Each login method from the settings to a secret that a KeyManager reads with it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from helpers.vault import Vault
from secureml.errors import AuthenticationError, VaultUnavailableError
from secureml.key_management import KeyManager

POLICY = 'path "secret/data/secureml/*" { capabilities = ["read"] }'
WRONG = "canary-wrong-77c4"


@pytest.fixture
def keeper(vault: Vault) -> Vault:
    """A namespace with a secret, and the policy ``reader`` that lets it be read."""
    admin = vault.client()
    admin.sys.create_or_update_policy("reader", POLICY)
    admin.secrets.kv.v2.create_or_update_secret("secureml/api_key", {"value": "v"})
    return vault


@pytest.fixture
def manager_of(keeper: Vault) -> Iterator[Callable[..., KeyManager]]:
    """Managers in the test's namespace; they read no variable in Vault's place."""
    made = []

    def make(**settings: Any) -> KeyManager:
        there = {"vault_url": keeper.url, "vault_namespace": keeper.namespace, **settings}
        made.append(KeyManager(**there, use_env_fallback=False))
        return made[-1]

    yield make
    for manager in made:
        manager.close()


def test_a_manager_reads_with_a_wrapped_approle_login(keeper, manager_of, tmp_path, monkeypatch):
    admin = keeper.client()
    admin.sys.enable_auth_method("approle")
    admin.auth.approle.create_or_update_approle("r", token_policies=["reader"])
    role_id = admin.auth.approle.read_role_id("r")["data"]["role_id"]
    secret_id = admin.auth.approle.generate_secret_id("r", wrap_ttl="60s")["wrap_info"]["token"]
    file = tmp_path / "wrapped"
    file.write_text(secret_id)
    file.chmod(0o600)
    monkeypatch.setenv("SECUREML_VAULT_AUTH", "approle")
    monkeypatch.setenv("SECUREML_VAULT_ROLE_ID", role_id)
    monkeypatch.setenv("SECUREML_VAULT_SECRET_ID_FILE", str(file))
    monkeypatch.setenv("SECUREML_VAULT_SECRET_ID_WRAPPED", "true")
    for _ in range(2):
        assert manager_of().get_secret("api_key") == "v"


def test_a_manager_logs_in_by_userpass_again_after_its_token_was_revoked(
    keeper, manager_of, tmp_path
):
    admin = keeper.client()
    admin.sys.enable_auth_method("userpass")
    admin.auth.userpass.create_or_update_user("u", password="first", policies="reader")
    file = tmp_path / "password"
    file.write_text("first\n")
    file.chmod(0o600)
    manager = manager_of(
        vault_auth="userpass", vault_username="u", vault_password_file=file, cache_ttl=0
    )
    assert manager.get_secret("api_key") == "v"
    admin.auth.userpass.update_password_on_user("u", "second")
    file.write_text("second\n")
    file.chmod(0o600)
    admin.adapter.post("/v1/sys/leases/revoke-prefix/auth/userpass")
    assert manager.get_secret("api_key") == "v"


def test_a_manager_reads_with_a_jwt_after_a_wrong_one_was_refused(
    keeper, manager_of, sign_jwt, assert_conceals
):
    admin = keeper.client()
    admin.sys.enable_auth_method("jwt")
    admin.auth.jwt.configure(jwt_validation_pubkeys=[sign_jwt.public_key])
    admin.auth.jwt.create_role(
        "r",
        user_claim="sub",
        allowed_redirect_uris=[],
        role_type="jwt",
        bound_audiences=["secureml"],
        token_policies=["reader"],
    )
    with pytest.raises(AuthenticationError, match="refuses the jwt login") as caught:
        manager_of(vault_auth="jwt", vault_role="r", vault_jwt=WRONG).get_secret("api_key")
    assert_conceals(caught.value, WRONG)
    jwt = sign_jwt(sub="svc", aud="secureml", exp=int(time.time()) + 60)
    manager = manager_of(vault_auth="jwt", vault_role="r", vault_jwt=jwt)
    assert manager.get_secret("api_key") == "v"


def test_a_login_at_a_server_that_is_gone_is_an_outage(manager_of, faulty, assert_conceals):
    for server in (faulty(reset=True), faulty(silent=True)):
        manager = manager_of(
            vault_url=server.url,
            vault_auth="userpass",
            vault_username="u",
            vault_password=WRONG,
            vault_timeout=0.3,
        )
        with pytest.raises(VaultUnavailableError) as caught:
            manager.get_secret("api_key")
        assert_conceals(caught.value, WRONG)


def test_a_manager_reads_with_a_certificate_login(bao_tls, manager_of, raw_client, tmp_path):
    authority = trustme.CA()
    leaf = authority.issue_cert("reader.lab.test", common_name="reader.lab.test")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    root = raw_client(bao_tls.server.url, verify=str(bao_tls.ca))
    root.token = bao_tls.server.root_token.reveal()
    mount, folder = f"cert-{uuid.uuid4().hex}", f"team-{uuid.uuid4().hex}"
    root.sys.enable_auth_method("cert", path=mount)
    root.sys.create_or_update_policy(
        mount, f'path "secret/data/{folder}/*" {{ capabilities = ["read"] }}'
    )
    role = {"certificate": authority.cert_pem.bytes().decode(), "token_policies": mount}
    assert root.adapter.post(f"/v1/auth/{mount}/certs/r", json=role).status_code == 204
    root.secrets.kv.v2.create_or_update_secret(f"{folder}/api_key", {"value": "v"})
    settings = {
        "vault_url": bao_tls.server.url,
        "vault_namespace": None,
        "vault_ca_cert": bao_tls.ca,
        "vault_path": folder,
        "vault_auth": "cert",
        "vault_auth_mount": mount,
    }
    manager = manager_of(**settings, vault_client_cert=tmp_path / "both.pem")
    assert manager.get_secret("api_key") == "v"
    with pytest.raises(AuthenticationError, match="needs vault_client_cert"):
        manager_of(**settings).get_secret("api_key")


@pytest.mark.parametrize("listener", ["tcp", "unix"])
def test_a_manager_reads_without_a_token_through_a_proxy_that_adds_one(
    keeper, manager_of, proxy, listener
):
    keeper.client().sys.create_or_update_policy("proxy", POLICY)
    url = proxy.url if listener == "tcp" else f"unix://{proxy.socket}"
    assert manager_of(vault_url=url, vault_auth="none").get_secret("api_key") == "v"
