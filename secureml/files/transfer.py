"""From one file to another: the rows of a table, pseudonymized or recovered, and its manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from secureml.anonymization.arguments import Arguments, check_levels, check_method
from secureml.anonymization.merging import merge_columns
from secureml.anonymization.plan import Plan
from secureml.errors import ArgumentError
from secureml.files.base import Chunk, TableFile, TableWriter, changed_schema
from secureml.files.checks import check_columns, check_free, in_rows, of_file, place_of
from secureml.files.compression import beginning_of, writer_of
from secureml.files.frames import (
    anonymized,
    columns_in,
    plan_of,
    read_by_entries,
    read_by_plan,
    recovered,
    versions_of,
)
from secureml.files.locations import Location, StandardLocation
from secureml.files.manifests import (
    PENDING_SIDECAR,
    SIDECAR,
    GivenManifest,
    earlier_manifest,
    pair_text,
)
from secureml.files.pipeline import Pipeline
from secureml.files.progress import Progress
from secureml.files.rejects import Rejects
from secureml.files.storage import digest_of_open
from secureml.files.workers import Function, Outcome, Work, Workers
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest

__all__ = [
    "PlannedFile",
    "Written",
    "places_of_manifest",
    "plan_file",
    "write_pseudonyms",
    "write_recovered",
]

_PRIVATE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written.

    Args:
        path: the table: a path, or a URL without credentials.
        rows: how many it has.
        manifest: of the table; None if it was recovered.
        manifest_path: where the manifest lies, if not in the table's own file.
        about: how a file of text was read and is written, such as its encoding.
        rejected: how many more rows were rejected.
        rejects: where these are, in clear; None for none.
    """

    path: Path | str
    rows: int
    manifest: Mapping[str, Any] | None = None
    manifest_path: Path | str | None = None
    about: str | None = None
    rejected: int = 0
    rejects: Path | str | None = None


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """What is done with a table.

    Args:
        plan: how each column is replaced.
        keyring: of the plan's key.
        earlier: the manifest of columns that were pseudonymized before, or None.
    """

    plan: Plan
    keyring: Keyring
    earlier: Manifest | None

    @property
    def older_columns(self) -> Mapping[str, Entry]:
        """The columns that were pseudonymized before."""
        return {} if self.earlier is None else self.earlier.columns


@dataclass(frozen=True)
class _Pseudonymizing(Work):
    """Replaces the columns of a plan."""

    plan: Plan

    def begin(self, manager: KeyManager) -> Function:
        return partial(_pseudonymized, self.plan, self.plan.keyring(manager))


@dataclass(frozen=True)
class _Recovering(Work):
    """Recovers the columns of a manifest."""

    document: Mapping[str, Any]
    check_table: bool

    def begin(self, manager: KeyManager) -> Function:
        return partial(_recovered, self.document, manager, self.check_table)


def _pseudonymized(
    plan: Plan, keyring: Keyring, columns: pa.Table, schema: pa.Schema | None
) -> Outcome:
    return anonymized(columns, plan, keyring, schema)


def _recovered(
    document: Mapping[str, Any],
    manager: KeyManager,
    check_table: bool,
    columns: pa.Table,
    schema: pa.Schema | None,
) -> Outcome:
    return recovered(columns, document, manager, schema, check_table=check_table), None


def plan_file(
    table: TableFile,
    sensitive_columns: Iterable[str] | None,
    manifest: GivenManifest | None,
    arguments: Mapping[str, Any],
) -> PlannedFile:
    """Decide what is done with each column of a table in a file.

    Args:
        table: the table.
        sensitive_columns: as for ``anonymize``.
        manifest: as for ``anonymize_file``.
        arguments: the others of ``anonymize``.

    Raises:
        ManifestError: the table has a manifest that can't be extended.
        PseudonymizationError: an argument or a column can't be used.
        SecretError: the key can't be had.
    """
    arguments = dict(arguments)
    check_method(arguments.pop("method", "pseudonymization"))
    planned = PlannedFile(
        *plan_of(
            table,
            arguments.pop("strategy", None),
            check_columns(table, sensitive_columns),
            cast(Arguments, arguments),
            earlier_manifest(table, manifest),
        )
    )
    check_levels(table.levels, {**planned.older_columns, **planned.plan.columns})
    return planned


def write_pseudonyms(
    table: TableFile,
    target: Location,
    planned: PlannedFile,
    places: tuple[Location | None, Location | None] | None = None,
    *,
    on_progress: Progress | None = None,
    workers: Workers | None = None,
    rejects: Location | None = None,
) -> Written:
    """Write a table with the columns of its plan replaced, and its manifest.

    Args:
        table: what is read.
        target: where the result goes; what is there is replaced.
        planned: what is done.
        places: where the manifest goes, and where it lies until the table is in place; by default
            beside the target, if the table does not hold it.
        on_progress: is called after each chunk.
        workers: processes that help.
        rejects: where rows go that can't be replaced; by default they are an error.

    Raises:
        SecureMLError: a file can't be read or written; what was there is as it was.
        PseudonymizationError: the columns hold what can't be replaced.
    """
    plan, keyring, earlier = planned.plan, planned.keyring, planned.earlier
    sidecar, pending = places_of_manifest(table, target, None) if places is None else places
    check_free(pending, force=True)
    entries: dict[str, Entry] = {}

    def keep(new: dict[str, Entry]) -> None:
        entries.update(merge_columns([entries, new], lambda _: keyring) if entries else new)

    function = partial(_pseudonymized, plan, keyring)
    if plan.functions:
        workers = None  # they may be known to this process alone
    mode = table.path.stat().st_mode & 0o666
    with target.writing(mode) as file, Rejects(table, rejects) as rejected:
        rows, writer = _transfer(
            table,
            target,
            file,
            _Pseudonymizing(plan),
            function,
            needed=read_by_plan(plan),
            on_progress=on_progress,
            workers=workers,
            rejects=rejected,
            keep=keep,
        )
        older = () if earlier is None else earlier.older
        columns = {**planned.older_columns, **entries}
        document = Manifest.of(keyring, columns, older).document()
        writer.close(json.dumps(document))
        if pending is not None:
            # Before the table: whoever sees the table has its manifest. Beside that of the table
            # that is there, which is good until it is replaced.
            text = pair_text(document, digest_of_open(file), table.untold(beginning_of(file)))
            with pending.writing(mode) as beside:
                beside.write(text.encode())
    if pending is not None and sidecar is not None and pending != sidecar:
        pending.rename(sidecar)
    return Written(
        path=target.address,
        rows=rows,
        manifest=document,
        manifest_path=None if sidecar is None else sidecar.address,
        about=table.about,
        rejected=rejected.rows,
        rejects=rejects.address if rejects is not None and rejected.rows else None,
    )


def write_recovered(
    table: TableFile,
    target: Location,
    document: Mapping[str, Any],
    manager: KeyManager,
    *,
    on_progress: Progress | None = None,
    workers: Workers | None = None,
    check_table: bool = True,
) -> Written:
    """Write a table with the columns of its manifest recovered.

    Args:
        table: what is read.
        target: where the result goes; what is there is replaced.
        document: the manifest.
        manager: where keys come from.
        on_progress: is called after each chunk.
        workers: processes that help.
        check_table: as for ``reidentify``.

    Raises:
        SecureMLError: a file can't be read or written; what was there is as it was.
        ManifestError: as of ``reidentify``.
        PseudonymizationError: the table holds what can't be pseudonyms.
        SecretError: the key can't be had.
    """
    entries = Manifest.parse(document).columns
    work = _Recovering(document, check_table)
    reversible = {name: entry for name, entry in entries.items() if entry.recipe.reversible}
    there = columns_in(table)
    dropped = versions_of({name: entry for name, entry in reversible.items() if name in there})
    with target.writing(_PRIVATE) as file, of_file(table.path):
        rows, writer = _transfer(
            table,
            target,
            file,
            work,
            work.begin(manager),
            needed=read_by_entries(entries),
            on_progress=on_progress,
            workers=workers,
            rejects=Rejects(table, None),
            dropped=dropped,
        )
        writer.close(None)
    return Written(path=target.address, rows=rows, about=table.about)


def places_of_manifest(
    table: TableFile, target: Location, given: str | os.PathLike[str] | None
) -> tuple[Location | None, Location | None]:
    """Return where the manifest goes, and where it lies until the table is in place.

    Raises:
        ArgumentError: it has no place, or one is given and there is another.
    """
    if not isinstance(target, StandardLocation):
        if given is not None:
            raise ArgumentError.of("manifest_output", "is for standard output alone")
        if table.keeps_manifest:
            return None, None
        return target.beside(SIDECAR), target.beside(PENDING_SIDECAR)
    if given is None:
        if table.keeps_manifest:
            return None, None
        raise ArgumentError.of("manifest_output", "is missing: standard output holds no manifest")
    place = place_of(given, "manifest_output")
    return place, place


def _transfer(
    table: TableFile,
    target: Location,
    file: BinaryIO,
    work: Work,
    function: Function,
    *,
    needed: Collection[str],
    on_progress: Progress | None,
    workers: Workers | None,
    rejects: Rejects,
    dropped: Collection[str] = (),
    keep: Callable[[Any], object] = lambda _: None,
) -> tuple[int, TableWriter]:
    """Write a table anew, chunk by chunk.

    Args:
        table: what is read.
        target: where it goes.
        file: what is written.
        work: makes new columns of those that it needs.
        function: does the work in this process; the first rows tell the schema of all.
        needed: the names of the columns that it needs.
        on_progress: is called after each chunk.
        workers: processes that help.
        rejects: takes rows that can't be replaced.
        dropped: the names of columns that are not written.
        keep: takes what is told of each chunk.

    Returns:
        How many rows there are, and the writer, which is to be closed.
    """
    rows, read, writer, schema = 0, 0, None, None

    def outcomes(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Callable[[], Outcome]]]:
        first = next(chunks)
        yield first, partial(function, first.table, None)
        if workers is not None and schema is not None and needed:
            yield from workers.map(work, function, chunks, schema)
            return
        for chunk in chunks:
            yield chunk, partial(function, chunk.table, schema)

    with Pipeline() as pipeline:
        for whole, outcome in outcomes(pipeline.ahead(table.chunks(needed))):
            with in_rows(read, len(whole)):
                chunk, (columns, told) = rejects.accepted(whole, outcome, function, schema)
                keep(told)
            if writer is None:
                schema = columns.schema
                changed = changed_schema(table.schema, schema, dropped)
                writer = writer_of(table, Path(target.shown), file, changed)
            pipeline.behind(partial(_write, writer, chunk, columns, read))
            rows += len(chunk)
            read += len(whole)
            if on_progress is not None:
                on_progress(table.done(read))
        pipeline.finish()
    assert writer is not None
    return rows, writer


def _write(writer: TableWriter, chunk: Chunk, columns: pa.Table, first: int) -> None:
    with in_rows(first, len(chunk)):
        writer.write(chunk, columns)
