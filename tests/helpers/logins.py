"""What logins need: a client without a token, and an LDAP server with a user."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from secureml.secret_types import SecretText
from secureml.vault.client.deadline import deadline
from secureml.vault.client.failover import FailoverClient
from secureml.vault.client.messages import Answer, Request
from secureml.vault.devserver.child import Child

BASE = "dc=lab,dc=test"
BIND_PASSWORD = "canary-bind-4d1a"
ALICE_PASSWORD = "canary-älice 7c02 "


class LoginClient(FailoverClient):
    """Sends the requests of logins, each of them within a deadline."""

    def send(self, request: Request, token: SecretText | None) -> Answer:
        with deadline(self._timeout):
            return super().send(request, token)


@dataclass
class Directory:
    """An LDAP server with one user, on a loopback port; its data stays when it is stopped."""

    folder: Path
    program: str
    url: str
    user: str = "alice"
    password: str = ALICE_PASSWORD
    child: Child | None = field(default=None, repr=False)

    def start(self) -> None:
        self.child = Child(
            [self.program, "-f", f"{self.folder}/slapd.conf", "-h", f"{self.url}/", "-d", "0"],
            directory=self.folder,
            log=self.folder / "slapd.log",
        )
        port = int(self.url.rpartition(":")[2])
        end = time.monotonic() + 20
        while not listens(port):
            assert self.child.running, (self.folder / "slapd.log").read_text()
            assert time.monotonic() < end, "slapd does not listen"
            time.sleep(0.01)

    def stop(self) -> None:
        if self.child is not None:
            self.child.kill()

    def settings(self, **more: object) -> dict[str, object]:
        """What Vault has to know of it."""
        return {
            "url": self.url,
            "userdn": BASE,
            "userattr": "uid",
            "groupdn": BASE,
            "binddn": f"cn=admin,{BASE}",
            "bindpass": BIND_PASSWORD,
            **more,
        }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
