"""From one file to another: pseudonymize its columns, or recover them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secureml.anonymization import anonymize, reidentify
from secureml.anonymization.keyrings import keyring_of
from secureml.atomic_files import check_replaceable, new_file, put_in_place, write_file
from secureml.files.checks import (
    Progress,
    check_absent,
    check_columns,
    check_output,
    in_rows,
    of_file,
)
from secureml.files.frames import frame_of, pseudonyms_of, with_frame
from secureml.files.manifests import (
    GivenManifest,
    attached_text,
    earlier_manifest,
    find_manifest,
    merged,
    pair_text,
    pending_of,
    sidecar_of,
)
from secureml.files.storage import digest_of_open, mode_of
from secureml.files.tables import open_table
from secureml.frames.pandas import ATTRIBUTE, check_levels
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.manifest import Manifest

__all__ = ["Written", "anonymize_file", "reidentify_file"]

_PRIVATE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written.

    Args:
        path: the table.
        rows: how many it has.
        manifest: of the table; None if it was recovered.
        manifest_path: where the manifest lies, if not in the table's own file.
    """

    path: Path
    rows: int
    manifest: Mapping[str, Any] | None = None
    manifest_path: Path | None = None


def anonymize_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    sensitive_columns: Iterable[str] | None = None,
    *,
    master_key_name: str | None = None,
    manifest: GivenManifest | None = None,
    delimiter: str = ",",
    force: bool = False,
    on_progress: Progress | None = None,
    key_manager: KeyManager | None = None,
    **rules: Any,
) -> Written:
    """Pseudonymize columns of a table in a file, under one version of a key.

    Columns that were pseudonymized before stay so, if they were under the same version.

    Args:
        path: a CSV file, of which every value is text, or a Parquet file.
        output: where the result is written, with its manifest: in a Parquet file's own metadata,
            or beside a CSV file as ``<output>.manifest.json``.
        sensitive_columns: as for ``anonymize``.
        master_key_name: as for ``anonymize``.
        manifest: of columns that were pseudonymized before, or its path; by default the one in or
            beside the file, if there is one.
        delimiter: of CSV.
        force: replace an output that is there.
        on_progress: is called now and then.
        key_manager: where keys come from; by default the process's own.
        **rules: the other arguments of ``anonymize``. A function in place of a strategy gets the
            rows in chunks.

    Raises:
        SecureMLError: a file can't be read or written; nothing was changed.
        PseudonymizationError: the file is no table, or as of ``anonymize``.
        SecretError: the key can't be had.
    """
    table = open_table(path, delimiter)
    target = check_output(table, output)
    sidecar = None if table.keeps_manifest else sidecar_of(target)
    check_absent(target, sidecar, force=force)
    if sidecar is not None:
        check_replaceable(pending_of(target))
    if sensitive_columns is not None and not isinstance(sensitive_columns, str):
        sensitive_columns = list(sensitive_columns)
        check_columns(table, sensitive_columns)
    earlier = earlier_manifest(table, manifest)
    manager = get_default_key_manager() if key_manager is None else key_manager
    key = manager.get_key(master_key_name)
    whole = {} if earlier is None else dict(Manifest.parse(earlier).columns)
    mode = mode_of(table.path) & 0o666

    rows, writer, schema = 0, None, None
    with new_file(target, mode) as file:

        def parts() -> Iterator[Mapping[str, Any]]:
            """Write the chunks, and give the manifest of each."""
            nonlocal rows, writer, schema
            for chunk in table.chunks():
                frame = frame_of(chunk)
                if earlier is not None:
                    frame.attrs[ATTRIBUTE] = earlier
                with in_rows(rows, chunk.num_rows):
                    hidden = anonymize(
                        frame,
                        sensitive_columns=sensitive_columns,
                        key_manager=manager,
                        master_key_name=key.name,
                        master_key_version=key.version,
                        **rules,
                    )
                part = hidden.attrs[ATTRIBUTE]
                check_levels(table.levels, part["columns"])
                made = with_frame(chunk, hidden, part["columns"].keys() - whole.keys(), schema)
                if writer is None:
                    schema = made.schema
                    writer = table.writer(file, schema)
                with in_rows(rows, chunk.num_rows):
                    writer.write(made)
                rows += chunk.num_rows
                yield part
                if on_progress is not None:
                    on_progress(table.fraction)

        document = merged(parts(), whole, keyring_of(manager, key.name, key.version))
        assert writer is not None
        writer.close(attached_text(document))
        if sidecar is not None:
            # Before the table: whoever sees the table has its manifest. Beside that of the table
            # that is there, which is good until it is replaced.
            text = pair_text(document, digest_of_open(file))
            write_file(pending_of(target), text.encode(), mode)
    if sidecar is not None:
        put_in_place(pending_of(target), sidecar)
    return Written(path=target, rows=rows, manifest=document, manifest_path=sidecar)


def reidentify_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    manifest: GivenManifest | None = None,
    delimiter: str = ",",
    force: bool = False,
    check_table: bool = True,
    on_progress: Progress | None = None,
    key_manager: KeyManager | None = None,
) -> Written:
    """Recover the columns of a table in a file.

    Args:
        path: a CSV or Parquet file.
        output: where the result is written; its owner alone can read it.
        manifest: the manifest or its path; by default the one in or beside the file, which is of
            the file as it is now.
        delimiter: of CSV.
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
    table = open_table(path, delimiter)
    target = check_output(table, output)
    check_absent(target, force=force)
    document = find_manifest(table, manifest)
    entries = Manifest.parse(document).columns
    manager = get_default_key_manager() if key_manager is None else key_manager
    rows, writer, schema = 0, None, None
    with new_file(target, _PRIVATE) as file, of_file(table.path):
        for chunk in table.chunks():
            with in_rows(rows, chunk.num_rows):
                plain = reidentify(
                    pseudonyms_of(chunk, entries),
                    document,
                    check_table=check_table,
                    key_manager=manager,
                )
            replaced = {name for name, entry in entries.items() if entry.recipe.reversible}
            made = with_frame(chunk, plain, replaced, schema)
            if writer is None:
                schema = made.schema
                writer = table.writer(file, schema)
            writer.write(made)
            rows += chunk.num_rows
            if on_progress is not None:
                on_progress(table.fraction)
        assert writer is not None
        writer.close(None)
    return Written(path=target, rows=rows)
