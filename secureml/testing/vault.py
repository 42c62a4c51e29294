"""A namespace of a real server for one test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from secureml.key_management import KeyManager
from secureml.secret_types import SecretText
from secureml.vault.devserver.loopback import LoopbackApi
from secureml.vault.devserver.server import DevServer, wait_for

__all__ = ["ALL_RIGHTS", "Vault", "fresh_namespace"]

ALL_RIGHTS = """
path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }
"""
"""The policy of who may do everything in a namespace."""

_MOUNT_SECONDS = 5.0


@dataclass
class Vault:
    """One namespace of a server on this machine, with KV v2 mounted at ``secret/``.

    Args:
        url: the server's address.
        namespace: the namespace; None for a server that has none.
        token: may do everything in the namespace, and nothing outside.
    """

    url: str
    namespace: str | None
    token: str = field(default="", repr=False)

    @property
    def settings(self) -> dict[str, object]:
        """The settings that lead there, by name."""
        return {
            "vault_url": self.url,
            "vault_token": self.token,
            "vault_namespace": self.namespace,
        }

    def key_manager(self, **more: object) -> KeyManager:
        """Make a key manager for this namespace; the caller closes it.

        Args:
            **more: further arguments of ``KeyManager``, or others than ``settings`` has.
        """
        return KeyManager(**{**self.settings, **more})  # type: ignore[arg-type]  # by name

    def policy_token(self, hcl: str, **options: object) -> str:
        """Make a token with one policy, beside Vault's default one.

        Args:
            hcl: the policy.
            **options: further parameters of Vault's ``auth/token/create``.
        """
        name = f"p-{uuid.uuid4().hex}"
        self._expect(204, "PUT", f"sys/policies/acl/{name}", {"policy": hcl})
        wanted = {"policies": [name], "no_parent": True, **options}
        token: str = self._expect(200, "POST", "auth/token/create", wanted)["auth"]["client_token"]
        return token

    def _expect(
        self, status: int, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Any:
        inside = f"{self.namespace}/{path}" if self.namespace else path
        api = LoopbackApi(urlsplit(self.url).port or 0)
        return api.expect(status, method, inside, body, token=SecretText(self.token))


@contextmanager
def fresh_namespace(server: DevServer) -> Iterator[Vault]:
    """Make a namespace, which keeps mounts, secrets and policies apart from other tests.

    Args:
        server: an OpenBao server, which runs.
    """
    api, root = LoopbackApi(urlsplit(server.url).port or 0), server.root_token
    namespace = f"t{uuid.uuid4().hex}"
    api.expect(200, "POST", f"sys/namespaces/{namespace}", token=root)
    mount = {"type": "kv", "options": {"version": "2"}}
    api.expect(204, "POST", f"{namespace}/sys/mounts/secret", mount, token=root)
    wait_for(
        lambda: api.request("GET", f"{namespace}/secret/config", token=root)[0] == 200,
        "the server did not mount its key-value engine",
        _MOUNT_SECONDS,
    )
    vault = Vault(server.url, namespace, root.reveal())
    vault.token = vault.policy_token(ALL_RIGHTS)
    yield vault
    api.expect(200, "DELETE", f"sys/namespaces/{namespace}", token=root)
