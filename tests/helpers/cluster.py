"""A real OpenBao cluster on loopback ports, to see what happens when its leader goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from secureml.secret_types import SecretText
from secureml.vault.devserver.loopback import LoopbackApi
from secureml.vault.devserver.server import DevServer, wait_for

__all__ = ["DevCluster"]


class DevCluster:
    """Servers that share their data by raft; the first is the leader at the start.

    As a context manager it starts on entry and is killed on exit.

    Args:
        directory: a folder for the servers' folders; created if missing.
        size: how many servers; three of them can lose one.
        timeout: seconds that a start or an election may take.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, size: int = 3, timeout: float = 60.0
    ) -> None:
        folder = Path(directory).absolute()
        first = DevServer(folder / "1", storage="raft", timeout=timeout)
        others = [DevServer(folder / str(each), join=first) for each in range(2, size + 1)]
        self.servers = (first, *others)
        self._timeout = timeout

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def urls(self) -> str:
        """The addresses of all servers, as the setting ``vault_url`` takes them."""
        return ",".join(server.url for server in self.servers)

    @property
    def root_token(self) -> SecretText:
        """The token that may do everything."""
        return self.servers[0].root_token

    def start(self) -> None:
        """Start the servers and wait until each has a vote.

        Raises:
            VaultUnavailableError: they did not get ready in time.
        """
        first = self.servers[0]
        first.start()
        api, token = LoopbackApi(int(first.url.rpartition(":")[2])), self.root_token
        path = "sys/storage/raft/"
        stable = {"server_stabilization_time": "1s"}
        api.request("POST", f"{path}autopilot/configuration", stable, token=token)
        for server in self.servers[1:]:
            server.start()

        def all_vote() -> bool:
            found = api.expect(200, "GET", f"{path}configuration", token=token)
            voters = [each["voter"] for each in found["data"]["config"]["servers"]]
            return voters == [True] * len(self.servers)

        wait_for(all_vote, "the cluster did not give each server a vote", self._timeout)

    def leader(self) -> DevServer:
        """Return the leader, once there is one.

        Raises:
            VaultUnavailableError: none was elected in time.
        """
        return wait_for(
            lambda: next((server for server in self.servers if server.is_active), None),
            "the cluster did not elect a leader",
            self._timeout,
        )

    def kill(self) -> None:
        """End all servers at once."""
        for server in self.servers:
            server.kill()
