"""What docs/github-actions.md says: the steps of its workflow, with tokens as GitHub signs them."""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

if TYPE_CHECKING:
    from conftest import Block, Reader

PAGE = Path(__file__).parents[2] / "docs" / "github-actions.md"


def url_safe(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class Issuer:
    """Signs tokens of jobs (RS256), tells its public key, and gives a job its token."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        authority = trustme.CA()
        self.ca = authority.cert_pem.bytes().decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        handler = type("Handler", (_Handler,), {"issuer": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self.subject = "repo:example/reports:environment:production"
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def answer(self, path: str, bearer: str | None) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "kid": "1",
            "alg": "RS256",
            "use": "sig",
            "n": url_safe(numbers.n.to_bytes(256, "big")),
            "e": url_safe(numbers.e.to_bytes(3, "big")),
        }
        address, _, audience = path.partition("&audience=")
        if address == "/token?api-version=2.0" and bearer == "bearer of-the-job":
            return {"value": self.token(aud=audience)}
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
            },
            "/keys": {"keys": [key]},
        }[path]

    def token(self, **claims: object) -> str:
        now = int(time.time())
        claims |= {"iss": self.url, "sub": self.subject, "iat": now, "nbf": now, "exp": now + 300}
        claims["repository_id"] = "123456789"
        parts = ({"alg": "RS256", "typ": "JWT", "kid": "1"}, claims)
        text = ".".join(url_safe(json.dumps(part).encode()) for part in parts)
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{url_safe(signature)}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        answer = self.issuer.answer(self.path, self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.stop()


def report(reader: Reader, issuer: Issuer, workflow: Any) -> subprocess.CompletedProcess[str]:
    """Run the steps of the job; what the last one came to."""
    environment = {name: reader.environment[name] for name in ("PATH", "PYTHONPATH")} | {
        "HOME": str(reader.folder),
        "SECUREML_VAULT_NAMESPACE": reader.vault.namespace or "",
        "RUNNER_TEMP": str(reader.folder),
        "CURL_CA_BUNDLE": str(reader.folder / "issuer-ca.pem"),
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{issuer.url}/token?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
    }
    job = workflow["jobs"]["report"]
    temporary = ("${{ runner.temp }}", str(reader.folder))
    for step in job["steps"]:
        if "run" not in step or step["run"].startswith("pip "):
            continue
        variables = job["env"] | step.get("env", {})
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=reader.folder,
            env=environment | {name: text.replace(*temporary) for name, text in variables.items()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    return done


@pytest.mark.skipif(not shutil.which("curl"), reason="this machine has no curl")
def test_the_jobs_of_the_workflow_run_and_another_repository_is_refused(
    reader: Reader, blocks: Callable[[str], list[Block]], issuer: Issuer
) -> None:
    (reader.folder / "issuer-ca.pem").write_text(issuer.ca)
    text = PAGE.read_text(encoding="utf-8")
    for theirs, ours in (
        ("oidc_discovery_url=", "oidc_discovery_ca_pem=@issuer-ca.pem oidc_discovery_url="),
        ("https://token.actions.githubusercontent.com", issuer.url),
        ("https://vault.example.com:8200", reader.vault.url),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    (reader.folder / PAGE.name).write_text(text, encoding="utf-8")
    reader.follow(reader.folder / PAGE.name)
    page = blocks("docs/github-actions.md")
    [workflow] = [yaml.safe_load(block.text) for block in page if block.kind == "yaml"]
    ran = {line for block in page if block.kind == "sh" for line in block.text.splitlines()}
    lines = {step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step}
    assert {line for line in lines if not line.startswith("pip ")} <= ran
    done = report(reader, issuer, workflow)
    assert done.returncode == 0, done.stderr
    for name in ("customers.csv", "customers.csv.manifest.json"):
        (reader.folder / name).unlink()
    issuer.subject = "repo:another/reports:environment:production"
    assert "refuses the jwt login at 'github'" in report(reader, issuer, workflow).stderr


@pytest.mark.skipif(not shutil.which("actionlint"), reason="this machine has no actionlint")
def test_actionlint_finds_nothing_in_the_workflow(
    blocks: Callable[[str], list[Block]], tmp_path: Path
) -> None:
    [text] = [block.text for block in blocks("docs/github-actions.md") if block.kind == "yaml"]
    (tmp_path / "reports.yml").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["actionlint", "reports.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
