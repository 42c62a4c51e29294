from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from secureml.errors import VaultUnavailableError
from secureml.secret_types import SecretText
from secureml.vault.devserver.loopback import LoopbackApi

TOKEN = "s.very-secret"


@pytest.fixture
def answering() -> Iterator[Callable[..., tuple[LoopbackApi, list[str]]]]:
    """Start a server that gives one answer to everything, and keeps the paths asked for."""
    servers = []

    def start(status: int, body: bytes, location: str = "") -> tuple[LoopbackApi, list[str]]:
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return LoopbackApi(server.server_port), asked

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_json_of_an_answer_is_returned_with_its_status(answering):
    api, asked = answering(418, b'{"a": [1]}')
    assert api.request("GET", "sys/health") == (418, {"a": [1]})
    assert asked == ["/v1/sys/health"]


def test_an_empty_answer_is_none(answering):
    api, _ = answering(200, b"")
    assert api.expect(200, "GET", "x") is None


def test_a_redirect_is_not_followed(answering):
    elsewhere, asked = answering(200, b"{}")
    api, _ = answering(307, b"", location=f"{elsewhere.url}/v1/x")
    assert api.request("GET", "x", token=SecretText(TOKEN)) == (307, None)
    assert asked == []


def test_a_proxy_of_the_environment_is_not_used(answering, monkeypatch):
    proxy, asked = answering(200, b'"proxy"')
    monkeypatch.setenv("http_proxy", proxy.url)
    api, _ = answering(200, b'"server"')
    assert api.expect(200, "GET", "x") == "server"
    assert asked == []


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            200,
            b"<html>" + TOKEN.encode(),
            "gave no answer to GET /v1/x: JSONDecodeError \\(SML-300\\)$",
        ),
        (403, b'{"errors": ["s.very-secret"]}', "answered 403 to GET /v1/x \\(SML-300\\)$"),
    ],
)
def test_another_answer_than_expected_is_reported_without_its_body(
    answering, status, body, message
):
    api, _ = answering(status, body)
    with pytest.raises(VaultUnavailableError, match=message) as caught:
        api.expect(200, "GET", "x", token=SecretText(TOKEN))
    assert TOKEN not in str(caught.value)
    assert caught.value.__context__ is None
