"""Tables from one database into another or the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers.postgres import Postgres
from secureml.errors import (
    ArgumentError,
    DatabaseError,
    DomainTooSmallError,
    ManifestError,
    PseudonymizationError,
    WrongTableError,
)
from secureml.key_management import KeyManager
from secureml.postgres import (
    Database,
    anonymize_tables,
    preview_table,
    reidentify_tables,
    rekey_tables,
)

TYPES = {
    "int4": ("integer", "7"),
    "int8": ("bigint", "-9223372036854775808"),
    "numeric": ("numeric", "123456789012345678901234567890.12345"),
    "limited": ("numeric(10,2)", "'NaN'"),
    "infinite": ("timestamp with time zone", "'infinity'"),
    "before": ("date", "'-infinity'"),
    "ancient": ("timestamp(3) without time zone", "'4713-01-01 00:00:00.123 BC'"),
    "moment": ("time with time zone", "'10:00:00+02'"),
    "span": ("interval day to second", "'1 day 02:03:04'"),
    "code": ("character(5)", "'ab'"),
    "short": ("character varying(20)", "'Ünïcödé'"),
    "empty": ("text", "''"),
    "octets": ("bytea", r"'\x00ff'"),
    "document": ("json", """'{"b":  1, "a": 1.0}'"""),
    "binary_document": ("jsonb", """'{"b": [1, null]}'"""),
    "id": ("uuid", "'6ecd8c99-4036-403d-bf84-cf8400f67836'"),
    "cube": ("integer[]", "'{{1,2},{3,NULL}}'"),
    "prices": ("numeric(8,3)[]", "'{1.5,NaN}'"),
    "words": ("text[]", """'{a,NULL,"",b}'"""),
    "mood": ("mood", "'ok'"),
    "moods": ("mood[]", "'{ok,sad}'"),
    "pair": ("pair", "'(1,b)'"),
    "pairs": ("pair[]", """'{"(1,b)"}'"""),
    "percent": ("percent", "99.5"),
    "name": ("name", "'n'"),
    "letter": ('"char"', "'x'"),
    "address": ("inet", "'10.0.0.1/8'"),
    "range": ("int4range", "'[1,9)'"),
    "ranges": ("datemultirange", "'{[2020-01-01,2020-02-01)}'"),
    "point": ("point", "'(1.5,2)'"),
    "bits": ("bit varying(9)", "B'101'"),
    "cost": ("money", "'3.50'"),
    "search": ("tsvector", "'a b'"),
    "markup": ("xml", "'<a/>'"),
    "single": ("real", "'-0'"),
    "double": ("double precision", "'NaN'"),
    "truth": ("boolean", "true"),
}
MADE = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE TYPE pair AS (x integer, y text)",
    "CREATE DOMAIN percent AS numeric(5,2) CHECK (VALUE <= 100)",
)
PEOPLE = (
    "CREATE TABLE people (id integer PRIMARY KEY, ssn text NOT NULL UNIQUE, born date, note text)",
    """INSERT INTO people SELECT i, '123-10-' || lpad(i::text, 4, '0'), DATE '1970-01-01' + i,
        CASE WHEN i % 3 > 0 THEN 'note ' || i END FROM generate_series(1000, 1999) i""",
)
QUIET = pytest.mark.filterwarnings("ignore::secureml.errors.IrreversibleWarning")


def columns_of(database: Postgres, table: str) -> list[tuple[Any, ...]]:
    return database.rows(
        "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        f" WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
    )


def keys_of(database: Postgres, table: str) -> list[str]:
    query = (
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        f" WHERE conrelid = '{table}'::regclass AND contype IN ('p', 'u', 'f') ORDER BY 1"
    )
    return [text for (text,) in database.rows(query)]


def differing(database: Postgres, one: str, other: str, columns: str = "*") -> int:
    """Count the rows of one table that the other has not; text shows all of a value."""
    row = "a" if columns == "*" else f"ROW({columns})"
    query = f"(SELECT {row}::text FROM {one} a EXCEPT ALL SELECT {row}::text FROM {other} a)"
    return int(database.value(f"SELECT count(*) FROM {query} q"))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_columns_of_every_type_come_through_as_they_are(
    database: Postgres, other: Postgres, manager: KeyManager, elsewhere: bool
) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _) in TYPES.items())
    values = ", ".join(value for _, value in TYPES.values())
    nulls = ", ".join("NULL" for _ in TYPES)
    database.run(
        *MADE,
        f"CREATE TABLE t (ssn text, {columns})",
        f"INSERT INTO t VALUES ('123-10-1000', {values}), (NULL, {nulls})",
    )
    if elsewhere:
        # Other types there have the numbers that these have here.
        other.run("CREATE TYPE colour AS ENUM ('red')", *reversed(MADE))
    target = other if elsewhere else database
    anonymize_tables(database.url, {"t": "hidden"}, target.url, ["ssn"], key_manager=manager)
    assert columns_of(target, "hidden") == columns_of(database, "t")
    names = ", ".join(f'"{name}"' for name in TYPES)
    rows = f"SELECT ROW({names})::text FROM"
    assert target.rows(f"{rows} hidden") == database.rows(f"{rows} t")
    assert target.tables() == (["hidden", "percent"] if elsewhere else ["hidden", "percent", "t"])


def test_a_table_is_recovered_with_its_types_nulls_and_keys(
    database: Postgres, other: Postgres, manager: KeyManager
) -> None:
    database.run(*PEOPLE)
    [written] = anonymize_tables(
        database.url,
        {"people": "hidden"},
        other.url,
        ["ssn", "born", "note"],
        formats={"ssn": "ssn"},
        small_domain="token",
        key_manager=manager,
    )
    assert (written.table, written.rows, list(written.left_out)) == ("public.hidden", 1000, [])
    assert written.manifest is not None
    entry = written.manifest["columns"]["note"]
    assert (entry["rows"], entry["nulls"]) == (1000, 333)
    assert keys_of(other, "hidden") == ["PRIMARY KEY (id)", "UNIQUE (ssn)"]
    reidentify_tables(
        other.url, {"hidden": "people"}, database.url, key_manager=manager, if_exists="replace"
    )
    database.run(
        "ALTER TABLE people ALTER born TYPE date USING born::date",
        *[statement.replace("people", "original") for statement in PEOPLE],
    )
    assert differing(database, "people", "original") == 0
    assert database.value("SELECT count(*) FROM people") == 1000
    assert columns_of(database, "people") == columns_of(database, "original")
    assert keys_of(database, "people") == keys_of(database, "original")


def test_the_manifest_stays_with_a_table_that_is_renamed_and_moved(
    database: Postgres, manager: KeyManager
) -> None:
    database.run(*PEOPLE)
    [written] = anonymize_tables(
        database.url, {"people": "hidden"}, None, ["ssn"], key_manager=manager
    )
    comment = database.value("SELECT obj_description('hidden'::regclass)")
    assert json.loads(comment[comment.index("{") :]) == written.manifest
    database.run(
        "CREATE SCHEMA b", "ALTER TABLE hidden SET SCHEMA b", "ALTER TABLE b.hidden RENAME TO c"
    )
    reidentify_tables(database.url, {"b.c": "again"}, key_manager=manager)
    assert differing(database, "people", "again") == 0


def test_a_changed_comment_is_refused(database: Postgres, manager: KeyManager) -> None:
    database.run(*PEOPLE)
    [written] = anonymize_tables(
        database.url, {"people": "hidden"}, None, ["ssn"], key_manager=manager
    )
    database.run("COMMENT ON TABLE hidden IS 'people'")
    with pytest.raises(ManifestError, match=r"public\.hidden has no manifest"):
        reidentify_tables(database.url, {"hidden": "again"}, key_manager=manager)
    reidentify_tables(
        database.url, {"hidden": "again"}, manifest=written.manifest, key_manager=manager
    )
    assert differing(database, "people", "again") == 0


def test_rows_that_the_manifest_does_not_know_are_refused(
    database: Postgres, manager: KeyManager
) -> None:
    database.run(*PEOPLE)
    anonymize_tables(database.url, {"people": "hidden"}, None, ["ssn"], key_manager=manager)
    database.run("UPDATE hidden SET ssn = '123-45-' || id")
    with pytest.raises(WrongTableError, match="values that are not of this table"):
        reidentify_tables(database.url, {"hidden": "again"}, key_manager=manager)
    assert database.tables() == ["hidden", "people"]


def test_a_table_is_moved_to_the_newest_version(database: Postgres, manager: KeyManager) -> None:
    database.run(*PEOPLE)
    anonymize_tables(database.url, {"people": "hidden"}, None, ["ssn"], key_manager=manager)
    manager.rotate_key("master_key")
    [moved] = rekey_tables(database.url, {"hidden": "moved"}, key_manager=manager)
    assert moved.manifest is not None
    assert moved.manifest["key"]["version"] == 2
    assert moved.manifest["columns"]["ssn"]["rows"] == 1000
    assert differing(database, "hidden", "moved") == 1000
    reidentify_tables(database.url, {"moved": "again"}, key_manager=manager)
    assert differing(database, "people", "again") == 0
    assert keys_of(database, "moved") == keys_of(database, "people")


def test_a_rotation_in_the_middle_changes_nothing(database: Postgres, manager: KeyManager) -> None:
    database.run(*PEOPLE, "CREATE TABLE more AS SELECT * FROM people")
    rotated = []

    def rotate(_: object) -> None:
        if not rotated:
            rotated.append(manager.rotate_key("master_key"))

    written = anonymize_tables(
        database.url,
        {"people": "hidden", "more": "hidden_too"},
        None,
        ["ssn"],
        on_progress=rotate,
        key_manager=manager,
    )
    assert rotated
    for table in written:
        assert table.manifest is not None
        assert table.manifest["key"]["version"] == 1
    assert differing(database, "hidden", "hidden_too") == 0


SHOP = (
    "CREATE SCHEMA sales",
    'CREATE TABLE sales."Customers" (id bigint PRIMARY KEY, "E-Mail" text)',
    """CREATE TABLE sales.orders (number integer PRIMARY KEY, customer bigint NOT NULL
        REFERENCES sales."Customers" ON DELETE CASCADE DEFERRABLE, parent integer
        REFERENCES sales.orders)""",
    'CREATE TABLE sales.notes (customer bigint REFERENCES sales."Customers", text text)',
    """INSERT INTO sales."Customers" SELECT 10000000 + i, 'user' || i || '@example.org'
        FROM generate_series(1, 100) i""",
    """INSERT INTO sales.orders SELECT i, 10000000 + 1 + i % 100, NULLIF(i / 2, 0)
        FROM generate_series(1, 500) i""",
    "INSERT INTO sales.notes SELECT customer, 'note' FROM sales.orders",
)


def test_foreign_keys_join_afterwards(
    database: Postgres, other: Postgres, manager: KeyManager
) -> None:
    database.run(*SHOP)
    other.run("CREATE SCHEMA hidden")
    written = anonymize_tables(
        database.url,
        {
            "sales.orders": "hidden.orders",
            "sales.Customers": 'hidden."Customers"',
            "sales.notes": "hidden.notes",
        },
        other.url,
        ["sales.Customers.id", "E-Mail"],
        formats={"E-Mail": "email"},
        small_domain="token",
        key_manager=manager,
    )
    assert [table.rows for table in written] == [500, 100, 500]
    assert [list(table.left_out) for table in written] == [[], [], []]
    joined = 'SELECT count(*) FROM {0}.orders o JOIN {0}."Customers" c ON c.id = o.customer'
    assert other.value(joined.format("hidden")) == database.value(joined.format("sales")) == 500
    shape = "SELECT count(*) FROM {0}.orders GROUP BY customer ORDER BY 1"
    assert other.rows(shape.format("hidden")) == database.rows(shape.format("sales"))
    assert keys_of(other, "hidden.orders") == [
        'FOREIGN KEY (customer) REFERENCES hidden."Customers"(id) ON DELETE CASCADE DEFERRABLE',
        "FOREIGN KEY (parent) REFERENCES hidden.orders(number)",
        "PRIMARY KEY (number)",
    ]
    clear = 'SELECT id::text FROM sales."Customers" UNION SELECT "E-Mail" FROM sales."Customers"'
    dump = other.dump()
    assert not [text for (text,) in database.rows(clear) if text in dump]
    reidentify_tables(
        other.url,
        {"hidden.orders": "orders", "hidden.Customers": "Customers"},
        database.url,
        key_manager=manager,
    )
    assert differing(database, "orders", "sales.orders") == 0
    assert differing(database, '"Customers"', 'sales."Customers"') == 0


def test_keys_that_can_not_hold_are_left_out_and_told(
    database: Postgres, manager: KeyManager
) -> None:
    database.run(*SHOP)
    [orders] = anonymize_tables(
        database.url,
        {"sales.orders": "orders"},
        None,
        ["customer", "number"],
        strategy={"number": "redact", "customer": "fpe"},
        key_manager=manager,
    )
    assert list(orders.left_out) == [
        "primary key orders_pkey: different values of 'number' may become the same",
        'foreign key orders_customer_fkey: sales."Customers" is no table of this job',
        "foreign key orders_parent_fkey: the copy of sales.orders has no such key",
    ]
    assert keys_of(database, "orders") == []


def test_several_tables_are_one_snapshot(database: Postgres, manager: KeyManager) -> None:
    database.run(*SHOP)

    def change(_: object) -> None:
        database.run("UPDATE sales.notes SET text = 'later'")

    anonymize_tables(
        database.url,
        {"sales.Customers": "c", "sales.notes": "n"},
        None,
        ["E-Mail", "customer"],
        on_progress=change,
        small_domain="token",
        key_manager=manager,
    )
    assert database.value("SELECT count(*) FROM n WHERE text = 'later'") == 0


def test_a_table_of_a_job_in_clear_is_refused(database: Postgres, manager: KeyManager) -> None:
    database.run(*PEOPLE, "CREATE TABLE colours (name text)")
    with pytest.raises(ArgumentError, match=r"no column of public\.colours"):
        anonymize_tables(
            database.url, {"people": "a", "colours": "b"}, None, ["ssn"], key_manager=manager
        )
    with pytest.raises(ArgumentError, match="names 'ssm', which no table has; did you mean 'ssn'"):
        anonymize_tables(database.url, {"people": "a"}, None, ["ssm"], key_manager=manager)
    assert database.tables() == ["colours", "people"]


def test_one_refused_value_leaves_nothing(database: Postgres, manager: KeyManager) -> None:
    database.run(*PEOPLE, "INSERT INTO people VALUES (1, 'x')")
    with pytest.raises(DomainTooSmallError, match="rows 1 to 1001: "):
        anonymize_tables(database.url, {"people": "hidden"}, None, ["ssn"], key_manager=manager)
    assert database.tables() == ["people"]


def test_a_table_that_is_there_is_refused_unless_it_is_to_be_replaced(
    database: Postgres, manager: KeyManager
) -> None:
    database.run(*PEOPLE, "CREATE TABLE hidden (a integer)", "CREATE VIEW seen AS TABLE people")
    arguments: dict[str, Any] = {"sensitive_columns": ["ssn"], "key_manager": manager}
    with pytest.raises(DatabaseError, match=r"has a table 'public\.hidden' already"):
        anonymize_tables(database.url, {"people": "hidden"}, **arguments)
    with pytest.raises(DatabaseError, match="is a source itself"):
        anonymize_tables(database.url, {"people": "people"}, if_exists="replace", **arguments)
    with pytest.raises(DatabaseError, match=r"'public\.seen' of .* is no table"):
        anonymize_tables(database.url, {"people": "seen"}, if_exists="replace", **arguments)
    tables = {"people": "hidden", "seen": "public.hidden"}
    with pytest.raises(DatabaseError, match=r"2 tables would be written to public\.hidden"):
        anonymize_tables(database.url, tables, **arguments)
    anonymize_tables(database.url, {"people": "hidden"}, if_exists="replace", **arguments)
    anonymize_tables(database.url, {"people": "hidden"}, if_exists="replace", **arguments)
    assert database.value("SELECT count(*) FROM hidden") == 1000
    assert database.tables() == ["hidden", "people", "seen"]


@pytest.mark.parametrize(
    "name", ['Up "per', "x'; DROP TABLE people; --", "Ünï · 表", "a\\b", "select", "a.b:c"]
)
def test_names_of_any_characters_are_names(
    database: Postgres, manager: KeyManager, name: str
) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    database.run(
        f"CREATE SCHEMA {quoted}",
        f'CREATE TABLE {quoted}.{quoted} ({quoted} numeric(9,2), ssn text, "%s" text)',
    )
    database.run(f"INSERT INTO {quoted}.{quoted} VALUES (1.5, '123-10-1000', 'a secret word')")
    database.run(*PEOPLE)
    tables = {f"{quoted}.{quoted}": f"{quoted}.hidden"}
    anonymize_tables(database.url, tables, None, ["ssn", "%s"], key_manager=manager)
    reidentify_tables(
        database.url, {f"{quoted}.hidden": f'{quoted}."again"""'}, key_manager=manager
    )
    assert differing(database, f"{quoted}.{quoted}", f'{quoted}."again"""') == 0
    assert database.value("SELECT count(*) FROM people") == 1000


@pytest.mark.parametrize("name", ["", "a.b.c", 'a"', "a\0b", "a" * 64, ".a", "a."])
def test_what_is_no_name_is_refused(database: Postgres, manager: KeyManager, name: str) -> None:
    with pytest.raises(ArgumentError, match="tables="):
        anonymize_tables(database.url, {name: "b"}, None, ["ssn"], key_manager=manager)


def test_an_empty_table_keeps_its_columns_and_its_manifest(
    database: Postgres, manager: KeyManager
) -> None:
    database.run(PEOPLE[0])
    [written] = anonymize_tables(
        database.url, {"people": "hidden"}, None, ["ssn"], key_manager=manager
    )
    assert written.rows == 0
    assert columns_of(database, "hidden") == columns_of(database, "people")
    reidentify_tables(database.url, {"hidden": "again"}, key_manager=manager)
    assert database.value("SELECT count(*) FROM again") == 0


def test_partitions_views_and_columns_that_are_made_are_read_as_rows(
    database: Postgres, manager: KeyManager
) -> None:
    database.run(
        "CREATE TABLE p (id integer GENERATED ALWAYS AS IDENTITY, ssn text, born date,"
        " year integer GENERATED ALWAYS AS (id * 2) STORED) PARTITION BY RANGE (born)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('1970-01-01') TO ('1980-01-01')",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('1980-01-01') TO ('1990-01-01')",
        "INSERT INTO p (ssn, born) SELECT '123-10-' || i, DATE '1970-01-01' + i"
        " FROM generate_series(1000, 7000, 7) i",
        "CREATE VIEW v AS SELECT ssn, id FROM p",
    )
    anonymize_tables(
        database.url, {"p": "p_hidden", "v": "v_hidden"}, None, ["ssn"], key_manager=manager
    )
    reidentify_tables(
        database.url, {"p_hidden": "p_again", "v_hidden": "v_again"}, key_manager=manager
    )
    assert differing(database, "p", "p_again") == differing(database, "v", "v_again") == 0
    assert differing(database, "p", "p_hidden", "id, born, year") == 0
    assert database.value("SELECT count(*) FROM p_again") == database.value(
        "SELECT count(*) FROM p"
    )


def test_pseudonyms_that_are_no_uuid_or_are_longer_change_the_type(
    database: Postgres, manager: KeyManager
) -> None:
    database.run(
        "CREATE TABLE t (a uuid, b uuid, c varchar(9), d varchar(9), e integer, f inet,"
        " g numeric(9,2), h numeric(9,2))",
        "INSERT INTO t SELECT gen_random_uuid(), gen_random_uuid(), 'abcdefghi', 'abcdefghi',"
        " 1234567, '10.0.0.1', 1234567.25, 'NaN' FROM generate_series(1, 3)",
        "INSERT INTO t DEFAULT VALUES",
    )
    anonymize_tables(
        database.url,
        {"t": "hidden"},
        None,
        ["a", "b", "c", "d", "e", "f", "g"],
        strategy={"b": "token", "d": "token", "f": "token"},
        formats={"a": "uuid", "g": "decimal"},
        options={"g": {"scale": 2}},
        small_domain="token",
        key_manager=manager,
    )
    types = {name: kind for name, kind, _ in columns_of(database, "hidden")}
    assert types == {
        "a": "text",  # which a token may be in
        "b": "text",
        "c": "text",
        "d": "text",
        "e": "text",
        "f": "text",
        "g": "text",
        "h": "numeric(9,2)",
    }
    reidentify_tables(database.url, {"hidden": "again"}, key_manager=manager)
    assert differing(database, "t", "again", "a, b::text, c, d, e, g, h") == 0
    anonymize_tables(
        database.url,
        {"t": "alike"},
        None,
        ["a", "c", "e"],
        formats={"a": "uuid"},
        key_manager=manager,
    )
    assert columns_of(database, "alike") == columns_of(database, "t")
    assert differing(database, "t", "alike", "a") == 3


def test_tweaks_and_key_versions_come_through(database: Postgres, manager: KeyManager) -> None:
    database.run(*PEOPLE)
    anonymize_tables(
        database.url,
        {"people": "hidden"},
        None,
        ["ssn"],
        tweaks={"ssn": "id"},
        key_versions=True,
        key_manager=manager,
    )
    assert columns_of(database, "hidden")[-1][:2] == ("ssn__key_version", "bigint")
    assert differing(database, "people", "hidden", "id, born, note") == 0
    manager.rotate_key("master_key")
    rekey_tables(database.url, {"hidden": "moved"}, key_manager=manager)
    assert database.rows("SELECT DISTINCT ssn__key_version FROM moved") == [(2,)]
    reidentify_tables(database.url, {"moved": "again"}, key_manager=manager)
    assert differing(database, "people", "again") == 0
    assert columns_of(database, "again") == columns_of(database, "people")


@QUIET
def test_columns_that_are_lost_keep_their_place(database: Postgres, manager: KeyManager) -> None:
    database.run(*PEOPLE)
    anonymize_tables(
        database.url,
        {"people": "hidden"},
        None,
        ["ssn", "note", "born"],
        strategy={"note": "null", "born": "redact", "ssn": "fpe"},
        key_manager=manager,
    )
    assert database.value("SELECT count(note) FROM hidden") == 0
    reidentify_tables(database.url, {"hidden": "again"}, key_manager=manager)
    assert differing(database, "people", "again", "id, ssn") == 0


def test_more_columns_are_replaced_later(database: Postgres, manager: KeyManager) -> None:
    database.run(*PEOPLE)
    anonymize_tables(database.url, {"people": "a"}, None, ["ssn"], key_manager=manager)
    anonymize_tables(
        database.url, {"a": "b"}, None, ["note"], small_domain="token", key_manager=manager
    )
    reidentify_tables(database.url, {"b": "again"}, key_manager=manager)
    assert differing(database, "people", "again") == 0
    with pytest.raises(PseudonymizationError, match="already pseudonymized: 'ssn'"):
        anonymize_tables(database.url, {"a": "c"}, None, ["ssn"], key_manager=manager)


def test_a_preview_shows_rows_and_writes_nothing(database: Postgres, manager: KeyManager) -> None:
    database.run(*PEOPLE)
    shown = preview_table(database.url, "people", ["people.ssn"], rows=3, key_manager=manager)
    assert shown.passes
    assert list(shown.rows["ssn, before"]) == ["123-10-1000", "123-10-1001", "123-10-1002"]
    assert shown.columns[0].rows == 1000
    assert database.tables() == ["people"]
    database.run("ALTER TABLE people ADD amount numeric(9,2) DEFAULT 'NaN'")
    database.run("ALTER TABLE people ADD seen timestamptz DEFAULT 'infinity'")
    assert preview_table(database.url, "people", ["seen"], key_manager=manager).columns[0].nulls
    with pytest.raises(PseudonymizationError, match="column 'seen'"):
        anonymize_tables(database.url, {"people": "a"}, None, ["seen"], key_manager=manager)
    again = preview_table(database.url, "people", ["ssn"], rows=3, key_manager=manager)
    assert again.rows["ssn, after"].equals(shown.rows["ssn, after"])
    with pytest.raises(PseudonymizationError, match="column 'amount' holds NaN"):
        anonymize_tables(
            database.url,
            {"people": "a"},
            None,
            ["amount"],
            options={"amount": {"scale": 2}},
            formats={"amount": "decimal"},
            key_manager=manager,
        )


def test_a_million_rows_come_in_batches(database: Postgres, manager: KeyManager) -> None:
    database.run(
        "CREATE TABLE big AS SELECT i AS id, lpad((i::bigint * 7919 % 1000000000)::text, 9, '0') AS"
        " ssn, 'name ' || i AS name FROM generate_series(1, 1000000) i"
    )
    told: list[Any] = []
    [written] = anonymize_tables(
        database.url, {"big": "hidden"}, None, ["ssn"], on_progress=told.append, key_manager=manager
    )
    assert written.rows == told[-1].rows == 1_000_000
    assert len(told) > 3
    assert database.rows(
        "SELECT count(DISTINCT h.ssn), count(*), count(*) FILTER (WHERE h.ssn = b.ssn) < 10"
        " FROM hidden h JOIN big b USING (id, name)"
    ) == [(1_000_000, 1_000_000, True)]


def test_a_database_shows_no_credentials() -> None:
    for url in (
        "postgresql://user:pa?ss/w@rd@host:1/name?password=other",
        "POSTGRES://user:x@host:1/name",
    ):
        database = Database(url)
        assert database.shown.endswith("://host:1/name")
        assert repr(database) == f"Database({database.shown!r})"
    with pytest.raises(TypeError, match="not pickled"):
        database.__reduce__()
    with pytest.raises(ArgumentError) as refused:
        Database("mysql://user:word@host/name")
    assert "word" not in str(refused.value)
