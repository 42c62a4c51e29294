"""``reidentify``: from the pseudonyms of a table to the values of its columns."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from secureml.anonymization.arguments import check_key, check_manifest, check_switch
from secureml.anonymization.jobs import JobFunction, new_job
from secureml.anonymization.plan import in_column
from secureml.anonymization.tweaks import row_tweaks, tweak_type
from secureml.anonymization.versions import rows_by_version, version_column
from secureml.errors import (
    IrreversibleWarning,
    ManifestError,
    MissingColumnWarning,
    PseudonymizationError,
    UncheckedTableWarning,
    UncheckedVersionWarning,
    WrongTableError,
    warn,
)
from secureml.frames.adapters import source_of
from secureml.frames.base import ATTRIBUTE, Column, Table
from secureml.frames.column_values import CodedColumn, NumberColumn, ReadColumn, TextColumn
from secureml.frames.numbers import converted, numbers_before, parse_numbers
from secureml.frames.streams import Stream, carried, given_back
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.formats import NO_ROWS
from secureml.pseudonymization.keys import Keyring, keyring_of, keyring_that_made
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import ColumnManifests, Manifest, parse_manifest
from secureml.pseudonymization.ranking.mixed_radix import Index
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.sketch import Sketch
from secureml.pseudonymization.values.numbers import WholeNumbers
from secureml.pseudonymization.values.text import Text

Frame = TypeVar("Frame")

__all__ = [
    "check_complete",
    "check_rows",
    "manifest_of",
    "missing_columns",
    "recover",
    "recover_columns",
    "reidentify",
    "warn_of_columns",
    "warn_of_missing",
]


def reidentify(
    data: Frame,
    manifest: Mapping[str, Any] | str | None = None,
    *,
    check_table: bool = True,
    key_manager: KeyManager | None = None,
) -> Frame:
    """Recover the values that ``anonymize`` replaced.

    Args:
        data: a table as of ``anonymize``, with all or some of the pseudonymized columns; it is
            not changed.
        manifest: as ``anonymize`` left it in ``attrs["secureml"]``, or its JSON text; by default
            that of the data.
        check_table: refuse a table with pseudonyms that the one of the manifest did not have,
            as far as the sketches in the manifest tell.
        key_manager: where keys come from; by default the process's own.

    Returns:
        A new table without the manifest. Integers have the dtype they had before, unless it
        can't hold the nulls that came since. Columns of strategies that can't be reversed stay as
        they are.

    Raises:
        TypeError: the data is no table.
        ManifestError: there is no manifest; its children: it was changed (ManifestChangedError),
            the key is another one (WrongKeyError), or the table (WrongTableError).
        PseudonymizationError: a column holds what can't be pseudonyms.
        SecretError: the key can't be had.

    Warns:
        IrreversibleWarning: some columns can't be recovered; its details name them.
        MissingColumnWarning: the table lacks columns of the manifest; its details name them.
        UncheckedTableWarning: the manifest can't tell whether rows are its own; its details name
            the columns.
    """
    check_manifest(manifest)
    check_switch("check_table", check_table)
    check_key(key_manager)
    recovered: Frame = recover(source_of(data), manifest, key_manager, check_table=check_table)
    return recovered


def recover(
    source: Table | Stream,
    manifest: Mapping[str, Any] | ColumnManifests | str | None,
    key_manager: KeyManager | None,
    *,
    check_table: bool = True,
) -> Any:
    """Recover the values of a table, as ``reidentify`` does, and return it as the caller has it."""
    table = source.empty if isinstance(source, Stream) else source
    if manifest is None and isinstance(table.manifest, ColumnManifests):
        *others, manifest = table.manifest.by_key()
        for other in others:
            source = source_of(recover(source, other, key_manager, check_table=check_table))
        table = source.empty if isinstance(source, Stream) else source
    parsed = manifest_of(manifest, table.manifest)
    manager = get_default_key_manager() if key_manager is None else key_manager
    keyring = keyring_that_made(manager, parsed.key)
    parsed.check(keyring)
    warn_of_columns(table, parsed, check_table=check_table)
    recovery = Recovery(parsed, check_table, {parsed.key.version: keyring}, manager)
    result = recovery(table)
    warn_of_missing(table, parsed)
    return given_back(source, result, carried(source, parsed), recovery)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Recovers a table, or a batch; it pickles without the key, which is fetched again.

    Args:
        manifest: the manifest, verified.
        check_table: as for ``reidentify``.
        keyrings: as for ``recover_columns``.
        manager: where other versions of the key come from.
        job: the name of the job that its batches are of.
    """

    manifest: Manifest
    check_table: bool
    keyrings: dict[int | None, Keyring]
    manager: KeyManager
    job: str = field(default_factory=new_job)

    def __call__(self, table: Table) -> Table:
        """Return a table with its columns recovered."""
        values = recover_columns(
            table, self.manifest, self.keyrings, self.manager, check_table=self.check_table
        )
        entries = self.manifest.columns
        added = [version_column(name) for name in values if entries[name].versions]
        return table.drop(added).replace(values)

    def __reduce__(self) -> tuple[Any, ...]:
        return JobFunction, (self.job, _fetched, (self.manifest, self.check_table))


def _fetched(manifest: Manifest, check_table: bool) -> Recovery:
    manager = get_default_key_manager()
    keyring = keyring_that_made(manager, manifest.key)
    manifest.check(keyring)
    return Recovery(manifest, check_table, {manifest.key.version: keyring}, manager)


def manifest_of(
    given: Mapping[str, Any] | ColumnManifests | str | None, attached: object
) -> Manifest:
    """Return the manifest that the caller names, or else that of the table.

    Raises:
        ManifestError: there is none, or it can't be read.
    """
    if given is None and attached is None:
        raise ManifestError(
            f"the table has no manifest in attrs[{ATTRIBUTE!r}], which some operations of pandas"
            " and most file formats drop, or is of a kind that carries none: pass the one that"
            " anonymize made (return_manifest=True) as manifest="
        )
    return parse_manifest(attached if given is None else given)


def _present(names: Container[object], manifest: Manifest) -> dict[str, Entry]:
    """Return the entries of those columns of the manifest that a table has."""
    present = {name: entry for name, entry in manifest.columns.items() if name in names}
    if not present:
        raise WrongTableError(
            "the table has none of the columns of the manifest: "
            + ", ".join(map(repr, manifest.columns))
            + ". Pass the manifest that was made with this table"
        )
    return present


def warn_of_columns(names: Container[object], manifest: Manifest, *, check_table: bool) -> None:
    """Warn of columns that can't be recovered, and of those whose rows can't be checked.

    Args:
        names: those of the columns of a table.
        manifest: its manifest.
        check_table: whether rows are to be checked.

    Raises:
        WrongTableError: the table has none of the columns of the manifest.
    """
    present = _present(names, manifest)
    lost = [name for name, entry in present.items() if not entry.recipe.reversible]
    if lost:
        named = ", ".join(f"{name!r} ({present[name].recipe.strategy})" for name in lost)
        message = "columns that can't be turned back stay as they are"
        warn(message, IrreversibleWarning, f"{message}: {named}")
    unchecked = [
        name
        for name, entry in present.items()
        if entry.recipe.reversible and entry.sketches is None
    ]
    if unchecked and check_table:
        message = "rows are not checked, because the manifest was made before they were read"
        named = ", ".join(map(repr, unchecked))
        warn(message, UncheckedTableWarning, f"{message}: {named}")


def warn_of_missing(names: Container[object], manifest: Manifest) -> None:
    """Warn of columns of the manifest that could be recovered and are not among the names."""
    missing = missing_columns(names, manifest)
    if missing:
        message = "pseudonymized columns of the manifest are missing, or were renamed"
        named = ", ".join(map(repr, missing))
        warn(message, MissingColumnWarning, f"{message}: {named}")


def missing_columns(names: Container[object], manifest: Manifest) -> list[str]:
    """Return the columns of the manifest that could be recovered and are not among the names."""
    entries = manifest.columns.items()
    return [name for name, entry in entries if entry.recipe.reversible and name not in names]


def check_complete(names: Container[object], manifest: Manifest) -> None:
    """Check that a table has all columns of the manifest that can be recovered.

    Raises:
        WrongTableError: it lacks some.
    """
    _present(names, manifest)
    missing = missing_columns(names, manifest)
    if missing:
        raise WrongTableError(
            f"the table lacks {', '.join(map(repr, missing))} of the manifest: a column that was"
            " renamed would be lost with its old key. Give it its name back, or pass"
            " drop_missing=True to forget columns that are gone on purpose"
        )


def check_rows(table: Table, manifest: Manifest, keyring: Keyring) -> None:
    """Check that a table, of whose rows no versions are told, has rows of the manifest's table.

    Raises:
        WrongTableError: it has other columns or pseudonyms.
    """
    present = _present(table, manifest)
    for name, entry in present.items():
        if entry.recipe.reversible:
            column = _read(table.column(name), entry)
            sketch = keyring.opened(name, entry.sketch(manifest.key.version))
            tweak, tweaks = entry.recipe.tweak, None
            if tweak is not None and tweak in table and tweak not in manifest.columns:
                in_column(name, _check_tweak_type, table.column(tweak), entry)
                tweaks = in_column(name, row_tweaks, table, name, entry.recipe, column)
            in_column(name, _check_sketch, column, tweaks, entry, keyring, sketch)


def recover_columns(
    table: Table,
    manifest: Manifest,
    keyrings: dict[int | None, Keyring],
    manager: KeyManager,
    *,
    check_table: bool,
) -> dict[str, Any]:
    """Recover those columns of the manifest that a table has, as an array each.

    Args:
        table: the table.
        manifest: its manifest, verified.
        keyrings: by version of its key, with that of the manifest; those of other versions that
            rows have are added.
        manager: where other versions come from.
        check_table: as for ``reidentify``.
    """
    present = _present(table, manifest)
    newest = manifest.key.version
    arrays: dict[str, Any] = {}
    hidden_later = _tweaks_hidden_later(present)
    for name in _in_order(present, hidden_later):
        entry, seen = present[name], table
        tweak = hidden_later.get(name)
        if tweak is not None and tweak not in arrays:
            raise PseudonymizationError(
                f"column {name!r}: its tweaks in {tweak!r} were replaced for good"
            )
        if tweak is not None:
            seen = table.replace({tweak: arrays[tweak]})
        if not entry.versions:
            sketch = entry.sketch(newest) if check_table else None
            arrays[name] = in_column(name, _recovered, seen, name, entry, keyrings[newest], sketch)
            continue
        parts = in_column(name, rows_by_version, seen, name, newest)
        needed = seen.drop(
            [other for other in seen.names if other not in (name, entry.recipe.tweak)]
        )
        if len(parts) > 1:
            needed = needed.uncoded(name)  # which version a category is of depends on the row
        pieces = []
        for version, rows in parts.items():
            if version not in keyrings:
                keyrings[version] = in_column(name, _keyring_of_rows, manager, manifest, version)
            part = needed if len(parts) == 1 else needed.take(rows)
            sketch = entry.sketch(version) if check_table and version in manifest.keys else None
            pieces.append(in_column(name, _recovered, part, name, entry, keyrings[version], sketch))
        if len(pieces) == 1:
            arrays[name] = pieces[0]
        else:
            order = _places_of(table.rows_of(name), list(parts.values()))
            arrays[name] = table.joined(pieces, order)
    return arrays


def _places_of(rows: Index, parts: Sequence[Index]) -> Index:
    """Return where each value of a column is among those of parts of the table.

    Args:
        rows: the row that each value is in.
        parts: the rows of each part.
    """
    return np.argsort(np.concatenate([np.flatnonzero(np.isin(rows, part)) for part in parts]))


def _tweaks_hidden_later(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return the tweak column of each column whose tweaks were pseudonymized after it."""
    place = {name: number for number, name in enumerate(entries)}
    tweaks = {name: entry.recipe.tweak for name, entry in entries.items()}
    return {
        name: tweak
        for name, tweak in tweaks.items()
        if tweak is not None and place.get(tweak, -1) > place[name]
    }


def _in_order(entries: Mapping[str, Entry], hidden_later: Mapping[str, str]) -> list[str]:
    """Return the columns that can be recovered, tweaks that were hidden later before others."""
    names = [name for name, entry in entries.items() if entry.recipe.reversible]
    tweaks = set(hidden_later.values())
    first = [name for name in reversed(names) if name in tweaks]
    return [*first, *(name for name in names if name not in tweaks)]


def _recovered(
    table: Table, name: str, entry: Entry, keyring: Keyring, sketch: Sketch | None
) -> Any:
    """Recover one column of rows of one version, held against a sketch if there is one."""
    source, tweak = table.column(name), entry.recipe.tweak
    column = _read(source, entry)
    if sketch is not None and tweak is not None and tweak in table:
        _check_tweak_type(table.column(tweak), entry)
    tweaks = row_tweaks(table, name, entry.recipe, column, bounded=False)
    if sketch is not None:
        _check_sketch(column, tweaks, entry, keyring, keyring.opened(name, sketch))
    like = numbers_before(entry)
    if tweaks is not None and like is not None and isinstance(column, TextColumn):
        tweaks = tweaks.at(np.flatnonzero(~column.nulls))  # of which there are no values then
    strategy = entry.recipe.keyed(keyring, tweaks)
    if like is None:
        if isinstance(column, NumberColumn):
            raise PseudonymizationError(
                f"it was pseudonymized as text and now has dtype {source.dtype}: read it as text"
            )
        recovered = strategy.recover(column.values, Text.of)
        assert isinstance(recovered, Text)
        return column.rebuilt(recovered, NO_ROWS)
    if isinstance(column, CodedColumn):
        column = source.uncoded().read()
    assert not isinstance(column, CodedColumn)
    values = (
        converted(column.values, like)
        if isinstance(column, NumberColumn)
        else Text.of(column.values.strings_at(np.flatnonzero(~column.nulls)))
    )
    numbers = strategy.recover(values, partial(parse_numbers, like))
    assert isinstance(numbers, WholeNumbers)
    return table.of_numbers(entry, numbers, column.nulls)


def _keyring_of_rows(manager: KeyManager, manifest: Manifest, version: int | None) -> Keyring:
    """Fetch the version of the key that rows of a table are marked with."""
    if version in manifest.keys:
        return keyring_that_made(manager, manifest.keys[version])
    if manifest.schema > 2:
        raise WrongTableError(
            f"rows are marked with version {version} of {manifest.key.name!r}, which the manifest"
            " does not list. If rows of another table were appended, merge both manifests with"
            " merge_manifests, and pass the result"
        )
    warn(
        "rows of an older version of the key are recovered without a check, because the manifest"
        " is of schema 2; rekey makes one that checks them",
        UncheckedVersionWarning,
    )
    return keyring_of(manager, manifest.key.name, version)


def _check_sketch(
    column: ReadColumn, tweaks: RowTweaks | None, entry: Entry, keyring: Keyring, sketch: Sketch
) -> None:
    """Check that a column, of one version of the key, holds rows of the manifest's table."""
    held, rows = column.values, column.places_in_rows()
    like = numbers_before(entry)
    if like is not None and isinstance(held, Text) and not entry.recipe.makes_text:
        rows = np.flatnonzero(held.lengths)
        held = parse_numbers(like, held.strings_at(rows))
    elif rows is not None:
        held = held.at(rows)
    if like is not None and not isinstance(held, Text):
        held = converted(held, like)
        held = Text.of(held.strings()) if entry.recipe.makes_text else held
    if not isinstance(held, Text if like is None else Text | WholeNumbers):
        return  # recovery tells what is wrong with its dtype
    if sketch.values is not None and not keyring.sketcher().fits(sketch.values, held):
        raise WrongTableError(
            "it holds values that are not of this table: the manifest is of other rows or of"
            " another version of the key, or rows were added or edited since. Pass the manifest"
            " that was made with these rows (merge_manifests makes one of several), or"
            " check_table=False if this is the right one"
        )
    if sketch.pairs is None or tweaks is None:
        return
    tweaks = tweaks if rows is None else tweaks.at(rows)
    if not keyring.sketcher(pairs=True).fits(sketch.pairs, held, tweaks):
        raise WrongTableError(
            f"its tweaks in {entry.recipe.tweak!r} are not those that its rows had: they were"
            " edited, put in another order or read in another way since, such as empty text as"
            " null. Restore that column, or pass check_table=False if it is right"
        )


def _check_tweak_type(column: Column, entry: Entry) -> None:
    """Check that tweaks that were text have not become numbers."""
    before, now = entry.tweak_arrow or "", tweak_type(column)
    if "string" in before and "string" not in now and not column.nulls.all():
        raise WrongTableError(
            f"its tweaks in {entry.recipe.tweak!r} were text, and are {column.dtype} by now, which"
            ' has no leading zeros ("007" is 7): read that column as text, for instance with'
            f" pandas.read_csv(..., dtype={{{entry.recipe.tweak!r}: 'str'}}), or pass"
            " check_table=False if its digits are as they were"
        )


def _read(column: Column, entry: Entry) -> ReadColumn:
    return column.read(distinct=entry.recipe.tweak is None, scale=entry.recipe.scale)
