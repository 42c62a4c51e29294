"""Move a table in a file to another key, so that it survives being stopped at any moment.

Done chunks are kept in a folder beside the file. When all are done, the new file and its manifest
are made there, then a record that they are complete, and only then they are put in place. Until
the record, the file is as it was; from it on, every later run puts in place what is not yet.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from secureml.anonymization import rekey
from secureml.anonymization.keyrings import keyring_of
from secureml.anonymization.recovery import check_complete
from secureml.anonymization.versions import version_column
from secureml.errors import SecureMLError
from secureml.files.base import Table
from secureml.files.checks import (
    Progress,
    check_absent,
    check_output,
    in_rows,
    of_file,
    target_of,
)
from secureml.files.frames import pseudonyms_of, with_frame
from secureml.files.manifests import (
    GivenManifest,
    attached_text,
    document_in,
    find_manifest,
    merged,
    pair_text,
    sidecar_of,
    work_folder_of,
)
from secureml.files.plan import Plan
from secureml.files.storage import digest_of, mode_of
from secureml.files.tables import open_table
from secureml.files.transfer import Written
from secureml.files.work import Work
from secureml.frames.pandas import ATTRIBUTE, check_levels
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.manifest import Manifest

__all__ = ["rekey_file"]


def rekey_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    to_key: str | None = None,
    manifest: GivenManifest | None = None,
    delimiter: str = ",",
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
        delimiter: of CSV.
        force: replace an output that is there.
        drop_missing: as for ``rekey``.
        check_table: as for ``rekey``.
        on_progress: is called now and then.
        key_manager: where both keys come from; by default the process's own.

    Raises:
        SecureMLError: a file can't be read or written, another rekey of it is running, or the
            file was changed since one was stopped. The file is as it was.
        ManifestError: as of ``reidentify_file``.
        PseudonymizationError: the file is no table, or holds what can't be pseudonyms.
        SecretError: a key can't be had.
    """
    manager = get_default_key_manager() if key_manager is None else key_manager
    target = target_of(path, "path") if output is None else target_of(output)
    with Work.locked(work_folder_of(target)) as work, of_file(path):
        place: Path | None = sidecar_of(target)
        if output is None and isinstance(manifest, str | os.PathLike):
            place = Path(os.path.realpath(manifest))
        plan = _begun(work, target, place, manager)
        if plan is not None and plan.rows is not None:
            return _put_in_place(work, target, None if plan.place is None else place, plan.rows)
        table = open_table(path, delimiter)
        if output is not None:
            check_output(table, output)
        if table.keeps_manifest:
            place = None
        document = find_manifest(table, manifest)
        found = Manifest.parse(document)
        check_levels(table.levels, found.columns)
        if not drop_missing:
            check_complete(table.schema.names, found)
        if plan is None:
            if output is not None:
                check_absent(target, place, force=force)
            name = found.key.name if to_key is None else to_key
            # A cached version may have been followed by a newer one, which is what is wanted.
            manager.invalidate(name)
            key = manager.get_key(name)
            versions = any(column.versions for column in found.columns.values())
            current = keyring_of(manager, key.name, key.version)
            # A number alone may have become another key's.
            is_of_it = _is_of(found, key.name, key.version) and current.is_of(found.key)
            if output is None and not versions and is_of_it:
                current.verify(found)
                rows = max((column.rows for column in found.columns.values()), default=0)
                return Written(path=target, rows=rows, manifest=document, manifest_path=place)
            plan = Plan(
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
        job = _Job(work, plan, table, found, manager)
        job.do_chunks(on_progress, drop_missing=drop_missing, check_table=check_table)
        if output is not None:
            check_absent(target, place, force=force)
        job.complete(target, place)
        return _put_in_place(work, target, place, work.rows)


@dataclass(frozen=True, slots=True)
class _Job:
    """One rekey, as planned."""

    work: Work
    plan: Plan
    table: Table
    found: Manifest
    manager: KeyManager

    def do_chunks(
        self, on_progress: Progress | None, *, drop_missing: bool, check_table: bool
    ) -> None:
        """Do the chunks that are not done yet."""
        work, entries = self.work, self.found.columns
        columns = [name for name, entry in entries.items() if entry.recipe.reversible]
        replaced = {*columns, *map(version_column, columns)}
        for chunk in self.table.chunks(skip=work.rows):
            with in_rows(work.rows, len(chunk)):
                moved = rekey(
                    pseudonyms_of(chunk, entries),
                    self.plan.key_name,
                    self.plan.manifest,
                    to_version=self.plan.key_version,
                    drop_missing=drop_missing,
                    check_table=check_table,
                    key_manager=self.manager,
                )
            work.add(with_frame(chunk, moved, replaced, work.schema), moved.attrs[ATTRIBUTE])
            if on_progress is not None:
                on_progress(self.table.fraction)

    def complete(self, target: Path, place: Path | None) -> None:
        """Make the new file and its manifest, and record that they are complete."""
        work, entries = self.work, self.found.columns
        kept = {name: entry for name, entry in entries.items() if not entry.recipe.reversible}
        keyring = keyring_of(self.manager, self.plan.key_name, self.plan.key_version)
        document = merged(work.manifests(), kept, keyring)
        mode = mode_of(target if target.exists() else self.table.path) & 0o666
        with work.new_data(mode) as file:
            writer = self.table.writer(file, work.schema)
            for part in work.tables():
                writer.write(part)
            writer.close(attached_text(document))
        if place is not None:
            work.write_manifest(pair_text(document, work.digest()), mode)
        # The file may have been changed while this went on.
        self.plan.check(digest_of(self.table.path), self.plan.manifest, None, work.folder)
        work.complete(replace(self.plan, rows=work.rows).sealed(self.manager))


def _begun(work: Work, target: Path, place: Path | None, manager: KeyManager) -> Plan | None:
    """Return the plan of a rekey of this file that was begun and stopped, or None.

    Raises:
        SecureMLError: it is not as it was noted down, or not of this file and manifest.
    """
    note = work.plan
    if note is None:
        return None
    plan = Plan.opened(note, manager)
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


def _is_of(found: Manifest, name: str, version: int | None) -> bool:
    return (found.key.name, found.key.version) == (name, version)
