"""AppRole logins: a secret ID given directly, in a file, or wrapped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from helpers.logins import LoginClient
from helpers.vault import Vault
from secureml.errors import AuthenticationError, MalformedAnswerError
from secureml.settings import Settings
from secureml.vault.auth import auth_from

if TYPE_CHECKING:
    import hvac

WRONG = "canary-wrong-51d9"


@dataclass
class Role:
    """A role ``reader`` in the test's namespace."""

    vault: Any
    client: Any
    role_id: str
    raw: Any
    mount: str = "approle"
    admin: Any = field(default=None, repr=False)

    def secret_id(self) -> str:
        return self.admin.auth.approle.generate_secret_id("reader", mount_point=self.mount)["data"][
            "secret_id"
        ]

    def wrapped(self, ttl: str = "60s", role: str = "reader") -> str:
        answer = self.admin.auth.approle.generate_secret_id(
            role, mount_point=self.mount, wrap_ttl=ttl
        )
        return answer["wrap_info"]["token"]

    def method(self, **more):
        settings = {"vault_role_id": self.role_id, **more}
        return auth_from(Settings(vault_auth="approle", **settings))

    def wrapping_method(self, **more):
        return self.method(vault_secret_id_wrapped=True, **more)

    def lookup(self, login) -> dict[str, Any]:
        return self.vault.client(login.token.reveal()).auth.token.lookup_self()["data"]


@pytest.fixture
def role(
    vault: Vault, anonymous: Callable[..., LoginClient], raw_client: Callable[..., hvac.Client]
) -> Role:
    admin = vault.client()
    admin.sys.enable_auth_method("approle")
    for name in ("reader", "other"):
        admin.auth.approle.create_or_update_approle(
            name, token_policies=["default"], token_ttl="60s"
        )
    role_id = admin.auth.approle.read_role_id("reader")["data"]["role_id"]
    raw = raw_client(vault.url, vault.namespace)
    return Role(vault, anonymous(vault.url, vault.namespace), role_id, raw, admin=admin)


def test_approle_logs_in_with_a_secret_id_of_the_settings(role):
    login = role.method(vault_secret_id=role.secret_id()).login(role.client)
    assert role.lookup(login)["meta"] == {"role_name": "reader"}
    assert (login.ttl, login.renewable, login.own) == (60.0, True, True)
    assert login.token.reveal() not in repr(login)


def test_a_secret_id_in_a_file_is_read_anew_at_each_login(role, tmp_path):
    file = tmp_path / "secret_id"
    file.write_bytes(role.secret_id().encode() + b"\r\n")
    method = role.method(vault_secret_id_file=str(file))
    first = method.login(role.client)
    file.write_text(WRONG)
    with pytest.raises(AuthenticationError):
        method.login(role.client)
    file.write_text(role.secret_id())
    assert method.login(role.client).token != first.token


def test_approle_logs_in_at_a_mount_of_another_name(role):
    role.admin.sys.enable_auth_method("approle", path="machines/eu")
    role.admin.auth.approle.create_or_update_approle("reader", mount_point="machines/eu")
    role.mount = "machines/eu"
    role.role_id = role.admin.auth.approle.read_role_id("reader", mount_point=role.mount)["data"][
        "role_id"
    ]
    direct = role.method(vault_auth_mount=role.mount, vault_secret_id=role.secret_id())
    assert direct.login(role.client).token
    wrapped = role.wrapping_method(vault_auth_mount=role.mount, vault_secret_id=role.wrapped())
    assert wrapped.login(role.client).token


def test_a_wrong_secret_id_is_refused_and_not_shown(role, assert_conceals):
    with pytest.raises(AuthenticationError) as caught:
        role.method(vault_secret_id=WRONG, vault_role="reader").login(role.client)
    where = f" in the namespace {role.vault.namespace!r}" if role.vault.namespace else ""
    assert caught.value.message == (
        f"Vault refuses the approle login at 'approle'{where} "
        "with role 'reader': vault_role_id or vault_secret_id is wrong, expired or used up"
    )
    assert role.role_id not in str(caught.value)
    assert_conceals(caught.value, WRONG)


def test_a_wrong_role_id_is_refused_and_not_shown(role, assert_conceals):
    secret_id = role.secret_id()
    with pytest.raises(
        AuthenticationError, match="vault_role_id or vault_secret_id is wrong"
    ) as caught:
        role.method(vault_role_id=WRONG, vault_secret_id=secret_id).login(role.client)
    assert WRONG not in str(caught.value)
    assert_conceals(caught.value, secret_id)


def test_a_secret_id_that_is_used_up_is_refused(role, assert_conceals):
    role.admin.auth.approle.create_or_update_approle("reader", secret_id_num_uses=1)
    secret_id = role.secret_id()
    method = role.method(vault_secret_id=secret_id)
    method.login(role.client)
    with pytest.raises(AuthenticationError, match="wrong, expired or used up") as caught:
        method.login(role.client)
    assert_conceals(caught.value, secret_id)


def test_a_wrapped_secret_id_is_unwrapped_once_and_kept(role):
    wrapping = role.wrapped()
    method = role.wrapping_method(vault_secret_id=wrapping)
    first, second = method.login(role.client), method.login(role.client)
    assert first.token != second.token
    assert role.lookup(second)["meta"] == {"role_name": "reader"}
    again = role.raw.adapter.post("/v1/sys/wrapping/unwrap", headers={"X-Vault-Token": wrapping})
    assert again.status_code == 400


def test_a_wrapping_tokens_file_may_go_once_it_is_unwrapped(role, tmp_path):
    file = tmp_path / "wrapped"
    file.write_text(role.wrapped() + "\n")
    method = role.wrapping_method(vault_secret_id_file=str(file))
    method.login(role.client)
    file.write_text("")
    assert method.login(role.client).token
    file.unlink()
    assert method.login(role.client).token


def test_a_login_without_a_secret_id_does_not_take_that_of_another_login(role):
    role.wrapping_method(vault_secret_id=role.wrapped()).login(role.client)
    with pytest.raises(AuthenticationError, match="needs a secret"):
        role.wrapping_method().login(role.client)


def test_a_new_wrapping_token_in_the_file_replaces_the_first(role, tmp_path):
    file = tmp_path / "wrapped"
    file.write_text(role.wrapped())
    method = role.wrapping_method(vault_secret_id_file=str(file))
    method.login(role.client)
    ids = role.admin.auth.approle.list_secret_id_accessors("reader")["data"]["keys"]
    for accessor in ids:
        role.admin.auth.approle.destroy_secret_id_accessor("reader", accessor)
    with pytest.raises(AuthenticationError, match="wrong, expired or used up"):
        method.login(role.client)
    file.write_text(role.wrapped())
    assert method.login(role.client).token


def test_a_used_wrapping_token_is_told_as_a_possible_interception(role, assert_conceals):
    wrapping = role.wrapped()
    stolen = role.raw.adapter.post(
        "/v1/sys/wrapping/unwrap", headers={"X-Vault-Token": wrapping}
    ).json()["data"]["secret_id"]
    with pytest.raises(AuthenticationError, match="may have intercepted the secret ID") as caught:
        role.wrapping_method(vault_secret_id=wrapping).login(role.client)
    assert_conceals(caught.value, wrapping, stolen)


def test_an_expired_wrapping_token_is_refused(role, assert_conceals):
    wrapping = role.wrapped(ttl="1s")
    end = time.monotonic() + 10
    while (
        role.raw.adapter.post("/v1/sys/wrapping/lookup", json={"token": wrapping}).status_code
        == 200
    ):
        assert time.monotonic() < end
    with pytest.raises(AuthenticationError, match="is expired or was used before") as caught:
        role.wrapping_method(vault_secret_id=wrapping).login(role.client)
    assert_conceals(caught.value, wrapping)


def wrapped_elsewhere(role, path="sys/wrapping/wrap", **content):
    answer = role.admin.adapter.post(f"/v1/{path}", json=content, wrap_ttl="60s")
    return answer["wrap_info"]["token"]


def test_a_replaced_wrapping_token_is_refused_and_not_unwrapped(role, assert_conceals):
    forged = wrapped_elsewhere(role, secret_id=role.secret_id())
    with pytest.raises(AuthenticationError, match="somebody may have replaced it") as caught:
        role.wrapping_method(vault_secret_id=forged).login(role.client)
    assert_conceals(caught.value, forged)
    unspent = role.raw.adapter.post("/v1/sys/wrapping/lookup", json={"token": forged})
    assert unspent.status_code == 200


def test_a_wrapping_token_with_a_forged_creation_path_is_refused(role):
    path = "secret/data/auth/approle/role/reader/secret-id"
    role.admin.adapter.post(f"/v1/{path}", json={"data": {"secret_id": WRONG}})
    forged = role.admin.adapter.get(f"/v1/{path}", wrap_ttl="60s")["wrap_info"]["token"]
    with pytest.raises(AuthenticationError, match="somebody may have replaced it"):
        role.wrapping_method(vault_secret_id=forged).login(role.client)


def test_a_wrapped_secret_id_of_another_role_is_refused(role):
    other = role.wrapped(role="other")
    with pytest.raises(AuthenticationError, match="of role 'reader' at 'approle'"):
        role.wrapping_method(vault_secret_id=other, vault_role="reader").login(role.client)
    for name in ("reader", "Reader"):
        method = role.wrapping_method(vault_secret_id=role.wrapped(), vault_role=name)
        assert method.login(role.client).token


@pytest.mark.parametrize("junk", ["canary two", "canary\nline", "canary-tök€n"])
def test_text_that_is_no_wrapping_token_is_refused(role, assert_conceals, junk):
    with pytest.raises(
        AuthenticationError, match="characters that no wrapping token has"
    ) as caught:
        role.wrapping_method(vault_secret_id=junk).login(role.client)
    assert_conceals(caught.value, junk)


def test_a_secret_id_in_place_of_a_wrapping_token_is_refused(role, assert_conceals):
    secret_id = role.secret_id()
    with pytest.raises(AuthenticationError, match="is expired or was used before") as caught:
        role.wrapping_method(vault_secret_id=secret_id).login(role.client)
    assert_conceals(caught.value, secret_id)


def test_a_wrapping_token_in_place_of_a_secret_id_is_refused(role, assert_conceals):
    wrapping = role.wrapped()
    with pytest.raises(AuthenticationError, match="wrong, expired or used up") as caught:
        role.method(vault_secret_id=wrapping).login(role.client)
    assert_conceals(caught.value, wrapping)


def test_a_wrapping_token_of_something_other_than_a_secret_id_is_refused(role, assert_conceals):
    role.admin.auth.approle.create_or_update_approle("secret-id")
    path = "auth/approle/role/secret-id/role-id"
    wrapping = role.admin.adapter.get(f"/v1/{path}", wrap_ttl="60s")["wrap_info"]["token"]
    with pytest.raises(AuthenticationError, match="was not made for a secret ID") as caught:
        role.wrapping_method(vault_secret_id=wrapping).login(role.client)
    assert_conceals(caught.value, wrapping)


def test_an_unwrapping_answer_without_a_secret_id_is_malformed(faulty, anonymous, assert_conceals):
    body = b'{"data": {"creation_path": "auth/approle/role/r/secret-id", "secret_id": 1}}'
    method = auth_from(
        Settings(
            vault_auth="approle",
            vault_role_id="r",
            vault_secret_id=WRONG,
            vault_secret_id_wrapped=True,
        )
    )
    with pytest.raises(MalformedAnswerError, match="'secret_id' is missing") as caught:
        method.login(anonymous(faulty(body).url))
    assert_conceals(caught.value, WRONG)
