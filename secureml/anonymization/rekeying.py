"""``rekey``: from pseudonyms under one key to those under another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, overload

from secureml.anonymization.apply import apply
from secureml.anonymization.arguments import check_key, check_levels, check_manifest, check_switch
from secureml.anonymization.jobs import JobFunction, new_job
from secureml.anonymization.plan import Plan, in_column
from secureml.anonymization.recovery import (
    check_complete,
    check_rows,
    manifest_of,
    missing_columns,
    recover_columns,
    warn_of_columns,
)
from secureml.frames.adapters import source_of
from secureml.frames.base import Table
from secureml.frames.streams import Stream, carried, given_back
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.keys import KeyReference, Keyring, keyring_of, keyring_that_made
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest

Frame = TypeVar("Frame")
AnyTable = TypeVar("AnyTable", bound=Table)

__all__ = ["rekey", "rekey_columns"]


@overload
def rekey(
    data: Frame,
    to_key: str | None = None,
    manifest: Mapping[str, Any] | str | None = None,
    *,
    to_version: int | None = None,
    drop_missing: bool = False,
    check_table: bool = True,
    return_manifest: Literal[False] = False,
    key_manager: KeyManager | None = None,
) -> Frame: ...
@overload
def rekey(
    data: Frame,
    to_key: str | None = None,
    manifest: Mapping[str, Any] | str | None = None,
    *,
    to_version: int | None = None,
    drop_missing: bool = False,
    check_table: bool = True,
    return_manifest: Literal[True],
    key_manager: KeyManager | None = None,
) -> tuple[Frame, dict[str, Any]]: ...
def rekey(
    data: Any,
    to_key: str | None = None,
    manifest: Mapping[str, Any] | str | None = None,
    *,
    to_version: int | None = None,
    drop_missing: bool = False,
    check_table: bool = True,
    return_manifest: bool = False,
    key_manager: KeyManager | None = None,
) -> Any:
    """Replace pseudonyms under one key by those under another, as after a rotation.

    Args:
        data: a table as of ``anonymize``, with all or some of the pseudonymized columns; it is
            not changed.
        to_key: the name of the new key; by default that of the manifest's key.
        manifest: as for ``reidentify``.
        to_version: the version of the new key; by default the newest.
        drop_missing: leave columns out of the new manifest that the data lacks; without this they
            are an error, as a column that was renamed would be lost with the old key.
        check_table: as for ``reidentify``.
        return_manifest: return the new manifest beside the table, for tables that carry none.
        key_manager: where both keys come from; by default the process's own.

    Returns:
        A new table with a new manifest; both, if that is asked for. Columns that can't be reversed
        stay as they are, and so do their entries.

    Raises:
        TypeError: the data is no table.
        ManifestError: as of ``reidentify``; or columns of the manifest are missing
            (WrongTableError).
        PseudonymizationError: a column holds what can't be pseudonyms.
        SecretError: a key can't be had.

    Warns:
        IrreversibleWarning: some columns stay as they are; its details name them.
        UncheckedTableWarning: as of ``reidentify``.
    """
    check_manifest(manifest)
    check_switch("check_table", check_table)
    check_switch("drop_missing", drop_missing)
    check_switch("return_manifest", return_manifest)
    check_key(key_manager, to_key=to_key, to_version=to_version)
    source = source_of(data)
    table = source.empty if isinstance(source, Stream) else source
    parsed = manifest_of(manifest, table.manifest)
    manager = get_default_key_manager() if key_manager is None else key_manager
    old = keyring_that_made(manager, parsed.key)
    parsed.check(old)
    check_levels(table.levels, parsed.columns)
    if not drop_missing:
        check_complete(table, parsed)
    new_name = parsed.key.name if to_key is None else to_key
    if to_version is None:
        # A cached version may have been followed by a newer one, which is what is wanted here.
        manager.invalidate(new_name)
    new = keyring_of(manager, new_name, to_version)
    warn_of_columns(table, parsed, check_table=check_table)
    move = Rekeying(parsed, check_table, {parsed.key.version: old}, new, manager)
    result, entries = move.moved(table, counted=table is source)
    moved_manifest = Manifest.of(new, entries)
    moved = given_back(source, result, carried(source, moved_manifest, new), move)
    return (moved, moved_manifest.document()) if return_manifest else moved


@dataclass(frozen=True, slots=True)
class Rekeying:
    """Moves a table, or a batch, to another key; it pickles without keys, which are fetched again.

    Args:
        manifest: the manifest, verified.
        check_table: as for ``rekey``.
        old: by version, keyrings as for ``recover_columns``.
        new: the keyring of the new key.
        manager: where other versions of the old key come from.
        job: the name of the job that its batches are of.
    """

    manifest: Manifest
    check_table: bool
    old: dict[int | None, Keyring]
    new: Keyring
    manager: KeyManager
    job: str = field(default_factory=new_job)

    def __call__(self, table: Table) -> Table:
        """Return a table with its columns moved."""
        return self.moved(table, counted=False)[0]

    def moved(self, table: AnyTable, *, counted: bool) -> tuple[AnyTable, dict[str, Entry]]:
        """Return it with its columns' entries, which tell of its rows if they are to be counted."""
        return rekey_columns(
            table,
            self.manifest,
            self.old,
            self.new,
            self.manager,
            check_table=self.check_table,
            counted=counted,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.manifest, self.check_table, self.new.reference)
        return JobFunction, (self.job, _fetched, arguments)


def _fetched(manifest: Manifest, check_table: bool, key: KeyReference) -> Rekeying:
    manager = get_default_key_manager()
    old, new = keyring_that_made(manager, manifest.key), keyring_that_made(manager, key)
    manifest.check(old)
    return Rekeying(manifest, check_table, {manifest.key.version: old}, new, manager)


def rekey_columns(
    table: AnyTable,
    manifest: Manifest,
    old: dict[int | None, Keyring],
    new: Keyring,
    manager: KeyManager,
    *,
    check_table: bool,
    counted: bool = True,
) -> tuple[AnyTable, dict[str, Entry]]:
    """Move the columns of a manifest to another key, and return their new entries too.

    Args:
        table: the table.
        manifest: its manifest, verified.
        old: by version, keyrings as for ``recover_columns``.
        new: the keyring of the new key.
        manager: where other versions of the old key come from.
        check_table: as for ``rekey``.
        counted: as for ``apply``.
    """
    newest = old[manifest.key.version]
    if new.is_of(newest.reference) and not any(
        entry.versions for entry in manifest.columns.values()
    ):
        # A wrapped key that was rotated is the same key, wrapped anew: the data stays as it is.
        if check_table:
            check_rows(table, manifest, newest)
        missing = missing_columns(table, manifest)
        return table, {
            name: replace(entry, sketches={new.reference.version: sketch})
            if entry.sketches and (sketch := entry.sketches.get(manifest.key.version))
            else entry
            for name, entry in manifest.columns.items()
            if name not in missing
        }
    values = recover_columns(table, manifest, old, manager, check_table=check_table)
    plain = table.replace(values)
    recovered = {name: entry for name, entry in manifest.columns.items() if name in values}
    plan = Plan(
        columns={
            name: in_column(name, entry.recipe.renewed, plain.column(name).kind(entry.recipe.scale))
            for name, entry in recovered.items()
        },
        key=new.reference,
        versioned=tuple(name for name, entry in recovered.items() if entry.versions),
        smallest=2,  # as small as an earlier version took them
    )
    result, entries = apply(plan, plain, new, counted=counted)
    # What a column was before does not change with its key.
    entries = {
        name: replace(
            entry, dtype=recovered[name].dtype, arrow=recovered[name].arrow or entry.arrow
        )
        for name, entry in entries.items()
    }
    stay = {name: entry for name, entry in manifest.columns.items() if not entry.recipe.reversible}
    return result, {**stay, **entries}
