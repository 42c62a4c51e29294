from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import ConfigurationError
from secureml.settings import check_path
from secureml.settings.checks import (
    check_name,
    check_namespace,
    check_token,
    check_url,
    check_urls,
    is_loopback,
    split_url,
)


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
        ("http://hunter2.example[::1]:8200", "no valid host"),
        ("http://[::1]hunter2.example", "no valid host"),
        ("http://[127.0.0.1]", "no valid host"),
        ("http://[vault]", "no valid host"),
        ("http://host:", "no valid host"),
        ("http://host:1:2", "no valid host"),
        ("http://a..b", "no valid host"),
        ("http://.host", "no valid host"),
        ("http://host..", "no valid host"),
        ("http://-host", "no valid host"),
        (f"http://{'a' * 64}.example", "no valid host"),
        (f"http://{'a.' * 126}bc", "no valid host"),
        ("http://host:65536", "no valid host"),
        ("http://127.1", "no valid host"),
        ("http://2130706433", "no valid host"),
        ("http://0177.0.0.1", "no valid host"),
        ("http://0x7f.0.0.1", "no valid host"),
        ("http://0x7f000001", "no valid host"),
        ("http://127.0.0.1.", "no valid host"),
        ("http://host;x", "no valid host"),
        ("http://ho&st", "no valid host"),
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
def test_text_that_is_no_address_is_refused_without_being_repeated(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        check_url(text, "vault_url")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    [
        "https://vault_1.example",
        "https://vault.example.",
        "https://1.2.3.4",
        "https://7.example",
        f"https://{'a' * 63}.example",
        f"https://{'a.' * 126}b",
        "https://vault.example:1",
        "https://vault.example:65535",
    ],
)
def test_hosts_as_they_are_named_in_networks_pass(text: str) -> None:
    assert check_url(text, "vault_url") == text


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/secret/data/k", "/gateway/v1"])
def test_an_address_of_the_api_is_refused_with_what_to_write(path: str) -> None:
    with pytest.raises(ConfigurationError, match="write the address alone"):
        check_urls(f"https://a,https://vault.example.com:8200{path}", "vault_url")


def test_a_prefix_that_only_looks_like_the_api_passes() -> None:
    assert check_urls("https://gateway/v1x", "vault_url") == "https://gateway/v1x"


def test_every_wrong_address_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_urls("ftp://a,https://b,https://c..d", "vault_url")
    assert caught.value.problems == (
        "vault_url must begin with http:// or https://",
        "vault_url has no valid host and port",
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8200", True),
        ("http://127.9.9.9", True),
        ("HTTP://LOCALHOST:8200/vault", True),
        ("http://[::1]:8200", True),
        ("http://[::ffff:127.0.0.1]", True),
        ("unix:///run/v", True),
        ("http://evil.example[::1]:8200", False),
        ("http://evil.example#@[::1]", False),
        ("http://[::1]@evil.example", False),
        ("http://127.0.0.1@evil.example", False),
        ("http://127.0.0.1\\@evil.example", False),
        ("http://localhost.", False),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://127.1", False),
        ("http://0.0.0.0", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_only_an_address_that_reads_one_way_is_of_this_machine(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected


@given(st.from_regex(r"https?://[0-9a-zA-Z.:@\[\]_-]{0,24}(/[a-z@.]*)?", fullmatch=True))
def test_an_accepted_address_names_the_host_that_is_connected_to(text: str) -> None:
    from urllib3.util import parse_url

    parts = split_url(text)
    if parts is not None:
        connected = parse_url(text)
        assert (connected.host or "").strip("[]").lower() == parts.host
        assert connected.port == parts.port


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
def test_an_ordinary_name_of_a_user_or_role_is_returned_unchanged(name: str) -> None:
    assert check_name(name, "vault_username") == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/../b", "/a", "a/", "a//b", "a\nb", "a\x00"])
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^vault_username ") as caught:
        check_name(name, "vault_username")
    assert len(name) < 4 or name not in str(caught.value)
