"""The mount that keys live in: a KV v2 engine that neither prunes nor deletes a version."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from secureml.errors import ConfigurationError, SecretError, VaultUnavailableError
from secureml.vault import VERSIONS_KEPT
from secureml.vault.client.answers import Members
from secureml.vault.client.api import Api
from secureml.vault.client.kv_mount import lifetime_in
from secureml.vault.setup.changes import Change, lines_of, mount_change
from secureml.vault.setup.policies import KeyLayout

__all__ = ["KeyMount"]

_DEEPEST_FOLDER = 16
_READY_SECONDS = 10.0
_POLL_SECONDS = 0.05


class KeyMount:
    """Plans the changes that the mount and the keys in it need.

    Args:
        api: asks Vault.
        layout: what should be there.
        sleep: waits for so many seconds.
    """

    def __init__(
        self, api: Api, layout: KeyLayout, sleep: Callable[[float], None] = time.sleep
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
        made = mount_change(self._api, "sys/mounts", mount, "vault_mount", "kv", version="2")
        if made is not None:
            yield made
            config = _kept(f"configuration of {mount}/", f"{mount}/config", 0, "")
            # A new mount is read until it is ready.
            yield replace(config, before="", capabilities=("read", "update"))
            return
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
        """Keep every version for good, by the mount if it serves nothing else."""
        mount, path = self._layout.mount, self._layout.path
        config = self._api.expect(f"{mount}/config")
        limit, lifetime = _limit(config), lifetime_in(config)
        is_shared = (limit < VERSIONS_KEPT or bool(lifetime)) and self._mount_is_shared()
        if lifetime and is_shared:
            raise ConfigurationError(
                f"the mount {mount}/ deletes every version after {lifetime}, and holds other "
                f"things than {path}/; set its delete_version_after to 0s, or name another mount"
            )
        if is_shared:
            remarks.append(
                f"the mount {mount}/ holds other things than {path}/, so it goes on keeping "
                f"{limit or 'the default number of'} versions if a secret says nothing; "
                "secureml raises that of each key it writes"
            )
        elif limit < VERSIONS_KEPT or lifetime:
            yield _kept(f"configuration of {mount}/", f"{mount}/config", limit, lifetime)
        for key in self._keys(path, 1):
            yield from self._key_changes(key, may_inherit=not is_shared)

    def _key_changes(self, key: str, *, may_inherit: bool) -> Iterator[Change]:
        mount = self._layout.mount
        path = f"{mount}/metadata/{key}"
        metadata = self._api.find(path)
        if metadata is None:
            return
        limit, lifetime = _limit(metadata), lifetime_in(metadata)
        if may_inherit and limit == 0:
            limit = VERSIONS_KEPT
        if lifetime or limit < VERSIONS_KEPT:
            yield _kept(f"metadata of {mount}/{key}", path, limit, lifetime)
        versions = metadata.section("versions")
        pending = [
            int(number)
            for number in versions
            if number.isdecimal() and _is_pending(versions.section(number))
        ]
        if pending:
            yield Change(
                title=f"versions of {mount}/{key}",
                path=f"{mount}/undelete/{key}",
                before=f"to be deleted: {', '.join(map(str, pending))}",
                after="to be deleted: none",
                body={"versions": pending},
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


def _kept(title: str, path: str, limit: int, lifetime: str) -> Change:
    """Have a mount or a secret keep so many versions, and none of them for a time only."""
    before: dict[str, object] = {}
    body: dict[str, object] = {}
    if limit < VERSIONS_KEPT:
        before["max_versions"], body["max_versions"] = limit, VERSIONS_KEPT
    if lifetime:
        before["delete_version_after"], body["delete_version_after"] = lifetime, "0s"
    return Change(title=title, path=path, before=lines_of(before), after=lines_of(body), body=body)


def _limit(record: Members) -> int:
    return record.integer("max_versions") or 0


def _is_pending(version: Members) -> bool:
    moment = version.time("deletion_time")
    return moment is not None and moment > datetime.now(UTC) and not version.flag("destroyed")
