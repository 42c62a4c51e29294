"""Jobs over many files: folders, globs, lists and hive-partitioned datasets, under one plan."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic

import pyarrow as pa

from secureml.errors import ArgumentError, ConfigurationError, SecretError, SecureMLError
from secureml.files.base import TableFile
from secureml.files.checks import check_free
from secureml.files.csv import Told
from secureml.files.inputs import Source, find_sources
from secureml.files.jobs import Anonymizing, FilePlan, Job, Recovering
from secureml.files.journal import Finished, Journal
from secureml.files.locations import (
    Address,
    LocalLocation,
    Location,
    StandardLocation,
    location_of,
)
from secureml.files.manifests import SIDECAR, open_told
from secureml.files.partitions import PartitionedTable, partitions_of, renamed
from secureml.files.progress import Done, Progress
from secureml.files.transfer import Written
from secureml.files.workers import Workers, workers_for
from secureml.key_management import KeyManager, get_default_key_manager

__all__ = ["FileDone", "WrittenFiles", "anonymize_files", "reidentify_files"]

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
    """

    output: str
    files: tuple[Written, ...]
    done_before: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows were written."""
        return sum(written.rows for written in self.files)

    @property
    def rejected(self) -> int:
        """How many more rows were rejected."""
        return sum(written.rejected for written in self.files)


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
        rejects: the folder below which rows go that could not be pseudonymized under the policies
            ``on_invalid`` and ``small_domain``, in clear, for their owner alone and under the names
            of the inputs; by default they are an error.
        keep_metadata: as for ``anonymize_file``.
        delimiter: as for ``anonymize_file``, like ``encoding`` and ``header``.
        encoding: of CSV.
        header: whether CSV has one.
        on_progress: is called now and then with how much is done.
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
    place = None if rejects is None else location_of(rejects, "rejects")
    job = Anonymizing(manager, sensitive_columns, rules, keep_metadata, place)
    return _run(
        job,
        _sources(inputs, output, place),
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
        on_progress: is called now and then with how much is done.
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
        Recovering(manager, check_table=check_table),
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
class _Step(Generic[FilePlan]):
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
    plan: FilePlan
    facts: Sequence[object]


def _run(
    job: Job[FilePlan],
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
                complete = len(steps) - len(to_do) + len(files)
                rows = sum(written.rows for written in files)
                told = partial(
                    _told_of_all, on_progress, (complete + 1, len(steps)), rows, (before, total)
                )
                with _told_how_far(complete, len(steps)):
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
    job: Job[FilePlan],
    step: _Step[FilePlan],
    csv: Told,
    on_progress: Progress,
    workers: Workers | None,
) -> Written:
    step.target.make_folder(job.folder_mode)
    with _opened(step.source, csv) as (table, _, _):
        if table.schema != step.schema or step.source.location.state() != step.state:
            raise SecureMLError(f"{step.source.location.shown} was changed since the job began")
        return job.write(
            table,
            step.source,
            step.target,
            step.plan,
            on_progress=on_progress,
            workers=workers,
        )


def _told_of_all(
    on_progress: Progress | None,
    file: tuple[int, int],
    rows: int,
    size: tuple[int, int],
    done: Done,
) -> None:
    """Tell how much of all files is done, when so much of one is.

    Args:
        on_progress: is told.
        file: its number, and how many files there are.
        rows: how many rows the files before it have.
        size: how many bytes the files before it have, and how many all.
        done: how much of it is done.
    """
    if on_progress is not None:
        before, total = size
        on_progress(done.among(file, rows=rows, bytes=before, total=total))


def _sources(
    inputs: Address | Iterable[Address], output: Address, rejects: Location | None = None
) -> _Sources:
    folder = location_of(output, "output")
    is_file = isinstance(folder, LocalLocation) and folder.path.is_file()
    if is_file or isinstance(folder, StandardLocation):
        raise ArgumentError.of("output", "is no folder; name one", f"={folder.shown!r}")
    tables, left_out = find_sources(inputs, folder, rejects)
    return _Sources(tables, left_out, folder)


def _planned(
    job: Job[FilePlan], source: Source, folder: Location, csv: Told, *, replaces: bool
) -> _Step[FilePlan]:
    state = source.location.state()
    with _opened(source, csv) as (table, values, own):
        plan, facts = job.plan(table, source)
        name = renamed(source.name, job.partitions(plan, values, own))
        target = folder.joined(name)
        sidecar = None if table.keeps_manifest else target.beside(SIDECAR)
        rejects = None if job.rejects is None else job.rejects.joined(source.name)
        check_free(target, sidecar, rejects, force=replaces)
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
        if shown not in error.message:
            error.reword(f"{shown}: {error.message}")
        raise


def _check_apart(steps: Sequence[_Step[FilePlan]]) -> None:
    """Check that no result takes the place of another, or of an input."""
    inputs = {step.source.location.shown for step in steps}
    targets: dict[str, _Step[FilePlan]] = {}
    for step in steps:
        first = targets.setdefault(step.target.shown, step)
        if first is not step:
            raise SecureMLError(
                f"{first.source.location.shown} and {step.source.location.shown} would both be"
                f" written to {step.target.shown}: give them names or folders of their own"
            )
        if step.target.shown in inputs:
            raise SecureMLError(f"{step.target.shown} is an input itself: name another output")


def _is_done(journal: Journal, step: _Step[FilePlan]) -> bool:
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


def _record(journal: Journal, step: _Step[FilePlan], size: int | None = None) -> Finished:
    return Finished(
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
        how = "--resume (resume=True) goes on after them"
        error.reword(f"{error.message}. {done} of {count} files are complete: {how}")
        raise
