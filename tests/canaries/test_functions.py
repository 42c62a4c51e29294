"""No plan, name, repr, pickle or log of the functions of SQL engines gives a key away."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import duckdb
import polars as pl
import pytest

import secureml.duckdb
import secureml.polars
import secureml.spark
from secureml.key_management import KeyManager


@pytest.fixture
def manager(scene: Any) -> KeyManager:
    """A manager of the canary, with a rule for its column."""
    rules = {scene.column: {"strategy": "fpe"}}
    return KeyManager(store=scene.store, environment="development", columns=rules)


def test_nothing_that_duckdb_shows_gives_the_key_away(
    scene, manager, detector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    protect = f"secureml_protect(serial, '{scene.column}')"
    with duckdb.connect() as con:
        functions = secureml.duckdb.register(con, key_manager=manager)
        con.execute("CREATE TABLE t AS SELECT '123-45-6789' AS serial")
        con.execute(f"CREATE TABLE hidden AS SELECT {protect} AS serial FROM t")
        shown = [
            repr(functions),
            str(functions.key),
            repr(functions.manifest),
            pickle.dumps(functions),
            caplog.text,
        ]
        queries = [
            f"EXPLAIN SELECT {protect} FROM t",
            f"EXPLAIN ANALYZE SELECT {protect} FROM t",
            "SELECT * FROM duckdb_functions() WHERE function_name LIKE 'secureml%'",
            "SELECT * FROM hidden",
        ]
        shown += [repr(con.execute(query).fetchall()) for query in queries]
        with pytest.raises(duckdb.InvalidInputException) as caught:
            con.execute(f"SELECT secureml_protect('1', '{scene.column}')").fetchall()
    for one in (*shown, str(caught.value)):
        assert detector.spellings_in(one) == set()


def test_nothing_that_polars_shows_gives_the_key_away(scene, manager, detector) -> None:
    functions = secureml.polars.pinned(key_manager=manager)
    expression = pl.col("serial").secureml.protect(scene.column, functions)
    query = pl.LazyFrame({"serial": ["123-45-6789"]}).with_columns(expression)
    shown = [repr(expression), pickle.dumps(expression), query.explain(), query.serialize()]
    assert [one for one in shown if detector.spellings_in(one)] == []


def test_what_spark_sends_to_its_workers_gives_nothing_away(manager, detector) -> None:
    cloudpickle = pytest.importorskip("pyspark.cloudpickle")
    functions = secureml.polars.pinned(key_manager=manager)
    sent = cloudpickle.dumps(secureml.spark._of_type(functions, False, "secureml_protect", ""))
    assert detector.spellings_in(sent) == set()


def test_errors_of_values_give_nothing_away(manager, leaks) -> None:
    functions = secureml.polars.pinned(key_manager=manager)
    frame = pl.DataFrame({"serial": ["1"]})
    with pytest.raises(ValueError, match="column 'serial'") as caught:
        frame.select(pl.col("serial").secureml.protect("serial", functions))
    assert leaks(caught.value) == {}
