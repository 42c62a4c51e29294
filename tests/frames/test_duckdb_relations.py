"""DuckDB relations in and out."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from secureml import anonymize, preview, reidentify, rekey
from secureml.errors import ManifestError, PseudonymizationError

QUERY = """
    SELECT printf('%03d-45-%04d', 100 + i % 500, i) AS ssn, 1234567 + i AS id,
        NULLIF(i, 3) AS age, [i, i + 1] AS more,
        ('some-' || (i % 3))::ENUM ('some-0', 'some-1', 'some-2') AS place,
        (DATE '2000-01-01' + i::INT) AS day
    FROM range(1, 200) AS numbers (i)
"""


@pytest.fixture
def connection() -> Any:
    with duckdb.connect() as connection:
        yield connection


def test_a_relation_becomes_one_of_the_same_connection_and_back(manager, connection) -> None:
    relation = connection.sql(QUERY)
    before = relation.fetchall()
    names = ["ssn", "id", "day"]
    hidden, manifest = anonymize(
        relation,
        sensitive_columns=names,
        small_domain="permute",
        return_manifest=True,
        key_manager=manager,
    )
    assert isinstance(hidden, duckdb.DuckDBPyRelation)
    assert (hidden.columns, hidden.types) == (relation.columns, relation.types)
    after = hidden.fetchall()
    assert all(
        one != other
        for old, new in zip(before, after, strict=True)
        for one, other in zip(old[:2], new[:2], strict=True)
    )
    assert [row[2:5] for row in after] == [row[2:5] for row in before]
    connection.execute("CREATE TABLE kept (id INT); INSERT INTO kept VALUES (7)")
    assert hidden.query("it", "SELECT count(*) FROM it, kept").fetchall() == [(199,)]
    hidden.create("stored")
    back = reidentify(connection.table("stored"), manifest, key_manager=manager)
    assert sorted(back.fetchall()) == sorted(before)
    moved, new = rekey(hidden, "other_key", manifest, return_manifest=True, key_manager=manager)
    assert reidentify(moved, new, key_manager=manager).fetchall() == before


def test_nothing_is_left_in_the_catalog(manager, connection) -> None:
    hidden = anonymize(connection.sql(QUERY), sensitive_columns=["ssn"], key_manager=manager)
    assert hidden.filter("id = 1234568").count("*").fetchall() == [(1,)]
    assert connection.sql("SHOW ALL TABLES").fetchall() == []


def test_a_result_is_read_many_times_between_other_queries(manager, connection) -> None:
    relation = connection.sql(QUERY)
    hidden = anonymize(relation, sensitive_columns=["ssn"], key_manager=manager)
    first = hidden.fetchall()
    assert connection.sql("SELECT 1").fetchall() == [(1,)]
    assert hidden.fetchall() == first
    assert hidden.order("ssn").limit(1).fetchall() == [min(first)]


def test_a_relation_carries_no_manifest(manager, connection) -> None:
    hidden = anonymize(connection.sql(QUERY), sensitive_columns=["ssn"], key_manager=manager)
    with pytest.raises(ManifestError, match="return_manifest=True"):
        reidentify(hidden, key_manager=manager)


def test_a_relation_without_rows(manager, connection) -> None:
    relation = connection.sql(QUERY).limit(0)
    hidden = anonymize(relation, sensitive_columns=["ssn"], key_manager=manager)
    assert (hidden.types, hidden.fetchall()) == (relation.types, [])


def test_preview(manager, connection) -> None:
    shown = preview(connection.sql(QUERY), 2, sensitive_columns=["ssn"], key_manager=manager)
    assert shown.columns[0].rows == 199


def test_text_of_an_enum_becomes_another_enum(manager, connection) -> None:
    relation = connection.sql(QUERY)
    hidden, manifest = anonymize(
        relation,
        strategy="token",
        sensitive_columns=["place"],
        return_manifest=True,
        key_manager=manager,
    )
    assert len(set(hidden.project("place").fetchall())) == 3
    back = reidentify(hidden, manifest, key_manager=manager)
    assert back.fetchall() == relation.fetchall()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("HUGEINT", "170141183460469231731687303715884105727"),
        ("UUID", "gen_random_uuid()"),
        ("JSON", "'{}'"),
        ("INTERVAL", "INTERVAL 1 MONTH"),
        ("STRUCT(a UUID)", "{'a': gen_random_uuid()}"),
        ("TIMESTAMP WITH TIME ZONE", "'2020-01-01 00:00:00+02'"),
        ("ENUM('BIT', 'it''s')", "'BIT'"),
        ("UNION(a INTEGER, b VARCHAR)", "1"),
    ],
)
def test_types_that_arrow_lacks_come_back_for_columns_that_stay(
    manager, connection, kind, value
) -> None:
    connection.execute(f'CREATE TABLE it AS SELECT \'078-05-1120\' ssn, ({value})::{kind} "a ""b"')
    relation = connection.table("it")
    hidden = anonymize(relation, sensitive_columns=["ssn"], key_manager=manager)
    assert (hidden.columns, hidden.types) == (relation.columns, relation.types)
    more = hidden.to_arrow_table().column(1)
    assert more.equals(relation.to_arrow_table().column(1))


@pytest.mark.parametrize(("kind", "value"), [("BIT", "'0101'"), ("TIMETZ", "'10:00:00+02'")])
def test_types_of_which_arrow_gets_less_are_refused(manager, connection, kind, value) -> None:
    relation = connection.sql(f"SELECT '078-05-1120' ssn, ({value})::{kind} more")
    with pytest.raises(PseudonymizationError, match=r"'more': its type is .* cast the column"):
        anonymize(relation, sensitive_columns=["ssn"], key_manager=manager)
