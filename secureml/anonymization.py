"""Pseudonymize the columns of a table, recover them, and move them to another key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from secureml.errors import DomainTooSmallError, ManifestError, PseudonymizationError
from secureml.frames.columns import Column, IntegerColumn, read_column
from secureml.frames.pandas import (
    ATTRIBUTE,
    by_column,
    check_choice,
    check_columns,
    check_frame,
    listed,
    with_columns,
)
from secureml.frames.recovery import protect, recover
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.formats import CLASS_FORMAT, MIN_DOMAIN
from secureml.pseudonymization.integers import INTEGER_FORMAT
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest
from secureml.pseudonymization.strategies import ALGORITHM, SMALL_DOMAIN, Outcome

__all__ = ["anonymize", "reidentify", "rekey"]

_METHODS = ("pseudonymization",)
_STRATEGIES = ("fpe",)
_FORMATS = ("class", "integer")


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one column is to be pseudonymized."""

    domain: str
    small_domain: str


def anonymize(
    data: pd.DataFrame,
    method: str = "pseudonymization",
    strategy: str = "fpe",
    sensitive_columns: Iterable[str] | None = None,
    *,
    master_key_name: str | None = None,
    domains: Mapping[str, str] | None = None,
    formats: Mapping[str, str] | None = None,
    small_domain: str = "error",
    key_manager: KeyManager | None = None,
) -> pd.DataFrame:
    """Replace the values of some columns by pseudonyms that the key can turn back.

    A value becomes another one of its format: every character keeps its class (digit, upper case,
    letters of a script, ...) and every other character stays; a whole number keeps its sign and
    its number of digits. Equal values of one domain get equal pseudonyms, in every table. Nulls
    and empty strings stay. What recovery needs is in ``attrs["secureml"]`` of the result.

    Args:
        data: the table; it is not changed.
        method: "pseudonymization".
        strategy: "fpe": format-preserving encryption, FF1 with AES-256.
        sensitive_columns: the names of the columns to pseudonymize.
        master_key_name: the key; by default the setting of that name.
        domains: by column, the name of its domain; by default the column's own name. Columns of
            one domain can be joined.
        formats: by column, "class" for text or "integer" for whole numbers, to be sure of what a
            column holds; by default that follows from its dtype.
        small_domain: what becomes of values with fewer than 1,000,000 possible pseudonyms:
            "error" refuses the table, "token" replaces them by reversible tokens (a column of
            integers becomes one of strings), "null" by nulls, for good.
        key_manager: where keys come from; by default the process's own.

    Returns:
        A new table with the same index, columns and dtypes.

    Raises:
        TypeError: the data is not a pandas DataFrame.
        DomainTooSmallError: values are too short, and ``small_domain`` is "error".
        ManifestError: the table already has a manifest that can't be extended.
        PseudonymizationError: an argument or a column can't be used; nothing was done.
        SecretError: the key can't be had.
    """
    check_choice("method", method, _METHODS)
    check_choice("strategy", strategy, _STRATEGIES)
    check_choice("small_domain", small_domain, SMALL_DOMAIN)
    frame = check_frame(data)
    names = check_columns(frame, listed(sensitive_columns))
    domains = by_column("domains", domains, names)
    formats = by_column("formats", formats, names)
    earlier = Manifest.parse(frame.attrs[ATTRIBUTE]) if ATTRIBUTE in frame.attrs else None
    _check_new(earlier, names)
    plans = {name: _Plan(domains.get(name, name), small_domain) for name in names}
    columns = {name: _in_column(name, read_column, frame[name]) for name in names}
    for name, wanted in formats.items():
        _check_format(name, wanted, columns[name])

    keyring = _keyring(key_manager, master_key_name)
    if earlier is not None:
        _check_extension(earlier, keyring)
    return _protected(frame, columns, plans, keyring, {} if earlier is None else earlier.columns)


def reidentify(
    data: pd.DataFrame,
    manifest: Mapping[str, Any] | str | None = None,
    *,
    key_manager: KeyManager | None = None,
) -> pd.DataFrame:
    """Recover the values that ``anonymize`` replaced.

    Args:
        data: the table, with all or some of the pseudonymized columns; it is not changed.
        manifest: as ``anonymize`` left it in ``attrs["secureml"]``, or its JSON text; by default
            that of the data.
        key_manager: where keys come from; by default the process's own.

    Returns:
        A new table without the manifest. Integers have the dtype they had before, unless it
        can't hold the nulls that came since.

    Raises:
        TypeError: the data is not a pandas DataFrame.
        ManifestError: there is no manifest, it was changed, or the key is another one.
        PseudonymizationError: a column holds what can't be pseudonyms.
        SecretError: the key can't be had.
    """
    frame = check_frame(data)
    found = _manifest(frame, manifest)
    keyring = _keyring(key_manager, found.key.name, found.key.version)
    keyring.verify(found)
    return with_columns(frame, _recovered(frame, found, keyring), None)


def rekey(
    data: pd.DataFrame,
    to_key: str | None = None,
    manifest: Mapping[str, Any] | str | None = None,
    *,
    key_manager: KeyManager | None = None,
) -> pd.DataFrame:
    """Replace pseudonyms under one key by those under another, as after a rotation.

    Args:
        data: the table, with all or some of the pseudonymized columns; it is not changed.
        to_key: the name of the new key; by default the current version of the manifest's key.
        manifest: as for ``reidentify``.
        key_manager: where both keys come from; by default the process's own.

    Returns:
        A new table with a new manifest, of those pseudonymized columns that the data has.

    Raises:
        TypeError: the data is not a pandas DataFrame.
        ManifestError: there is no manifest, it was changed, or the old key is another one.
        PseudonymizationError: a column holds what can't be pseudonyms.
        SecretError: a key can't be had.
    """
    frame = check_frame(data)
    found = _manifest(frame, manifest)
    manager = get_default_key_manager() if key_manager is None else key_manager
    old = _keyring(manager, found.key.name, found.key.version)
    old.verify(found)
    new_name = found.key.name if to_key is None else to_key
    # A cached version may have been followed by a newer one, which is what is wanted here.
    manager.invalidate(new_name)
    new = _keyring(manager, new_name)
    recovered = _recovered(frame, found, old)
    plans = {
        name: _Plan(found.columns[name].domain, found.columns[name].small_domain)
        for name in recovered
    }
    plain = with_columns(frame, recovered, None)
    columns = {name: read_column(plain[name]) for name in recovered}
    return _protected(plain, columns, plans, new, {})


def _keyring(manager: KeyManager | None, name: str | None, version: int | None = None) -> Keyring:
    """Fetch a master key, once; everything else is derived from it."""
    manager = get_default_key_manager() if manager is None else manager
    key = manager.get_key(name, version, key_bytes=32)
    derive = partial(manager.derive_key, key)
    origin = f"fingerprint {key.fingerprint}, from {key.source}"
    return Keyring(derive, key.name, key.version, key.environment, origin)


def _protected(
    frame: pd.DataFrame,
    columns: Mapping[str, Column],
    plans: Mapping[str, _Plan],
    keyring: Keyring,
    entries: Mapping[str, Entry],
) -> pd.DataFrame:
    """Pseudonymize columns, and extend the manifest's entries by theirs."""
    arrays, entries = {}, dict(entries)
    refused: dict[str, tuple[int, int]] = {}
    for name, column in columns.items():
        plan = plans[name]
        outcome = protect(column, keyring.cipher(plan.domain, plan.small_domain))
        if len(outcome.refused.rows):
            refused[name] = outcome.refused.domain, column.occurrences(outcome.refused.rows)
        elif not refused:
            arrays[name] = _in_column(name, column.rebuilt, outcome.values, outcome.nulled)
            entries[name] = _entry(column, plan, outcome, frame[name].dtype)
    if refused:
        raise _refusal(refused)
    return with_columns(frame, arrays, keyring.sign(entries).document())


def _entry(column: Column, plan: _Plan, outcome: Outcome, dtype: Any) -> Entry:
    return Entry(
        strategy="fpe",
        algorithm=ALGORITHM,
        format=INTEGER_FORMAT if isinstance(column, IntegerColumn) else CLASS_FORMAT,
        domain=plan.domain,
        dtype=str(dtype),
        small_domain=plan.small_domain,
        rows=len(column.nulls),
        nulls=int(column.nulls.sum()),
        empty=column.empty,
        tokens=column.occurrences(outcome.tokens),
        nulled=column.occurrences(outcome.nulled),
    )


def _refusal(refused: Mapping[str, tuple[int, int]]) -> DomainTooSmallError:
    """Make one error of all columns with values that are too short, the smallest first."""
    ordered = sorted(refused.items(), key=lambda item: item[1])
    listing = "; ".join(
        f"column {name!r}: {rows} rows, with as few as {domain}" for name, (domain, rows) in ordered
    )
    name, (domain, rows) = ordered[0]
    return DomainTooSmallError(
        f"values with fewer than {MIN_DOMAIN} possible pseudonyms of their format ({listing})."
        " Pass small_domain='token' to replace them by reversible tokens, or 'null' to remove them",
        column=name,
        domain_size=domain,
        rows=rows,
    )


def _recovered(frame: pd.DataFrame, found: Manifest, keyring: Keyring) -> dict[str, Any]:
    """Recover those columns of the manifest that the frame has, as an array each."""
    present = [name for name in found.columns if name in frame.columns]
    if not present:
        raise ManifestError(
            "the table has none of the columns of the manifest: "
            + ", ".join(map(repr, found.columns))
        )
    arrays = {}
    for name in present:
        entry = found.columns[name]
        cipher = keyring.cipher(entry.domain, entry.small_domain)
        arrays[name] = _in_column(name, recover, frame[name], entry, cipher)
    return arrays


def _in_column(name: str, function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function, and name the column in its error."""
    kind, problem = PseudonymizationError, ""
    try:
        return function(*arguments)
    except PseudonymizationError as error:
        kind, problem = type(error), str(error)
    raise kind(f"column {name!r}: {problem}")


def _manifest(frame: pd.DataFrame, given: Mapping[str, Any] | str | None) -> Manifest:
    if given is not None:
        return Manifest.parse(given)
    if ATTRIBUTE not in frame.attrs:
        raise ManifestError(
            f"the table has no manifest in attrs[{ATTRIBUTE!r}], which some operations of pandas"
            " and most file formats drop: pass the one that anonymize made as manifest="
        )
    return Manifest.parse(frame.attrs[ATTRIBUTE])


def _check_new(earlier: Manifest | None, names: Iterable[str]) -> None:
    again = [] if earlier is None else [name for name in names if name in earlier.columns]
    if again:
        raise PseudonymizationError(
            f"already pseudonymized: {', '.join(map(repr, again))}. To change the key use rekey,"
            " to start over use reidentify first"
        )


def _check_extension(earlier: Manifest, keyring: Keyring) -> None:
    if earlier.key != keyring.reference:
        raise ManifestError(
            f"other columns of the table were pseudonymized with {earlier.key}, and these would be"
            f" with {keyring.reference}: a table has one key. Use rekey or reidentify first"
        )
    keyring.verify(earlier)


def _check_format(name: str, wanted: str, column: Column) -> None:
    check_choice(f"formats[{name!r}]", wanted, _FORMATS)
    actual = _FORMATS[1] if isinstance(column, IntegerColumn) else _FORMATS[0]
    if wanted != actual:
        raise PseudonymizationError(
            f"column {name!r} has the format {actual!r} by its dtype, not {wanted!r}: convert it"
        )
