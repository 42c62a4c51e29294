"""What a source can report, and the interface of a versioned store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from secureml.errors import SecureMLError

__all__ = ["Finding", "Outcome", "Record", "SecretStore", "VersionInfo"]


class Finding(Enum):
    """What a source found; the rows of the policy table."""

    PRESENT = "present"
    NOT_CONFIGURED = "not configured"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"
    DELETED = "deleted"
    REFUSED = "refused"
    """Denied, bad credentials, an untrusted certificate or a malformed answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One version of a secret as its source keeps it.

    Args:
        fields: what is stored; never shown in the repr.
        source: the kind of source.
        path: the path, variable or file it came from.
        version: its version; None where the source keeps none.
        created: when this version was written, in UTC, where known.
        request_id: Vault's own id of the request that read or wrote it.
        cached: whether it was held in memory, and its source was not asked again.
        stale: whether it was held for longer than that, because its source is unavailable.
        fetched_at: when it was read from its source, in UTC.
    """

    fields: Mapping[str, object] = field(repr=False)
    source: str
    path: str
    version: int | None = None
    created: datetime | None = None
    request_id: str | None = None
    cached: bool = False
    stale: bool = False
    fetched_at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of looking in one place.

    Args:
        finding: what happened.
        where: the place, in words, for error messages.
        record: the secret, where it is present.
        error: what to raise where policy allows no other source; None where absent.
    """

    finding: Finding
    where: str
    record: Record | None = None
    error: SecureMLError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionInfo:
    """One version of a secret without its content.

    Args:
        version: its number, from 1.
        created: when it was written, in UTC.
        state: ``enabled``, ``deleted`` or ``destroyed``.
    """

    version: int
    created: datetime | None
    state: str


class SecretStore(ABC):
    """A store that keeps every version of a secret, as Vault's KV v2 does.

    Names are relative to the store's own path. Every method but ``read`` raises a
    ``SecretError`` on failure.
    """

    @abstractmethod
    def path_of(self, name: str) -> str:
        """Return the full path of a secret, for messages and provenance."""

    @abstractmethod
    def read(self, name: str, version: int | None = None) -> Outcome:
        """Look for one version of a secret, the newest by default; never raises a SecretError."""

    @abstractmethod
    def write(self, name: str, fields: Mapping[str, object], *, cas: int | None) -> Record:
        """Write a new version.

        Args:
            name: the secret's name.
            fields: what to store.
            cas: the version that must be the newest one; 0 for a secret that must not exist
                yet; None to write in any case.

        Raises:
            SecretExistsError: another version is the newest one.
        """

    @abstractmethod
    def keep_all_versions(self, name: str) -> None:
        """See to it that no write of a new version prunes an old one."""

    @abstractmethod
    def room_for_another(self, name: str) -> bool:
        """Tell whether the next write leaves every version in place."""

    @abstractmethod
    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        """Return every version that was ever written, oldest first; empty where absent."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets, sorted, folders walked through."""

    @abstractmethod
    def destroy(self, name: str, version: int) -> None:
        """Destroy the content of one version for good."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""
