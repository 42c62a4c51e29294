"""The versions of keys that were seen, so that a Vault that went back to older data is noticed.

As ``known_hosts`` of ssh: the first sight is trusted, and a contradiction is an error until it is
confirmed. The file holds no material: versions, fingerprints and times.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from secureml.errors import (
    AccessDeniedError,
    KeyMaterialError,
    KeyRolledBackError,
    SecretNotFoundError,
)
from secureml.key_management.records import info_of, key_of
from secureml.keys import KeyInfo
from secureml.settings import Settings
from secureml.stores import Record, SecretStore
from secureml.stores.custom_metadata import DISABLED, lost_in

__all__ = ["KnownKeys", "KnownVersion"]

_SIZES = frozenset({32, 48, 64})
"""The lengths at which text passes for a key although it does not declare its encoding."""

_FORGOTTEN = 0
"""In place of a version: the key that was seen before was removed."""


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """A version of a key as it was seen.

    Args:
        fingerprint: the key's.
        created: when the version was written, if Vault told.
    """

    fingerprint: str
    created: datetime | None


class KnownKeys:
    """Remembers the versions of keys, in this process and in the file ``known_keys``.

    If the file can't be read or written, what is known ends with the process.

    Args:
        settings: the file, Vault's addresses and namespace, and the environment.
        keeps_file: whether to use the file; a store that is not Vault has no addresses.
    """

    def __init__(self, settings: Settings, *, keeps_file: bool = True) -> None:
        self._file = _file_of(settings) if keeps_file else None
        self._addresses = sorted(
            address.strip() for address in (settings.vault_url or "").split(",")
        )
        self._namespace = settings.vault_namespace
        self._environment = settings.environment
        self._known: dict[str, Mapping[int, KnownVersion]] | None = None

    def of(self, path: str) -> Mapping[int, KnownVersion]:
        """Return what was seen of a key, by version.

        Args:
            path: the key's full path.
        """
        if self._known is None:
            self._known = self._read()
        return self._known.get(path, {})

    def saw(self, info: KeyInfo) -> None:
        """Remember a version that Vault has."""
        if info.version is None or info.fingerprint is None:
            return
        seen = KnownVersion(info.fingerprint, info.created)
        if self.of(info.path).get(info.version) == seen or self._known is None:
            return
        # A new mapping, as other threads go through the one that is there.
        self._known[info.path] = {**self.of(info.path), info.version: seen}
        self._append(info.path, info.version, seen)

    def forget(self, path: str) -> None:
        """Forget a key that was removed."""
        if self.of(path) and self._known is not None:
            self._known.pop(path, None)
            self._append(path, _FORGOTTEN, KnownVersion("", None))

    def checked(self, store: SecretStore, name: str, record: Record, *, is_newest: bool) -> Record:
        """Compare a version of a key with what was seen, and remember it.

        A key that was removed and made anew is no contradiction: all its versions were written
        after those that were seen.

        Args:
            store: where it was read.
            name: the key's name.
            record: the version.
            is_newest: whether Vault says that it is the newest one.

        Returns:
            The version; one that was read again if the first one was out of date.

        Raises:
            KeyRolledBackError: another key had this number, or a later version was there.
            SecretError: it contradicts what was seen, and could not be read again.
        """
        info = self._key_in(name, record)
        if info is None:
            return record
        lost = lost_in(record.custom_metadata)
        known = self.of(info.path)
        problem = _contradiction(known, info, lost, is_newest=is_newest)
        if problem:
            # Another thread may have seen the next version meanwhile, or a standby lags behind.
            known = self.of(info.path)
            last = max(known.keys() - lost, default=0)
            if last:
                store.expect(name, last, known[last].created)
            again = store.read(
                name,
                None if is_newest else info.version,
                even_disabled=record.state == DISABLED,
            )
            if again.record is None:
                raise again.error or SecretNotFoundError(f"{again.where} has no such key any more")
            record, lost = again.record, lost_in(again.record.custom_metadata)
            info = self._key_in(name, record) or info
            problem = _contradiction(known, info, lost, is_newest=is_newest)
        if problem and _is_anew(store, name, known):
            self.forget(info.path)
            known, problem = {}, ""
        if problem:
            raise KeyRolledBackError(
                f"{problem}: Vault was restored from a backup, or another cluster answers. "
                "Compare 'secureml keys history'; if the lost versions will not come back, "
                "'secureml keys accept-rollback' goes on without them"
            )
        if info.version not in known or info.version in lost:
            self.saw(info)
        return record

    def lost(self, history: Collection[KeyInfo], path: str) -> tuple[int, ...]:
        """List the versions that were seen and are not, or not the same, in a history.

        Args:
            history: every version that Vault has.
            path: the key's full path.
        """
        there = {info.version: info for info in history}
        newest = max((info.version or 0 for info in history), default=0)
        return tuple(
            version
            for version, seen in sorted(self.of(path).items())
            if version > newest
            or (version in there and there[version].fingerprint not in (None, seen.fingerprint))
        )

    def _key_in(self, name: str, record: Record) -> KeyInfo | None:
        """Describe the key in a record; None if it may be a password.

        Fingerprints are no secrets, and a guess at a password could be checked against one.
        """
        try:
            info = info_of(name, record, self._environment)
            if not record.fields.keys() & {"encoding", "transit_key"}:
                size = len(key_of(name, record, self._environment).material)
                return info if size in _SIZES else None
        except KeyMaterialError:
            return None
        return info

    def _read(self) -> dict[str, Mapping[int, KnownVersion]]:
        known: dict[str, Mapping[int, KnownVersion]] = {}
        for line in _lines(self._file):
            # A full disk may have cut a line off.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                if entry["namespace"] != self._namespace or not (
                    set(entry["vault"]) & set(self._addresses)
                ):
                    continue
                text = entry["created"]
                created = None if text is None else datetime.fromisoformat(text)
                seen = KnownVersion(str(entry["fingerprint"]), created)
                if entry["version"] == _FORGOTTEN:
                    known.pop(entry["path"], None)
                else:
                    before = known.get(entry["path"], {})
                    known[entry["path"]] = {**before, int(entry["version"]): seen}
        return known

    def _append(self, path: str, version: int, seen: KnownVersion) -> None:
        if self._file is None:
            return
        entry = {
            "vault": self._addresses,
            "namespace": self._namespace,
            "path": path,
            "version": version,
            "fingerprint": seen.fingerprint,
            "created": seen.created and seen.created.isoformat(),
        }
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
            file = os.open(self._file, flags, 0o600)
            try:
                # One write, so that the lines of several processes do not mix.
                os.write(file, json.dumps(entry).encode() + b"\n")
            finally:
                os.close(file)


def _file_of(settings: Settings) -> Path | None:
    """Return the file; None if there is no home folder to keep it in."""
    if settings.known_keys is not None:
        return Path(settings.known_keys)
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state")
    state = Path(os.path.expanduser(state))  # noqa: PTH111  # pathlib's raises without a home
    return state / "secureml" / "known_keys" if state.is_absolute() else None


def _lines(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _contradiction(
    known: Mapping[int, KnownVersion], info: KeyInfo, lost: Collection[int], *, is_newest: bool
) -> str:
    """Say what a version contradicts; empty if nothing that was seen."""
    believed = {version: seen for version, seen in known.items() if version not in lost}
    version, last = info.version or 0, max(believed, default=0)
    if is_newest and last and believed[last].fingerprint == info.fingerprint:
        # The right key under another number: a copy counts its own versions.
        return ""
    before = believed.get(version)
    if before is not None and before.fingerprint != info.fingerprint:
        return (
            f"{info.path} version {version} is the key {info.fingerprint}, and was "
            f"{before.fingerprint}"
        )
    if not is_newest or version >= last:
        return ""
    return (
        f"the newest version of {info.path} is {version}, and version {last} with the fingerprint "
        f"{believed[last].fingerprint} was there"
    )


def _is_anew(store: SecretStore, name: str, known: Mapping[int, KnownVersion]) -> bool:
    """Tell whether every version that there is was written after every one that was seen."""
    try:
        versions = store.versions(name)
    except AccessDeniedError:
        return False
    first = versions[0].created if versions else None
    return first is not None and all(
        seen.created is not None and seen.created < first for seen in known.values()
    )
