"""What a test needs of a server: its address, tokens and clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from secureml.testing import vault
from secureml.vault.devserver.server import DevServer

if TYPE_CHECKING:
    import hvac


@dataclass
class Vault(vault.Vault):
    """As the package's, with clients.

    Where there are no namespaces it is a server of the test's own, and ``namespace`` is None.
    """

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

    def policy_token(self, hcl: str, **options: object) -> str:
        """A token with this policy and no other; ``options`` are those of Vault's API."""
        return super().policy_token(hcl, **{"no_default_policy": True, **options})

    def close(self) -> None:
        for client in self._clients:
            client.adapter.close()


@dataclass(frozen=True)
class TlsServer:
    """A server that speaks HTTPS, and the file of the authority that signed its certificate."""

    server: DevServer
    ca: Path
