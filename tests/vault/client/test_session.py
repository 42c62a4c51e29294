"""The session against a real server and against everything that can stand in its place."""

import logging
import pickle
import socket
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import secureml
from secureml.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    InsecureConnectionWarning,
    MalformedAnswerError,
    VaultSealedError,
    VaultUnavailableError,
)
from secureml.secret_types import SecretText
from secureml.settings import Layers, load_settings
from secureml.vault.client.session import VaultSession

TOKEN = "s.canary-token-51c2"
BODY = b"canary-body-90ab"
READ = 'path "secret/data/allowed" { capabilities = ["read"] }'


def session_of(url, token=TOKEN, **more) -> VaultSession:
    arguments = {"vault_url": url, "vault_token": token, "vault_timeout": 0.5, **more}
    return VaultSession(load_settings(Layers(arguments=arguments)))


def session_in(vault, token=None, **more) -> VaultSession:
    return session_of(
        vault.url, token or vault.token, vault_namespace=vault.namespace, vault_timeout=5, **more
    )


def read(session, path="k"):
    return session.request("get", f"secret/data/{path}")


def assert_tells_nothing(error, caplog, *more_secrets):
    trace = traceback.TracebackException.from_exception(error)
    shown = [str(error), repr(error), "".join(trace.format()), caplog.text]
    shown += [repr(pickle.dumps(error)), repr(vars(error)), repr(error.args)]
    for secret in (TOKEN, BODY.decode(), *more_secrets):
        assert not any(secret in text for text in shown)
    assert error.__context__ is None
    assert error.__cause__ is None


HTML = b"<html>" + BODY + b"</html>"
ERRORS = b'{"errors": ["' + BODY + b'"]}'

FAULTS = {
    "silent": ({"silent": True}, VaultUnavailableError, "did not answer within 0.5 s"),
    "reset": ({"reset": True}, VaultUnavailableError, "broke the connection off"),
    "no HTTP": ({"status": "\x00\x00"}, VaultUnavailableError, "broke the connection off"),
    "HTML 200": ({"body": HTML, "kind": "text/html"}, MalformedAnswerError, "status 200"),
    "cut-off JSON": ({"body": b'{"data": {"data"'}, MalformedAnswerError, "status 200"),
    "JSON list": ({"body": b"[1, 2]"}, MalformedAnswerError, "status 200"),
    "HTML 404": (
        {"body": HTML, "status": "404 Not Found", "kind": "text/html"},
        MalformedAnswerError,
        "status 404",
    ),
    "HTML 502": (
        {"body": HTML, "status": "502 Bad Gateway", "kind": "text/html"},
        VaultUnavailableError,
        "status 502",
    ),
    "400 JSON list": ({"body": b"[1]", "status": "400 Bad"}, MalformedAnswerError, "status 400"),
    "405": ({"body": ERRORS, "status": "405 No"}, MalformedAnswerError, "status 405"),
    "429": ({"body": ERRORS, "status": "429 Slow"}, VaultUnavailableError, "limits the rate"),
    "500": ({"body": ERRORS, "status": "500 Error"}, VaultUnavailableError, "status 500"),
    "501": ({"body": ERRORS, "status": "501 No"}, VaultUnavailableError, "not initialized"),
    "503": ({"body": ERRORS, "status": "503 Down"}, VaultUnavailableError, "status 503"),
    "599": ({"body": ERRORS, "status": "599 Odd"}, VaultUnavailableError, "status 599"),
}


@pytest.mark.parametrize(("fault", "kind", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_every_fault_becomes_one_error_that_tells_nothing(faulty, caplog, fault, kind, message):
    session = session_of(faulty(**fault).url)
    with caplog.at_level(logging.DEBUG), pytest.raises(kind, match=message) as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog)
    session.close()


def test_a_port_that_nobody_listens_on_is_an_outage(faulty, caplog):
    server = faulty()
    url = server.url
    server.close()
    session = session_of(url)
    with pytest.raises(VaultUnavailableError, match="it refused the connection") as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog)


def test_a_host_name_that_does_not_exist_is_an_outage(caplog):
    with pytest.warns(InsecureConnectionWarning, match="in the clear"):
        session = session_of("http://no-such-host.invalid:8200")
    with pytest.raises(VaultUnavailableError, match="can't be reached: unknown host") as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog)


def test_proxies_of_the_environment_are_not_used(vault, faulty, monkeypatch):
    proxy = faulty(b"{}")
    session = session_in(vault)
    with monkeypatch.context() as patch:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            patch.setenv(name, proxy.url)
        assert read(session).status == 404
    assert proxy.received == []
    session.close()


@pytest.mark.parametrize("token", ["", "two words", "line\nend", "tök€n"])
def test_text_that_is_no_token_is_refused_before_any_request(faulty, tmp_path, token):
    server = faulty(b"{}")
    file = tmp_path / "token"
    file.write_text(token)
    file.chmod(0o600)
    settings = load_settings(
        Layers(arguments={"vault_url": server.url, "vault_token_file": str(file)})
    )
    with pytest.raises(AuthenticationError) as caught:
        read(VaultSession(settings))
    assert server.received == []
    assert not token or token not in str(caught.value)


def test_a_token_file_is_read_anew_after_its_token_has_died(vault, tmp_path):
    file = tmp_path / "token"
    first = vault.policy_token(READ, no_default_policy=False)
    file.write_text(first + "\n")
    file.chmod(0o600)
    settings = load_settings(
        Layers(
            arguments={
                "vault_url": vault.url,
                "vault_namespace": vault.namespace,
                "vault_token_file": str(file),
            }
        )
    )
    session = VaultSession(settings)
    assert read(session, "allowed").status == 404
    vault.client().auth.token.revoke(first)
    file.write_text(vault.policy_token(READ, no_default_policy=False))
    file.chmod(0o600)
    assert read(session, "allowed").status == 404
    session.close()


def test_a_missing_token_file_is_named(tmp_path, vault):
    missing = tmp_path / "nowhere"
    settings = load_settings(
        Layers(arguments={"vault_url": vault.url, "vault_token_file": str(missing)})
    )
    with pytest.raises(AuthenticationError, match="nowhere") as caught:
        read(VaultSession(settings))
    assert caught.value.__context__ is None


def test_a_revoked_token_and_a_denied_path_are_told_apart(vault, caplog):
    token = vault.policy_token(READ, no_default_policy=False)
    session = session_in(vault, token)
    assert read(session, "allowed").status == 404
    with pytest.raises(AccessDeniedError, match="'read' on 'secret/data/forbidden'") as denied:
        read(session, "forbidden")
    vault.client().auth.token.revoke(token)
    with pytest.raises(AuthenticationError, match="wrong, expired or revoked") as expired:
        read(session, "allowed")
    assert_tells_nothing(denied.value, caplog, token)
    assert_tells_nothing(expired.value, caplog, token)
    session.close()


def test_five_calls_lead_from_a_request_to_the_socket(vault, monkeypatch):
    package = str(Path(secureml.__file__).parent)
    depths = []
    sendall = socket.socket.sendall

    def counted(self, *arguments):
        frames = [frame.f_code.co_filename for frame, _ in traceback.walk_stack(sys._getframe())]
        depths.append(sum(name.startswith(package) for name in frames))
        sendall(self, *arguments)

    session = session_in(vault)
    read(session)
    monkeypatch.setattr(socket.socket, "sendall", counted)
    read(session)
    assert depths == [5]
    session.close()


@pytest.mark.parametrize("name", ["a?version=1", "a#b", "a%2Fb", "ä b", "a;b"])
def test_every_character_of_a_path_reaches_vault(vault, name):
    session = session_in(vault)
    session.request("post", f"secret/data/{name}", body={"data": {"value": SecretText("v")}})
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"custom_metadata": {"kind": "k"}}
    path = f"secret/metadata/{name}"
    assert session.request("patch", path, body=body, headers=headers).status == 204
    assert session.request("list", "secret/metadata").data.texts("keys") == [name]
    assert read(session, name).data["data"] == {"value": "v"}
    session.close()


def test_a_sealed_server_is_an_error_until_it_is_unsealed(private_bao, caplog):
    session = session_of(private_bao.url, private_bao.root_token, vault_timeout=5)
    private_bao.seal()
    with pytest.raises(VaultSealedError, match="is sealed") as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog, private_bao.root_token.reveal())
    private_bao.unseal()
    assert read(session).status == 404
    session.close()


def test_a_session_survives_a_restart_of_the_server(private_bao):
    session = session_of(private_bao.url, private_bao.root_token, vault_timeout=5)
    assert read(session).status == 404
    private_bao.stop()
    with pytest.raises(VaultUnavailableError):
        read(session)
    private_bao.start()
    assert read(session).status == 404
    session.close()


def test_an_untrusted_certificate_is_no_outage(bao_tls, caplog):
    token = bao_tls.server.root_token
    session = session_of(bao_tls.server.url, token, vault_timeout=5)
    with pytest.raises(AuthenticationError, match="not trusted") as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog, token.reveal())
    trusting = session_of(bao_tls.server.url, token, vault_timeout=5, vault_ca_cert=str(bao_tls.ca))
    assert read(trusting).status == 404
    trusting.close()
    session.close()


def test_the_environments_ca_bundle_is_not_used(bao_tls, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bao_tls.ca))
    session = session_of(bao_tls.server.url, bao_tls.server.root_token, vault_timeout=5)
    with pytest.raises(AuthenticationError, match="not trusted"):
        read(session)
    session.close()


def test_a_missing_ca_certificate_is_a_wrong_setting(tmp_path):
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigurationError, match=r"ca\.pem"):
        session_of("https://127.0.0.1:8200", vault_ca_cert=str(missing))


def test_https_to_a_server_without_tls_is_an_outage(faulty, caplog):
    server = faulty(b"{}")
    session = session_of(server.url.replace("http://", "https://"))
    with pytest.raises(VaultUnavailableError, match="speaks plain HTTP, not TLS") as caught:
        read(session)
    assert_tells_nothing(caught.value, caplog)
    session.close()


def test_many_threads_share_one_login(vault):
    session = session_in(vault)
    vault.client().secrets.kv.v2.create_or_update_secret("k", {"value": "v"})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: read(session), range(160)))
    assert {answer.data["data"]["value"] for answer in answers} == {"v"}
    session.close()


def test_the_client_for_users_is_logged_in_and_plain(vault):
    session = session_in(vault)
    client = session.client
    client.secrets.kv.v2.create_or_update_secret("k", {"value": "v"})
    assert client.secrets.kv.v2.read_secret_version("k", raise_on_deleted_version=True)
    session.close()


def test_an_answer_does_not_show_its_body(vault):
    session = session_in(vault)
    vault.client().secrets.kv.v2.create_or_update_secret("k", {"value": BODY.decode()})
    assert BODY.decode() not in repr(read(session))
    session.close()


def test_a_session_that_is_not_used_sends_nothing(faulty):
    server = faulty(b"{}")
    session_of(server.url).close()
    assert server.received == []
