"""One file: pseudonymize the table in it, preview that, or recover it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

from secureml.anonymization.arguments import check_levels
from secureml.anonymization.previewing import Preview
from secureml.files.checks import check_columns, check_free, check_target, place_of
from secureml.files.csv import Told
from secureml.files.frames import preview_of
from secureml.files.locations import location_of
from secureml.files.manifests import (
    GivenManifest,
    earlier_manifest,
    fetched_manifest,
    find_manifest,
    open_told,
)
from secureml.files.progress import Progress
from secureml.files.transfer import (
    Written,
    places_of_manifest,
    plan_file,
    write_pseudonyms,
    write_recovered,
)
from secureml.files.workers import workers_for
from secureml.key_management import KeyManager, get_default_key_manager

__all__ = ["anonymize_file", "preview_file", "reidentify_file"]

_LOOKED_AT = 100_000  # rows of a preview


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
    rejects: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
    key_manager: KeyManager | None = None,
    **rules: Any,
) -> Written:
    """Pseudonymize columns of a table in a file, under one version of a key.

    Columns that were pseudonymized before stay so, if they were under the same version.

    Args:
        path: a CSV file, of which every value is text, a Parquet or Feather file, an Arrow stream
            or JSON Lines, plain or compressed by gzip or zstd; its path or URL, or "-" for standard
            input.
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
        rejects: where rows go that could not be pseudonymized under the policies ``on_invalid`` and
            ``small_domain``, in clear and for their owner alone; by default they are an error.
        workers: how many processes work; by default as many as pay, 1 for this process alone.
        on_progress: is called now and then with how much is done.
        key_manager: where keys come from; by default the process's own.
        **rules: the other arguments of ``anonymize``. A function in place of a strategy gets the
            rows in chunks.

    Raises:
        SecureMLError: a file can't be read or written; nothing was changed.
        PseudonymizationError: the file is no table, or as of ``anonymize``.
        SecretError: the key can't be had.
    """
    source, target = location_of(path), place_of(output)
    manager = get_default_key_manager() if key_manager is None else key_manager
    with source.reading() as here:
        table = open_told(
            here, Told(delimiter=delimiter, encoding=encoding, header=header), manifest, source
        )
        check_target(table, source, target)
        places = places_of_manifest(table, target, manifest_output)
        wrong = None if rejects is None else place_of(rejects, "rejects")
        check_free(target, places[0], wrong, force=force)
        table.kept_metadata = keep_metadata
        planned = plan_file(
            table,
            sensitive_columns,
            fetched_manifest(table, manifest, source),
            {**rules, "master_key_name": master_key_name, "key_manager": manager},
        )
        with workers_for(manager, workers, source.state()[0]) as processes:
            return write_pseudonyms(
                table,
                target,
                planned,
                places,
                on_progress=on_progress,
                workers=processes,
                rejects=wrong,
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
    source = location_of(path)
    with source.reading() as here:
        table = open_told(
            here, Told(delimiter=delimiter, encoding=encoding, header=header), manifest, source
        )
        sensitive_columns = check_columns(table, sensitive_columns)
        fetched = fetched_manifest(table, manifest, source)
        arguments = {**arguments, "manifest": earlier_manifest(table, fetched)}
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
    workers: int | None = None,
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
        workers: as for ``anonymize_file``.
        on_progress: is called now and then with how much is done.
        key_manager: where keys come from; by default the process's own.

    Raises:
        SecureMLError: a file can't be read or written; nothing was changed.
        ManifestError: there is no manifest of the file as it is now, or as of ``reidentify``.
        PseudonymizationError: the file is no table, or holds what can't be pseudonyms.
        SecretError: the key can't be had.
    """
    source, target = location_of(path), place_of(output)
    manager = get_default_key_manager() if key_manager is None else key_manager
    with source.reading() as here:
        table = open_told(
            here, Told(delimiter=delimiter, encoding=encoding, header=header), manifest, source
        )
        check_target(table, source, target)
        check_free(target, force=force)
        document = find_manifest(table, fetched_manifest(table, manifest, source))
        with workers_for(manager, workers, source.state()[0]) as processes:
            return write_recovered(
                table,
                target,
                document,
                manager,
                on_progress=on_progress,
                workers=processes,
                check_table=check_table,
            )
