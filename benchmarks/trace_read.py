"""Counts the frames of secureml between a cold ``get_encryption_key`` and the socket.

A server of OpenBao's is started for it. Each request of the read is printed with its frames.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import secureml
from secureml import KeyManager
from secureml.settings import Settings
from secureml.vault.devserver.server import DevServer

_PACKAGE = str(Path(secureml.__file__).parent)


def stacks_of_a_cold_read(settings: Settings) -> list[list[str]]:
    """Read a key with a new manager; return the frames of ours at each request, outermost first.

    Args:
        settings: how to reach a Vault that has a key ``master_key``.
    """
    stacks: list[list[str]] = []
    sendall = socket.socket.sendall

    def recorded(self: socket.socket, *arguments: Any) -> None:
        frames = traceback.walk_stack(sys._getframe(1))
        ours = [f for f, _ in frames if f.f_code.co_filename.startswith(_PACKAGE)]
        stacks.append([_name(frame.f_code) for frame in reversed(ours)])
        sendall(self, *arguments)

    socket.socket.sendall = recorded  # type: ignore[method-assign]  # put back below
    try:
        with KeyManager(settings=settings) as manager:
            manager.get_encryption_key()
    finally:
        socket.socket.sendall = sendall  # type: ignore[method-assign]  # as it was
    return stacks


def _name(code: Any) -> str:
    return f"{Path(code.co_filename).relative_to(_PACKAGE)}:{code.co_qualname}"


def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = DevServer(Path(folder))
        server.start()
        try:
            settings = Settings(vault_url=server.url, vault_token=server.root_token)
            with KeyManager(settings=settings) as manager:
                manager.generate_key("master_key")
            for stack in stacks_of_a_cold_read(settings):
                print(len(stack), "frames")
                print("\n".join(f"  {frame}" for frame in stack))
        finally:
            server.kill()


if __name__ == "__main__":
    _main()
