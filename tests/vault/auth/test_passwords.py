"""Logins with user name and password: Vault's own users, and an LDAP server's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from helpers.logins import Directory, LoginClient
from helpers.vault import Vault
from secureml.errors import AuthenticationError, VaultUnavailableError
from secureml.settings import Settings
from secureml.vault.auth import auth_from
from secureml.vault.devserver.server import DevServer

if TYPE_CHECKING:
    import hvac

WRONG = "canary-wrong-3f07"
PASSWORD = " canary pässword 8d11 "


@pytest.fixture
def users(vault: Vault) -> Vault:
    """Userpass in the test's namespace."""
    client = vault.client()
    client.sys.enable_auth_method("userpass")
    client.auth.userpass.create_or_update_user("alice", password=PASSWORD, policies="default")
    return vault


def userpass(**more):
    return auth_from(Settings(vault_auth="userpass", **more))


def test_a_user_of_userpass_logs_in(users, anonymous):
    client = anonymous(users.url, users.namespace)
    login = userpass(vault_username="alice", vault_password=PASSWORD).login(client)
    found = users.client(login.token.reveal()).auth.token.lookup_self()["data"]
    assert found["path"] == "auth/userpass/login/alice"
    assert login.own
    assert login.renewable
    assert login.ttl == found["creation_ttl"]


def test_userpass_logs_in_at_another_mount_with_a_password_from_a_file(users, anonymous, tmp_path):
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n", encoding="utf-8")
    admin = users.client()
    admin.sys.enable_auth_method("userpass", path="people/staff")
    admin.auth.userpass.create_or_update_user(
        "bob", password=PASSWORD, policies="default", mount_point="people/staff"
    )
    method = userpass(
        vault_auth_mount="people/staff", vault_username="bob", vault_password_file=str(file)
    )
    assert method.login(anonymous(users.url, users.namespace)).token


def test_the_password_is_read_anew_at_each_login(users, anonymous, tmp_path):
    client = anonymous(users.url, users.namespace)
    file = tmp_path / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    method = userpass(vault_username="alice", vault_password_file=str(file))
    method.login(client)
    users.client().auth.userpass.update_password_on_user("alice", "new")
    with pytest.raises(AuthenticationError):
        method.login(client)
    file.write_text("new")
    assert method.login(client).token


@pytest.mark.parametrize("username", ["alice", "nobody"])
def test_a_wrong_userpass_password_or_user_is_refused(users, anonymous, assert_conceals, username):
    method = userpass(vault_username=username, vault_password=WRONG)
    with pytest.raises(AuthenticationError) as caught:
        method.login(anonymous(users.url, users.namespace))
    where = f" in the namespace {users.namespace!r}" if users.namespace else ""
    assert f"refuses the userpass login at 'userpass'{where}" in str(caught.value)
    assert f"as {username!r}: vault_username or vault_password is wrong" in str(caught.value)
    assert_conceals(caught.value, WRONG)


@pytest.mark.parametrize("username", ["a b@corp", "CORP\\alice", "a%2falice", "x?y#é", "a/alice"])
def test_a_user_name_that_can_not_exist_is_refused(users, anonymous, assert_conceals, username):
    method = userpass(vault_username=username, vault_password=WRONG)
    with pytest.raises(
        AuthenticationError, match="no such namespace, login method or user name"
    ) as caught:
        method.login(anonymous(users.url, users.namespace))
    assert_conceals(caught.value, WRONG)


def test_a_login_at_a_mount_that_does_not_exist_is_refused(users, anonymous):
    method = userpass(vault_auth_mount="nope", vault_username="alice", vault_password=WRONG)
    with pytest.raises(AuthenticationError, match=r"'nope'.*no login method is mounted there"):
        method.login(anonymous(users.url, users.namespace))


@pytest.mark.namespaces
def test_a_login_in_a_namespace_that_does_not_exist_is_refused(users, anonymous):
    method = userpass(vault_username="alice", vault_password=PASSWORD)
    with pytest.raises(AuthenticationError, match=r"'nowhere'.*no such namespace"):
        method.login(anonymous(users.url, "nowhere"))


def ldap_of(directory, **more):
    settings = {"vault_username": directory.user, "vault_password": directory.password, **more}
    return auth_from(Settings(vault_auth="ldap", **settings))


@pytest.fixture
def ldap(
    bao_ldap: DevServer,
    directory: Directory,
    anonymous: Callable[..., LoginClient],
    raw_client: Callable[..., hvac.Client],
) -> Iterator[LoginClient]:
    """OpenBao told of the LDAP server, and a client of it that is nobody yet."""
    root = raw_client(bao_ldap.url)
    root.token = bao_ldap.root_token.reveal()
    assert root.sys.enable_auth_method("ldap").status_code == 204
    configured = root.adapter.post("/v1/auth/ldap/config", json=directory.settings())
    assert configured.status_code == 204
    yield anonymous(bao_ldap.url, vault_timeout=2)
    root.sys.disable_auth_method("ldap")


def test_a_user_of_an_ldap_server_logs_in(ldap, directory, raw_client, bao_ldap):
    login = ldap_of(directory).login(ldap)
    user = raw_client(bao_ldap.url)
    user.token = login.token.reveal()
    found = user.auth.token.lookup_self().json()["data"]
    assert found["meta"] == {"username": "alice"}
    assert found["path"] == "auth/ldap/login/alice"
    assert (login.own, login.renewable, login.ttl) == (True, True, found["creation_ttl"])


@pytest.mark.parametrize("username", ["alice", "nobody", "al*ce", "alice)(uid=*", "a/b"])
def test_a_wrong_ldap_password_or_user_is_refused(ldap, directory, assert_conceals, username):
    with pytest.raises(AuthenticationError) as caught:
        ldap_of(directory, vault_username=username, vault_password=WRONG).login(ldap)
    assert f"refuses the ldap login at 'ldap' as {username!r}" in str(caught.value)
    assert_conceals(caught.value, WRONG)


def test_an_ldap_server_that_is_down_is_an_outage(ldap, directory, assert_conceals):
    directory.stop()
    with pytest.raises(VaultUnavailableError, match="can't reach the LDAP server") as caught:
        ldap_of(directory).login(ldap)
    assert_conceals(caught.value, directory.password, directory.url)
    directory.start()
    assert ldap_of(directory).login(ldap).token


def test_an_ldap_login_at_a_vault_without_ldap_is_refused(vault, anonymous, directory):
    with pytest.raises(AuthenticationError, match="no login method is mounted there"):
        ldap_of(directory).login(anonymous(vault.url, vault.namespace))
