"""The login with a client certificate."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from helpers.logins import LoginClient
from helpers.vault import TlsServer
from secureml.errors import AuthenticationError, ConfigurationError
from secureml.settings import Settings
from secureml.vault.auth import auth_from, client_certificate

if TYPE_CHECKING:
    import hvac


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def issued(authority: trustme.CA, tmp_path: Path) -> Settings:
    """A client certificate and its key, in files of their own and in one together."""
    return _issue(authority, tmp_path, "reader.lab.test")


def _issue(authority, folder: Path, name: str) -> Settings:
    leaf = authority.issue_cert(name, common_name=name)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    leaf.cert_chain_pems[0].write_to_path(str(certificate))
    leaf.private_key_pem.write_to_path(str(key))
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "both.pem"))
    return Settings(vault_auth="cert", vault_client_cert=certificate, vault_client_key=key)


@pytest.fixture
def mount(
    bao_tls: TlsServer, authority: trustme.CA, raw_client: Callable[..., hvac.Client]
) -> Iterator[str]:
    """The cert method at a mount of the test's own, with a role ``reader``."""
    name = f"cert-{uuid.uuid4().hex}"
    root = raw_client(bao_tls.server.url, verify=str(bao_tls.ca))
    root.token = bao_tls.server.root_token.reveal()
    root.sys.enable_auth_method("cert", path=name)
    answer = root.adapter.post(
        f"/v1/auth/{name}/certs/reader",
        json={
            "certificate": authority.cert_pem.bytes().decode(),
            "allowed_common_names": "reader.lab.test",
            "token_policies": "default",
            "token_ttl": 60,
        },
    )
    assert answer.status_code == 204
    yield name
    root.sys.disable_auth_method(name)


@pytest.fixture
def connect(
    bao_tls: TlsServer, anonymous: Callable[..., LoginClient]
) -> Callable[[Settings], LoginClient]:
    """Connect as the session does: with the client certificate of the settings."""

    def connect(settings: Settings) -> LoginClient:
        return anonymous(
            bao_tls.server.url,
            vault_auth="cert",
            vault_ca_cert=str(bao_tls.ca),
            vault_client_cert=settings.vault_client_cert,
            vault_client_key=settings.vault_client_key,
        )

    return connect


def cert(issued, **more):
    return Settings(
        vault_auth="cert",
        **{
            "vault_client_cert": issued.vault_client_cert,
            "vault_client_key": issued.vault_client_key,
            **more,
        },
    )


@pytest.mark.parametrize("role", [None, "reader"])
def test_a_client_certificate_logs_in(mount, issued, connect, role, bao_tls, raw_client):
    settings = cert(issued, vault_auth_mount=mount, vault_role=role)
    login = auth_from(settings).login(connect(settings))
    user = raw_client(bao_tls.server.url, verify=str(bao_tls.ca))
    user.token = login.token.reveal()
    found = user.auth.token.lookup_self().json()["data"]
    assert found["meta"]["cert_name"] == "reader"
    assert (login.ttl, login.renewable, login.own) == (60.0, True, True)


def test_one_file_may_hold_the_certificate_and_its_key(mount, issued, connect):
    both = Path(issued.vault_client_cert).with_name("both.pem")
    settings = Settings(vault_auth="cert", vault_client_cert=both, vault_auth_mount=mount)
    assert client_certificate(settings) == (str(both), str(both))
    assert auth_from(settings).login(connect(settings)).token


def test_a_cert_login_with_a_missing_role_names_the_role(mount, issued, connect):
    settings = cert(issued, vault_auth_mount=mount, vault_role="nobody")
    with pytest.raises(AuthenticationError, match="with role 'nobody'"):
        auth_from(settings).login(connect(settings))


@pytest.mark.parametrize("role", [None, "nobody"])
def test_a_certificate_that_no_role_accepts_is_refused(
    mount, issued, connect, authority, tmp_path, assert_conceals, role
):
    other = _issue(authority, tmp_path, "other.lab.test")
    settings = cert(other, vault_auth_mount=mount, vault_role=role)
    with pytest.raises(AuthenticationError) as caught:
        auth_from(settings).login(connect(settings))
    assert f"Vault refuses the cert login at {mount!r}" in str(caught.value)
    assert "no certificate role there accepts vault_client_cert" in str(caught.value)
    assert role is None or "with role 'nobody'" in str(caught.value)
    assert_conceals(caught.value, Path(other.vault_client_key).read_text().splitlines()[1])


def test_plain_http_shows_no_certificate(vault, issued, anonymous):
    with pytest.raises(AuthenticationError, match="needs a vault_url that begins with https"):
        auth_from(cert(issued)).login(anonymous(vault.url))


def test_a_cert_login_without_a_certificate_names_the_variable_to_set(connect):
    settings = Settings(vault_auth="cert")
    assert client_certificate(settings) is None
    with pytest.raises(
        AuthenticationError, match=r"export SECUREML_VAULT_CLIENT_CERT \(SML-311\)$"
    ):
        auth_from(settings).login(connect(settings))


def test_a_client_key_without_a_certificate_is_a_wrong_setting(issued):
    settings = Settings(vault_auth="cert", vault_client_key=issued.vault_client_key)
    with pytest.raises(ConfigurationError, match="vault_client_cert is not"):
        client_certificate(settings)


def test_a_tilde_in_a_certificates_path_is_the_home_folder(issued, monkeypatch):
    home = Path(issued.vault_client_cert).parent
    monkeypatch.setenv("HOME", str(home))
    settings = cert(issued, vault_client_cert="~/c.pem", vault_client_key="~/k.pem")
    assert client_certificate(settings) == (f"{home}/c.pem", f"{home}/k.pem")


def test_files_that_hold_no_certificate_or_key_are_refused(issued, connect, authority, tmp_path):
    certificate, key = Path(issued.vault_client_cert), Path(issued.vault_client_key)
    pem = serialization.load_pem_private_key(key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        pem.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"canary-pass"),
        )
    )
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    other = _issue(authority, tmp_path, "other.lab.test")
    pairs = [
        (tmp_path / "missing.pem", key, "No such file"),
        (certificate, tmp_path / "missing.key", "No such file"),
        (tmp_path, key, "not a PEM|directory"),
        (junk, key, "not a PEM"),
        (certificate, junk, "not a PEM"),
        (certificate, certificate, "not a PEM"),
        (certificate, encrypted, "not a PEM"),
        (certificate, other.vault_client_key, "not a PEM"),
    ]
    for pem_file, key_file, problem in pairs:
        settings = cert(issued, vault_client_cert=pem_file, vault_client_key=key_file)
        client = connect(issued)
        with pytest.raises(AuthenticationError, match=problem) as caught:
            auth_from(settings).login(client)
        assert str(pem_file) in str(caught.value)
        assert str(key_file) in str(caught.value)
        assert caught.value.__context__ is None
