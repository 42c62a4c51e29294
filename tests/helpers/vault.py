"""What a test needs of a server: its address, tokens and clients."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secureml.vault.devserver.server import DevServer

if TYPE_CHECKING:
    import hvac


@dataclass
class Vault:
    """One namespace of the test run's server, with KV v2 mounted at ``secret/``.

    ``token`` may do everything in it, and nothing outside. Where there are no namespaces it is a
    server of the test's own, and ``namespace`` is None.
    """

    url: str
    namespace: str | None
    token: str = field(default="", repr=False)
    _clients: list[hvac.Client] = field(default_factory=list, repr=False)

    @property
    def options(self) -> tuple[str, ...]:
        """The options that lead a command to the namespace."""
        return ("--vault-namespace", self.namespace) if self.namespace else ()

    def client(self, token: str | None = None) -> hvac.Client:
        """A client of this namespace, with ``token`` or with the one that may do everything."""
        import hvac  # a run without the extras loads this file too

        client = hvac.Client(
            self.url, token=self.token if token is None else token, namespace=self.namespace
        )
        self._clients.append(client)
        return client

    def policy_token(self, hcl: str, **options: Any) -> str:
        """A token with this policy and no other; ``options`` are those of hvac's token creation."""
        name = f"p-{uuid.uuid4().hex}"
        client = self.client()
        client.sys.create_or_update_policy(name, hcl)
        options = {"no_parent": True, "no_default_policy": True} | options
        answer = client.auth.token.create(policies=[name], **options)
        token: str = answer["auth"]["client_token"]
        return token

    def close(self) -> None:
        for client in self._clients:
            client.adapter.close()


@dataclass(frozen=True)
class TlsServer:
    """A server that speaks HTTPS, and the file of the authority that signed its certificate."""

    server: DevServer
    ca: Path
