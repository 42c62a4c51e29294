from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import ConfigurationError
from secureml.settings import check_path
from secureml.settings.checks import check_name, check_namespace, check_token, check_url


@pytest.mark.parametrize(
    "text",
    ["master_key", "team/app", "a.b", "...", "..a", "name with spaces", "ключ", "@format {env[X]}"],
)
def test_a_path_that_means_itself_is_returned_unchanged(text: str) -> None:
    assert check_path(text, "name") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "dev/../prod/key",
        "a/./b",
        "a/ ../b",
        "a/ /b",
        "a\nb",
        "a\0b",
        "a\x7fb",
        "a%2e%2e",
        "a?b",
        "a#b",
        "a\\..\\b",
        "a\u202eb",
        "a\udc80b",
    ],
)
def test_a_path_that_could_mean_another_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the name ") as caught:
        check_path(text, "the name")
    if len(text) > 3:
        assert text not in str(caught.value)


def test_a_path_that_is_no_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="name must be a str, not bytes"):
        check_path(b"name", "name")  # type: ignore[arg-type]  # the wrong type is the test


@given(st.text())
def test_no_accepted_path_leaves_its_place(text: str) -> None:
    try:
        check_path(text, "name")
    except ConfigurationError:
        return
    assert not {"", ".", ".."} & {segment.strip() for segment in text.split("/")}
    assert text.isprintable()
    assert text.encode()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8200", "http://127.0.0.1:8200"),
        ("https://vault.example.com/", "https://vault.example.com"),
        ("HTTPS://vault.example.com//", "HTTPS://vault.example.com"),
        ("https://[::1]:8200", "https://[::1]:8200"),
        ("https://gateway.example.com/vault/", "https://gateway.example.com/vault"),
    ],
)
def test_an_address_loses_its_trailing_slash_and_no_more(text: str, url: str) -> None:
    assert check_url(text, "vault_url") == url


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("vault.example.com:8200", "http:// or https://"),
        ("ftp://vault.example.com", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("http://", "no valid host"),
        ("https:///v1", "no valid host"),
        ("http://host:0", "no valid host"),
        ("http://host:99999", "no valid host"),
        ("http://host:port", "no valid host"),
        ("http://[::1", "no valid host"),
        ("https://user:hunter2@host", "user name or password"),
        ("https://hunter2@host", "user name or password"),
        ("https://user:hunter2@host:99999", "user name or password"),
        ("hvs.hunter2@host", "user name or password"),
        ("https://host?token=hunter2", "must not hold"),
        ("https://host/#hunter2", "must not hold"),
        ("https://host\\@hunter2", "must not hold"),
        ("https://host/../hunter2", "segment"),
        ("https://host//hunter2", "segment"),
        ("https://ho st/hunter2", "white space"),
        ("https://host\n/hunter2", "white space"),
        ("https://hôte/hunter2", "ASCII"),
    ],
)
def test_an_address_that_is_none_is_refused_without_being_repeated(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        check_url(text, "vault_url")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("text", ["hvs.CAESI-x_1", "s.abc+/=", "1234#tail"])
def test_a_token_is_returned_unchanged(text: str) -> None:
    assert check_token(text, "vault_token") == text


@pytest.mark.parametrize("text", ["hvs.hunter2\n", "hvs hunter2", "hvs.hunter2é", "\thunter2"])
def test_a_token_unfit_for_a_header_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError, match="vault_token holds") as caught:
        check_token(text, "vault_token")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["a/../b", "a/", "/a", "a\nb", "é"])
def test_a_namespace_unfit_for_a_header_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="vault_namespace must"):
        check_namespace(text, "vault_namespace")
    assert check_namespace("team/1234#tail", "vault_namespace") == "team/1234#tail"


@pytest.mark.parametrize("name", ["alice", "a b@corp.test", "CORP\\alice", "team/reader", "é", "%"])
def test_names_of_users_and_roles(name: str) -> None:
    assert check_name(name, "vault_username") == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/../b", "/a", "a/", "a//b", "a\nb", "a\x00"])
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^vault_username ") as caught:
        check_name(name, "vault_username")
    assert len(name) < 4 or name not in str(caught.value)
