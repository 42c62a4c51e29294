"""What the answers of a KV v2 secrets engine say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from secureml.errors import MalformedAnswerError
from secureml.sources.base import VersionInfo
from secureml.sources.custom_metadata import state_of
from secureml.vault.session import Answer

__all__ = [
    "SecretMetadata",
    "custom_metadata_in",
    "deleted_state",
    "malformed",
    "mentions",
    "request_id_in",
    "time_in",
    "version_in",
]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class SecretMetadata:
    """What an engine keeps of a secret beside its content.

    Args:
        newest: the highest version that was ever written; 0 for none.
        limit: how many versions the secret is to keep; 0 where it leaves that to the mount.
        custom_metadata: its custom metadata.
        versions: the versions that are still known of, oldest first.
    """

    newest: int
    limit: int
    custom_metadata: Mapping[str, str]
    versions: tuple[VersionInfo, ...]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> SecretMetadata:
        """Read the answer to a request for metadata; an empty one is that of no secret.

        Args:
            data: the answer's object ``data``.
        """
        versions = data.get("versions")
        known = versions if isinstance(versions, dict) else {}
        numbers = sorted(int(number) for number in known)
        newest = _count(data.get("current_version")) or max(numbers, default=0)
        custom_metadata = custom_metadata_in(data)
        infos = (
            VersionInfo(
                version=number,
                created=time_in(known[str(number)], "created_time"),
                state=deleted_state(known[str(number)])
                or state_of(custom_metadata, number, newest),
            )
            for number in numbers
        )
        return cls(newest, _count(data.get("max_versions")), custom_metadata, tuple(infos))

    @property
    def created(self) -> datetime | None:
        """When the newest version was written."""
        return self.versions[-1].created if self.versions else None

    def lost_by_next(self, limit: int) -> int | None:
        """Return the oldest version with content that the next write would prune; None for none.

        Args:
            limit: how many versions are kept.
        """
        if len(self.versions) < limit:
            return None
        pruned = (info for info in self.versions if info.version <= self.newest + 1 - limit)
        return next((info.version for info in pruned if info.state != "destroyed"), None)


def deleted_state(metadata: Mapping[str, Any]) -> str:
    """Return ``deleted`` or ``destroyed`` where a version is; empty where its content is there."""
    if metadata.get("destroyed"):
        return "destroyed"
    # A version with ``delete_version_after`` carries the time at which it will be deleted.
    moment = time_in(metadata, "deletion_time")
    is_past = moment is not None and moment <= datetime.now(moment.tzinfo)
    return "deleted" if is_past else ""


def custom_metadata_in(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return custom metadata; empty where there is none."""
    found = metadata.get("custom_metadata")
    entries = found.items() if isinstance(found, dict) else ()
    return {key: value for key, value in entries if isinstance(value, str)}


def time_in(metadata: Mapping[str, Any], name: str) -> datetime | None:
    """Return a time; None where there is none."""
    text = metadata.get(name)
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def version_in(metadata: Mapping[str, Any], where: str) -> int:
    """Return a version.

    Raises:
        MalformedAnswerError: there is none.
    """
    version = metadata.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise malformed(where)
    return version


def request_id_in(answer: Answer) -> str | None:
    """Return what finds the request in Vault's audit log; it ends up in ours, so it must be one."""
    text = answer.body.get("request_id")
    return text if isinstance(text, str) and _UUID.fullmatch(text) else None


def mentions(answer: Answer, words: str) -> bool:
    """Tell whether an answer's errors hold these words."""
    errors = answer.body.get("errors")
    texts = errors if isinstance(errors, list) else []
    return any(isinstance(text, str) and words in text.lower() for text in texts)


def malformed(where: str) -> MalformedAnswerError:
    """Return the error of an answer that no KV v2 engine gives."""
    return MalformedAnswerError(f"{where}: the answer is not that of a KV v2 secrets engine")


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
