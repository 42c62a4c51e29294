"""A store in memory that behaves as Vault's KV v2 does, for tests of code that uses secureml."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from secureml.errors import SecretDeletedError, SecretExistsError, SecretNotFoundError
from secureml.sources.base import Finding, Outcome, Record, SecretStore, VersionInfo

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Version:
    created: datetime
    fields: Mapping[str, object] | None = field(repr=False)


class MemoryStore(SecretStore):
    """Keeps secrets in this process and loses them with it.

    Args:
        clock: returns the time in UTC.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._secrets: dict[str, list[_Version]] = {}
        self._lock = threading.Lock()

    def path_of(self, name: str) -> str:
        """Return the path of a secret."""
        return f"memory/{name}"

    def read(self, name: str, version: int | None = None) -> Outcome:
        """Look for one version of a secret."""
        where = f"memory store {self.path_of(name)}"
        with self._lock:
            versions = list(self._secrets.get(name, ()))
        number = len(versions) if version is None else version
        if not 1 <= number <= len(versions):
            return Outcome(finding=Finding.ABSENT, where=where)
        found = versions[number - 1]
        if found.fields is None:
            gone = SecretDeletedError(f"version {number} of {name!r} was destroyed")
            return Outcome(finding=Finding.DELETED, where=where, error=gone)
        return Outcome(
            finding=Finding.PRESENT, where=where, record=self._record(name, number, found)
        )

    def write(self, name: str, fields: Mapping[str, object], *, cas: int | None) -> Record:
        """Write a new version."""
        with self._lock:
            versions = self._secrets.setdefault(name, [])
            lost = cas is not None and cas != len(versions)
            if not lost:
                versions.append(_Version(created=self._clock(), fields=dict(fields)))
                return self._record(name, len(versions), versions[-1])
        raise SecretExistsError(f"{name!r} has {len(versions)} versions; {cas} were expected")

    def keep_all_versions(self, name: str) -> None:
        """Do nothing: every version is kept as it is."""

    def room_for_another(self, name: str) -> bool:
        """Tell that there is always room."""
        return True

    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        """Return every version, oldest first."""
        with self._lock:
            return tuple(
                VersionInfo(
                    version=number,
                    created=version.created,
                    state="destroyed" if version.fields is None else "enabled",
                )
                for number, version in enumerate(self._secrets.get(name, ()), start=1)
            )

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets."""
        with self._lock:
            return tuple(sorted(name for name, versions in self._secrets.items() if versions))

    def destroy(self, name: str, version: int) -> None:
        """Destroy the content of one version."""
        with self._lock:
            versions = self._secrets.get(name, [])
            if 1 <= version <= len(versions):
                versions[version - 1].fields = None
                return
        raise SecretNotFoundError(f"{name!r} has no version {version}")

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def _record(self, name: str, number: int, version: _Version) -> Record:
        return Record(
            fields=version.fields or {},
            source="memory",
            path=self.path_of(name),
            version=number,
            created=version.created,
        )
