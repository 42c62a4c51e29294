"""Secrets in a KV v2 mount of Vault or OpenBao."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from secureml.errors import (
    AccessDeniedError,
    ConfigurationError,
    KeyDisabledError,
    MalformedAnswerError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
    VaultUnavailableError,
)
from secureml.secret_types import revealed
from secureml.settings import ENVIRONMENTS, Settings
from secureml.stores.base import Finding, Outcome, Record, SecretStore, VersionInfo
from secureml.stores.custom_metadata import DISABLED, UNKNOWN, merged, record_state
from secureml.stores.kv2 import (
    SecretMetadata,
    deleted_state,
    malformed,
    sent_at,
    version_in,
)
from secureml.stores.transit import Transit
from secureml.vault import VERSIONS_KEPT
from secureml.vault.client.answers import Members
from secureml.vault.client.capabilities import Capabilities
from secureml.vault.client.kv_mount import KvMount, lifetime_in
from secureml.vault.client.session import Answer, Objection, VaultSession

__all__ = ["VaultStore"]

_MOUNT_DEFAULT = 10
"""How many versions KV v2 keeps if neither secret nor mount says otherwise."""

_DEEPEST_FOLDER = 16

_OUT_OF_USE = {
    DISABLED: "is disabled; enable_key_version, or 'secureml keys enable', allows its use again",
    UNKNOWN: (
        "may be disabled: somebody has replaced the custom metadata, which holds the states, the "
        "purpose and the rotation period, or copied the key without it. enable_key_version, or "
        "'secureml keys enable', allows the use of a version, and disables all others until they "
        "are enabled"
    ),
}

_NO_METADATA = SecretMetadata(newest=0, limit=0, lifetime="", custom_metadata={}, versions=())

_DATE_STEP = timedelta(seconds=1)
"""An HTTP date has no fractions; what happened in its second counts as past."""

_CLOCKS_AGREE = timedelta(seconds=5)
"""A difference up to which the machine's clock is taken, which has fractions."""


class VaultStore(SecretStore):
    """Keeps secrets at ``<vault_mount>/<vault_path>/<environment>/<name>``.

    Args:
        session: the connection to Vault.
        settings: the mount, the path and the environment.
    """

    def __init__(self, session: VaultSession, settings: Settings) -> None:
        self._session = session
        self._transit = Transit(session, settings)
        self._mount = settings.vault_mount
        self._kv_mount = KvMount(session, self._mount)
        self._folder = "/".join(filter(None, (settings.vault_path, settings.environment)))
        # If no environment is selected, the folders beside the secrets are other environments'.
        self._hidden = frozenset() if settings.environment else frozenset(ENVIRONMENTS)
        self._seen: dict[str, _Seen] = {}
        self._ahead = timedelta()

    @property
    def session(self) -> VaultSession:
        """The connection to Vault."""
        return self._session

    @property
    def transit(self) -> Transit:
        """The transit engine of the same Vault."""
        return self._transit

    def now(self) -> datetime:
        """Return the time by the clock of the server that answered last; ours before that."""
        return datetime.now(UTC) + self._ahead

    def path_of(self, name: str) -> str:
        """Return the path of a secret, its mount first."""
        return f"{self._mount}/{self._path(name)}"

    def read(
        self, name: str, version: int | None = None, *, even_disabled: bool = False
    ) -> Outcome:
        """Look for one version of a secret."""
        where = f"Vault {self.path_of(name)}" + (f" version {version}" if version else "")
        seen = self._seen.get(name)
        try:
            answer = self._request(
                "get",
                "data",
                name,
                params={"version": version},
                objection=_objection(seen, self.path_of(name), version),
            )
            self._learn(name, version, seen, answer)
            outcome = self._outcome(answer, name, version, where)
        except (SecretError, ConfigurationError) as error:
            return Outcome.failed(where, error)
        record = outcome.record
        if even_disabled or record is None or record.state not in _OUT_OF_USE:
            return outcome
        refused = KeyDisabledError(
            f"Vault {self.path_of(name)} version {record.version} {_OUT_OF_USE[record.state]}"
        )
        refused.request_id = record.request_id
        return Outcome.failed(where, refused)

    def write(self, name: str, fields: Mapping[str, object], *, cas: int | None) -> Record:
        """Write a new version."""
        self._kv_mount.check()
        answer = self._request(
            "post",
            "data",
            name,
            capability="create or update",
            body={"options": {} if cas is None else {"cas": cas}, "data": fields},
            repeatable=cas is not None,
        )
        if answer.status == 400 and cas is not None and answer.body.says("check-and-set"):
            # A standby may not have this version yet.
            self.expect(name, cas + 1, None)
            # An attempt whose answer was lost may have been the writer that came first.
            again = self.read(name, cas + 1, even_disabled=True) if answer.repeated else None
            first = None if again is None else again.record
            if first is not None and first.fields == revealed(fields):
                return first
            raise SecretExistsError(_taken(self.path_of(name), cas))
        self._expect_success(answer, "data", name)
        version, created = (
            version_in(answer.data, self.path_of(name)),
            answer.data.time("created_time"),
        )
        self._seen[name] = version, created
        return Record(
            fields=revealed(fields),
            source="vault",
            path=self.path_of(name),
            version=version,
            created=created,
            custom_metadata=answer.data.labels("custom_metadata"),
            request_id=answer.body.request_id,
            deletion_time=answer.data.time("deletion_time"),
        )

    def check_writable(self, name: str, *, exists: bool) -> None:
        """Check that a version can be written, before its metadata is."""
        path, beside = self._api_path("data", name), self._api_path("metadata", name)
        held = Capabilities.of(self._session, [path, beside])
        if held is None:
            return
        # To Vault, a secret whose metadata was written first is one that is there.
        exists = exists or not held.missing(beside, ["create"])
        capability = "update" if exists else "create"
        if held.missing(path, [capability]):
            raise AccessDeniedError(
                f"Vault denies {capability!r} on {path!r}: the token's policies lack it",
                mount=self._mount,
                path=path,
                capability=capability,
            )

    def keep_all_versions(
        self, name: str, custom_metadata: Mapping[str, str] | None = None
    ) -> None:
        """Raise ``max_versions`` of the secret, so that no rotation destroys an old key.

        Its ``delete_version_after`` is removed. That of the mount can't be, for one secret.
        """
        config = self._mount_config()
        lifetime = "" if config is None else lifetime_in(config)
        if lifetime:
            raise ConfigurationError(
                f"the mount {self._mount!r} deletes every version after {lifetime}, and so would "
                f"any key: set its delete_version_after to 0s, as 'secureml vault bootstrap' does"
            )
        metadata = self._metadata(name)
        changes: dict[str, Any] = {}
        if metadata.limit < VERSIONS_KEPT:
            changes["max_versions"] = VERSIONS_KEPT
        if metadata.lifetime:
            changes["delete_version_after"] = "0s"
        if custom_metadata and metadata.versions:
            # Written as a whole, it would undo what others change meanwhile, such as states.
            self.annotate(name, custom_metadata)
        elif custom_metadata:
            path = self.path_of(name)
            changes["custom_metadata"] = merged(path, metadata.custom_metadata, custom_metadata)
        if not changes:
            return
        try:
            self._write_metadata(name, changes)
        except AccessDeniedError as error:
            denied = error.with_traceback(None)
        else:
            return
        if custom_metadata or metadata.lifetime:
            raise denied
        lost = metadata.lost_by_next(_limit(metadata, config))
        if lost is not None:
            raise SecretError(
                f"{self.path_of(name)} keeps no more versions: the next one would destroy version "
                f"{lost}, and the token may not raise max_versions"
            )

    def annotate(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Change entries of the custom metadata, by a merge patch (RFC 7396)."""
        metadata = self._metadata(name)
        path = self.path_of(name)
        if not metadata.versions:
            raise SecretNotFoundError(f"Vault has nothing at {path}", looked_in=(path,))
        merged(path, metadata.custom_metadata, changes)
        answer = self._request(
            "patch",
            "metadata",
            name,
            body={"custom_metadata": changes},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        self._expect_success(answer, "metadata", name)

    def versions(self, name: str) -> tuple[VersionInfo, ...]:
        """Return every version that Vault still knows of, oldest first."""
        return self._metadata(name).versions

    def described(self, name: str) -> tuple[tuple[VersionInfo, ...], Mapping[str, str]]:
        """Return every version, and the custom metadata beside them, by one request."""
        metadata = self._metadata(name)
        return metadata.versions, metadata.custom_metadata

    def expect(self, name: str, version: int, created: datetime | None) -> None:
        """Ask again for an answer from before a version was written."""
        self._seen[name] = version, created

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets, sorted."""
        self._kv_mount.check()
        return tuple(sorted(self._walk("", depth=0)))

    def destroy(self, name: str, version: int) -> None:
        """Destroy the content of one version for good."""
        if version not in (info.version for info in self.versions(name)):
            raise SecretNotFoundError(f"{self.path_of(name)} has no version {version}")
        answer = self._request("post", "destroy", name, body={"versions": [version]})
        self._expect_success(answer, "destroy", name)

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}" if name else self._folder

    def _api_path(self, section: str, name: str) -> str:
        return f"{self._mount}/{section}/{self._path(name)}"

    def _request(
        self,
        method: str,
        section: str,
        name: str,
        *,
        objection: Objection | None = None,
        **more: Any,
    ) -> Answer:
        answer = self._session.request(
            method,
            self._api_path(section, name),
            mount=self._mount,
            objection=self._kv_mount.objection(objection),
            **more,
        )
        if answer.status == 404:
            self._kv_mount.check_absence(answer)
        sent = sent_at(answer)
        if sent is not None:
            ahead = sent + _DATE_STEP - datetime.now(UTC)
            self._ahead = ahead if abs(ahead) > _CLOCKS_AGREE else timedelta()
        return answer

    def _outcome(self, answer: Answer, name: str, version: int | None, where: str) -> Outcome:
        metadata = answer.data.mapping("metadata")
        if metadata is None:
            if answer.status == 404 and "errors" in answer.body:
                return Outcome(finding=Finding.ABSENT, where=where)
            self._expect_success(answer, "data", name)
            self._kv_mount.check()
            raise malformed(where)
        number = version_in(metadata, where)
        self._kv_mount.answered()
        created = metadata.time("created_time")
        newest, _ = self._seen.get(name, (number, None))
        # Vault knows by its own clock whether a deletion that was planned has happened.
        fields = answer.data.mapping("data")
        if answer.status == 404 or (fields is None and deleted_state(metadata, self.now())):
            error = SecretDeletedError(_gone(where, metadata), looked_in=(where,))
            error.request_id = answer.body.request_id
            gone = VersionInfo(
                version=number,
                created=created,
                state="destroyed" if metadata.flag("destroyed") else "deleted",
                deletion_time=metadata.time("deletion_time"),
            )
            custom_metadata = metadata.labels("custom_metadata")
            return Outcome(
                finding=Finding.DELETED,
                where=where,
                error=error,
                gone=gone,
                custom_metadata=custom_metadata,
            )
        self._expect_success(answer, "data", name)
        if fields is None:
            raise malformed(where)
        custom_metadata = metadata.labels("custom_metadata")
        record = Record(
            fields=dict(fields),
            source="vault",
            path=self.path_of(name),
            version=number,
            created=created,
            state=record_state(fields, custom_metadata, number, newest),
            custom_metadata=custom_metadata,
            request_id=answer.body.request_id,
            deletion_time=metadata.time("deletion_time"),
        )
        return Outcome(finding=Finding.PRESENT, where=where, record=record)

    def _learn(self, name: str, version: int | None, before: _Seen | None, answer: Answer) -> None:
        """Remember the highest version, or what the active node says in spite of what was seen."""
        if answer.status not in (200, 404):
            return
        found, current = _newest_in(answer), self._seen.get(name)
        if current is None or found[0] > current[0] or (version is None and current is before):
            self._seen[name] = found
        if not self._seen[name][0]:
            self._seen.pop(name, None)

    def _metadata(self, name: str) -> SecretMetadata:
        seen = self._seen.get(name)
        answer = self._request(
            "get",
            "metadata",
            name,
            objection=_objection(seen, self.path_of(name)),
        )
        self._learn(name, None, seen, answer)
        if answer.status == 404:
            return _NO_METADATA
        self._expect_success(answer, "metadata", name)
        metadata = SecretMetadata.of(answer.data, self.now())
        if not metadata.versions:
            self._kv_mount.check()
        return metadata

    def _write_metadata(self, name: str, changes: Mapping[str, Any]) -> None:
        self._kv_mount.check()
        answer = self._request(
            "post", "metadata", name, capability="create or update", body=changes
        )
        self._expect_success(answer, "metadata", name)

    def _mount_config(self) -> Members | None:
        """Return the configuration of the mount; None if the token may not see it."""
        try:
            answer = self._session.request("get", f"{self._mount}/config", mount=self._mount)
        except AccessDeniedError:
            return None
        return answer.data

    def _walk(self, folder: str, depth: int) -> list[str]:
        if depth > _DEEPEST_FOLDER:
            raise SecretError(f"{self.path_of(folder)} is nested too deep to be listed")
        answer = self._request("list", "metadata", folder)
        if answer.status == 404:
            return []
        self._expect_success(answer, "metadata", folder)
        found: list[str] = []
        for entry in answer.data.texts("keys"):
            if entry.rstrip("/") in ("", ".", ".."):
                raise malformed(f"Vault {self.path_of(folder)}")
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
        if answer.body.says("upgrading from non-versioned"):
            raise VaultUnavailableError(f"Vault is still preparing the mount {self._mount!r}")
        if answer.status == 404:
            raise SecretNotFoundError(f"Vault has nothing at {path!r}", looked_in=(path,))
        raise MalformedAnswerError(
            f"Vault rejected the request to {path!r} as invalid (HTTP {answer.status})"
        )


_Seen = tuple[int, datetime | None]
"""The highest version of a secret that was there, 0 for none, and when it was written, if known."""


def _newest_in(answer: Answer) -> _Seen:
    metadata = answer.data.mapping("metadata")
    if metadata is not None:
        return metadata.integer("version") or 0, metadata.time("created_time")
    newest = answer.data.integer("current_version") or 0
    versions = answer.data.section("versions")
    return newest, versions.section(str(newest)).time("created_time") if newest else None


def _objection(seen: _Seen | None, path: str, version: int | None = None) -> Objection | None:
    """Return what tells an answer from before the version that was seen: a standby may lag behind.

    Args:
        seen: the highest version that was there.
        path: the secret's path.
        version: the version that is asked for; None for the newest.
    """
    last, created = seen or (0, None)
    if last == 0:
        return None

    def objection(answer: Answer) -> str:
        newest, written = _newest_in(answer)
        # A secret that was removed and made anew begins at 1 again, at a later time.
        is_anew = newest and written and created and written > created
        is_right = newest >= last if version is None else newest or version > last
        if answer.status not in (200, 404) or is_anew or is_right:
            return ""
        return f"of {path} it has not version {version or last}, although version {last} was there"

    return objection


def _limit(metadata: SecretMetadata, config: Members | None) -> int:
    """Return how many versions the engine keeps: the larger number of secret and mount."""
    if config is None:
        # The mount may be configured to keep fewer than by default.
        return metadata.limit or 1
    return max(metadata.limit, config.integer("max_versions") or 0) or _MOUNT_DEFAULT


def _taken(path: str, cas: int) -> str:
    if cas == 0:
        return f"{path} exists already; nothing was written"
    return f"{path} was changed by another writer after version {cas}; nothing was written"


def _gone(where: str, metadata: Members) -> str:
    if metadata.flag("destroyed"):
        return f"{where} was destroyed; its content can't be had back"
    return f"{where} was deleted; an operator can undelete it"
