"""From one file to another: pseudonymize a table, preview that, or recover it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from secureml.anonymization.arguments import Arguments, check_levels, check_method
from secureml.anonymization.merging import merge_columns
from secureml.anonymization.previewing import Preview
from secureml.atomic_files import check_replaceable, put_in_place, write_file
from secureml.errors import ArgumentError
from secureml.files.base import TableFile, TableWriter, changed_schema
from secureml.files.checks import (
    Progress,
    check_absent,
    check_columns,
    check_output,
    in_rows,
    of_file,
    target_of,
)
from secureml.files.compression import writer_of
from secureml.files.csv import Told
from secureml.files.frames import (
    anonymized,
    plan_of,
    preview_of,
    read_by_entries,
    read_by_plan,
    recovered,
    versions_of,
)
from secureml.files.manifests import (
    GivenManifest,
    earlier_manifest,
    find_manifest,
    open_told,
    pair_text,
    pending_of,
    sidecar_of,
)
from secureml.files.standard import STANDARD, new_output
from secureml.files.storage import digest_of_open
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest

__all__ = ["Written", "anonymize_file", "preview_file", "reidentify_file"]

_LOOKED_AT = 100_000  # rows of a preview
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written.

    Args:
        path: the table.
        rows: how many it has.
        manifest: of the table; None if it was recovered.
        manifest_path: where the manifest lies, if not in the table's own file.
        about: how a file of text was read and is written, such as its encoding.
    """

    path: Path
    rows: int
    manifest: Mapping[str, Any] | None = None
    manifest_path: Path | None = None
    about: str | None = None


def anonymize_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    sensitive_columns: Iterable[str] | None = None,
    *,
    master_key_name: str | None = None,
    manifest: GivenManifest | None = None,
    manifest_output: str | os.PathLike[str] | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    force: bool = False,
    keep_metadata: Collection[str] = (),
    on_progress: Progress | None = None,
    key_manager: KeyManager | None = None,
    **rules: Any,
) -> Written:
    """Pseudonymize columns of a table in a file, under one version of a key.

    Columns that were pseudonymized before stay so, if they were under the same version.

    Args:
        path: a CSV file, of which every value is text, a Parquet or Feather file, an Arrow stream
            or JSON Lines, plain or compressed by gzip or zstd; "-" for standard input.
        output: where the result is written, with its manifest: in the metadata of Parquet and
            Feather, or beside CSV and JSON Lines as ``<output>.manifest.json``. Its suffix tells
            the compression, else that is the input's. "-" for standard output.
        sensitive_columns: as for ``anonymize``.
        master_key_name: as for ``anonymize``.
        manifest: of columns that were pseudonymized before, or its path; by default the one in or
            beside the file, if there is one.
        manifest_output: where the manifest goes, for standard output alone: CSV and JSON Lines do
            not hold it.
        delimiter: what separates the values of CSV; by default what does so in its first lines, of
            ``, ; tab |``.
        encoding: of CSV; by default UTF-8, or what a byte order mark tells.
        header: whether the first line of CSV names the columns, which it does by default; without
            a header they are "1", "2", and so on.
        force: replace an output that is there.
        keep_metadata: which keys of the metadata of Parquet and Feather stay, besides those that
            describe columns: any program may keep values there.
        on_progress: is called now and then.
        key_manager: where keys come from; by default the process's own.
        **rules: the other arguments of ``anonymize``. A function in place of a strategy gets the
            rows in chunks.

    Raises:
        SecureMLError: a file can't be read or written; nothing was changed.
        PseudonymizationError: the file is no table, or as of ``anonymize``.
        SecretError: the key can't be had.
    """
    table = open_told(path, Told(delimiter=delimiter, encoding=encoding, header=header), manifest)
    target = check_output(table, output)
    sidecar, pending = _places_of_manifest(table, target, manifest_output)
    check_absent(target, sidecar, force=force)
    if pending is not None:
        check_replaceable(pending)
    table.kept_metadata = keep_metadata
    check_method(rules.pop("method", "pseudonymization"))
    plan, keyring, earlier = plan_of(
        table,
        rules.pop("strategy", None),
        check_columns(table, sensitive_columns),
        cast(Arguments, {**rules, "master_key_name": master_key_name, "key_manager": key_manager}),
        earlier_manifest(table, manifest),
    )
    older_columns = {} if earlier is None else earlier.columns
    check_levels(table.levels, {**older_columns, **plan.columns})
    entries: dict[str, Entry] = {}

    def replaced(columns: pa.Table, schema: pa.Schema | None) -> pa.Table:
        columns, new = anonymized(columns, plan, keyring, schema)
        entries.update(merge_columns([entries, new], lambda _: keyring) if entries else new)
        return columns

    mode = table.path.stat().st_mode & 0o666
    with new_output(target, mode) as file:
        rows, writer = _transfer(
            table, target, file, replaced, read_by_plan(plan), on_progress=on_progress
        )
        older = () if earlier is None else earlier.older
        document = Manifest.of(keyring, {**older_columns, **entries}, older).document()
        writer.close(json.dumps(document))
        if pending is not None:
            # Before the table: whoever sees the table has its manifest. Beside that of the table
            # that is there, which is good until it is replaced.
            text = pair_text(document, digest_of_open(file), table.untold(file))
            write_file(pending, text.encode(), mode)
    if pending is not None and sidecar is not None and pending != sidecar:
        put_in_place(pending, sidecar)
    return Written(
        path=target, rows=rows, manifest=document, manifest_path=sidecar, about=table.about
    )


def preview_file(
    path: str | os.PathLike[str],
    sensitive_columns: Iterable[str] | None = None,
    *,
    rows: int = 5,
    manifest: GivenManifest | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    **arguments: Any,
) -> Preview:
    """Show what ``anonymize_file`` would make of the first 100,000 rows of a file.

    Args:
        path: as for ``anonymize_file``.
        sensitive_columns: as for ``anonymize``.
        rows: how many rows to show before and after.
        manifest: as for ``anonymize_file``.
        delimiter: what separates the values of CSV; by default what does so in its first lines, of
            ``, ; tab |``.
        encoding: of CSV; by default UTF-8, or what a byte order mark tells.
        header: whether the first line of CSV names the columns, which it does by default; without
            a header they are "1", "2", and so on.
        **arguments: the other arguments of ``anonymize``.

    Raises:
        SecureMLError: the file can't be read.
        PseudonymizationError: the file is no table, or an argument does not fit.
        SecretError: the key can't be had.
    """
    table = open_told(path, Told(delimiter=delimiter, encoding=encoding, header=header), manifest)
    sensitive_columns = check_columns(table, sensitive_columns)
    arguments = {**arguments, "manifest": earlier_manifest(table, manifest)}
    shown = preview_of(table, _LOOKED_AT, rows, sensitive_columns, arguments)
    check_levels(table.levels, [column.column for column in shown.columns])
    return shown


def reidentify_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    manifest: GivenManifest | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    force: bool = False,
    check_table: bool = True,
    on_progress: Progress | None = None,
    key_manager: KeyManager | None = None,
) -> Written:
    """Recover the columns of a table in a file.

    Args:
        path: as for ``anonymize_file``.
        output: where the result is written; its owner alone can read it. "-" for standard output.
        manifest: the manifest or its path; by default the one in or beside the file, which is of
            the file as it is now.
        delimiter: what separates the values of CSV; by default what does so in its first lines, of
            ``, ; tab |``.
        encoding: of CSV; by default UTF-8, or what a byte order mark tells.
        header: whether the first line of CSV names the columns, which it does by default; without
            a header they are "1", "2", and so on.
        force: replace an output that is there.
        check_table: as for ``reidentify``.
        on_progress: is called now and then.
        key_manager: where keys come from; by default the process's own.

    Raises:
        SecureMLError: a file can't be read or written; nothing was changed.
        ManifestError: there is no manifest of the file as it is now, or as of ``reidentify``.
        PseudonymizationError: the file is no table, or holds what can't be pseudonyms.
        SecretError: the key can't be had.
    """
    table = open_told(path, Told(delimiter=delimiter, encoding=encoding, header=header), manifest)
    target = check_output(table, output)
    check_absent(target, force=force)
    document = find_manifest(table, manifest)
    entries = Manifest.parse(document).columns
    manager = get_default_key_manager() if key_manager is None else key_manager

    def work(columns: pa.Table, schema: pa.Schema | None) -> pa.Table:
        return recovered(columns, document, manager, schema, check_table=check_table)

    reversible = {name: entry for name, entry in entries.items() if entry.recipe.reversible}
    dropped = versions_of(
        {name: reversible[name] for name in table.schema.names if name in reversible}
    )
    with new_output(target, _PRIVATE) as file, of_file(table.path):
        needed = read_by_entries(entries)
        rows, writer = _transfer(
            table, target, file, work, needed, on_progress=on_progress, dropped=dropped
        )
        writer.close(None)
    return Written(path=target, rows=rows, about=table.about)


def _places_of_manifest(
    table: TableFile, target: Path, given: str | os.PathLike[str] | None
) -> tuple[Path | None, Path | None]:
    """Return where the manifest goes, and where it lies until the table is in place.

    Raises:
        ArgumentError: it has no place, or one is given and there is another.
    """
    if target != STANDARD:
        if given is not None:
            raise ArgumentError.of("manifest_output", "is for standard output alone")
        return (None, None) if table.keeps_manifest else (sidecar_of(target), pending_of(target))
    if given is None:
        if table.keeps_manifest:
            return None, None
        raise ArgumentError.of("manifest_output", "is missing: standard output holds no manifest")
    place = target_of(given, "manifest_output")
    return place, place


def _transfer(
    table: TableFile,
    target: Path,
    file: BinaryIO,
    work: Callable[[pa.Table, pa.Schema | None], pa.Table],
    needed: Collection[str],
    *,
    on_progress: Progress | None,
    dropped: Collection[str] = (),
) -> tuple[int, TableWriter]:
    """Write a table anew, chunk by chunk.

    Args:
        table: what is read.
        target: the name of what is written.
        file: what is written.
        work: makes new columns of those that it needs, of a schema that the first ones tell.
        needed: the names of the columns that it needs.
        on_progress: is called after each chunk.
        dropped: the names of columns that are not written.

    Returns:
        How many rows there are, and the writer, which is to be closed.
    """
    rows, writer, schema = 0, None, None
    for chunk in table.chunks(needed):
        with in_rows(rows, len(chunk)):
            columns = work(chunk.table, schema)
            if writer is None:
                schema = columns.schema
                changed = changed_schema(table.schema, schema, dropped)
                writer = writer_of(table, target, file, changed)
            writer.write(chunk, columns)
        rows += len(chunk)
        if on_progress is not None:
            on_progress(table.fraction)
    assert writer is not None
    return rows, writer
