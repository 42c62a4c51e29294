"""What is known of secrets already, so that an answer from before that is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from secureml.forksafe import ForkSafeLock
from secureml.stores.custom_metadata import DISABLED, state_of
from secureml.stores.kv2 import SecretMetadata, deleted_state
from secureml.vault.client.session import Answer, Objection

__all__ = ["Freshness", "Known", "Sighting", "objection_to"]

_LARGEST = 10_000
"""So many names are remembered."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A version of a secret that was there, whether read or written.

    Args:
        version: its number.
        created: when it was written, where Vault told.
    """

    version: int
    created: datetime | None

    def is_after(self, newest: Sighting) -> bool:
        """Tell whether a version that is said to be the newest was so only before this one.

        A secret that was removed and made anew begins at 1 again, at a later time.
        """
        if newest.version >= self.version:
            return False
        return self.created is None or newest.created is None or newest.created <= self.created


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a secret.

    Args:
        last: the highest version that was there; None if none was seen.
        states: the states given to versions here: ``enabled``, ``disabled`` or ``destroyed``.
    """

    last: Sighting | None = None
    states: Mapping[int, str] = field(default_factory=dict)


class Freshness:
    """Remembers what was seen and changed of each secret. Threads may share one.

    What a signal handler sees in the middle of this is not remembered: it is a hint, and the
    thread that was interrupted would write over it.
    """

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._lock = ForkSafeLock()

    def known(self, name: str) -> Known:
        """Return what is known of a secret."""
        return self._known.get(name, _NOTHING)

    def saw(self, name: str, version: Sighting) -> None:
        """Remember a version that is there."""
        if self._lock.held:
            return
        with self._lock.mutex:
            known = self._known.pop(name, _NOTHING)
            if known.last is None or version.version > known.last.version:
                known = replace(known, last=version)
            self._known[name] = known
            if len(self._known) > _LARGEST:
                del self._known[next(iter(self._known))]

    def changed(self, name: str, version: int, state: str) -> None:
        """Remember the state that a version was given."""
        if self._lock.held:
            return
        with self._lock.mutex:
            known = self._known.get(name, _NOTHING)
            self._known[name] = replace(known, states={**known.states, version: state})

    def believe(self, name: str, known: Known, answer: Answer, version: int | None = None) -> None:
        """Give up what an answer contradicts: others have changed it since.

        Args:
            name: the secret's name.
            known: what was known when it was asked for; what has become known since then stays.
            answer: the answer to a request for a version or for metadata.
            version: the version that was asked for; None for the newest.
        """
        newest = _newest_in(answer)
        went_back = (
            version is None
            and known.last is not None
            and (newest is None or known.last.is_after(newest))
        )
        contradicted = _contradicted(known, answer)
        if self._lock.held or not (went_back or contradicted):
            return
        with self._lock.mutex:
            if self._known.get(name) is not known:
                return
            if went_back:
                self._known[name] = Known(newest)
                return
            states = {n: state for n, state in known.states.items() if n not in contradicted}
            self._known[name] = replace(known, states=states)


_NOTHING = Known()


def objection_to(known: Known, path: str, version: int | None = None) -> Objection | None:
    """Tell when an answer is from before what is known already.

    Args:
        known: what is known.
        path: the secret's path, for messages.
        version: the version that is asked for; None for the newest.
    """
    last, states = known.last, known.states
    if last is None and not states:
        return None

    def objection(answer: Answer) -> str:
        if answer.status not in (200, 404):
            return ""
        newest = _newest_in(answer)
        if last is not None and newest is None and (version is None or version <= last.version):
            wanted = path if version is None else f"{path} version {version}"
            return f"it has no {wanted}, although version {last.version} was there"
        if version is None and last is not None and newest is not None and last.is_after(newest):
            return (
                f"of {path} it has version {newest.version}, although version {last.version} "
                "was there"
            )
        for number in _contradicted(known, answer):
            return f"it does not know that {path} version {number} is {states[number]}"
        return ""

    return objection


def _newest_in(answer: Answer) -> Sighting | None:
    """Return the version that an answer tells of; None if it tells that there is none."""
    metadata = answer.data.mapping("metadata") or answer.data
    if "versions" in metadata:
        found = SecretMetadata.of(metadata)
        return Sighting(found.newest, found.created)
    version = metadata.integer("version")
    return Sighting(version, metadata.time("created_time")) if version else None


def _contradicted(known: Known, answer: Answer) -> list[int]:
    """List the versions that an answer has in another state than they were given."""
    found = _states_in(answer) if known.states else {}
    return [
        version
        for version, state in known.states.items()
        if version in found and _contradicts(found[version], state)
    ]


def _contradicts(found: str, given: str) -> bool:
    if given == "destroyed":
        return found != "destroyed"
    usable = found in ("enabled", "decrypt-only")
    return usable if given == DISABLED else found == DISABLED


def _states_in(answer: Answer) -> dict[int, str]:
    metadata = answer.data.mapping("metadata") or answer.data
    if "versions" in metadata:
        return {info.version: info.state for info in SecretMetadata.of(metadata).versions}
    version = metadata.integer("version")
    if not version:
        return {}
    state = deleted_state(metadata) or state_of(metadata.labels("custom_metadata"), version)
    return {version: state}
