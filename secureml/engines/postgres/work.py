"""What is done with the rows of a table: pseudonymize them, recover them, move them to a key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

from secureml.anonymization.apply import apply
from secureml.anonymization.merging import merge_columns
from secureml.anonymization.plan import Plan
from secureml.anonymization.recovery import Recovery
from secureml.anonymization.rekeying import Rekeying
from secureml.files.frames import versions_of
from secureml.frames.arrow import ArrowTable
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.keys import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest

__all__ = ["Pseudonymizing", "Recovering", "Rekeyed", "Work"]


class Work(ABC):
    """What is done with the rows of a table.

    Attributes:
        specs: how the columns are replaced that it replaces.
        all_specs: of those too that were replaced before.
        versions: the columns of the table that tell versions of the key.
        recovers: whether it makes values of pseudonyms.
    """

    specs: Mapping[str, ColumnSpec]
    all_specs: Mapping[str, ColumnSpec]
    versions: Collection[str] = ()
    recovers = False

    @property
    def needed(self) -> set[str]:
        """The columns that it reads, or paths into them."""
        tweaks = (spec.tweak for spec in self.specs.values())
        return {*self.specs, *filter(None, tweaks), *self.versions}

    @abstractmethod
    def done(self, rows: ArrowTable) -> ArrowTable:
        """Do it for some rows."""

    @abstractmethod
    def document(self) -> dict[str, Any] | None:
        """Return the manifest of all rows that were done; None for recovered ones."""


class Pseudonymizing(Work):
    """Replaces the columns of a plan.

    Args:
        plan: the plan.
        keyring: of its key.
        earlier: the manifest of columns that were replaced before, or None.
    """

    def __init__(self, plan: Plan, keyring: Keyring, earlier: Manifest | None) -> None:
        self._plan, self._keyring, self._earlier = plan, keyring, earlier
        self._older = {} if earlier is None else earlier.columns
        self._entries: dict[str, Entry] = {}
        self.specs = plan.columns
        self.all_specs = {**_recipes_of(self._older), **plan.columns}

    def done(self, rows: ArrowTable) -> ArrowTable:
        made, entries = apply(self._plan, rows, self._keyring)
        self._entries = _merged(self._entries, entries, self._keyring)
        return made

    def document(self) -> dict[str, Any]:
        older = () if self._earlier is None else self._earlier.older
        return Manifest.of(self._keyring, {**self._older, **self._entries}, older).document()


class _OfManifest(Work):
    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        entries = manifest.columns.items()
        self._stay = {name: entry for name, entry in entries if not entry.recipe.reversible}
        self.specs = _recipes_of(manifest.columns, without=self._stay)
        self.all_specs = _recipes_of(manifest.columns)
        self.versions = versions_of(manifest.columns)


class Recovering(_OfManifest):
    """Recovers the columns of a manifest.

    Args:
        recovery: does it.
    """

    recovers = True

    def __init__(self, recovery: Recovery) -> None:
        super().__init__(recovery.manifest)
        self._recovery = recovery

    def done(self, rows: ArrowTable) -> ArrowTable:
        made = self._recovery(rows)
        assert isinstance(made, ArrowTable)
        return made

    def document(self) -> None:
        return None


class Rekeyed(_OfManifest):
    """Moves the columns of a manifest to another key.

    Args:
        rekeying: does it.
    """

    def __init__(self, rekeying: Rekeying) -> None:
        super().__init__(rekeying.manifest)
        self._rekeying = rekeying
        self._entries: dict[str, Entry] = {}
        # A wrapped key that was rotated is the same key: the entries are those of all rows.
        self._is_same = rekeying.new.is_of(rekeying.manifest.key) and not any(
            entry.versions for entry in rekeying.manifest.columns.values()
        )

    def done(self, rows: ArrowTable) -> ArrowTable:
        made, entries = self._rekeying.moved(rows, counted=True)
        new = {name: entry for name, entry in entries.items() if name not in self._stay}
        earlier = {} if self._is_same else self._entries
        self._entries = _merged(earlier, new, self._rekeying.new)
        return made

    def document(self) -> dict[str, Any]:
        return Manifest.of(self._rekeying.new, {**self._stay, **self._entries}).document()


def _merged(
    earlier: Mapping[str, Entry], new: dict[str, Entry], keyring: Keyring
) -> dict[str, Entry]:
    return merge_columns([earlier, new], lambda _: keyring) if earlier else new


def _recipes_of(
    entries: Mapping[str, Entry], without: Mapping[str, Entry] | None = None
) -> dict[str, ColumnSpec]:
    return {name: entry.recipe for name, entry in entries.items() if name not in (without or {})}
