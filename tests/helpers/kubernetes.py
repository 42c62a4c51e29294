"""The one call of a Kubernetes API server that Vault makes, and tokens of pods."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import trustme


class KubernetesApi:
    """Reviews the tokens of one service account, over TLS on a loopback port.

    Args:
        sign: makes a JWT of claims.
        namespace: that of the pods.
        account: the service account that exists there.
    """

    def __init__(self, sign: Callable[..., str], namespace: str, account: str) -> None:
        self._sign, self._namespace, self._account = sign, namespace, account
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        known = self._subject(account)
        handler = type("Handler", (_TokenReview,), {"known": known})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.config: dict[str, Any] = {
            "kubernetes_host": f"https://127.0.0.1:{self._server.server_port}",
            "kubernetes_ca_cert": authority.cert_pem.bytes().decode(),
            "token_reviewer_jwt": self.jwt(),
            "disable_local_ca_jwt": True,
        }
        """What Vault has to know of it."""

    def jwt(self, account: str | None = None, **claims: object) -> str:
        """The token of a pod of this service account, by default the one that exists."""
        account = account or self._account
        pod = {"namespace": self._namespace, "serviceaccount": {"name": account, "uid": "u-1"}}
        now = int(time.time())
        return self._sign(
            iss="https://kubernetes.default.svc.cluster.local",
            sub=self._subject(account),
            iat=now,
            exp=now + 600,
            **{"kubernetes.io": pod, **claims},
        )

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _subject(self, account: str) -> str:
        return f"system:serviceaccount:{self._namespace}:{account}"


class _TokenReview(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: str

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        payload = request["spec"]["token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        wanted = request["spec"].get("audiences", [])
        accepted = [each for each in wanted if each in claims.get("aud", [])]
        status: dict[str, Any] = {"authenticated": False, "error": "unknown"}
        if claims["sub"] == self.known and (accepted or not wanted):
            user = {"username": claims["sub"], "uid": "u-1"}
            status = {"authenticated": True, "user": user, "audiences": accepted}
        answer = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}
        body = json.dumps(answer).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""
