"""Tokens that were given, that lie in a file, or that a proxy adds; and an agent of OpenBao's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from helpers.logins import LoginClient
from secureml.errors import AuthenticationError
from secureml.settings import Settings
from secureml.vault.auth import auth_from

TOKEN = "hvs.canary-token-20f6"
OTHER = "hvs.canary-other-b1c3"


@pytest.fixture
def nowhere(anonymous: Callable[..., LoginClient]) -> LoginClient:
    """A client whose server does not exist: these methods ask it nothing."""
    return anonymous("http://127.0.0.1:1")


@pytest.mark.parametrize("method", ["token", "token_file"])
def test_a_given_token_is_neither_renewed_nor_revoked(nowhere, method):
    login = auth_from(Settings(vault_auth=method, vault_token=TOKEN)).login(nowhere)
    assert login.token.reveal() == TOKEN
    assert (login.ttl, login.renewable, login.own) == (None, False, False)


@pytest.mark.parametrize("method", ["token", "token_file"])
def test_a_token_file_is_read_anew_at_each_login(nowhere, tmp_path, method):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\r\n")
    method = auth_from(Settings(vault_auth=method, vault_token_file=str(file)))
    login = method.login(nowhere)
    assert login.token.reveal() == TOKEN
    assert not login.own
    file.write_text(f" {OTHER} \n\n")
    assert method.login(nowhere).token.reveal() == OTHER


def test_the_token_file_in_the_home_folder_is_the_default(nowhere, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    method = auth_from(Settings(vault_auth="token_file"))
    with pytest.raises(AuthenticationError) as caught:
        method.login(nowhere)
    assert caught.value.message == "vault_token_file '~/.vault-token': No such file or directory"
    (tmp_path / ".vault-token").write_text(TOKEN)
    assert method.login(nowhere).token.reveal() == TOKEN


def test_a_missing_token_is_an_error_that_names_the_variable_to_set(nowhere):
    with pytest.raises(AuthenticationError, match="no Vault token is set: export SECUREML_VAULT_T"):
        auth_from(Settings()).login(nowhere)


@pytest.mark.parametrize("text", ["canary two words", "canary\nline", "canary-tök€n", "canary\x07"])
def test_a_file_that_holds_no_token_is_refused(nowhere, tmp_path, assert_conceals, text):
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    method = auth_from(Settings(vault_auth="token_file", vault_token_file=str(file)))
    with pytest.raises(AuthenticationError, match="characters that no token has") as caught:
        method.login(nowhere)
    assert_conceals(caught.value, text)


def test_no_login_sends_no_token(nowhere):
    login = auth_from(Settings(vault_auth="none", vault_token=TOKEN)).login(nowhere)
    assert login.token.reveal() == ""
    assert (login.ttl, login.renewable, login.own) == (None, False, False)


def test_a_proxy_adds_the_token_and_its_sink_serves_as_token_file(
    vault, proxy, raw_client, nowhere
):
    client = raw_client(proxy.url, vault.namespace)
    client.token = auth_from(Settings(vault_auth="none")).login(nowhere).token.reveal()
    found = client.auth.token.lookup_self().json()["data"]
    assert found["meta"] == {"role_name": "proxy"}

    method = auth_from(Settings(vault_auth="token_file", vault_token_file=str(proxy.sink)))
    client = raw_client(vault.url, vault.namespace)
    client.token = method.login(nowhere).token.reveal()
    assert client.auth.token.lookup_self().json()["data"]["expire_time"] == found["expire_time"]
