"""The three functions on tables: ``anonymize``, ``reidentify`` and ``rekey``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any, overload

import pandas as pd

from secureml.anonymization.arguments import (
    check_key,
    check_manifest,
    check_method,
    check_preview,
    check_switch,
)
from secureml.anonymization.jobs import (
    Function,
    Job,
    check_tweaks,
    checked_formats,
    checked_options,
    chosen_strategies,
    job_of,
)
from secureml.anonymization.keyrings import keyring_of, keyring_that_made
from secureml.anonymization.preview import Preview, previewed
from secureml.anonymization.problems import in_column
from secureml.anonymization.protection import protected
from secureml.anonymization.recovery import (
    check_complete,
    check_rows,
    missing_columns,
    recovered,
)
from secureml.anonymization.rules import ruled_columns, rules_in_force
from secureml.anonymization.versions import check_version_columns, version_column
from secureml.errors import ManifestError, MissingColumnWarning, PseudonymizationError, warn
from secureml.frames.columns import arrow_name, dtype_name, read_column
from secureml.frames.pandas import (
    ATTRIBUTE,
    by_column,
    check_frame,
    check_levels,
    detached,
    with_columns,
)
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.column_spec import check_choices
from secureml.pseudonymization.keyring import Keyring
from secureml.pseudonymization.manifest import Manifest
from secureml.settings.rules import ColumnRule, Option

__all__ = ["anonymize", "reidentify", "rekey"]


@overload
def anonymize(
    data: pd.DataFrame,
    method: str = "pseudonymization",
    strategy: str | Function | Mapping[str, str | Function] | None = None,
    sensitive_columns: Iterable[str] | None = None,
    *,
    master_key_name: str | None = None,
    master_key_version: int | None = None,
    domains: Mapping[str, str] | None = None,
    domain_prefix: str | None = None,
    formats: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Option]] | None = None,
    tweaks: Mapping[str, str] | None = None,
    small_domain: str | None = None,
    on_invalid: str | None = None,
    normalize: str | None = None,
    on_ordered: str | None = None,
    key_versions: bool = False,
    manifest: Mapping[str, Any] | str | None = None,
    profile: str | None = None,
    preview: None = None,
    key_manager: KeyManager | None = None,
) -> pd.DataFrame: ...
@overload
def anonymize(
    data: pd.DataFrame,
    method: str = "pseudonymization",
    strategy: str | Function | Mapping[str, str | Function] | None = None,
    sensitive_columns: Iterable[str] | None = None,
    *,
    master_key_name: str | None = None,
    master_key_version: int | None = None,
    domains: Mapping[str, str] | None = None,
    domain_prefix: str | None = None,
    formats: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Option]] | None = None,
    tweaks: Mapping[str, str] | None = None,
    small_domain: str | None = None,
    on_invalid: str | None = None,
    normalize: str | None = None,
    on_ordered: str | None = None,
    key_versions: bool = False,
    manifest: Mapping[str, Any] | str | None = None,
    profile: str | None = None,
    preview: int,
    key_manager: KeyManager | None = None,
) -> Preview: ...
def anonymize(
    data: pd.DataFrame,
    method: str = "pseudonymization",
    strategy: str | Function | Mapping[str, str | Function] | None = None,
    sensitive_columns: Iterable[str] | None = None,
    *,
    master_key_name: str | None = None,
    master_key_version: int | None = None,
    domains: Mapping[str, str] | None = None,
    domain_prefix: str | None = None,
    formats: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Option]] | None = None,
    tweaks: Mapping[str, str] | None = None,
    small_domain: str | None = None,
    on_invalid: str | None = None,
    normalize: str | None = None,
    on_ordered: str | None = None,
    key_versions: bool = False,
    manifest: Mapping[str, Any] | str | None = None,
    profile: str | None = None,
    preview: int | None = None,
    key_manager: KeyManager | None = None,
) -> pd.DataFrame | Preview:
    """Replace the values of some columns by pseudonyms that the key can turn back.

    A value becomes another one of its format: every character keeps its class (digit, upper case,
    letters of a script, ...) and every other character stays; a whole number keeps its sign and
    its number of digits. Equal values of one domain get equal pseudonyms, in every table. Nulls
    and empty strings stay. What recovery needs is in ``attrs["secureml"]`` of the result.

    Args:
        data: the table; it is not changed.
        method: "pseudonymization".
        strategy: how values are replaced, for all columns or by column. Reversible are "fpe", the
            default: format-preserving encryption, FF1 with AES-256, and "token": AES-SIV. Not
            reversible are "hash": HMAC-SHA256, "mask", "redact", "null", and a function of the
            caller's own, which gets the column as a Series and returns the new one.
        sensitive_columns: the names of the columns to pseudonymize; by default those that the
            rules of the settings name. What the rules say holds where no argument says otherwise.
        master_key_name: the key; by default the setting of that name.
        master_key_version: its version; by default the newest. A job of many tables names one,
            so that a rotation meanwhile does not divide it.
        domains: by column, the name of its domain; by default the column's own name. Columns of
            one domain can be joined.
        domain_prefix: what sets the domains of all columns apart, such as the name of a recipient:
            only columns of the same prefix can be joined. By default that of the profile or the
            settings; "" for none.
        formats: by column, what its values are; by default "class" for text, "integer" for whole
            numbers, "decimal", "date" and "datetime" for columns of such dtypes.
        options: by column, the options of its strategy or format.
        tweaks: by column, the name of another column that stays as it is: rows that differ in it
            get unlinkable pseudonyms of equal values.
        small_domain: what becomes of values with fewer than 1,000,000 possible pseudonyms:
            "error" (the default) refuses the table, "token" replaces them by reversible tokens (a
            column of integers becomes one of strings), "null" by nulls, for good, and "permute"
            permutes the whole domain by a table, which is no standard.
        on_invalid: what becomes of values that are not of the column's format: "error" (the
            default), "token" or "null".
        normalize: "NFC" to normalize text first, so that what looks the same can be joined; what
            is recovered is then the normalized text.
        on_ordered: what becomes of an ordered categorical: "error" (the default) refuses the
            table, "keep" keeps the order, which tells much of the values.
        key_versions: add a column ``<column>__key_version`` for each, so that rows of several
            versions can be put together in one table.
        manifest: of columns that were pseudonymized before; by default that of the data, if it
            has one.
        profile: the name of a set of rules in the settings, which stands over the rules for all.
        preview: instead of the table, show what would become of it: so many rows before and after,
            and figures for each column. Nothing is refused.
        key_manager: where keys come from; by default the process's own.

    Returns:
        A new table with the same index, columns and dtypes; or a ``Preview``.

    Raises:
        TypeError: the data is not a pandas DataFrame.
        DomainTooSmallError: values are too short, and ``small_domain`` is "error".
        ManifestError: the table already has a manifest that can't be extended.
        PseudonymizationError: an argument or a column can't be used; nothing was done.
        SecretError: the key can't be had.
    """
    check_method(method)
    check_choices(
        small_domain=small_domain, on_invalid=on_invalid, normalize=normalize, on_ordered=on_ordered
    )
    check_preview(preview)
    check_switch("key_versions", key_versions)
    check_manifest(manifest)
    check_key(
        key_manager,
        master_key_name=master_key_name,
        master_key_version=master_key_version,
        profile=profile,
        domain_prefix=domain_prefix,
    )
    frame, attributes = detached(check_frame(data))
    manager = get_default_key_manager() if key_manager is None else key_manager
    settings = manager.settings
    said_of_all = rules_in_force(settings, profile)
    if domain_prefix is None:
        domain_prefix = said_of_all.domain_prefix
    strict = settings.strict_columns
    rules = ruled_columns(frame, sensitive_columns, said_of_all, strict=strict)
    names = list(rules)
    domains = by_column("domains", domains, names)
    tweaks = by_column("tweaks", tweaks, names)
    strategies, functions = chosen_strategies(strategy, names)
    options = checked_options(options, names)
    formats = checked_formats(formats, options, names)
    known = manifest is not None or ATTRIBUTE in data.attrs
    earlier = _manifest(data, manifest) if known else None
    _check_new(earlier, names)
    jobs = {}
    for name in names:
        said = ColumnRule(
            strategy=strategies.get(name),
            format=formats.get(name),
            domain=domains.get(name),
            small_domain=small_domain,
            on_invalid=on_invalid,
            normalize=normalize,
            on_ordered=on_ordered,
            tweak=tweaks.get(name),
            options=options.get(name, {}),
        )
        rule = said.over(rules[name])
        function, prefix = functions.get(name), domain_prefix or None
        jobs[name] = in_column(name, job_of, frame[name], rule, function, prefix)
    entries = {} if earlier is None else earlier.columns
    check_tweaks(frame, jobs, entries)
    versioned = [name for name in names if key_versions and jobs[name].recipe.reversible]
    check_version_columns(frame, versioned)

    keyring = keyring_of(key_manager, master_key_name, master_key_version)
    if earlier is not None:
        _check_extension(earlier, keyring)
    if preview is not None:
        return previewed(frame, jobs, keyring, preview)
    older = () if earlier is None else earlier.older
    made = protected(frame, jobs, keyring, entries, versions=versioned, older=older)
    return _with(attributes, made)


def reidentify(
    data: pd.DataFrame,
    manifest: Mapping[str, Any] | str | None = None,
    *,
    check_table: bool = True,
    key_manager: KeyManager | None = None,
) -> pd.DataFrame:
    """Recover the values that ``anonymize`` replaced.

    Args:
        data: the table, with all or some of the pseudonymized columns; it is not changed.
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
        TypeError: the data is not a pandas DataFrame.
        ManifestError: there is no manifest; its children: it was changed (ManifestChangedError),
            the key is another one (WrongKeyError), or the table (WrongTableError).
        PseudonymizationError: a column holds what can't be pseudonyms.
        SecretError: the key can't be had.

    Warns:
        IrreversibleWarning: some columns can't be recovered; its details name them.
        MissingColumnWarning: the table lacks columns of the manifest; its details name them.
    """
    check_manifest(manifest)
    check_switch("check_table", check_table)
    check_key(key_manager)
    frame, attributes = detached(check_frame(data))
    found = _manifest(data, manifest)
    manager = get_default_key_manager() if key_manager is None else key_manager
    keyring = keyring_that_made(manager, found.key)
    keyring.verify(found)
    values = recovered(frame, found, keyring, manager, check_table=check_table)
    missing = missing_columns(frame.columns, found)
    if missing:
        message = "pseudonymized columns of the manifest are missing, or were renamed"
        named = ", ".join(map(repr, missing))
        warn(message, MissingColumnWarning, f"{message}: {named}")
    added = [version_column(name) for name in values if found.columns[name].versions]
    return _with(attributes, with_columns(frame.drop(columns=added), values, None))


def rekey(
    data: pd.DataFrame,
    to_key: str | None = None,
    manifest: Mapping[str, Any] | str | None = None,
    *,
    to_version: int | None = None,
    drop_missing: bool = False,
    check_table: bool = True,
    key_manager: KeyManager | None = None,
) -> pd.DataFrame:
    """Replace pseudonyms under one key by those under another, as after a rotation.

    Args:
        data: the table, with all or some of the pseudonymized columns; it is not changed.
        to_key: the name of the new key; by default that of the manifest's key.
        manifest: as for ``reidentify``.
        to_version: the version of the new key; by default the newest.
        drop_missing: leave columns out of the new manifest that the data lacks; without this they
            are an error, as a column that was renamed would be lost with the old key.
        check_table: as for ``reidentify``.
        key_manager: where both keys come from; by default the process's own.

    Returns:
        A new table with a new manifest. Columns that can't be reversed stay as they are, and so do
        their entries.

    Raises:
        TypeError: the data is not a pandas DataFrame.
        ManifestError: as of ``reidentify``; or columns of the manifest are missing
            (WrongTableError).
        PseudonymizationError: a column holds what can't be pseudonyms.
        SecretError: a key can't be had.

    Warns:
        IrreversibleWarning: some columns stay as they are; its details name them.
    """
    check_manifest(manifest)
    check_switch("check_table", check_table)
    check_switch("drop_missing", drop_missing)
    check_key(key_manager, to_key=to_key, to_version=to_version)
    frame, attributes = detached(check_frame(data))
    found = _manifest(data, manifest)
    manager = get_default_key_manager() if key_manager is None else key_manager
    old = keyring_that_made(manager, found.key)
    old.verify(found)
    check_levels([*frame.index.names, *frame.columns.names], found.columns)
    if not drop_missing:
        check_complete(frame.columns, found)
    new_name = found.key.name if to_key is None else to_key
    if to_version is None:
        # A cached version may have been followed by a newer one, which is what is wanted here.
        manager.invalidate(new_name)
    new = keyring_of(manager, new_name, to_version)
    if new.same_key_as(old) and not any(entry.versions for entry in found.columns.values()):
        # A wrapped key that was rotated is the same key, wrapped anew: the data stays as it is.
        if check_table:
            check_rows(frame, found, old)
        missing = missing_columns(frame.columns, found)
        entries = {
            name: replace(one, sketches=dict.fromkeys([new.reference.version], sketch))
            if (sketch := one.sketches.get(found.key.version))
            else one
            for name, one in found.columns.items()
            if name not in missing
        }
        return _with(attributes, with_columns(frame, {}, new.sign(entries).document()))
    values = recovered(frame, found, old, manager, check_table=check_table)
    plain = with_columns(frame, values, None)
    jobs = {}
    for name in filter(values.__contains__, found.columns):
        recipe = found.columns[name].recipe
        column = read_column(plain[name], scale=recipe.scale)
        recipe = in_column(name, recipe.renewed, type(column.values))
        dtype, arrow = dtype_name(plain[name], column), arrow_name(plain[name], column)
        jobs[name] = Job(column, recipe, dtype, arrow, smallest=2)  # as it was made
    versions = [name for name in values if found.columns[name].versions]
    kept = {name: entry for name, entry in found.columns.items() if not entry.recipe.reversible}
    return _with(attributes, protected(plain, jobs, new, kept, versions=versions))


def _with(attributes: Mapping[Hashable, Any], frame: pd.DataFrame) -> pd.DataFrame:
    """Return a new frame with the attributes of the caller's beside its own."""
    frame.attrs = {**attributes, **frame.attrs}
    return frame


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
            " to start over use reidentify first; rows in clear that were added are pseudonymized"
            " alone, before tables and manifests are put together (merge_manifests)"
        )


def _check_extension(earlier: Manifest, keyring: Keyring) -> None:
    if earlier.key != keyring.reference:
        raise ManifestError(
            f"other columns of the table were pseudonymized with {earlier.key}, and these would be"
            f" with {keyring.reference}: a table has one key. Use rekey or reidentify first"
        )
    keyring.verify(earlier)
    if earlier.schema < 3 and any(entry.versions for entry in earlier.columns.values()):
        raise ManifestError(
            f"the manifest of the table is of schema {earlier.schema}, which does not list the"
            " versions of the key that its rows have: rekey the table first"
        )
