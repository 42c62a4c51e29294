"""What a job does with each of its files: pseudonymize it under one key, or recover it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa

from secureml.errors import PseudonymizationError, SecureMLError
from secureml.files.base import TableFile
from secureml.files.frames import anonymized, recovered
from secureml.files.inputs import Source
from secureml.files.locations import Location
from secureml.files.manifests import fetched_manifest, find_manifest
from secureml.files.partitions import partitions_of
from secureml.files.progress import Progress
from secureml.files.transfer import (
    PlannedFile,
    Written,
    plan_file,
    write_pseudonyms,
    write_recovered,
)
from secureml.files.workers import Workers
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import KeyReference, Keyring, keyring_that_made
from secureml.pseudonymization.manifest import Manifest

__all__ = ["Anonymizing", "FilePlan", "Job", "Recovering"]

FilePlan = TypeVar("FilePlan")


class Job(ABC, Generic[FilePlan]):
    """A job of one kind over many files."""

    kind: ClassVar[str]
    folder_mode: ClassVar[int]

    manager: KeyManager
    rejects: Location | None = None
    """The folder of rows that can't be pseudonymized, if they are to be kept there."""

    key: KeyReference | None = None
    """The one key of the whole job, if it has one of its own."""

    @abstractmethod
    def pin(self, key: KeyReference | None) -> None:
        """Go on under the key that the job was begun with, if it was."""

    @abstractmethod
    def digest(self) -> Callable[[bytes], str] | None:
        """Return the keyed digest that the journal is to use; None for SHA-256."""

    @abstractmethod
    def plan(self, table: TableFile, source: Source) -> tuple[FilePlan, Sequence[object]]:
        """Decide what is done with a file, and return what tells that from other plans."""

    @abstractmethod
    def partitions(
        self, plan: FilePlan, values: Mapping[str, str | None], own: Collection[str]
    ) -> Mapping[str, str | None]:
        """Return the new values of those columns of a path that are replaced.

        Args:
            plan: of the file.
            values: of all columns that its path tells.
            own: the columns that the file itself has.
        """

    @abstractmethod
    def write(
        self,
        table: TableFile,
        source: Source,
        target: Location,
        plan: FilePlan,
        *,
        on_progress: Progress,
        workers: Workers | None,
    ) -> Written:
        """Write the result of a file."""


class Anonymizing(Job[PlannedFile]):
    """Pseudonymizes files under one version of a key."""

    kind = "anonymize"
    folder_mode = 0o777

    def __init__(
        self,
        manager: KeyManager,
        sensitive_columns: Iterable[str] | None,
        rules: Mapping[str, Any],
        kept_metadata: Collection[str],
        rejects: Location | None,
    ) -> None:
        self.rejects = rejects
        self._kept_metadata = kept_metadata
        self._columns = sensitive_columns
        self._arguments = {**rules, "key_manager": manager}
        self.manager = manager
        self._keyring: Keyring | None = None

    def pin(self, key: KeyReference | None) -> None:
        if key is None:
            return
        for argument, begun in (("name", key.name), ("version", key.version)):
            name = f"master_key_{argument}"
            if self._arguments.get(name) not in (None, begun):
                raise SecureMLError(f"the job was begun under {key}: leave out {name}")
            self._arguments[name] = begun
        self.key = key

    def digest(self) -> Callable[[bytes], str] | None:
        return None if self._keyring is None else self._keyring.mac_of

    def plan(self, table: TableFile, source: Source) -> tuple[PlannedFile, Sequence[object]]:
        planned = plan_file(table, self._columns, None, self._fetched(table, source))
        plan, told = planned.plan, partitions_of(source.name)
        if self.key is None:
            self.key = plan.key
            self._arguments["master_key_version"] = plan.key.version
        if plan.key.check != self.key.check:
            raise SecureMLError(f"{self.key} became another key while the job was under way")
        self._keyring = planned.keyring
        # What the path tells has the version of the file's key.
        versioned = tuple(name for name in plan.versioned if name not in told)
        plan = replace(plan, versioned=versioned)
        functions = {name: getattr(how, "__qualname__", "") for name, how in plan.functions.items()}
        facts = (
            {name: asdict(spec) for name, spec in plan.columns.items()},
            functions,
            versioned,
            plan.key.check,
            None if planned.earlier is None else planned.earlier.mac,
        )
        return replace(planned, plan=plan), facts

    def partitions(
        self, plan: PlannedFile, values: Mapping[str, str | None], own: Collection[str]
    ) -> Mapping[str, str | None]:
        columns = {name: plan.plan.columns[name] for name in plan.plan.columns if name in values}
        for name, spec in columns.items():
            if name in own:
                raise PseudonymizationError(
                    f"column {name!r} is in the file and in its path, and both would have to be"
                    " replaced: drop one of them"
                )
            if name in plan.plan.functions:
                raise PseudonymizationError(
                    f"column {name!r} is told by the path: a function can't replace it"
                )
            if spec.tweak is not None and (spec.tweak not in values or spec.tweak in own):
                raise PseudonymizationError(
                    f"column {name!r} is told by the path, which has one value for all rows:"
                    f" its tweaks can't lie in {spec.tweak!r}"
                )
        if not columns:
            return {}
        part = replace(plan.plan, columns=columns, functions={}, versioned=())
        replaced, _ = anonymized(_one_row(values), part, plan.keyring, None)
        return {name: replaced.column(name)[0].as_py() for name in columns}

    def write(
        self,
        table: TableFile,
        source: Source,
        target: Location,
        plan: PlannedFile,
        *,
        on_progress: Progress,
        workers: Workers | None,
    ) -> Written:
        table.kept_metadata = self._kept_metadata
        rejects = None if self.rejects is None else self.rejects.joined(source.name)
        return write_pseudonyms(
            table, target, plan, on_progress=on_progress, workers=workers, rejects=rejects
        )

    def _fetched(self, table: TableFile, source: Source) -> dict[str, Any]:
        manifest = fetched_manifest(table, self._arguments.get("manifest"), source.location)
        return {**self._arguments, "manifest": manifest}


class Recovering(Job[Mapping[str, Any]]):
    """Recovers files, each by its own manifest."""

    kind = "reidentify"
    folder_mode = 0o700

    def __init__(self, manager: KeyManager, *, check_table: bool) -> None:
        self.manager = manager
        self._check_table = check_table

    def pin(self, key: KeyReference | None) -> None:
        """Do nothing: each file has a manifest, which names the key."""

    def digest(self) -> Callable[[bytes], str] | None:
        return None

    def plan(self, table: TableFile, source: Source) -> tuple[Mapping[str, Any], Sequence[object]]:
        document = find_manifest(table, fetched_manifest(table, None, source.location))
        return document, (document["mac"], self._check_table)

    def partitions(
        self, plan: Mapping[str, Any], values: Mapping[str, str | None], own: Collection[str]
    ) -> Mapping[str, str | None]:
        manifest = Manifest.parse(plan)
        columns = {
            name: entry
            for name, entry in manifest.columns.items()
            if name in values and name not in own and entry.recipe.reversible
        }
        if not columns:
            return {}
        keyring = keyring_that_made(self.manager, manifest.key)
        manifest.check(keyring)
        part = Manifest.of(keyring, columns, manifest.older).document()
        recovered_row = recovered(
            _one_row(values), part, self.manager, None, check_table=self._check_table
        )
        return {name: recovered_row.column(name)[0].as_py() for name in columns}

    def write(
        self,
        table: TableFile,
        source: Source,
        target: Location,
        plan: Mapping[str, Any],
        *,
        on_progress: Progress,
        workers: Workers | None,
    ) -> Written:
        return write_recovered(
            table,
            target,
            plan,
            self.manager,
            on_progress=on_progress,
            workers=workers,
            check_table=self._check_table,
        )


def _one_row(values: Mapping[str, str | None]) -> pa.Table:
    return pa.table({name: pa.array([value], pa.string()) for name, value in values.items()})
