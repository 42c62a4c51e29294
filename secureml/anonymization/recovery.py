"""From the pseudonyms of a table to the values of its columns."""

from __future__ import annotations

from typing import Any

import pandas as pd

from secureml.anonymization.keyrings import keyring_of
from secureml.anonymization.problems import in_column
from secureml.anonymization.protection import row_tweaks
from secureml.anonymization.samples import check_sample
from secureml.anonymization.versions import joined, rows_by_version
from secureml.errors import IrreversibleWarning, WrongTableError, warn
from secureml.frames.columns import Column, read_column
from secureml.frames.recovery import numbers_before, recover
from secureml.key_management import KeyManager
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest

__all__ = ["check_rows", "present_columns", "recovered"]


def present_columns(frame: pd.DataFrame, found: Manifest) -> dict[str, Entry]:
    """Return the entries of those columns of the manifest that the frame has.

    Raises:
        WrongTableError: it has none.
    """
    present = {name: entry for name, entry in found.columns.items() if name in frame.columns}
    if not present:
        raise WrongTableError(
            "the table has none of the columns of the manifest: "
            + ", ".join(map(repr, found.columns))
            + ". Pass the manifest that was made with this table"
        )
    return present


def check_rows(frame: pd.DataFrame, found: Manifest, keyring: Keyring) -> None:
    """Check that a frame, of whose rows no versions are told, has rows of the manifest's table.

    Raises:
        WrongTableError: it has other columns or pseudonyms.
    """
    for name, entry in present_columns(frame, found).items():
        if entry.recipe.reversible:
            in_column(name, check_sample, _read(frame[name], entry), entry, keyring)


def recovered(
    frame: pd.DataFrame,
    found: Manifest,
    keyring: Keyring,
    manager: KeyManager,
    *,
    check_table: bool,
) -> dict[str, Any]:
    """Recover those columns of the manifest that the frame has, as an array each."""
    present = present_columns(frame, found)
    lost = [name for name, entry in present.items() if not entry.recipe.reversible]
    if lost:
        named = ", ".join(f"{name!r} ({present[name].recipe.strategy})" for name in lost)
        message = "columns that can't be turned back stay as they are"
        warn(message, IrreversibleWarning, f"{message}: {named}")
    keyrings = {found.key.version: keyring}
    arrays = {}
    for name, entry in present.items():
        if not entry.recipe.reversible:
            continue
        if not entry.versions:
            arrays[name] = in_column(name, _column, frame, name, entry, keyring, check_table)
            continue
        parts = in_column(name, rows_by_version, frame, name, found.key.version)
        # What is cut in parts is no more than what is needed.
        tweak = entry.recipe.tweak
        needed = frame[[one for one in dict.fromkeys((name, tweak)) if one in frame.columns]]
        if len(parts) > 1 and isinstance(needed[name].dtype, pd.CategoricalDtype):
            # Which version a category is of depends on the row.
            needed = needed.assign(**{name: needed[name].astype(needed[name].cat.categories.dtype)})
        made = []
        for version, rows in parts.items():
            if version not in keyrings:
                keyrings[version] = keyring_of(manager, found.key.name, version)
            part = needed if len(parts) == 1 else needed.iloc[rows]
            check = check_table and version == found.key.version
            made.append(in_column(name, _column, part, name, entry, keyrings[version], check))
        arrays[name] = made[0] if len(made) == 1 else joined(made, list(parts.values()))
    return arrays


def _column(
    frame: pd.DataFrame, name: str, entry: Entry, keyring: Keyring, check_table: bool
) -> Any:
    """Recover one column of rows that are all of one version, as an array."""
    column = _read(frame[name], entry)
    if check_table:
        check_sample(column, entry, keyring)
    dense = numbers_before(entry) is not None
    tweaks = row_tweaks(frame, entry.recipe, column, dense=dense, bounded=False)
    strategy = entry.recipe.make(keyring.domain(entry.recipe.domain), tweaks)
    return recover(frame[name], column, entry, strategy)


def _read(series: pd.Series, entry: Entry) -> Column:
    return read_column(series, distinct=entry.recipe.tweak is None, scale=entry.recipe.scale)
