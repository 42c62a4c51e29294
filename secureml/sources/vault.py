"""Secrets in a KV v2 mount of Vault or OpenBao."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from secureml.errors import (
    MalformedAnswerError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    VaultUnavailableError,
)
from secureml.settings import ENVIRONMENTS, Settings
from secureml.sources.base import Finding, Outcome, Record, SecretStore, VersionInfo
from secureml.vault import VERSIONS_KEPT
from secureml.vault.session import Answer, Send, VaultSession

__all__ = ["VaultStore"]

_MOUNT_DEFAULT = 10
"""What KV v2 keeps where neither secret nor mount says otherwise."""

_DEEPEST_FOLDER = 16
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class VaultStore(SecretStore):
    """Keeps secrets at ``<vault_mount>/<vault_path>/<environment>/<name>``.

    Args:
        session: the connection to Vault.
        settings: the mount, the path and the environment.
    """

    def __init__(self, session: VaultSession, settings: Settings) -> None:
        self._session = session
        self._mount = settings.vault_mount
        self._folder = "/".join(filter(None, (settings.vault_path, settings.environment)))
        # Where no environment is selected, the folders beside the secrets are those of others.
        self._hidden = frozenset() if settings.environment else frozenset(ENVIRONMENTS)

    @property
    def session(self) -> VaultSession:
        """The connection to Vault."""
        return self._session

    def path_of(self, name: str) -> str:
        """Return the path of a secret, its mount first."""
        return f"{self._mount}/{self._path(name)}"

    def read(self, name: str, version: int | None = None) -> Outcome:
        """Look for one version of a secret."""
        where = f"Vault {self.path_of(name)}" + (f" version {version}" if version else "")
        try:
            return self._read(name, version, where)
        except SecretDeletedError as error:
            return Outcome(finding=Finding.DELETED, where=where, error=_detached(error))
        except MalformedAnswerError as error:
            return Outcome(finding=Finding.REFUSED, where=where, error=_detached(error))
        except VaultUnavailableError as error:
            return Outcome(finding=Finding.UNAVAILABLE, where=where, error=_detached(error))
        except SecretError as error:
            return Outcome(finding=Finding.REFUSED, where=where, error=_detached(error))

    def write(self, name: str, fields: Mapping[str, object], *, cas: int | None) -> Record:
        """Write a new version."""
        answer = self._request(
            "data",
            name,
            "create or update",
            lambda client: client.secrets.kv.v2.create_or_update_secret(
                self._path(name), secret=dict(fields), cas=cas, mount_point=self._mount
            ),
            repeatable=cas is not None,
        )
        if answer.status == 400 and cas is not None and _mentions(answer, "check-and-set"):
            # An attempt whose answer was lost may have been the writer that came first.
            written = self.read(name, cas + 1).record if answer.repeated else None
            if written is not None and written.fields == fields:
                return written
            raise SecretExistsError(_taken(self.path_of(name), cas))
        self._expect_success(answer, "data", name)
        return Record(
            fields=fields,
            source="vault",
            path=self.path_of(name),
            version=_version(answer.data, self.path_of(name)),
            created=_time(answer.data.get("created_time")),
            request_id=_request_id(answer),
        )

    def keep_all_versions(self, name: str) -> None:
        """Raise ``max_versions`` of the secret, so that no rotation destroys an old key."""
        if self._limit(self._metadata(name), default=0) >= VERSIONS_KEPT:
            return
        answer = self._request(
            "metadata",
            name,
            "create or update",
            lambda client: client.secrets.kv.v2.update_metadata(
                self._path(name), max_versions=VERSIONS_KEPT, mount_point=self._mount
            ),
        )
        self._expect_success(answer, "metadata", name)

    def room_for_another(self, name: str) -> bool:
        """Tell whether the next write leaves every version in place."""
        metadata = self._metadata(name)
        return len(metadata.get("versions") or ()) < self._limit(metadata, default=_MOUNT_DEFAULT)

    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        """Return every version that Vault still knows of, oldest first."""
        versions = self._metadata(name).get("versions") or {}
        return tuple(
            VersionInfo(
                version=int(number),
                created=_time(versions[number].get("created_time")),
                state=_state(versions[number]),
            )
            for number in sorted(versions, key=int)
        )

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets, sorted."""
        return tuple(sorted(self._walk("", depth=0)))

    def destroy(self, name: str, version: int) -> None:
        """Destroy the content of one version for good."""
        if version not in (info.version for info in self.versions(name)):
            raise SecretNotFoundError(f"{self.path_of(name)} has no version {version}")
        answer = self._request(
            "destroy",
            name,
            "update",
            lambda client: client.secrets.kv.v2.destroy_secret_versions(
                self._path(name), versions=[version], mount_point=self._mount
            ),
        )
        self._expect_success(answer, "destroy", name)

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}" if name else self._folder

    def _api_path(self, section: str, name: str) -> str:
        return f"{self._mount}/{section}/{self._path(name)}"

    def _request(
        self, section: str, name: str, capability: str, send: Send, *, repeatable: bool = True
    ) -> Answer:
        return self._session.request(
            send,
            mount=self._mount,
            path=self._api_path(section, name),
            capability=capability,
            repeatable=repeatable,
        )

    def _read(self, name: str, version: int | None, where: str) -> Outcome:
        answer = self._request(
            "data",
            name,
            "read",
            lambda client: client.secrets.kv.v2.read_secret_version(
                self._path(name),
                version=version,
                mount_point=self._mount,
                raise_on_deleted_version=True,
            ),
        )
        metadata = answer.data.get("metadata")
        if not isinstance(metadata, dict):
            if answer.status == 404:
                return self._absent(answer, where)
            self._expect_success(answer, "data", name)
            raise _malformed(where)
        if answer.status == 404 or _state(metadata) != "enabled":
            gone = SecretDeletedError(_gone(where, metadata), looked_in=(where,))
            gone.request_id = _request_id(answer)
            raise gone
        self._expect_success(answer, "data", name)
        fields = answer.data.get("data")
        if not isinstance(fields, dict):
            raise _malformed(where)
        record = Record(
            fields=fields,
            source="vault",
            path=self.path_of(name),
            version=_version(metadata, where),
            created=_time(metadata.get("created_time")),
            request_id=_request_id(answer),
        )
        return Outcome(finding=Finding.PRESENT, where=where, record=record)

    def _absent(self, answer: Answer, where: str) -> Outcome:
        errors = answer.body.get("errors")
        if not isinstance(errors, list):
            raise _malformed(where)
        if errors:
            where += f" (Vault has no KV v2 secrets engine at {self._mount!r})"
        return Outcome(finding=Finding.ABSENT, where=where)

    def _metadata(self, name: str) -> Mapping[str, Any]:
        answer = self._request(
            "metadata",
            name,
            "read",
            lambda client: client.secrets.kv.v2.read_secret_metadata(
                self._path(name), mount_point=self._mount
            ),
        )
        if answer.status == 404:
            return {}
        self._expect_success(answer, "metadata", name)
        return answer.data

    def _limit(self, metadata: Mapping[str, Any], default: int) -> int:
        limit = metadata.get("max_versions")
        return limit if isinstance(limit, int) and limit > 0 else default

    def _walk(self, folder: str, depth: int) -> list[str]:
        if depth > _DEEPEST_FOLDER:
            raise SecretError(f"{self.path_of(folder)} is nested too deep to be listed")
        answer = self._request(
            "metadata",
            folder,
            "list",
            lambda client: client.secrets.kv.v2.list_secrets(
                self._path(folder), mount_point=self._mount
            ),
        )
        if answer.status == 404:
            return []
        self._expect_success(answer, "metadata", folder)
        found: list[str] = []
        for entry in answer.data.get("keys") or ():
            name = f"{folder}/{entry}" if folder else entry
            if not entry.endswith("/"):
                found.append(name)
            elif name.rstrip("/") not in self._hidden:
                found += self._walk(name.rstrip("/"), depth + 1)
        return found

    def _expect_success(self, answer: Answer, section: str, name: str) -> None:
        if answer.status in (200, 204):
            return
        path = self._api_path(section, name)
        if _mentions(answer, "upgrading from non-versioned"):
            raise VaultUnavailableError(f"Vault is still preparing the mount {self._mount!r}")
        if answer.status == 404:
            raise SecretNotFoundError(
                f"Vault has no KV v2 secrets engine at {self._mount!r}", looked_in=(path,)
            )
        raise MalformedAnswerError(f"Vault takes the request to {path!r} for an invalid one")


def _detached(error: SecretError) -> SecretError:
    """Drop the frames that the error came through: an outcome is kept, they need not be."""
    return error.with_traceback(None)


def _mentions(answer: Answer, words: str) -> bool:
    errors = answer.body.get("errors")
    texts = errors if isinstance(errors, list) else []
    return any(isinstance(text, str) and words in text.lower() for text in texts)


def _taken(path: str, cas: int) -> str:
    if cas == 0:
        return f"{path} exists already; nothing was written"
    return f"{path} was changed by another writer after version {cas}; nothing was written"


def _gone(where: str, metadata: Mapping[str, Any]) -> str:
    if _state(metadata) == "destroyed":
        return f"{where} was destroyed; its content can't be had back"
    return f"{where} was deleted; an operator can undelete it"


def _state(metadata: Mapping[str, Any]) -> str:
    if metadata.get("destroyed"):
        return "destroyed"
    return "deleted" if _is_past(metadata.get("deletion_time")) else "enabled"


def _is_past(deletion_time: object) -> bool:
    """A version with ``delete_version_after`` carries the time at which it will be deleted."""
    moment = _time(deletion_time)
    return moment is not None and moment <= datetime.now(moment.tzinfo)


def _time(text: object) -> datetime | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _request_id(answer: Answer) -> str | None:
    """Return what finds the request in Vault's audit log; it ends up in ours, so it must be one."""
    text = answer.body.get("request_id")
    return text if isinstance(text, str) and _UUID.fullmatch(text) else None


def _version(metadata: Mapping[str, Any], where: str) -> int:
    version = metadata.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise _malformed(where)
    return version


def _malformed(where: str) -> MalformedAnswerError:
    return MalformedAnswerError(f"{where}: the answer is not that of a KV v2 secrets engine")
