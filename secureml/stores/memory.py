"""A store in memory that behaves as Vault's KV v2 does, for tests of code that uses secureml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from secureml.errors import (
    KeyDisabledError,
    SecretDeletedError,
    SecretExistsError,
    SecretNotFoundError,
)
from secureml.forksafe import ForkSafeLock
from secureml.secret_types import revealed
from secureml.stores.base import Finding, Outcome, Record, SecretStore, VersionInfo
from secureml.stores.custom_metadata import DISABLED, merged, state_of

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
        self._custom_metadata: dict[str, dict[str, str]] = {}
        self._lock = ForkSafeLock()

    def now(self) -> datetime:
        """Return the time by the store's clock."""
        return self._clock()

    def path_of(self, name: str) -> str:
        """Return the path of a secret."""
        return f"memory/{name}"

    def read(
        self, name: str, version: int | None = None, *, even_disabled: bool = False
    ) -> Outcome:
        """Look for one version of a secret."""
        where = f"memory store {self.path_of(name)}"
        with self._lock.mutex:
            versions = list(self._secrets.get(name, ()))
        number = len(versions) if version is None else version
        if not 1 <= number <= len(versions):
            return Outcome(finding=Finding.ABSENT, where=where)
        found = versions[number - 1]
        if found.fields is None:
            gone = SecretDeletedError(f"version {number} of {name!r} was destroyed")
            return Outcome(
                finding=Finding.DELETED,
                where=where,
                error=gone,
                gone=VersionInfo(version=number, created=found.created, state="destroyed"),
                custom_metadata=self._custom_metadata.get(name, {}),
            )
        record = self._record(name, number, found)
        if record.state == DISABLED and not even_disabled:
            refused = KeyDisabledError(f"version {number} of {name!r} is disabled")
            return Outcome.failed(where, refused)
        return Outcome(finding=Finding.PRESENT, where=where, record=record)

    def write(self, name: str, fields: Mapping[str, object], *, cas: int | None) -> Record:
        """Write a new version."""
        with self._lock.mutex:
            versions = self._secrets.setdefault(name, [])
            lost = cas is not None and cas != len(versions)
            if not lost:
                versions.append(_Version(created=self._clock(), fields=revealed(fields)))
                return self._record(name, len(versions), versions[-1])
        raise SecretExistsError(f"{name!r} has {len(versions)} versions; {cas} were expected")

    def keep_all_versions(
        self, name: str, custom_metadata: Mapping[str, str] | None = None
    ) -> None:
        """Add to the custom metadata; every version is kept as it is."""
        with self._lock.mutex:
            self._annotate(name, custom_metadata or {})

    def annotate(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Change entries of the custom metadata."""
        with self._lock.mutex:
            if self._secrets.get(name):
                self._annotate(name, changes)
                return
        raise SecretNotFoundError(f"there is no {name!r}")

    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        """Return every version, oldest first."""
        with self._lock.mutex:
            return tuple(
                VersionInfo(
                    version=number,
                    created=version.created,
                    state="destroyed" if version.fields is None else self._state(name, number),
                )
                for number, version in enumerate(self._secrets.get(name, ()), start=1)
            )

    def described(self, name: str) -> tuple[tuple[VersionInfo, ...], Mapping[str, str]]:
        """Return every version, and the custom metadata beside them."""
        return self.versions(name), dict(self._custom_metadata.get(name, {}))

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets."""
        with self._lock.mutex:
            return tuple(sorted(name for name, versions in self._secrets.items() if versions))

    def destroy(self, name: str, version: int) -> None:
        """Destroy the content of one version."""
        with self._lock.mutex:
            versions = self._secrets.get(name, [])
            if 1 <= version <= len(versions):
                versions[version - 1].fields = None
                return
        raise SecretNotFoundError(f"{name!r} has no version {version}")

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def _annotate(self, name: str, changes: Mapping[str, str | None]) -> None:
        known = self._custom_metadata.get(name, {})
        self._custom_metadata[name] = merged(self.path_of(name), known, changes)

    def _state(self, name: str, number: int) -> str:
        newest = len(self._secrets[name])
        return state_of(self._custom_metadata.get(name, {}), number, newest)

    def _record(self, name: str, number: int, version: _Version) -> Record:
        return Record(
            fields=version.fields or {},
            source="memory",
            path=self.path_of(name),
            version=number,
            created=version.created,
            state=self._state(name, number),
            custom_metadata=self._custom_metadata.get(name, {}),
        )
