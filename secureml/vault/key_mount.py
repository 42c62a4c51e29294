"""The mount that keys live in: a KV v2 engine that prunes no version."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from secureml.errors import ConfigurationError, SecretError, VaultUnavailableError
from secureml.vault import VERSIONS_KEPT
from secureml.vault.answers import Members
from secureml.vault.api import Api
from secureml.vault.changes import Change
from secureml.vault.policies import Layout

__all__ = ["KeyMount"]

_DEEPEST_FOLDER = 16
_READY_SECONDS = 10.0
_POLL_SECONDS = 0.05


class KeyMount:
    """Compares the mount with what it should be.

    Args:
        api: asks Vault.
        layout: what should be there.
        sleep: waits for so many seconds.
    """

    def __init__(
        self, api: Api, layout: Layout, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._api = api
        self._layout = layout
        self._sleep = sleep

    @property
    def path(self) -> str:
        """The API path that makes the mount."""
        return f"sys/mounts/{self._layout.mount}"

    def changes(self, remarks: list[str]) -> Iterator[Change]:
        """Find out what is to be done.

        Args:
            remarks: takes what is left as it is, though it may matter.

        Yields:
            The changes, in order.

        Raises:
            ConfigurationError: something else is mounted there.
            SecretError: Vault can't be asked.
        """
        mount = self._layout.mount
        engine = self._api.occupant("sys/mounts", mount, "vault_mount")
        if engine is None:
            yield Change(
                title=f"secrets engine {mount}/",
                path=f"sys/mounts/{mount}",
                before="",
                after='type = "kv"\noptions = { version = "2" }',
                body={"type": "kv", "options": {"version": "2"}},
                repeatable=False,
            )
            yield self._config_change("")
            return
        kind = engine.word("type")
        version = engine.section("options").word("version") or "1" if kind == "kv" else None
        if version != "2":
            found = f"{kind} version {version}" if version else kind
            raise ConfigurationError(
                f"at vault_mount {mount!r} there is a secrets engine of type {found}, and not KV "
                "version 2; name another mount"
            )
        # Another operator may have mounted it just now.
        self.wait()
        yield from self._version_changes(remarks)

    def wait(self) -> None:
        """Wait for a mount: a new one refuses requests while it turns itself into version 2.

        Raises:
            VaultUnavailableError: that takes too long.
        """
        path = f"{self._layout.mount}/config"
        for _ in range(int(_READY_SECONDS / _POLL_SECONDS)):
            if self._api.get(path).status == 200:
                return
            self._sleep(_POLL_SECONDS)
        raise VaultUnavailableError(f"the new mount {self._layout.mount!r} did not get ready")

    def _version_changes(self, remarks: list[str]) -> Iterator[Change]:
        """Raise the number of versions kept, of the mount where it serves nothing else."""
        mount, path = self._layout.mount, self._layout.path
        limit = _limit(self._api.expect(f"{mount}/config"))
        raised = limit >= VERSIONS_KEPT
        if not raised and self._mount_is_shared():
            remarks.append(
                f"the mount {mount}/ holds other things than {path}/, so it goes on keeping "
                f"{limit or 'the default number of'} versions where a secret says nothing; "
                "secureml raises that of each key it writes"
            )
        elif not raised:
            raised = True
            yield self._config_change(f"max_versions = {limit}")
        for key in self._keys(path, 1):
            kept = _limit(self._api.find(f"{mount}/metadata/{key}"))
            if kept < VERSIONS_KEPT and not (raised and kept == 0):
                yield Change(
                    title=f"metadata of {mount}/{key}",
                    path=f"{mount}/metadata/{key}",
                    before=f"max_versions = {kept}",
                    after=f"max_versions = {VERSIONS_KEPT}",
                    body={"max_versions": VERSIONS_KEPT},
                )

    def _config_change(self, before: str) -> Change:
        return Change(
            title=f"configuration of {self._layout.mount}/",
            path=f"{self._layout.mount}/config",
            before=before,
            after=f"max_versions = {VERSIONS_KEPT}",
            body={"max_versions": VERSIONS_KEPT},
            # A new mount is read until it is ready.
            capabilities=("read", "update"),
        )

    def _mount_is_shared(self) -> bool:
        segments = self._layout.path.split("/")
        return any(
            entry != f"{segment}/"
            for parent, segment in zip(self._layout.parents, segments, strict=True)
            for entry in self._entries(parent)
        )

    def _keys(self, folder: str, depth: int) -> Iterator[str]:
        if depth > _DEEPEST_FOLDER:
            raise SecretError(f"{self._layout.mount}/{folder} is nested too deep to be listed")
        for entry in self._entries(f"{folder}/"):
            if entry.endswith("/"):
                yield from self._keys(f"{folder}/{entry.rstrip('/')}", depth + 1)
            else:
                yield f"{folder}/{entry}"

    def _entries(self, folder: str) -> list[str]:
        return self._api.entries(f"{self._layout.mount}/metadata/{folder}")


def _limit(record: Members | None) -> int:
    return record.integer("max_versions") or 0 if record is not None else 0
