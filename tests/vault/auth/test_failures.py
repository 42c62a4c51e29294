"""What every login does where settings are missing, files can't be read, or Vault fails."""

from __future__ import annotations

import os

import hvac
import pytest

from secureml.errors import (
    AuthenticationError,
    MalformedAnswerError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.secret_types import SecretText
from secureml.settings import Settings
from secureml.vault.auth import Login, auth_from
from secureml.vault.auth.base import AuthMethod
from secureml.vault.client.session import VaultSession
from secureml.vault.devserver.server import DevServer

SECRET = "canary-secret-61b4"
BODY = "canary-body-e9f0"

COMPLETE = {
    "approle": {"vault_role_id": "r", "vault_secret_id": SECRET},
    "wrapped": {
        "vault_auth": "approle",
        "vault_role_id": "r",
        "vault_secret_id": SECRET,
        "vault_secret_id_wrapped": True,
    },
    "ldap": {"vault_username": "u", "vault_password": SECRET},
    "userpass": {"vault_username": "u", "vault_password": SECRET},
    "kubernetes": {"vault_role": "r", "vault_jwt": SECRET},
    "jwt": {"vault_role": "r", "vault_jwt": SECRET},
}


def method_of(name: str, **more: object) -> AuthMethod:
    return auth_from(Settings(**{"vault_auth": name, **COMPLETE[name], **more}))


MISSING = [
    ("approle", "vault_role_id", "needs vault_role_id: set it, or export SECUREML_VAULT_ROLE_ID"),
    (
        "approle",
        "vault_secret_id",
        "needs a secret: export SECUREML_VAULT_SECRET_ID, or name a file that holds it in "
        "vault_secret_id_file",
    ),
    (
        "wrapped",
        "vault_secret_id",
        "needs a secret: export SECUREML_VAULT_SECRET_ID, or name a file that holds it in "
        "vault_secret_id_file",
    ),
    ("ldap", "vault_username", "needs vault_username: set it, or export SECUREML_VAULT_USERNAME"),
    (
        "ldap",
        "vault_password",
        "needs a secret: export SECUREML_VAULT_PASSWORD, or name a file that holds it in "
        "vault_password_file",
    ),
    (
        "userpass",
        "vault_username",
        "needs vault_username: set it, or export SECUREML_VAULT_USERNAME",
    ),
    (
        "userpass",
        "vault_password",
        "needs a secret: export SECUREML_VAULT_PASSWORD, or name a file that holds it in "
        "vault_password_file",
    ),
    ("kubernetes", "vault_role", "needs vault_role: set it, or export SECUREML_VAULT_ROLE"),
    (
        "jwt",
        "vault_jwt",
        "needs a secret: export SECUREML_VAULT_JWT, or name a file that holds it in vault_jwt_file",
    ),
]


@pytest.mark.parametrize(("name", "setting", "message"), MISSING)
def test_a_missing_credential_is_told_at_login_and_nothing_is_sent(
    faulty, anonymous, assert_conceals, name, setting, message
):
    server = faulty(b"{}")
    method = method_of(name, **{setting: None})
    with pytest.raises(AuthenticationError) as caught:
        method.login(anonymous(server.url))
    shown = COMPLETE[name].get("vault_auth", name)
    assert caught.value.message == f"vault_auth = {shown!r} {message}"
    assert server.received == []
    assert_conceals(caught.value, SECRET)


FILES = [
    ("approle", "vault_secret_id"),
    ("wrapped", "vault_secret_id"),
    ("ldap", "vault_password"),
    ("userpass", "vault_password"),
    ("kubernetes", "vault_jwt"),
    ("jwt", "vault_jwt"),
    ("token_file", "vault_token"),
]


@pytest.mark.parametrize(("name", "setting"), FILES)
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, ": No such file or directory"),
        ("folder", ": Is a directory"),
        (b"", " is empty"),
        (b"\n", " is empty"),
        (b"\r\n", " is empty"),
        (b"canary-secret-61b4 \xff", ": it is not UTF-8 text"),
        (
            b"\xef\xbb\xbfcanary-secret-61b4",
            ": it begins with a byte order mark; save it as UTF-8 without one",
        ),
        (b"canary-secret-61b4" * 4000, ": it holds more than 65536 bytes"),
    ],
    ids=["missing", "folder", "empty", "line end", "CRLF", "binary", "mark", "large"],
)
def test_a_file_without_a_credential_is_refused_by_name(
    faulty, anonymous, assert_conceals, tmp_path, name, setting, content, problem
):
    server = faulty(b"{}")
    file = tmp_path / "credential"
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    settings = {**COMPLETE.get(name, {}), setting: None, f"{setting}_file": str(file)}
    method = auth_from(Settings(**{"vault_auth": name, **settings}))
    with pytest.raises(AuthenticationError) as caught:
        method.login(anonymous(server.url))
    assert caught.value.message == f"{setting}_file {str(file)!r}{problem}"
    assert server.received == []
    assert_conceals(caught.value, SECRET)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_credential_file_without_read_permission_is_refused(anonymous, tmp_path):
    file = tmp_path / "password"
    file.write_text(SECRET)
    file.chmod(0)
    method = method_of("userpass", vault_password=None, vault_password_file=str(file))
    with pytest.raises(AuthenticationError, match="Permission denied"):
        method.login(anonymous("http://127.0.0.1:1"))


LATER = "Retry-After: 60\r\n"
"""What keeps a login from being tried again within the deadline."""


def errors_of(status: str) -> dict[str, object]:
    return {"body": b'{"errors": ["canary-body-e9f0"]}', "status": status, "extra": LATER}


HTML = b"<html>canary-body-e9f0</html>"
FAULTS = {
    "HTML 200": ({"body": HTML, "kind": "text/html"}, MalformedAnswerError, "status 200"),
    "cut-off JSON": ({"body": b'{"auth": {"client_tok'}, MalformedAnswerError, "status 200"),
    "JSON list": ({"body": b"[1]"}, MalformedAnswerError, "status 200"),
    "204": ({"status": "204 No Content"}, MalformedAnswerError, "status 204"),
    "307": ({"status": "307 Go"}, MalformedAnswerError, "status 307"),
    "HTML 400": ({"body": HTML, "status": "400 Bad"}, MalformedAnswerError, "status 400"),
    "400 of another shape": (
        {"body": b'{"errors": "canary-body-e9f0"}', "status": "400 Bad"},
        MalformedAnswerError,
        "status 400",
    ),
    "HTML 404": ({"body": HTML, "status": "404 No"}, MalformedAnswerError, "status 404"),
    "418": (errors_of("418 Teapot"), MalformedAnswerError, "status 418"),
    "408": (errors_of("408 Late"), VaultUnavailableError, "status 408"),
    "412": (errors_of("412 Behind"), VaultUnavailableError, "status 412"),
    "429": (errors_of("429 Slow"), VaultUnavailableError, "status 429"),
    "500": (errors_of("500 Error"), VaultUnavailableError, "status 500"),
    "HTML 502": (
        {"body": HTML, "status": "502 Bad", "extra": LATER},
        VaultUnavailableError,
        "status 502",
    ),
    "503": (errors_of("503 Down"), VaultUnavailableError, "status 503"),
    "599": (errors_of("599 Odd"), VaultUnavailableError, "status 599"),
}


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize(("fault", "kind", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_every_fault_becomes_one_error_that_tells_nothing(
    faulty, anonymous, assert_conceals, name, fault, kind, message
):
    server = faulty(**fault)
    with pytest.raises(kind, match=message) as caught:
        method_of(name).login(anonymous(server.url))
    assert type(caught.value) is kind
    assert server.received
    assert_conceals(caught.value, SECRET, BODY)


@pytest.mark.parametrize("name", sorted(COMPLETE.keys() - {"wrapped"}))
@pytest.mark.parametrize(
    "status", ["400 Bad", "401 Who", "403 No", "404 Not Found", "405 Not Allowed"]
)
def test_every_refusal_is_an_authentication_error(faulty, anonymous, assert_conceals, name, status):
    with pytest.raises(AuthenticationError, match=f"refuses the {name} login at") as caught:
        method_of(name).login(anonymous(faulty(**errors_of(status)).url))
    assert_conceals(caught.value, SECRET, BODY)


def test_a_403_without_a_body_of_vaults_is_a_refusal_too(faulty, anonymous, assert_conceals):
    server = faulty(body=HTML, status="403 Forbidden", kind="text/html")
    with pytest.raises(AuthenticationError, match="refuses the jwt login") as caught:
        method_of("jwt").login(anonymous(server.url))
    assert_conceals(caught.value, SECRET, BODY)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"auth": null}',
        b'{"auth": ["canary-body-e9f0"]}',
        b'{"auth": {"client_token": null}}',
        b'{"auth": {"client_token": ""}}',
        b'{"auth": {"client_token": 5}}',
        b'{"auth": {"client_token": "t", "lease_duration": "canary-body-e9f0"}}',
        b'{"auth": {"client_token": "t", "lease_duration": true}}',
        b'{"auth": {"client_token": "t", "lease_duration": -1}}',
        b'{"auth": {"client_token": "t", "lease_duration": 1' + b"0" * 400 + b"}}",
        b'{"auth": {"client_token": "t", "renewable": "canary-body-e9f0"}}',
        b'{"auth": ' * 100_000,
        b'{"auth": {"client_token": "canary-body-e9f0\\nX-Evil: 1"}}',
        b'{"auth": {"client_token": "canary-body-e9f0 "}}',
        b'{"errors": null, "warnings": ["canary-body-e9f0"]}',
    ],
)
def test_a_login_answer_without_a_token_is_malformed(faulty, anonymous, assert_conceals, body):
    with pytest.raises(
        MalformedAnswerError, match=r"does not answer (a login )?as Vault"
    ) as caught:
        method_of("userpass").login(anonymous(faulty(body).url))
    assert_conceals(caught.value, SECRET, BODY)


def test_a_second_factor_is_more_than_a_program_has(faulty, anonymous, assert_conceals):
    body = b'{"auth": {"client_token": "", "mfa_requirement": {"mfa_request_id": "1"}}}'
    with pytest.raises(AuthenticationError, match="wants a second factor") as caught:
        method_of("ldap").login(anonymous(faulty(body).url))
    assert_conceals(caught.value, SECRET)


@pytest.mark.parametrize(
    ("auth", "ttl", "renewable"),
    [
        (b'"lease_duration": 60, "renewable": true', 60.0, True),
        (b'"lease_duration": 0, "renewable": false', None, False),
        (b'"accessor": "a"', None, False),
    ],
)
def test_a_login_takes_lifetime_and_renewability_from_the_answer(
    faulty, anonymous, auth, ttl, renewable
):
    body = b'{"auth": {"client_token": "t", ' + auth + b"}}"
    login = method_of("userpass").login(anonymous(faulty(body).url))
    assert login.token.reveal() == "t"
    assert (login.ttl, login.renewable, login.own) == (ttl, renewable, True)


def test_every_login_at_a_sealed_server_says_so_without_its_credential(
    private_bao, anonymous, assert_conceals
):
    client = anonymous(private_bao.url)
    private_bao.seal()
    for name in COMPLETE:
        with pytest.raises(VaultSealedError, match="is sealed") as caught:
            method_of(name).login(client)
        assert_conceals(caught.value, SECRET)


@pytest.mark.parametrize("name", COMPLETE)
def test_no_credential_follows_a_redirect_to_another_host(faulty, anonymous, assert_conceals, name):
    other = faulty(b"{}")
    place = other.url.replace("127.0.0.1", "localhost")
    first = faulty(status="307 Go", extra=f"Location: {place}/v1/x\r\n")
    with pytest.raises(MalformedAnswerError, match="redirects to a host that is neither") as caught:
        method_of(name).login(anonymous(first.url))
    assert other.received == []
    assert_conceals(caught.value, SECRET)


def test_a_login_without_an_answer_is_an_outage(faulty, anonymous, assert_conceals):
    server = faulty(reset=True)
    with pytest.raises(VaultUnavailableError, match="broke the connection off") as caught:
        method_of("jwt").login(anonymous(server.url, vault_timeout=0.5))
    assert_conceals(caught.value, SECRET)


@pytest.mark.parametrize("name", [*COMPLETE, "token", "token_file", "cert", "none"])
def test_a_method_that_never_logged_in_shows_no_credential(name):
    settings = {"vault_auth": name, "vault_url": "http://127.0.0.1:1", **COMPLETE.get(name, {})}
    method = auth_from(Settings(**settings))
    assert SECRET not in repr(method)
    assert SECRET not in repr(vars(method))


def test_a_login_does_not_show_its_token(faulty, anonymous):
    body = b'{"auth": {"client_token": "canary-body-e9f0"}}'
    login = method_of("userpass").login(anonymous(faulty(body).url))
    assert isinstance(login, Login)
    assert BODY not in repr(login)


def test_a_user_name_that_vault_can_not_have_is_no_outage(faulty, anonymous, assert_conceals):
    said = b'{"errors": ["failed to determine alias name from login request"]}'
    server = faulty(said, status="500 Internal Server Error")
    with pytest.raises(AuthenticationError, match=r"there is no such .* user name") as caught:
        method_of("userpass").login(anonymous(server.url))
    assert_conceals(caught.value, SECRET)


def test_a_limit_on_logins_is_named_with_the_time_it_asks_for(faulty, anonymous, assert_conceals):
    server = faulty(b"{}", status="429 Slow", extra="Retry-After: 60\r\n")
    with pytest.raises(
        VaultUnavailableError, match=r"limits the rate of requests.* for 60 s"
    ) as caught:
        method_of("userpass").login(anonymous(server.url))
    assert caught.value.retry_after == 60
    assert_conceals(caught.value, SECRET)


@pytest.fixture
def limited(private_bao: DevServer) -> dict[str, str]:
    """A server that allows one login by AppRole a minute, and how to log in."""
    client = hvac.Client(private_bao.url, token=private_bao.root_token.reveal())
    client.sys.enable_auth_method("approle")
    client.auth.approle.create_or_update_approle("r")
    secret_id = client.auth.approle.generate_secret_id("r")["data"]["secret_id"]
    role_id = client.auth.approle.read_role_id("r")["data"]["role_id"]
    client.write_data("sys/quotas/config", data={"enable_rate_limit_response_headers": True})
    quota = {"rate": 1, "path": "auth/approle", "interval": "60s", "block_interval": "60s"}
    client.write_data("sys/quotas/rate-limit/logins", data=quota)
    client.auth.approle.login(role_id, secret_id, use_token=False)
    client.adapter.close()
    return {
        "vault_url": private_bao.url,
        "vault_auth": "approle",
        "vault_role_id": role_id,
        "vault_secret_id": secret_id,
    }


LIMIT = (
    r"limits the rate of requests and asks to be left alone for \d+ s \(HTTP status 429\); "
    r"vault_timeout, 5 s in all, leaves less"
)


def test_a_limit_on_logins_is_named_with_the_wait_that_vault_asks_for(limited):
    session = VaultSession(Settings(**limited))
    with pytest.raises(VaultUnavailableError, match=LIMIT) as caught:
        session.lookup_self()
    assert 5 < caught.value.retry_after <= 60
    session.close()


def test_a_limited_login_is_tried_once_and_asks_no_other_node(faulty):
    head = {"status": "429 Slow", "extra": "Retry-After: 60\r\n"}
    first, second = faulty(b"{}", **head), faulty(b"{}", **head)
    now = [0.0]
    settings = Settings(
        vault_url=f"{first.url},{second.url}",
        vault_auth="userpass",
        vault_username="alice",
        vault_password=SecretText("hunter2"),
    )
    session = VaultSession(settings, clock=lambda: now[0])
    for _ in range(2):
        with pytest.raises(VaultUnavailableError, match=LIMIT):
            session.lookup_self()
    assert (len(first.received), len(second.received)) == (1, 0)
    now[0] = 60.0
    with pytest.raises(VaultUnavailableError, match=LIMIT):
        session.lookup_self()
    assert (len(first.received), len(second.received)) == (2, 0)
    session.close()
