"""Jobs over many files: folders, globs, lists and hive-partitioned datasets, under one plan."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa

from secureml.errors import (
    ArgumentError,
    ConfigurationError,
    PseudonymizationError,
    SecretError,
    SecureMLError,
)
from secureml.files.base import TableFile
from secureml.files.checks import Progress, check_free
from secureml.files.csv import Told
from secureml.files.frames import anonymized, recovered
from secureml.files.inputs import Source, find_sources
from secureml.files.journal import Done, Journal
from secureml.files.locations import (
    Address,
    LocalLocation,
    Location,
    StandardLocation,
    location_of,
)
from secureml.files.manifests import SIDECAR, fetched_manifest, find_manifest, open_told
from secureml.files.partitions import PartitionedTable, partitions_of, renamed
from secureml.files.transfer import (
    PlannedFile,
    Written,
    plan_file,
    write_pseudonyms,
    write_recovered,
)
from secureml.files.workers import Workers, workers_for
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.keys import KeyReference, Keyring, keyring_that_made
from secureml.pseudonymization.manifest import Manifest

__all__ = ["FileDone", "WrittenFiles", "anonymize_files", "reidentify_files"]

_Plan = TypeVar("_Plan")

FileDone = Callable[[Written], object]
"""Takes what was written, after each file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFiles:
    """What a job wrote.

    Args:
        output: the folder or the URL, without credentials.
        files: the tables that were written, in the order of their names.
        done_before: how many more were complete before the job went on.
        left_out: the names of files below the inputs that are no tables.
        rejects: where the rejected rows are; None if there are none.
        rejected: how many rows were rejected.
    """

    output: str
    files: tuple[Written, ...]
    done_before: int = 0
    left_out: tuple[str, ...] = ()
    rejects: str | None = None
    rejected: int = 0

    @property
    def rows(self) -> int:
        """How many rows were written."""
        return sum(written.rows for written in self.files)


def anonymize_files(
    inputs: Address | Iterable[Address],
    output: Address,
    sensitive_columns: Iterable[str] | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    workers: int | None = None,
    rejects: Address | None = None,
    keep_metadata: Collection[str] = (),
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    on_progress: Progress | None = None,
    on_file: FileDone | None = None,
    key_manager: KeyManager | None = None,
    **rules: Any,
) -> WrittenFiles:
    """Pseudonymize columns of the tables in many files, under one version of a key.

    The names below the root of the inputs stay: below a folder, below what a glob has before its
    first wildcard, or below the deepest folder that all files of a list are in.

    Args:
        inputs: a folder, a glob (``**`` for folders of any depth), a file, a URL of them, or a
            list of all these.
        output: the folder or the URL below which the results are written, with their manifests.
        sensitive_columns: as for ``anonymize``; partition columns (``country=DE/``) are columns.
        resume: go on with a job that was stopped, with the same arguments and key version.
        force: replace outputs that are there.
        workers: how many processes work; by default as many as pay, 1 for this process alone.
        rejects: where rows whose values are not of their format are written, in clear.
        keep_metadata: as for ``anonymize_file``.
        delimiter: as for ``anonymize_file``, like ``encoding`` and ``header``.
        encoding: of CSV.
        header: whether CSV has one.
        on_progress: is called now and then with the fraction that is done.
        on_file: is called after each file.
        key_manager: where keys come from; by default the process's own.
        **rules: the other arguments of ``anonymize``.

    Raises:
        SecureMLError: a file can't be read or written; files that are complete stay, and
            ``resume`` goes on after them.
        PseudonymizationError: a file is no table, or as of ``anonymize``.
        SecretError: the key can't be had.
    """
    manager = get_default_key_manager() if key_manager is None else key_manager
    if not (sensitive_columns is None or isinstance(sensitive_columns, str)):
        sensitive_columns = list(sensitive_columns)
    job = _Anonymizing(manager, sensitive_columns, rules, keep_metadata)
    return _run(
        job,
        _sources(inputs, output),
        csv=Told(delimiter=delimiter, encoding=encoding, header=header),
        resume=resume,
        force=force,
        on_progress=on_progress,
        on_file=on_file,
        workers=workers,
    )


def reidentify_files(
    inputs: Address | Iterable[Address],
    output: Address,
    *,
    resume: bool = False,
    force: bool = False,
    workers: int | None = None,
    check_table: bool = True,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    on_progress: Progress | None = None,
    on_file: FileDone | None = None,
    key_manager: KeyManager | None = None,
) -> WrittenFiles:
    """Recover the tables in many files, each by its own manifest.

    Args:
        inputs: as for ``anonymize_files``.
        output: the folder or the URL below which the results are written; their owner alone can
            read them.
        resume: go on with a job that was stopped.
        force: replace outputs that are there.
        workers: as for ``anonymize_files``.
        check_table: as for ``reidentify``.
        delimiter: as for ``anonymize_file``, like ``encoding`` and ``header``.
        encoding: of CSV.
        header: whether CSV has one.
        on_progress: is called now and then with the fraction that is done.
        on_file: is called after each file.
        key_manager: where keys come from; by default the process's own.

    Raises:
        SecureMLError: a file can't be read or written; files that are complete stay, and
            ``resume`` goes on after them.
        ManifestError: there is no manifest of a file as it is now, or as of ``reidentify``.
        SecretError: the key can't be had.
    """
    manager = get_default_key_manager() if key_manager is None else key_manager
    return _run(
        _Recovering(manager, check_table=check_table),
        _sources(inputs, output),
        csv=Told(delimiter=delimiter, encoding=encoding, header=header),
        resume=resume,
        force=force,
        on_progress=on_progress,
        on_file=on_file,
        workers=workers,
    )


@dataclass(frozen=True, slots=True)
class _Sources:
    """What a job reads, and where it writes.

    Args:
        tables: by name.
        left_out: the names of files that are no tables.
        folder: of the results.
    """

    tables: Sequence[Source]
    left_out: Sequence[str]
    folder: Location


@dataclass(frozen=True, slots=True)
class _Step(Generic[_Plan]):
    """What is done with one file.

    Args:
        source: what is read.
        state: its size, and what tells its content from another.
        target: where the result goes.
        schema: the columns of the file and of its path.
        plan: what is done.
        facts: what the plan is told from others by.
    """

    source: Source
    state: tuple[int, str]
    target: Location
    schema: pa.Schema
    plan: _Plan
    facts: Sequence[object]


class _Job(ABC, Generic[_Plan]):
    """A job of one kind over many files."""

    kind: ClassVar[str]
    folder_mode: ClassVar[int]

    manager: KeyManager
    key: KeyReference | None = None
    """The one key of the whole job, if it has one of its own."""

    @abstractmethod
    def pin(self, key: KeyReference | None) -> None:
        """Go on under the key that the job was begun with, if it was."""

    @abstractmethod
    def digest(self) -> Callable[[bytes], str] | None:
        """Return the keyed digest that the journal is to use; None for SHA-256."""

    @abstractmethod
    def plan(self, table: TableFile, source: Source) -> tuple[_Plan, Sequence[object]]:
        """Decide what is done with a file, and return what tells that from other plans."""

    @abstractmethod
    def partitions(
        self, plan: _Plan, values: Mapping[str, str | None], own: Collection[str]
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
        target: Location,
        plan: _Plan,
        on_progress: Progress,
        workers: Workers | None,
    ) -> Written:
        """Write the result of a file."""


class _Anonymizing(_Job[PlannedFile]):
    kind = "anonymize"
    folder_mode = 0o777

    def __init__(
        self,
        manager: KeyManager,
        sensitive_columns: Iterable[str] | None,
        rules: Mapping[str, Any],
        kept_metadata: Collection[str],
    ) -> None:
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
                    f"column {name!r} is told by the path, where it has one value for all rows:"
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
        target: Location,
        plan: PlannedFile,
        on_progress: Progress,
        workers: Workers | None,
    ) -> Written:
        table.kept_metadata = self._kept_metadata
        return write_pseudonyms(table, target, plan, on_progress=on_progress, workers=workers)

    def _fetched(self, table: TableFile, source: Source) -> dict[str, Any]:
        manifest = fetched_manifest(table, self._arguments.get("manifest"), source.location)
        return {**self._arguments, "manifest": manifest}


class _Recovering(_Job[Mapping[str, Any]]):
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
        target: Location,
        plan: Mapping[str, Any],
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


def _run(
    job: _Job[_Plan],
    sources: _Sources,
    *,
    csv: Told,
    resume: bool,
    force: bool,
    on_progress: Progress | None,
    on_file: FileDone | None,
    workers: int | None,
) -> WrittenFiles:
    """Plan all files, and only then write the results one by one."""
    folder = sources.folder
    journal = Journal(folder, job.kind)
    with journal.locked():
        journal.read(resume=resume, force=force)
        job.pin(journal.key)
        steps = [
            _planned(job, source, folder, csv, replaces=force or resume)
            for source in sources.tables
        ]
        _check_apart(steps)
        journal.begin(job.key, job.digest())
        to_do = [step for step in steps if not _is_done(journal, step)]
        total = sum(step.state[0] for step in to_do) or 1
        files: list[Written] = []
        before = 0
        with workers_for(job.manager, workers, total) as processes:
            for step in to_do:
                told = partial(_told_of_all, on_progress, before / total, step.state[0] / total)
                with _told_how_far(len(steps) - len(to_do) + len(files), len(steps)):
                    files.append(_do(job, step, csv, told, processes))
                    journal.add(step.source.name, _record(journal, step))
                before += step.state[0]
                if on_file is not None:
                    on_file(files[-1])
    return WrittenFiles(
        output=folder.shown,
        files=tuple(files),
        done_before=len(steps) - len(to_do),
        left_out=tuple(sources.left_out),
    )


def _do(
    job: _Job[_Plan],
    step: _Step[_Plan],
    csv: Told,
    on_progress: Progress,
    workers: Workers | None,
) -> Written:
    step.target.make_folder(job.folder_mode)
    with _opened(step.source, csv) as (table, _, _):
        if table.schema != step.schema or step.source.location.state() != step.state:
            raise SecureMLError(f"{step.source.location.shown} was changed since the job began")
        return job.write(table, step.target, step.plan, on_progress, workers)


def _told_of_all(on_progress: Progress | None, before: float, share: float, done: float) -> None:
    """Tell how much of all files is done, when so much of one is."""
    if on_progress is not None:
        on_progress(min(before + share * done, 1.0))


def _sources(inputs: Address | Iterable[Address], output: Address) -> _Sources:
    folder = location_of(output, "output")
    is_file = isinstance(folder, LocalLocation) and folder.path.is_file()
    if is_file or isinstance(folder, StandardLocation):
        raise ArgumentError.of("output", "is no folder; name one", f"={folder.shown!r}")
    tables, left_out = find_sources(inputs, folder)
    return _Sources(tables, left_out, folder)


def _planned(
    job: _Job[_Plan], source: Source, folder: Location, csv: Told, *, replaces: bool
) -> _Step[_Plan]:
    state = source.location.state()
    with _opened(source, csv) as (table, values, own):
        plan, facts = job.plan(table, source)
        name = renamed(source.name, job.partitions(plan, values, own))
        target = folder.joined(name)
        sidecar = None if table.keeps_manifest else target.beside(SIDECAR)
        check_free(target, sidecar, force=replaces)
        return _Step(source, state, target, table.schema, plan, facts)


@contextlib.contextmanager
def _opened(
    source: Source, csv: Told
) -> Iterator[tuple[TableFile, Mapping[str, str | None], frozenset[str]]]:
    """Lend a table, the values of columns that its path tells, and which of them it has itself."""
    shown = source.location.shown
    try:
        with source.location.reading() as path:
            table = open_told(path, csv, None, source.location)
            values = partitions_of(source.name)
            own = frozenset(values).intersection(table.schema.names)
            told = {name: value for name, value in values.items() if name not in own}
            yield PartitionedTable(table, told) if told else table, values, own
    except (SecretError, ConfigurationError):
        raise
    except SecureMLError as error:
        if shown not in str(error):
            error.args = (f"{shown}: {error}", *error.args[1:])
        raise


def _check_apart(steps: Sequence[_Step[_Plan]]) -> None:
    """Check that no result takes the place of another, or of an input."""
    inputs = {step.source.location.shown for step in steps}
    targets: dict[str, _Step[_Plan]] = {}
    for step in steps:
        first = targets.setdefault(step.target.shown, step)
        if first is not step:
            raise SecureMLError(
                f"{first.source.location.shown} and {step.source.location.shown} would both be"
                f" written to {step.target.shown}: give them names or folders of their own"
            )
        if step.target.shown in inputs:
            raise SecureMLError(f"{step.target.shown} is an input itself: name another output")


def _is_done(journal: Journal, step: _Step[_Plan]) -> bool:
    done = journal.done(step.source.name)
    if done is None:
        return False
    now = _record(journal, step, done.bytes)
    if now.input != done.input:
        raise SecureMLError(
            f"{step.source.location.shown} was changed since it was done: begin anew with --force"
            " (force=True)"
        )
    if now.plan != done.plan:
        raise SecureMLError(
            f"{step.source.location.shown} was done in another way: give the arguments and rules"
            " that the job was begun with, or begin anew with --force (force=True)"
        )
    return step.target.exists() and step.target.state()[0] == done.bytes


def _record(journal: Journal, step: _Step[_Plan], size: int | None = None) -> Done:
    return Done(
        input=journal.digest("input", step.source.name, *step.state),
        plan=journal.digest("plan", step.target.shown, *step.facts),
        bytes=step.target.state()[0] if size is None else size,
    )


@contextlib.contextmanager
def _told_how_far(done: int, count: int) -> Iterator[None]:
    """Let an error tell how many files are complete, and how to go on."""
    try:
        yield
    except SecureMLError as error:
        if error.args and isinstance(error.args[0], str):
            how = "--resume (resume=True) goes on after them"
            text = f"{error.args[0]}. {done} of {count} files are complete: {how}"
            error.args = (text, *error.args[1:])
        raise


def _one_row(values: Mapping[str, str | None]) -> pa.Table:
    return pa.table({name: pa.array([value], pa.string()) for name, value in values.items()})
