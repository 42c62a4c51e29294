"""The functions of a DuckDB connection."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest

import secureml.duckdb
from helpers.frames import KEYS
from helpers.functions import (
    COLUMNS,
    REVERSIBLE,
    default_manager_of_rules,
    manager_of_rules,
    rotate,
    store_of,
)
from secureml import anonymize
from secureml.errors import MissingExtraError, WrongKeyError
from secureml.key_management import KeyManager

UDF_ERROR = duckdb.InvalidInputException


@pytest.fixture
def manager() -> KeyManager:
    return manager_of_rules()


@pytest.fixture
def con(manager: KeyManager) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the functions."""
    with duckdb.connect() as con:
        secureml.duckdb.register(con, key_manager=manager)
        yield con


def row_of(con: duckdb.DuckDBPyConnection, query: str) -> tuple[object, ...]:
    """Return the one row of a query."""
    (row,) = con.execute(query).fetchall()
    return row


def in_sql(con: duckdb.DuckDBPyConnection, array: pa.Array, value: str) -> pa.Array:
    """Return an expression of the column ``x`` in SQL."""
    rows = pa.table({"x": array})
    made = con.sql(f"SELECT {value} AS x FROM rows").to_arrow_table()["x"]
    assert len(made) == len(rows)
    return made.combine_chunks()


@pytest.mark.parametrize("name", COLUMNS)
def test_pseudonyms_are_those_of_anonymize(
    con: duckdb.DuckDBPyConnection, manager: KeyManager, name: str
) -> None:
    rule, array = COLUMNS[name]
    table = anonymize(pa.table({rule: array}), sensitive_columns=[rule], key_manager=manager)
    made = in_sql(con, array, f"secureml_protect(x, '{rule}')")
    assert made.cast(array.type).equals(table[rule].combine_chunks())


@pytest.mark.parametrize("name", REVERSIBLE)
def test_values_are_recovered_in_their_type(con: duckdb.DuckDBPyConnection, name: str) -> None:
    rule, array = COLUMNS[name]
    before = in_sql(con, array, "x")
    made = in_sql(con, array, f"secureml_recover(secureml_protect(x, '{rule}'), '{rule}')")
    assert made.type == before.type
    assert made.equals(before)


@pytest.mark.parametrize(
    "kind",
    ["TINYINT", "UTINYINT", "SMALLINT", "USMALLINT", "INTEGER", "UINTEGER", "BIGINT", "UBIGINT"],
)
def test_whole_numbers_keep_their_width(con: duckdb.DuckDBPyConnection, kind: str) -> None:
    value = f"12::{kind}"
    made = f"secureml_protect({value}, 'permuted')"
    row = row_of(con, f"SELECT typeof({made}), secureml_recover({made}, 'permuted')")
    assert row == (kind, 12)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((f"DECIMAL({size})", "123.4") for size in ("12,2", "4,1", "38,5")),
        *((kind, "'2001-02-03'") for kind in ("DATE", "TIMESTAMP_S", "TIMESTAMP_NS")),
    ],
)
def test_other_types_stay_what_they_are(
    con: duckdb.DuckDBPyConnection, kind: str, value: str
) -> None:
    made = f"secureml_protect({value}::{kind}, 'permuted')"
    query = f"SELECT typeof({made}), secureml_recover({made}, 'permuted') = {value}::{kind}"
    assert row_of(con, query) == (kind, True)


def test_many_chunks_on_several_threads_are_complete_and_in_order(
    con: duckdb.DuckDBPyConnection, manager: KeyManager
) -> None:
    con.execute("SET threads = 4")
    con.execute(
        "CREATE TABLE t AS SELECT i, CASE WHEN i % 7 THEN printf('%09d', i * 4801) END AS name"
        " FROM range(100000) AS numbers (i)"
    )
    made = con.sql("SELECT i, secureml_protect(name, 'name') AS name FROM t ORDER BY i")
    clear = con.sql("SELECT i, name FROM t ORDER BY i").to_arrow_table()
    hidden = anonymize(clear, sensitive_columns=["name"], key_manager=manager)
    assert made.to_arrow_table()["name"].equals(hidden["name"])
    again = "secureml_recover(secureml_protect(name, 'name'), 'name')"
    query = f"SELECT count(*) FROM t WHERE {again} = name"
    assert row_of(con, query) == (100000 - 100000 // 7 - 1,)


def test_tables_join_by_pseudonyms(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "CREATE TABLE a AS SELECT printf('123-45-%04d', i) AS ssn FROM range(1, 3000) t (i)"
    )
    con.execute("CREATE TABLE b AS SELECT secureml_protect(ssn, 'ssn') AS ssn FROM a")
    query = "SELECT count(*) FROM a JOIN b ON secureml_protect(a.ssn, 'ssn') = b.ssn"
    assert row_of(con, query) == (2999,)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("secureml_protect('Smith', 'ssn')", "InvalidValueError.*column 'ssn'"),
        ("secureml_protect(12, 'number')", "DomainTooSmallError"),
        ("secureml_protect('Smith', 'sssn')", "did you mean 'ssn'"),
        ("secureml_protect('Smith', NULL)", "must be one constant"),
        ("secureml_protect(true, 'name')", "type BOOLEAN"),
        ("secureml_protect([1], 'name')", "type INTEGER"),
        ("secureml_protect(1234567::HUGEINT, 'number')", "type HUGEINT"),
        ("secureml_protect(1234567, 'email')", "cast the values to text first"),
        ("secureml_recover('Smith', 'hashed')", "can't be reversed"),
    ],
)
def test_what_can_not_be_done_is_told_without_values(
    con: duckdb.DuckDBPyConnection, expression: str, message: str
) -> None:
    with pytest.raises(UDF_ERROR, match=message) as caught:
        con.sql(f"SELECT {expression}").fetchall()
    assert "Smith" not in str(caught.value)


def test_a_rule_that_differs_from_row_to_row_is_refused(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(UDF_ERROR, match="must be one constant"):
        con.sql(
            "SELECT secureml_protect('x', CASE WHEN i % 2 = 1 THEN 'ssn' ELSE 'name' END)"
            " FROM range(9) t (i)"
        ).fetchall()


def test_each_connection_has_its_own_functions_over_the_same_database() -> None:
    store = store_of()
    query = "SELECT secureml_protect('123-45-6789', 'ssn')"
    with duckdb.connect() as one:
        secureml.duckdb.register(one, key_manager=manager_of_rules(store))
        first = row_of(one, query)
        with one.cursor() as other:
            with pytest.raises(duckdb.CatalogException):
                other.sql(query)
            rotate(store)
            secureml.duckdb.register(other, key_manager=manager_of_rules(store))
            assert row_of(other, query) != first
        assert row_of(one, query) == first


def test_a_later_registration_replaces_the_functions() -> None:
    store = store_of()
    query = "SELECT secureml_protect('123-45-6789', 'ssn')"
    with duckdb.connect() as con:
        secureml.duckdb.register(con, key_manager=manager_of_rules(store))
        first = row_of(con, query)
        rotate(store)
        assert row_of(con, query) == first
        secureml.duckdb.register(con, key_manager=manager_of_rules(store))
        assert row_of(con, query) != first


def test_pseudonyms_of_an_older_version_are_recovered_with_the_manifest_alone() -> None:
    store = store_of()
    with duckdb.connect() as con:
        known = secureml.duckdb.register(con, key_manager=manager_of_rules(store))
        con.execute("CREATE TABLE t AS SELECT secureml_protect('123-45-6789', 'ssn') AS ssn")
        rotate(store)
        manager, query = manager_of_rules(store), "SELECT secureml_recover(ssn, 'ssn') FROM t"
        secureml.duckdb.register(con, key_manager=manager)
        with pytest.raises(UDF_ERROR, match=r"ManifestError.*master_key_version"):
            con.sql(query).fetchall()
        secureml.duckdb.register(con, manifest=known.manifest, key_manager=manager)
        assert con.sql(query).fetchall() == [("123-45-6789",)]
        with pytest.raises(WrongKeyError):
            secureml.duckdb.register(
                con, manifest=known.manifest, key_manager=manager_of_rules(store_of(KEYS[2:]))
            )


def test_the_default_manager_serves_if_none_is_given() -> None:
    default_manager_of_rules()
    with duckdb.connect() as con:
        assert secureml.duckdb.register(con).key.name == "master_key"
        row = row_of(con, "SELECT secureml_protect('123-45-6789', 'ssn')")
        assert row != ("123-45-6789",)


def test_no_file_of_a_database_keeps_what_was_registered(tmp_path, manager: KeyManager) -> None:
    with duckdb.connect(tmp_path / "kept.duckdb") as con:
        secureml.duckdb.register(con, key_manager=manager)
        con.execute("CREATE TABLE t AS SELECT secureml_protect('123-45-6789', 'ssn') AS ssn")
    with duckdb.connect(tmp_path / "kept.duckdb", read_only=True) as con:
        assert (
            con.sql(
                "SELECT * FROM duckdb_functions() WHERE function_name LIKE 'secureml%'"
            ).fetchall()
            == []
        )
        secureml.duckdb.register(con, key_manager=manager)
        assert row_of(con, "SELECT secureml_recover(ssn, 'ssn') FROM t") == ("123-45-6789",)


def test_connections_of_several_threads_work_at_once(manager: KeyManager) -> None:
    results, query = [], "SELECT min(secureml_protect(name, 'name')) FROM t"
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t AS SELECT printf('%09d', i) AS name FROM range(20000) t (i)")

        def work() -> None:
            with con.cursor() as mine:
                secureml.duckdb.register(mine, key_manager=manager)
                results.append(row_of(mine, query))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(results) == 4
    assert len(set(results)) == 1


def test_without_duckdb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match=r"secureml\[duckdb\]"):
        secureml.duckdb.register(object(), key_manager=manager_of_rules())
