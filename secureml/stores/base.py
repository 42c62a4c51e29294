"""The results that sources report, and the interface of a versioned store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from secureml.errors import (
    KeyDisabledError,
    MalformedAnswerError,
    SecretDeletedError,
    SecureMLError,
    VaultUnavailableError,
)
from secureml.keys import Envelope
from secureml.secret_types import SecretFields

if TYPE_CHECKING:
    from secureml.stores.transit import Transit

__all__ = ["Finding", "Outcome", "Record", "SecretStore", "VersionInfo"]


class Finding(Enum):
    """What a source found; the rows of the policy table."""

    PRESENT = "present"
    NOT_CONFIGURED = "not configured"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"
    DELETED = "deleted"
    DISABLED = "disabled"
    REFUSED = "refused"
    """Denied, bad credentials, an untrusted certificate or a malformed answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One version of a secret as its source keeps it.

    Args:
        fields: what is stored; never shown in the repr.
        source: the kind of source.
        path: the path, variable or file it came from.
        version: its version; None if the source keeps none.
        created: when this version was written, in UTC, if known.
        state: ``enabled``, ``disabled``, or ``decrypt-only`` if a newer version is known.
        custom_metadata: what is kept beside all versions of the secret.
        request_id: Vault's own id of the request that read or wrote it.
        cached: whether it comes from the cache, and its source was not asked again.
        stale: whether it was served after its time there, because its source is unavailable.
        envelope: what the key in it was unwrapped from; None if it is kept as it is.
        deletion_time: when the store is to delete this version; None for never.
        fetched_at: when it was read from its source, in UTC.
    """

    fields: Mapping[str, object] = field(repr=False)
    source: str
    path: str
    version: int | None = None
    created: datetime | None = None
    state: str = "enabled"
    custom_metadata: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None
    cached: bool = False
    stale: bool = False
    envelope: Envelope | None = None
    deletion_time: datetime | None = None
    fetched_at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", SecretFields(self.fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of one lookup.

    Args:
        finding: what happened.
        where: the place, in words, for error messages.
        record: the secret, if it is present.
        error: what to raise if policy allows no other source; None if absent.
        gone: the version that was deleted.
        custom_metadata: what is kept beside all versions of what was deleted.
    """

    finding: Finding
    where: str
    record: Record | None = None
    error: SecureMLError | None = None
    gone: VersionInfo | None = None
    custom_metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def failed(cls, where: str, error: SecureMLError) -> Outcome:
        """Return the result of a lookup that raised an error.

        Args:
            where: the place.
            error: the error; its traceback, and what the frames hold, is dropped.
        """
        finding = next(found for kind, found in _FINDINGS.items() if isinstance(error, kind))
        return cls(finding=finding, where=where, error=error.with_traceback(None))


_FINDINGS: Mapping[type[SecureMLError], Finding] = {
    SecretDeletedError: Finding.DELETED,
    KeyDisabledError: Finding.DISABLED,
    MalformedAnswerError: Finding.REFUSED,
    VaultUnavailableError: Finding.UNAVAILABLE,
    SecureMLError: Finding.REFUSED,
}
"""What an error counts as; the first kind that fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionInfo:
    """One version of a secret without its content.

    Args:
        version: its number, from 1.
        created: when it was written, in UTC.
        state: ``enabled`` for the newest, ``decrypt-only`` for an older one, or ``disabled``,
            ``deleted``, ``destroyed``.
        deletion_time: when the store deleted it, or is to; None for never.
    """

    version: int
    created: datetime | None
    state: str
    deletion_time: datetime | None = None


class SecretStore(ABC):
    """A store that keeps every version of a secret, as Vault's KV v2 does.

    Names are relative to the store's own path. Every method but ``read`` raises a
    ``SecretError`` on failure.
    """

    @property
    def transit(self) -> Transit | None:
        """The transit engine that wraps keys for this store; None if there is none."""
        return None

    def now(self) -> datetime:
        """Return the time by the store's own clock, which dates its versions."""
        return datetime.now(UTC)

    @abstractmethod
    def path_of(self, name: str) -> str:
        """Return the full path of a secret, for messages and provenance."""

    @abstractmethod
    def read(
        self, name: str, version: int | None = None, *, even_disabled: bool = False
    ) -> Outcome:
        """Look for one version of a secret; never raises a SecretError.

        Args:
            name: the secret's name.
            version: the version; the newest by default.
            even_disabled: whether one that is disabled counts as present.
        """

    @abstractmethod
    def write(self, name: str, fields: Mapping[str, object], *, cas: int | None) -> Record:
        """Write a new version.

        Args:
            name: the secret's name.
            fields: what to store; texts may be concealed.
            cas: the version that must be the newest one; 0 for a secret that must not exist
                yet; None to write in any case.

        Raises:
            SecretExistsError: another version is the newest one.
        """

    def check_writable(self, name: str, *, exists: bool) -> None:  # noqa: B027  # can't tell
        """Check that a version can be written, before anything is made for it.

        Args:
            name: the secret's name.
            exists: whether it has versions.

        Raises:
            AccessDeniedError: the store would refuse it, as far as it tells.
        """

    @abstractmethod
    def keep_all_versions(
        self, name: str, custom_metadata: Mapping[str, str] | None = None
    ) -> None:
        """Ensure that the next write of a version prunes no old one that has content.

        Args:
            name: the secret's name; it need not exist yet.
            custom_metadata: what to add to its custom metadata.

        Raises:
            SecretError: it would, and that can't be helped; the message names the version.
        """

    @abstractmethod
    def annotate(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Change entries of the custom metadata, and leave all others as they are.

        Args:
            name: the secret's name.
            changes: the new values; None removes an entry.

        Raises:
            SecretNotFoundError: there is no such secret.
            SecretError: there is no room for them.
        """

    @abstractmethod
    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        """Return every version that was ever written, oldest first; empty if absent."""

    def described(self, name: str) -> tuple[tuple[VersionInfo, ...], Mapping[str, str]]:
        """Return every version, and the custom metadata beside them if the store has any."""
        return self.versions(name), {}

    def expect(  # noqa: B027  # a store of one node is always up to date
        self, name: str, version: int, created: datetime | None
    ) -> None:
        """Wait until the store knows a version that is known to be there.

        Args:
            name: the secret's name.
            version: the version.
            created: when it was written, if that is known; a later secret that begins at 1 again
                ends the wait.

        Raises:
            SecretError: the store can't be asked, or does not know it in time.
        """

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets, sorted, folders walked through."""

    @abstractmethod
    def destroy(self, name: str, version: int) -> None:
        """Destroy the content of one version for good."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""
