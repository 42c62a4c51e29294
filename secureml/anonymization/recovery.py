"""From the pseudonyms of a table to the values of its columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from secureml.anonymization.keyrings import keyring_of_rows
from secureml.anonymization.problems import in_column
from secureml.anonymization.protection import row_tweaks
from secureml.anonymization.sketches import check_sketch, check_tweak_type
from secureml.anonymization.versions import joined, rows_by_version
from secureml.errors import (
    IrreversibleWarning,
    PseudonymizationError,
    WrongTableError,
    warn,
)
from secureml.frames.columns import Column, TextColumn, read_column
from secureml.frames.pandas import with_columns
from secureml.frames.recovery import numbers_before, recover
from secureml.key_management import KeyManager
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest, Sketch

__all__ = ["check_complete", "check_rows", "missing_columns", "recovered"]


def _present(names: Collection[str], found: Manifest) -> dict[str, Entry]:
    """Return the entries of those columns of the manifest that a table has.

    Raises:
        WrongTableError: it has none.
    """
    present = {name: entry for name, entry in found.columns.items() if name in names}
    if not present:
        raise WrongTableError(
            "the table has none of the columns of the manifest: "
            + ", ".join(map(repr, found.columns))
            + ". Pass the manifest that was made with this table"
        )
    return present


def missing_columns(names: Collection[str], found: Manifest) -> list[str]:
    """Return the columns of the manifest that could be recovered and are not among the names."""
    entries = found.columns.items()
    return [name for name, entry in entries if entry.recipe.reversible and name not in names]


def check_complete(names: Collection[str], found: Manifest) -> None:
    """Check that a table has all columns of the manifest that can be recovered.

    Raises:
        WrongTableError: it lacks some.
    """
    _present(names, found)
    missing = missing_columns(names, found)
    if missing:
        raise WrongTableError(
            f"the table lacks {', '.join(map(repr, missing))} of the manifest: a column that was"
            " renamed would be lost with its old key. Give it its name back, or pass"
            " drop_missing=True to forget columns that are gone on purpose"
        )


def check_rows(frame: pd.DataFrame, found: Manifest, keyring: Keyring) -> None:
    """Check that a frame, of whose rows no versions are told, has rows of the manifest's table.

    Raises:
        WrongTableError: it has other columns or pseudonyms.
    """
    for name, entry in _present(frame.columns, found).items():
        if entry.recipe.reversible:
            column = _read(frame[name], entry)
            sketch = keyring.opened(name, entry.sketch(found.key.version))
            tweak, tweaks = entry.recipe.tweak, None
            if tweak in frame.columns and tweak not in found.columns:
                in_column(name, check_tweak_type, frame[tweak], entry)
                tweaks = in_column(name, row_tweaks, frame, entry.recipe, column)
            in_column(name, check_sketch, column, tweaks, entry, keyring, sketch)


def recovered(
    frame: pd.DataFrame,
    found: Manifest,
    keyring: Keyring,
    manager: KeyManager,
    *,
    check_table: bool,
) -> dict[str, Any]:
    """Recover those columns of the manifest that the frame has, as an array each."""
    present = _present(frame.columns, found)
    lost = [name for name, entry in present.items() if not entry.recipe.reversible]
    if lost:
        named = ", ".join(f"{name!r} ({present[name].recipe.strategy})" for name in lost)
        message = "columns that can't be turned back stay as they are"
        warn(message, IrreversibleWarning, f"{message}: {named}")
    newest = found.key.version
    keyrings = {newest: keyring}
    arrays: dict[str, Any] = {}
    hidden_later = _tweaks_hidden_later(present)
    for name in _in_order(present, hidden_later):
        entry, table = present[name], frame
        tweak = hidden_later.get(name)
        if tweak is not None and tweak not in arrays:
            raise PseudonymizationError(
                f"column {name!r}: its tweaks in {tweak!r} were replaced for good"
            )
        if tweak is not None:
            table = with_columns(frame, {tweak: arrays[tweak]}, None)
        if not entry.versions:
            sketch = entry.sketch(newest) if check_table else None
            arrays[name] = in_column(name, _column, table, name, entry, keyring, sketch)
            continue
        parts = in_column(name, rows_by_version, table, name, newest)
        # What is cut in parts is no more than what is needed.
        columns = dict.fromkeys((name, entry.recipe.tweak))
        needed = table[[one for one in columns if one in table.columns]]
        if len(parts) > 1 and isinstance(needed[name].dtype, pd.CategoricalDtype):
            # Which version a category is of depends on the row.
            needed = needed.assign(**{name: needed[name].astype(needed[name].cat.categories.dtype)})
        made = []
        for version, rows in parts.items():
            if version not in keyrings:
                keyrings[version] = in_column(name, keyring_of_rows, manager, found, version)
            part = needed if len(parts) == 1 else needed.iloc[rows]
            sketch = entry.sketch(version) if check_table and version in found.keys else None
            made.append(in_column(name, _column, part, name, entry, keyrings[version], sketch))
        arrays[name] = made[0] if len(made) == 1 else joined(made, list(parts.values()))
    return arrays


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


def _column(
    frame: pd.DataFrame, name: str, entry: Entry, keyring: Keyring, sketch: Sketch | None
) -> Any:
    """Recover one column of rows that are all of one version, as an array.

    Args:
        frame: the rows.
        name: of the column.
        entry: what the manifest tells of it.
        keyring: of the version.
        sketch: that the rows are held against; None for no check.
    """
    column, tweak = _read(frame[name], entry), entry.recipe.tweak
    if sketch is not None and tweak in frame.columns:
        check_tweak_type(frame[tweak], entry)
    tweaks = row_tweaks(frame, entry.recipe, column, bounded=False)
    if sketch is not None:
        check_sketch(column, tweaks, entry, keyring, keyring.opened(name, sketch))
    if tweaks is not None and numbers_before(entry) is not None and isinstance(column, TextColumn):
        tweaks = tweaks.at(np.flatnonzero(~column.nulls))  # of which there are no values then
    keys = keyring.domain(entry.recipe.key_domain, entry.recipe.domain_prefix)
    strategy = entry.recipe.make(keys, tweaks)
    return recover(frame[name], column, entry, strategy)


def _read(series: pd.Series, entry: Entry) -> Column:
    return read_column(series, distinct=entry.recipe.tweak is None, scale=entry.recipe.scale)
