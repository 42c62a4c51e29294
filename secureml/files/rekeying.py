"""Move a table in a file to another key, so that it survives being stopped at any moment.

Done chunks are kept in a folder beside the file. When all are done, the new file and its manifest
are made there, then a record that they are complete, and only then they are put in place. Until
the record, the file is as it was; from it on, every later run puts in place what is not yet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from secureml.anonymization.arguments import check_levels
from secureml.anonymization.merging import merge_columns
from secureml.anonymization.recovery import check_complete, warn_of_columns
from secureml.errors import SecureMLError
from secureml.files.base import TableFile, changed_schema
from secureml.files.checks import (
    check_absent,
    check_output,
    in_rows,
    of_file,
    target_of,
)
from secureml.files.compression import beginning_of, writer_of
from secureml.files.csv import Told
from secureml.files.frames import columns_in, read_by_entries, rekeyed
from secureml.files.kinds import open_table
from secureml.files.manifests import (
    GivenManifest,
    document_in,
    find_manifest,
    open_told,
    pair_text,
    sidecar_of,
    work_folder_of,
)
from secureml.files.progress import Progress
from secureml.files.rekey_plan import RekeyPlan
from secureml.files.standard import STANDARD
from secureml.files.storage import digest_of, digest_of_open
from secureml.files.transfer import Written
from secureml.files.work import Work
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.keys import Keyring, keyring_of, keyring_that_made
from secureml.pseudonymization.manifest import Column, Manifest

__all__ = ["rekey_file"]


def rekey_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    to_key: str | None = None,
    manifest: GivenManifest | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    force: bool = False,
    drop_missing: bool = False,
    check_table: bool = True,
    on_progress: Progress | None = None,
    key_manager: KeyManager | None = None,
) -> Written:
    """Replace the pseudonyms of a table in a file by those under another key.

    What was stopped goes on where it was when it is called again in the same way, and to the same
    version of the key, even if there is a newer one by then.

    Args:
        path: a CSV or Parquet file.
        output: where the result is written; by default it replaces the file and its manifest.
        to_key: the name of the new key; by default the newest version of the manifest's key.
        manifest: as for ``reidentify_file``.
        delimiter: what separates the values of CSV; by default what does so in its first lines, of
            ``, ; tab |``.
        encoding: of CSV; by default UTF-8, or what a byte order mark tells.
        header: whether the first line of CSV names the columns, which it does by default; without
            a header they are "1", "2", and so on.
        force: replace an output that is there.
        drop_missing: as for ``rekey``.
        check_table: as for ``rekey``.
        on_progress: is called now and then with how much is done.
        key_manager: where both keys come from; by default the process's own.

    Raises:
        SecureMLError: a file can't be read or written, another rekey of it is running, or the
            file was changed since one was stopped. The file is as it was.
        ManifestError: as of ``reidentify_file``.
        PseudonymizationError: the file is no table, or holds what can't be pseudonyms.
        SecretError: a key can't be had.
    """
    if str(STANDARD) in (path, output):
        raise SecureMLError("a rekey goes on after a crash, so it takes files: - is none")
    manager = get_default_key_manager() if key_manager is None else key_manager
    target = target_of(path, "path") if output is None else target_of(output)
    with Work.locked(work_folder_of(target)) as work, of_file(path):
        place: Path | None = sidecar_of(target)
        if output is None and isinstance(manifest, str | os.PathLike):
            place = Path(os.path.realpath(manifest))
        plan = _begun(work, target, place, manager)
        if plan is not None and plan.rows is not None:
            return _put_in_place(work, target, None if plan.place is None else place, plan.rows)
        table = open_told(
            path, Told(delimiter=delimiter, encoding=encoding, header=header), manifest
        )
        if output is not None:
            check_output(table, output)
        if table.keeps_manifest:
            place = None
        document = find_manifest(table, manifest)
        parsed = Manifest.parse(document)
        check_levels(table.levels, parsed.columns)
        if not drop_missing:
            check_complete(columns_in(table), parsed)
        if plan is None:
            if output is not None:
                check_absent(target, place, force=force)
            name = parsed.key.name if to_key is None else to_key
            # A cached version may have been followed by a newer one, which is what is wanted.
            manager.invalidate(name)
            current = keyring_of(manager, name)
            key = current.reference
            versions = any(column.versions for column in parsed.columns.values())
            # A number alone may have become another key's.
            is_same = current.is_of(parsed.key) and (key.name, key.version) == (
                parsed.key.name,
                parsed.key.version,
            )
            if output is None and not versions and is_same:
                parsed.check(current)
                counts = [column.counts for column in parsed.columns.values()]
                rows = max((one.rows for one in counts if one is not None), default=None)
                if rows is None:
                    rows = sum(map(len, table.chunks()))
                return Written(path=target, rows=rows, manifest=document, manifest_path=place)
            plan = RekeyPlan(
                data=digest_of(table.path),
                manifest=document,
                key_name=key.name,
                key_version=key.version,
                target=target.name,
                place=_relative(place, target),
            )
            work.begin(plan.sealed(manager))
        else:
            plan.check(digest_of(table.path), document, to_key, work.folder)
            work.resume()
        new = keyring_of(manager, plan.key_name, plan.key_version)
        rekey = _Rekey(work, plan, table, parsed, manager, new)
        rekey.do_chunks(on_progress, check_table=check_table)
        if output is not None:
            check_absent(target, place, force=force)
        rekey.complete(target, place)
        return _put_in_place(work, target, place, work.rows)


@dataclass(frozen=True, slots=True)
class _Rekey:
    """One rekey of a file, as planned."""

    work: Work
    plan: RekeyPlan
    table: TableFile
    parsed: Manifest
    manager: KeyManager
    new: Keyring

    def do_chunks(self, on_progress: Progress | None, *, check_table: bool) -> None:
        """Do the chunks that are not done yet."""
        work, entries = self.work, self.parsed.columns
        old = keyring_that_made(self.manager, self.parsed.key)
        self.parsed.check(old)
        warn_of_columns(columns_in(self.table), self.parsed, check_table=check_table)
        for chunk in self.table.chunks(read_by_entries(entries), skip=work.rows):
            with in_rows(work.rows, len(chunk)):
                columns, moved = rekeyed(
                    chunk.table,
                    self.parsed,
                    (old, self.new),
                    self.manager,
                    work.schema,
                    check_table=check_table,
                )
            work.add(columns, len(chunk), Manifest.of(self.new, moved).document())
            if on_progress is not None:
                on_progress(self.table.done(work.rows))

    def complete(self, target: Path, place: Path | None) -> None:
        """Make the new file and its manifest, and record that they are complete."""
        work = self.work
        document = self._merged().document()
        mode = (target if target.exists() else self.table.path).stat().st_mode & 0o666
        with work.new_data(mode) as file:
            self._write(file, target, json.dumps(document))
        if place is not None:
            with work.data() as file:
                text = pair_text(
                    document, digest_of_open(file), self.table.untold(beginning_of(file))
                )
            work.write_manifest(text, mode)
        # The file may have been changed while this went on.
        self.plan.check(digest_of(self.table.path), self.plan.manifest, None, work.folder)
        work.complete(replace(self.plan, rows=work.rows).sealed(self.manager))

    def _write(self, file: BinaryIO, target: Path, manifest: str) -> None:
        """Write the table anew, read again, with the columns that are done."""
        done, parts = self.work.nothing, self.work.tables()
        schema = changed_schema(self.table.schema, done.schema)
        writer = writer_of(self.table, target, file, schema)
        for chunk in self.table.chunks(done.column_names):
            while done.column_names and len(done) < len(chunk):
                part = next(parts, None)
                if part is None:
                    raise SecureMLError(f"{self.table.path} was changed while it was read")
                done = pa.concat_tables([done, part.select(done.column_names)])
            writer.write(chunk, done.slice(0, len(chunk)))
            done = done.slice(len(chunk))
        writer.close(manifest)

    def _merged(self) -> Manifest:
        """Make the manifest of the new file of those of its chunks, each checked."""
        columns = self.parsed.columns.items()
        stay = {name: entry for name, entry in columns if not entry.recipe.reversible}
        entries: Mapping[str, Column] = {}
        for document in self.work.manifests():
            part = Manifest.parse(document)
            part.check(self.new)
            new = {name: entry for name, entry in part.columns.items() if name not in stay}
            entries = merge_columns([entries, new], lambda _: self.new) if entries else new
        return Manifest.of(self.new, {**stay, **entries})


def _begun(work: Work, target: Path, place: Path | None, manager: KeyManager) -> RekeyPlan | None:
    """Return the plan of a rekey of this file that was begun and stopped, or None."""
    note = work.plan
    if note is None:
        return None
    plan = RekeyPlan.opened(note, manager)
    if plan is None:
        work.unreadable()
    if plan.target != target.name or plan.place not in (None, _relative(place, target)):
        of = plan.target if plan.place is None else f"{plan.target} with {plan.place}"
        raise SecureMLError(f"{work.folder} holds a rekey of {of}: name the same files as then")
    return plan


def _put_in_place(work: Work, target: Path, place: Path | None, rows: int) -> Written:
    work.put_in_place(target, place)
    document = find_manifest(open_table(target), None) if place is None else document_in(place)[0]
    work.clear()
    return Written(path=target, rows=rows, manifest=document, manifest_path=place)


def _relative(place: Path | None, target: Path) -> str | None:
    return None if place is None else os.path.relpath(place, target.parent)
