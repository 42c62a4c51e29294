"""TLS as the settings ask for it, against servers that show all kinds of certificates."""

from __future__ import annotations

import contextlib
import datetime
import os
import select
import shutil
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from helpers.network import Listener
from secureml.errors import (
    AuthenticationError,
    ConfigurationError,
    InsecureConnectionWarning,
    MalformedAnswerError,
    VaultUnavailableError,
)
from secureml.settings import Layers, load_settings
from secureml.vault.client.session import VaultSession

if TYPE_CHECKING:
    import trustme

TOKEN = "s.canary-token-0c9d"
FOUND = b'{"data": {"data": {"value": "v"}, "metadata": {"version": 1}}}'


class Responder(ThreadingHTTPServer):
    """Answers every request with a secret, or with a redirect; keeps what it was sent."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens: list[str | None] = []
        self.subjects: list[Any] = []
        self.location: str | None = None
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: Any) -> None:
        """Say nothing: handshakes that fail are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Responder

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers["X-Vault-Token"])
        self.server.subjects.append(self.connection.getpeercert())  # type: ignore[attr-defined]  # TLS
        body = FOUND
        self.send_response(307 if self.server.location else 200)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class ConnectProxy(Listener):
    """A proxy that connects to this machine, whatever the host's name.

    Args:
        context: with its certificate, where it is spoken to over TLS.
        late: seconds before it consents to connect.
        drip: seconds between the bytes of its consent.
        silent: whether it passes nothing on after its consent.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None,
        *,
        late: float = 0,
        drip: float = 0,
        silent: bool = False,
    ) -> None:
        self._context = context
        self._late, self._drip, self._silent = late, drip, silent
        self.scheme = "https" if context else "http"
        self.received: list[bytes] = []
        super().__init__()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client = plain
            if self._context is not None:
                client = self._context.wrap_socket(plain, server_side=True)
                self._open.append(client)
            request = client.recv(65536)
            self.received.append(request)
            if not request.startswith(b"CONNECT"):
                client.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(FOUND) + FOUND
                )
                return
            self._closed.wait(self._late)
            consent = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 5000 * bool(self._drip) + b"\r\n\r\n"
            if not self._drip:
                client.sendall(consent)
            for octet in consent if self._drip else b"":
                client.sendall(bytes([octet]))
                if self._closed.wait(self._drip):
                    return
            if not self._silent:
                self._pass_on(client, int(request.split()[1].rpartition(b":")[2]))

    def _pass_on(self, client: socket.socket, port: int) -> None:
        server = socket.create_connection(("127.0.0.1", port))
        self._open.append(server)
        ends: dict[socket.socket, socket.socket] = {client: server, server: client}
        while not self._closed.is_set():
            pending = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [client] if pending else select.select(list(ends), [], [], 5)[0]
            for end in ready:
                data = end.recv(65536)
                if not data:
                    return
                ends[end].sendall(data)


@pytest.fixture
def connect_proxy(authority: trustme.CA) -> Iterator[Callable[..., ConnectProxy]]:
    """Start proxies, with a certificate of the authority unless they are plain."""
    proxies: list[ConnectProxy] = []

    def start(*, plain: bool = False, **traits: Any) -> ConnectProxy:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        proxies.append(ConnectProxy(None if plain else context, **traits))
        return proxies[-1]

    yield start
    for each in proxies:
        each.close()


@pytest.fixture
def authority() -> trustme.CA:
    import trustme

    return trustme.CA()


@pytest.fixture
def responder(authority: trustme.CA) -> Iterator[Callable[..., Responder]]:
    """Start servers with a certificate of the authority for the names given."""
    servers: list[Responder] = []

    def start(*names: str, wants: Any = None, **certificate: Any) -> Responder:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names, **certificate).configure_cert(context)
        if wants is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            wants.configure_trust(context)
        servers.append(Responder(context))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def read(server: Responder, host: str = "127.0.0.1", **more: Any) -> Any:
    arguments = {
        "vault_url": f"https://{host}:{server.port}",
        "vault_token": TOKEN,
        "vault_timeout": 2,
        **more,
    }
    environment = arguments.pop("environment", None)
    session = VaultSession(load_settings(Layers(environment=environment, arguments=arguments)))
    try:
        return session.request("get", "secret/data/k").data["data"]["value"]
    finally:
        session.close()


def test_the_host_must_be_on_the_certificate(responder: Any, ca: Path) -> None:
    server = responder("vault.internal")
    with pytest.raises(AuthenticationError, match="not trusted"):
        read(server, vault_ca_cert=ca)
    assert server.tokens == []


def test_a_certificate_may_be_for_the_name_that_the_settings_expect(
    responder: Any, ca: Path
) -> None:
    server = responder("vault.internal")
    assert read(server, vault_ca_cert=ca, vault_tls_server_name="vault.internal") == "v"


def test_the_expected_name_replaces_the_hosts_name(responder: Any, ca: Path) -> None:
    server = responder("127.0.0.1")
    with pytest.raises(AuthenticationError, match="not trusted"):
        read(server, vault_ca_cert=ca, vault_tls_server_name="vault.internal")
    assert server.tokens == []


def test_the_expected_name_does_not_replace_trust(responder: Any) -> None:
    server = responder("vault.internal")
    with pytest.raises(AuthenticationError, match="not trusted"):
        read(server, vault_tls_server_name="vault.internal")
    assert server.tokens == []


def test_an_expired_certificate_is_refused(responder: Any, ca: Path) -> None:
    server = responder("127.0.0.1", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    with pytest.raises(AuthenticationError, match="expired"):
        read(server, vault_ca_cert=ca)


def test_a_folder_of_authorities_is_trusted(responder: Any, ca: Path, tmp_path: Path) -> None:
    server = responder("127.0.0.1")
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "README").write_text("no certificate")
    with pytest.raises(AuthenticationError, match="not trusted"):
        read(server, vault_ca_cert=folder)
    shutil.copy(ca, folder / "company.crt")
    assert read(server, vault_ca_cert=folder) == "v"


def test_a_file_without_a_certificate_is_a_wrong_setting(responder: Any, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("canary")
    with pytest.raises(ConfigurationError, match=r"ca\.pem' holds no PEM certificate"):
        read(responder("127.0.0.1"), vault_ca_cert=file)


def test_a_ca_file_that_is_removed_after_the_start_is_no_outage(
    responder: Any, ca: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    shutil.copy(ca, file)
    arguments = {
        "vault_url": f"https://127.0.0.1:{responder('127.0.0.1').port}",
        "vault_token": TOKEN,
        "vault_ca_cert": file,
    }
    session = VaultSession(load_settings(Layers(arguments=arguments)))
    file.unlink()
    with pytest.raises(AuthenticationError, match="can't be read"):
        session.lookup_self()
    session.close()


def test_the_client_certificate_of_the_settings_is_sent(
    responder: Any, authority: Any, ca: Path, tmp_path: Path
) -> None:
    server = responder("127.0.0.1", wants=authority)
    client = authority.issue_cert("app@example.com")
    certificate, key = tmp_path / "app.pem", tmp_path / "app.key"
    client.cert_chain_pems[0].write_to_path(str(certificate))
    client.private_key_pem.write_to_path(str(key))
    with pytest.raises(VaultUnavailableError, match=r"TLS connection|broke the connection off"):
        read(server, vault_ca_cert=ca)
    assert server.tokens == []
    more = {"vault_client_cert": certificate, "vault_client_key": key}
    assert read(server, vault_ca_cert=ca, **more) == "v"
    assert server.subjects[-1]["subjectAltName"] == (("email", "app@example.com"),)


@pytest.mark.parametrize("missing", ["vault_client_cert", "vault_client_key"])
def test_a_missing_client_certificate_is_a_wrong_setting(
    responder: Any, ca: Path, tmp_path: Path, missing: str
) -> None:
    more = {"vault_client_cert": ca, "vault_client_key": ca, missing: tmp_path / "nowhere"}
    with pytest.raises(ConfigurationError, match=rf"{missing} '[^']*nowhere'.*No such file"):
        read(responder("127.0.0.1"), **more)


@pytest.mark.parametrize("kind", ["another certificate's", "no PEM"])
def test_a_client_key_that_does_not_fit_is_no_outage(
    responder: Any, ca: Path, authority: Any, tmp_path: Path, kind: str
) -> None:
    certificate, key = tmp_path / "app.pem", tmp_path / "app.key"
    authority.issue_cert("app@example.com").cert_chain_pems[0].write_to_path(str(certificate))
    key.write_text("junk")
    if kind != "no PEM":
        authority.issue_cert("b@example.com").private_key_pem.write_to_path(str(key))
    with pytest.raises(ConfigurationError, match="not a PEM certificate and its unencrypted"):
        read(responder("127.0.0.1"), vault_client_cert=certificate, vault_client_key=key)


def test_verification_can_be_switched_off_in_development_alone(responder: Any) -> None:
    server = responder("vault.internal")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read(server, environment="development", vault_tls_verify=False) == "v"
    assert any("nverified" in str(warning.message) for warning in caught)
    for environment in ("staging", "production", None):
        with pytest.raises(ConfigurationError, match="vault_tls_verify"):
            read(server, environment=environment, vault_tls_verify=False)


def test_the_token_does_not_follow_a_redirect_from_https_to_http(
    responder: Any, ca: Path, faulty: Any
) -> None:
    plain = faulty(b'{"data": {}}')
    server = responder("127.0.0.1")
    server.location = f"{plain.url}/v1/secret/data/k"
    with pytest.raises(MalformedAnswerError, match="to a plain one"):
        read(server, vault_ca_cert=ca)
    assert plain.received == []


@pytest.mark.parametrize("environment", ["development", "staging", None])
def test_plain_http_to_another_machine_is_warned_of_once(environment: str | None) -> None:
    arguments = {"vault_url": "http://10.0.0.1:8200,http://127.0.0.1:8200", "vault_token": TOKEN}
    settings = load_settings(Layers(environment=environment, arguments=arguments))
    with pytest.warns(
        InsecureConnectionWarning, match=r"to http://10\.0\.0\.1:8200 in the"
    ) as seen:
        VaultSession(settings).close()
    assert len(seen) == 1


def test_plain_http_to_another_machine_is_refused_in_production() -> None:
    arguments = {"vault_url": "http://10.0.0.1:8200", "vault_token": TOKEN}
    with pytest.raises(ConfigurationError, match="plain http"):
        load_settings(Layers(environment="production", arguments=arguments))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "unix:///run/vault"])
def test_plain_http_to_this_machine_causes_no_warning(url: str) -> None:
    arguments = {"vault_url": url, "vault_token": TOKEN}
    VaultSession(load_settings(Layers(arguments=arguments))).close()


def test_an_https_proxy_passes_tls_on(responder: Any, connect_proxy: Any, ca: Path) -> None:
    server, proxy = responder("vault.invalid"), connect_proxy()
    found = read(server, "vault.invalid", vault_proxy=proxy.url, vault_ca_cert=str(ca))
    assert found == "v"
    assert proxy.received[0].startswith(b"CONNECT vault.invalid:")
    assert set(server.tokens) == {TOKEN}
    assert TOKEN.encode() not in b"".join(proxy.received)


def test_an_https_proxy_takes_a_plain_address(responder: Any, connect_proxy: Any, ca: Path) -> None:
    proxy = connect_proxy()
    with pytest.warns(InsecureConnectionWarning):
        found = read(
            responder("127.0.0.1"),
            vault_url="http://vault.invalid:8200",
            vault_proxy=proxy.url,
            vault_ca_cert=str(ca),
        )
    assert found == "v"
    assert proxy.received[0].startswith(b"GET http://vault.invalid:8200/v1/")


@pytest.mark.parametrize("address", ["https://vault.invalid", "http://vault.invalid"])
def test_an_https_proxy_must_be_trusted(responder: Any, connect_proxy: Any, address: str) -> None:
    proxy = connect_proxy()
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(AuthenticationError, match="not trusted"),
    ):
        read(responder("127.0.0.1"), vault_url=address, vault_proxy=proxy.url)
    assert proxy.received == []


@pytest.mark.parametrize(
    "traits",
    [
        {"drip": 0.02},
        {"late": 1.5, "silent": True},
        {"drip": 0.02, "plain": True},
        {"late": 1.5, "silent": True, "plain": True},
    ],
    ids=["drips", "late", "plain drips", "plain late"],
)
def test_a_slow_proxy_ends_at_the_deadline(
    responder: Any, connect_proxy: Any, ca: Path, traits: Any
) -> None:
    server, proxy = responder("vault.invalid"), connect_proxy(**traits)
    start = time.monotonic()
    with pytest.raises(VaultUnavailableError):
        read(server, "vault.invalid", vault_proxy=proxy.url, vault_ca_cert=str(ca))
    assert time.monotonic() - start < 3


def test_no_key_log_file_takes_the_keys_of_a_connection(
    bao_tls: Any, tmp_path: Path, run_python: Any
) -> None:
    log = tmp_path / "keys.log"
    done = run_python(
        "-c",
        "import sys; from pathlib import Path\n"
        "from secureml.settings import Settings\n"
        "from secureml.vault.devserver.loopback import LoopbackApi\n"
        "from secureml.vault.client.session import VaultSession\n"
        "url, ca, port = sys.argv[1:]\n"
        "with_proxy = dict(vault_url='https://vault.invalid', vault_proxy=url)\n"
        "for more in ({'vault_url': url}, with_proxy):\n"
        "    settings = Settings(vault_ca_cert=ca, vault_timeout=1, vault_auth='none', **more)\n"
        "    try: print(VaultSession(settings).request('get', 'sys/seal-status').status)\n"
        "    except OSError: print('refused')\n"
        "print(LoopbackApi(int(port), Path(ca)).request('GET', 'sys/seal-status')[0])\n",
        bao_tls.server.url,
        str(bao_tls.ca),
        bao_tls.server.url.rpartition(":")[2],
        env={**os.environ, "SSLKEYLOGFILE": str(log)},
    )
    assert done.stdout.split() == ["200", "refused", "200"], done.stderr
    assert not log.exists()
