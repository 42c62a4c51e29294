"""Reads the answers of a KV v2 secrets engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from secureml.errors import MalformedAnswerError
from secureml.stores.base import VersionInfo
from secureml.stores.custom_metadata import state_of
from secureml.vault.client.answers import Members
from secureml.vault.client.kv_mount import lifetime_in
from secureml.vault.client.session import Answer

__all__ = [
    "SecretMetadata",
    "deleted_state",
    "malformed",
    "sent_at",
    "version_in",
]

_VERSION = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """The metadata of a secret.

    Args:
        newest: the highest version that was ever written; 0 for none.
        limit: how many versions the secret is to keep; 0 if it leaves that to the mount.
        lifetime: after how long its versions are deleted; empty if it leaves that to the mount.
        custom_metadata: its custom metadata.
        versions: the versions that are still known of, oldest first.
    """

    newest: int
    limit: int
    lifetime: str
    custom_metadata: Mapping[str, str]
    versions: tuple[VersionInfo, ...]

    @classmethod
    def of(cls, data: Members, now: datetime | None = None) -> SecretMetadata:
        """Read the answer to a request for metadata; an empty one is that of no secret.

        Args:
            data: the answer's object ``data``.
            now: the time by the server's clock; that of this machine by default.
        """
        known = data.section("versions")
        if not all(map(_VERSION.fullmatch, known)):
            raise data.malformed("versions")
        numbers = sorted(map(int, known))
        newest = data.integer("current_version") or max(numbers, default=0)
        custom_metadata = data.labels("custom_metadata")
        infos = (
            VersionInfo(
                version=number,
                created=known.section(str(number)).time("created_time"),
                state=deleted_state(known.section(str(number)), now)
                or state_of(custom_metadata, number, newest),
                deletion_time=known.section(str(number)).time("deletion_time"),
            )
            for number in numbers
        )
        limit = data.integer("max_versions") or 0
        return cls(newest, limit, lifetime_in(data), custom_metadata, tuple(infos))

    def lost_by_next(self, limit: int) -> int | None:
        """Return the oldest version with content that the next write would prune; None for none.

        Args:
            limit: how many versions are kept.
        """
        if len(self.versions) < limit:
            return None
        pruned = (info for info in self.versions if info.version <= self.newest + 1 - limit)
        return next((info.version for info in pruned if info.state != "destroyed"), None)


def deleted_state(metadata: Members, now: datetime | None = None) -> str:
    """Return ``deleted`` or ``destroyed`` if a version is; empty if its content is there.

    Args:
        metadata: that of the version.
        now: the time by the server's clock; that of this machine by default.
    """
    if metadata.flag("destroyed"):
        return "destroyed"
    # A version with ``delete_version_after`` carries the time at which it will be deleted.
    moment = metadata.time("deletion_time")
    is_past = moment is not None and moment <= (now or datetime.now(UTC))
    return "deleted" if is_past else ""


def sent_at(answer: Answer) -> datetime | None:
    """Return when an answer was sent, by the server's clock; None if it does not tell."""
    try:
        moment = parsedate_to_datetime(answer.date or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def version_in(metadata: Members, where: str) -> int:
    """Return a version.

    Raises:
        MalformedAnswerError: there is none.
    """
    version = metadata.integer("version")
    if not version:
        raise malformed(where)
    return version


def malformed(where: str) -> MalformedAnswerError:
    """Return the error for an answer that no KV v2 engine gives."""
    return MalformedAnswerError(f"{where}: the answer is not that of a KV v2 secrets engine")
