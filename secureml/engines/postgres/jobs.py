"""Jobs on tables of PostgreSQL: all tables of one are read at one moment, and written at one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from secureml.anonymization.arguments import (
    Arguments,
    check_key,
    check_manifest,
    check_method,
    check_switch,
)
from secureml.anonymization.plan import Plan, plan_table, rules_in_force
from secureml.anonymization.previewing import Preview, preview
from secureml.anonymization.recovery import (
    Recovery,
    check_complete,
    warn_of_columns,
    warn_of_missing,
)
from secureml.anonymization.rekeying import Rekeying
from secureml.engines.postgres.constraints import followed
from secureml.engines.postgres.database import Database, concealed
from secureml.engines.postgres.selection import arguments_by_table, columns_by_table
from secureml.engines.postgres.transfer import (
    REPEATABLE,
    SourceTable,
    WrittenTable,
    copied,
    first_rows,
    opened,
)
from secureml.engines.postgres.work import Pseudonymizing, Recovering, Rekeyed, Work
from secureml.errors import ArgumentError, ManifestError, WrongKeyError
from secureml.files.progress import Progress
from secureml.key_management import KeyManager, get_default_key_manager
from secureml.pseudonymization.keys import Keyring, keyring_of, keyring_that_made
from secureml.pseudonymization.manifest import Manifest
from secureml.settings.rules import KEEP, Profile

__all__ = [
    "anonymize_tables",
    "preview_table",
    "reidentify_tables",
    "rekey_tables",
    "sample_of_table",
]

_LOOKED_AT = 100_000
"""Rows of a preview, and of a sample."""

_Planned = tuple[Plan, Keyring, Manifest | None]
_ByTable = TypeVar("_ByTable")


def anonymize_tables(
    source: str | Database,
    tables: Mapping[str, str],
    target: str | Database | None = None,
    sensitive_columns: Iterable[str] | None = None,
    *,
    if_exists: str = "error",
    on_progress: Progress | None = None,
    key_manager: KeyManager | None = None,
    **rules: Any,
) -> list[WrittenTable]:
    """Pseudonymize columns of tables of PostgreSQL, under one version of a key.

    All tables are read as of one moment, and all copies appear at one moment, with their manifests
    in their comments, or none. A column that refers by a foreign key to a column that is replaced
    is replaced in the same way, so that both can be joined.

    Args:
        source: the database, or its URL.
        tables: the name of each copy, by the name of its table or view: ``customers``,
            ``sales.customers`` or ``"a.b"``, with letters as they are in the catalog.
        target: where the copies go; by default the same database.
        sensitive_columns: as for ``anonymize``; ``customers.email`` if other tables have a column
            of this name too. Names by which rules are given are written in the same way.
        if_exists: "replace" tables of these names, or raise an "error".
        on_progress: is called now and then with how much is done.
        key_manager: where keys come from; by default the process's own.
        **rules: the other arguments of ``anonymize``.

    Raises:
        DatabaseError: a table can't be read or written; nothing was changed.
        PseudonymizationError: as of ``anonymize``; nothing was changed.
        SecretError: the key can't be had.
    """
    source, target = concealed(source), concealed(target)
    check_key(key_manager)
    check_method(rules.pop("method", "pseudonymization"))
    manager = get_default_key_manager() if key_manager is None else key_manager

    def prepare(found: Sequence[SourceTable]) -> list[Work]:
        planned = _planned(found, sensitive_columns, {**rules, "key_manager": manager})
        return [Pseudonymizing(*each) for each in planned]

    return _copied(source, target, tables, prepare, if_exists=if_exists, on_progress=on_progress)


def reidentify_tables(
    source: str | Database,
    tables: Mapping[str, str],
    target: str | Database | None = None,
    *,
    manifest: Mapping[str, Any] | str | None = None,
    check_table: bool = True,
    if_exists: str = "error",
    on_progress: Progress | None = None,
    key_manager: KeyManager | None = None,
) -> list[WrittenTable]:
    """Recover the columns of tables of PostgreSQL.

    Args:
        source: as for ``anonymize_tables``, like all that is not said here.
        tables: the name of each copy, by that of its table.
        target: where the copies go.
        manifest: of the one table; by default that in the comment of each.
        check_table: as for ``reidentify``.
        if_exists: what becomes of tables that are there.
        on_progress: is called now and then with how much is done.
        key_manager: where keys come from.

    Raises:
        DatabaseError: a table can't be read or written; nothing was changed.
        ManifestError: a table has no manifest, or as of ``reidentify``.
        PseudonymizationError: a column holds what can't be pseudonyms.
        SecretError: the key can't be had.
    """
    source, target = concealed(source), concealed(target)
    _check(manifest, tables, key_manager, check_table=check_table)
    manager = get_default_key_manager() if key_manager is None else key_manager

    def work_on(table: SourceTable) -> Work:
        parsed, keyring = _manifest_of(table, manifest, manager)
        warn_of_columns(table.empty, parsed, check_table=check_table)
        warn_of_missing(table.empty, parsed)
        return Recovering(Recovery(parsed, check_table, {parsed.key.version: keyring}, manager))

    return _copied(
        source,
        target,
        tables,
        lambda found: list(map(work_on, found)),
        if_exists=if_exists,
        on_progress=on_progress,
    )


def rekey_tables(
    source: str | Database,
    tables: Mapping[str, str],
    target: str | Database | None = None,
    *,
    to_key: str | None = None,
    manifest: Mapping[str, Any] | str | None = None,
    drop_missing: bool = False,
    check_table: bool = True,
    if_exists: str = "error",
    on_progress: Progress | None = None,
    key_manager: KeyManager | None = None,
) -> list[WrittenTable]:
    """Write tables of PostgreSQL with their pseudonyms under another key.

    Args:
        source: as for ``anonymize_tables``, like all that is not said here.
        tables: the name of each copy, by that of its table.
        target: where the copies go.
        to_key: the name of the new key; by default the newest version of that of each manifest.
        manifest: of the one table; by default that in the comment of each.
        drop_missing: as for ``rekey``.
        check_table: as for ``rekey``.
        if_exists: what becomes of tables that are there.
        on_progress: is called now and then with how much is done.
        key_manager: where both keys come from.

    Raises:
        DatabaseError: a table can't be read or written; nothing was changed.
        ManifestError: a table has no manifest, or as of ``rekey``.
        PseudonymizationError: a column holds what can't be pseudonyms.
        SecretError: a key can't be had.
    """
    source, target = concealed(source), concealed(target)
    _check(manifest, tables, key_manager, check_table=check_table)
    check_switch("drop_missing", drop_missing)
    check_key(None, to_key=to_key)
    manager = get_default_key_manager() if key_manager is None else key_manager
    newest: dict[str, Keyring] = {}

    def work_on(table: SourceTable) -> Work:
        parsed, old = _manifest_of(table, manifest, manager)
        if not drop_missing:
            check_complete(table.empty, parsed)
        name = parsed.key.name if to_key is None else to_key
        if name not in newest:
            # A cached version may have been followed by a newer one, which is what is wanted.
            manager.invalidate(name)
            newest[name] = keyring_of(manager, name)
        warn_of_columns(table.empty, parsed, check_table=check_table)
        before = {parsed.key.version: old}
        return Rekeyed(Rekeying(parsed, check_table, before, newest[name], manager))

    return _copied(
        source,
        target,
        tables,
        lambda found: list(map(work_on, found)),
        if_exists=if_exists,
        on_progress=on_progress,
    )


def preview_table(
    source: str | Database,
    table: str,
    sensitive_columns: Iterable[str] | None = None,
    *,
    rows: int = 5,
    **arguments: Any,
) -> Preview:
    """Show what ``anonymize_tables`` would make of the first 100,000 rows of a table.

    Args:
        source: as for ``anonymize_tables``.
        table: its name.
        sensitive_columns: as for ``anonymize``.
        rows: how many rows to show before and after.
        **arguments: the other arguments of ``anonymize``.

    Raises:
        DatabaseError: the table can't be read.
        PseudonymizationError: an argument or a column can't be used.
        SecretError: the key can't be had.
    """
    source = concealed(source)
    with Database.of(source).session(*REPEATABLE) as session:
        [found] = opened(session, [table])
        some = first_rows(session, found, _LOOKED_AT)
    [columns] = columns_by_table(sensitive_columns, [found])
    [own] = arguments_by_table(arguments, [found])
    manifest = own.pop("manifest", None) or found.manifest
    return preview(some, rows, sensitive_columns=columns, manifest=manifest, **own)


def sample_of_table(source: str | Database, table: str) -> Any:
    """Return the first 100,000 rows of a table, as an Arrow table.

    Raises:
        DatabaseError: the table can't be read.
    """
    source = concealed(source)
    with Database.of(source).session(*REPEATABLE) as session:
        [found] = opened(session, [table])
        return first_rows(session, found, _LOOKED_AT)


def _copied(
    source: Any,
    target: Any,
    tables: Mapping[str, str],
    prepare: Callable[[Sequence[SourceTable]], Sequence[Work]],
    *,
    if_exists: str,
    on_progress: Progress | None,
) -> list[WrittenTable]:
    source = Database.of(source)
    target = source if target is None else Database.of(target)
    if not isinstance(tables, Mapping) or not tables:
        raise ArgumentError.of("tables", "must be a mapping of names of tables to those of copies")
    if if_exists not in ("error", "replace"):
        raise ArgumentError.of("if_exists", "must be 'error' or 'replace'", f"={if_exists!r}")
    return copied(
        source,
        target,
        tables,
        prepare,
        replace_existing=if_exists == "replace",
        on_progress=on_progress,
    )


def _check(
    manifest: Mapping[str, Any] | str | None,
    tables: Mapping[str, str],
    key_manager: KeyManager | None,
    *,
    check_table: bool,
) -> None:
    check_key(key_manager)
    check_manifest(manifest)
    check_switch("check_table", check_table)
    if manifest is not None and len(tables) > 1:
        raise ArgumentError.of("manifest", "is of one table; each of several has its own")


def _manifest_of(
    table: SourceTable, given: Mapping[str, Any] | str | None, manager: KeyManager
) -> tuple[Manifest, Keyring]:
    document = table.manifest if given is None else given
    if document is None:
        raise ManifestError(
            f"{table.relation.name} has no manifest in its comment: pass the one that was made"
            " with it"
        )
    parsed = Manifest.parse(document)
    keyring = keyring_that_made(manager, parsed.key)
    parsed.check(keyring)
    return parsed, keyring


def _planned(
    tables: Sequence[SourceTable],
    sensitive_columns: Iterable[str] | None,
    arguments: Mapping[str, Any],
) -> list[_Planned]:
    """Decide what is done with each column of each table, under one version of a key.

    Raises:
        ArgumentError: a table would be copied in clear.
    """
    manager: KeyManager = arguments["key_manager"]
    if len(tables) > 1 and arguments.get("manifest") is not None:
        raise ArgumentError.of("manifest", "is of one table; each of several has its own")
    planned: list[_Planned] = []
    profile = rules_in_force(manager.settings, arguments.get("profile"))
    named = _with_followers(tables, columns_by_table(sensitive_columns, tables), profile)
    for table, columns, own in zip(
        tables, named, arguments_by_table(arguments, tables), strict=True
    ):
        if columns == [] and len(tables) > 1:
            raise ArgumentError(f"no column of {table.relation.name} would be pseudonymized")
        if planned:
            own["master_key_name"] = planned[0][0].key.name
            own["master_key_version"] = planned[0][0].key.version
        strategy = own.pop("strategy", None)
        plan, keyring, earlier = plan_table(
            table.empty, strategy, columns, cast(Arguments, own), table.manifest
        )
        if planned and plan.key.check != planned[0][0].key.check:
            raise WrongKeyError(f"{plan.key} became another key while the job was under way")
        planned.append((plan, keyring, earlier))
    return _alike(tables, planned)


def _with_followers(
    tables: Sequence[SourceTable], named: Sequence[list[str] | None], rules: Profile
) -> list[list[str] | None]:
    """Name the columns too that refer to others that are replaced."""
    chosen = [
        _ruled(table, rules) if columns is None else columns
        for table, columns in zip(tables, named, strict=True)
    ]
    extended = [list(columns) for columns in chosen]
    links = _links(tables, extended)
    for _ in links:  # what is referred to may refer to something itself
        for own, name, others, referred in links:
            if referred in others and name not in own:
                own.append(name)
    return [
        columns if own == before else own
        for columns, before, own in zip(named, chosen, extended, strict=True)
    ]


def _ruled(table: SourceTable, rules: Profile) -> list[str]:
    """Return the columns that rules replace."""
    ruled = ((name, rules.of(name)) for name in table.readings)
    return [name for name, rule in ruled if rule is not None and rule.strategy != KEEP]


def _alike(tables: Sequence[SourceTable], planned: Sequence[_Planned]) -> list[_Planned]:
    """Replace columns that refer to others as those are, unless they have a domain of their own."""
    specs = [dict(plan.columns) for plan, _, _ in planned]
    links = [
        (own, name, others, referred)
        for own, name, others, referred in _links(tables, specs)
        if name in own and own[name].key_domain == name
    ]
    for _ in links:
        for own, name, others, referred in links:
            spec = others.get(referred)
            if spec is not None and spec.tweak is None and spec.strategy != "custom":
                own[name] = spec
    result = []
    for own, (plan, keyring, earlier) in zip(specs, planned, strict=True):
        versioned = tuple(name for name in plan.versioned if own[name].reversible)
        result.append((replace(plan, columns=own, versioned=versioned), keyring, earlier))
    return result


def _links(
    tables: Sequence[SourceTable], by_table: Sequence[_ByTable]
) -> list[tuple[_ByTable, str, _ByTable, str]]:
    """Return columns that refer to others of the job, each with what is kept of its table."""
    relations = {table.relation.oid: table.relation for table in tables}
    of_oid = {table.relation.oid: own for table, own in zip(tables, by_table, strict=True)}
    return [
        (of_oid[table.relation.oid], name, of_oid[other.oid], referred)
        for table in tables
        for name, other, referred in followed(table.relation, relations)
    ]
