"""Logins with a JWT: signed by an issuer that Vault trusts, or by Kubernetes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator

import pytest

from helpers.kubernetes import KubernetesApi
from helpers.vault import Vault
from secureml.errors import AuthenticationError
from secureml.settings import Settings
from secureml.vault import auth
from secureml.vault.auth import auth_from

ISSUER = "https://issuer.lab.test"


@pytest.fixture
def issuer(vault: Vault, sign_jwt: Callable[..., str]) -> Callable[..., str]:
    """The jwt method in the test's namespace, with a role ``reader`` for this issuer's tokens."""
    admin = vault.client()
    admin.sys.enable_auth_method("jwt")
    admin.auth.jwt.configure(jwt_validation_pubkeys=[sign_jwt.public_key], bound_issuer=ISSUER)
    admin.auth.jwt.create_role(
        "reader",
        user_claim="sub",
        allowed_redirect_uris=[],
        role_type="jwt",
        bound_audiences=["secureml"],
        token_policies=["default"],
        token_ttl="60s",
    )

    def issue(lifetime: int = 300, **claims: object) -> str:
        now = int(time.time())
        times = {"iat": now - 600, "nbf": now - 600, "exp": now + lifetime}
        return sign_jwt(**{"iss": ISSUER, "sub": "svc", "aud": "secureml", **times, **claims})

    return issue


def jwt_method(**more):
    return auth_from(Settings(vault_auth="jwt", **more))


def test_a_jwt_of_the_settings_logs_in(vault, issuer, anonymous):
    method = jwt_method(vault_role="reader", vault_jwt=issuer())
    login = method.login(anonymous(vault.url, vault.namespace))
    found = vault.client(login.token.reveal()).auth.token.lookup_self()["data"]
    assert found["meta"] == {"role": "reader"}
    assert (login.ttl, login.renewable, login.own) == (60.0, True, True)


def test_a_jwt_in_a_file_is_read_anew_and_the_mount_has_a_default_role(
    vault, issuer, anonymous, tmp_path, sign_jwt
):
    client = anonymous(vault.url, vault.namespace)
    file = tmp_path / "jwt"
    file.write_text(issuer(lifetime=-500) + "\n")
    method = jwt_method(vault_jwt_file=str(file))
    with pytest.raises(AuthenticationError, match="without vault_role"):
        method.login(client)
    file.write_text(issuer() + "\n")
    with pytest.raises(AuthenticationError, match="without vault_role"):
        method.login(client)
    vault.client().auth.jwt.configure(
        jwt_validation_pubkeys=[sign_jwt.public_key], bound_issuer=ISSUER, default_role="reader"
    )
    assert method.login(client).token


@pytest.mark.parametrize(
    "claims",
    [{"lifetime": -500}, {"aud": "other"}, {"iss": "https://evil.test"}],
    ids=["expired", "audience", "issuer"],
)
def test_a_jwt_that_the_role_does_not_accept_is_refused(
    vault, issuer, anonymous, assert_conceals, claims
):
    jwt = issuer(**claims)
    method = jwt_method(vault_role="reader", vault_jwt=jwt)
    with pytest.raises(AuthenticationError) as caught:
        method.login(anonymous(vault.url, vault.namespace))
    assert "refuses the jwt login at 'jwt'" in str(caught.value)
    assert "with role 'reader': the role does not exist, it does not accept vault_jwt" in str(
        caught.value
    )
    assert_conceals(caught.value, jwt, *jwt.split("."))


def test_a_forged_jwt_and_text_that_is_no_jwt_are_refused(
    vault, issuer, anonymous, assert_conceals
):
    head, body, _ = issuer().split(".")
    forged = f"{head}.{body}.{base64.urlsafe_b64encode(b'x' * 64).rstrip(b'=').decode()}"
    for jwt in (forged, "canary-no-jwt-19aa"):
        with pytest.raises(AuthenticationError) as caught:
            jwt_method(vault_role="reader", vault_jwt=jwt).login(
                anonymous(vault.url, vault.namespace)
            )
        assert_conceals(caught.value, jwt)


def test_a_jwt_login_with_a_missing_role_names_the_role(vault, issuer, anonymous, assert_conceals):
    jwt = issuer()
    with pytest.raises(AuthenticationError, match="with role 'nobody': the role does") as caught:
        jwt_method(vault_role="nobody", vault_jwt=jwt).login(anonymous(vault.url, vault.namespace))
    assert_conceals(caught.value, jwt)


@pytest.fixture
def cluster(vault: Vault, sign_jwt: Callable[..., str]) -> Iterator[KubernetesApi]:
    """A Kubernetes API, and the kubernetes method told of it."""
    api = KubernetesApi(sign_jwt, "ml", "reader")
    admin = vault.client()
    admin.sys.enable_auth_method("kubernetes")
    admin.adapter.post("/v1/auth/kubernetes/config", json=api.config)
    admin.auth.kubernetes.create_role(
        "reader",
        bound_service_account_names=["reader"],
        bound_service_account_namespaces=["ml"],
        policies=["default"],
        ttl="60s",
    )
    yield api
    api.stop()


def kubernetes(**more):
    return auth_from(Settings(vault_auth="kubernetes", **more))


def test_a_service_account_of_kubernetes_logs_in(vault, cluster, anonymous, tmp_path):
    file = tmp_path / "token"
    file.write_text(cluster.jwt())
    method = kubernetes(vault_role="reader", vault_jwt_file=str(file))
    login = method.login(anonymous(vault.url, vault.namespace))
    found = vault.client(login.token.reveal()).auth.token.lookup_self()["data"]
    assert found["meta"]["service_account_name"] == "reader"
    assert (login.ttl, login.renewable, login.own) == (60.0, True, True)


def test_a_pods_own_token_is_the_default(vault, cluster, anonymous, tmp_path, monkeypatch):
    file = tmp_path / "token"
    monkeypatch.setattr(auth, "POD_JWT_FILE", str(file))
    method = kubernetes(vault_role="reader")
    with pytest.raises(AuthenticationError, match=r"vault_jwt_file .*No such file"):
        method.login(anonymous(vault.url, vault.namespace))
    file.write_text(cluster.jwt())
    assert method.login(anonymous(vault.url, vault.namespace)).token


def test_the_default_jwt_file_is_where_kubernetes_puts_a_pods_token():
    assert auth.POD_JWT_FILE == "/var/run/secrets/kubernetes.io/serviceaccount/token"


def test_a_service_account_that_the_role_is_not_for_is_refused(
    vault, cluster, anonymous, assert_conceals
):
    jwt = cluster.jwt("other")
    with pytest.raises(AuthenticationError) as caught:
        kubernetes(vault_role="reader", vault_jwt=jwt).login(anonymous(vault.url, vault.namespace))
    assert "refuses the kubernetes login at 'kubernetes'" in str(caught.value)
    assert "with role 'reader'" in str(caught.value)
    assert_conceals(caught.value, jwt, *jwt.split("."))


def test_a_kubernetes_login_with_a_missing_role_names_the_role(
    vault, cluster, anonymous, assert_conceals
):
    jwt = cluster.jwt()
    with pytest.raises(AuthenticationError, match="with role 'nobody'") as caught:
        kubernetes(vault_role="nobody", vault_jwt=jwt).login(anonymous(vault.url, vault.namespace))
    assert_conceals(caught.value, jwt)


def test_vaults_answer_does_not_tell_that_kubernetes_is_down(
    vault, cluster, anonymous, assert_conceals
):
    jwt = cluster.jwt()
    cluster.stop()
    with pytest.raises(AuthenticationError, match="or Vault can't ask Kubernetes") as caught:
        kubernetes(vault_role="reader", vault_jwt=jwt).login(anonymous(vault.url, vault.namespace))
    assert_conceals(caught.value, jwt)
