"""The SQL functions of a Spark session, classic and of Spark Connect."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import secureml.spark
from helpers.frames import KEYS
from helpers.functions import (
    COLUMNS,
    REVERSIBLE,
    default_manager_of_rules,
    manager_of_rules,
    rotate,
    store_of,
)
from helpers.spark import spark_environment, without_java
from secureml import anonymize
from secureml.engines.functions import Functions, make_functions
from secureml.errors import MissingExtraError, WrongKeyError

ENDS = {
    "whole numbers of 64 bits": "_bigint",
    "whole numbers of 32 bits": "_int",
    "whole numbers of 16 bits": "_smallint",
    "floats": "_double",
    "floats with a scale": "_double",
    "days": "_date",
    "moments": "_timestamp_ntz",
    "moments of a zone": "_timestamp",
}
PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
CONNECTED = """
from pyspark.sql import SparkSession
import secureml.spark
from helpers.functions import manager_of_rules
session = SparkSession.builder.remote("local[1]").getOrCreate()
secureml.spark.register(session, key_manager=manager_of_rules())
hidden = "secureml_protect('123-45-6789', 'ssn')"
row = session.sql(f"SELECT {hidden} AS hidden, secureml_recover({hidden}, 'ssn') AS clear").first()
session.stop()
assert type(session).__module__ == "pyspark.sql.connect.session"
print(row.hidden, row.clear)
"""
LOOPBACK = """
spark.driver.bindAddress 127.0.0.1
spark.driver.host 127.0.0.1
spark.connect.grpc.binding.address 127.0.0.1
spark.ui.enabled false
spark.python.daemon.module helpers.spark_daemon
"""
SERVED = [name for name, (_, array) in COLUMNS.items() if name in ENDS or array.type == pa.string()]


@pytest.fixture
def functions(spark: Any) -> Functions:
    """The functions of the session, under the first version of the key that its workers have."""
    return secureml.spark.register(spark, key_manager=manager_of_rules())


def test_pseudonyms_are_those_of_anonymize_and_values_are_recovered(
    spark: Any, functions: Functions
) -> None:
    manager, rows = manager_of_rules(), max(len(COLUMNS[name][1]) for name in SERVED)
    table, hidden, calls = pa.table({"row": range(rows)}), {}, ["row"]
    for name in SERVED:
        rule, short = COLUMNS[name]
        array = pa.concat_arrays([short, pa.nulls(rows - len(short), short.type)])
        table, end = table.append_column(name, array), ENDS.get(name, "")
        column = pa.table({rule: array})
        made = anonymize(column, sensitive_columns=[rule], key_manager=manager)
        protect = f"secureml_protect{end}(`{name}`, '{rule}')"
        hidden[f"{name}, protected"] = made[rule].combine_chunks()
        calls.append(f"{protect} AS `{name}, protected`")
        if name in REVERSIBLE:
            hidden[f"{name}, recovered"] = array
            calls.append(f"secureml_recover{end}({protect}, '{rule}') AS `{name}, recovered`")
    frame = spark.createDataFrame(table).repartition(3)
    told = frame.selectExpr(*calls).orderBy("row").toArrow()
    for name, array in hidden.items():
        assert told[name].combine_chunks().equals(array), name


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("secureml_protect('Smith', 'ssn')", r"InvalidValueError: .*column 'ssn'"),
        ("secureml_protect('Smith', 'sssn')", "ArgumentError: .*did you mean 'ssn'"),
        ("secureml_protect(1234567, 'number')", "use secureml_protect_int"),
        ("secureml_protect_int(1234567L, 'number')", "use secureml_protect_bigint"),
        ("secureml_protect(12.5, 'price')", "no function for values of type decimal"),
        ("secureml_protect_int(1234567, 'email')", "cast the values to text first"),
        ("secureml_recover('Smith', 'hashed')", "can't be reversed"),
    ],
)
def test_what_can_not_be_done_is_told_without_values(
    spark: Any, functions: Functions, expression: str, message: str
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        spark.sql(f"SELECT {expression}").collect()
    assert "Smith" not in str(caught.value)


def test_tables_join_by_pseudonyms(spark: Any, functions: Functions) -> None:
    spark.sql("SELECT printf('123-45-%04d', id) AS ssn FROM range(1, 999)").createOrReplaceTempView(
        "a"
    )
    spark.sql("SELECT secureml_protect(ssn, 'ssn') AS ssn FROM a").createOrReplaceTempView("b")
    query = "SELECT count(*) AS n FROM a JOIN b ON secureml_protect(a.ssn, 'ssn') = b.ssn"
    assert spark.sql(query).collect()[0].n == 998


def test_a_rotation_changes_nothing_until_the_functions_are_registered_again(spark: Any) -> None:
    store, query = store_of(), "SELECT secureml_protect('123-45-6789', 'ssn') AS ssn"
    known = secureml.spark.register(spark, key_manager=manager_of_rules(store))
    first = spark.sql(query).collect()[0].ssn
    rotate(store)
    assert spark.sql(query).collect()[0].ssn == first
    manager = manager_of_rules(store)
    assert secureml.spark.register(spark, key_manager=manager).key.version == 2
    assert spark.sql(query).collect()[0].ssn != first
    query = f"SELECT secureml_recover('{first}', 'ssn') AS ssn"
    with pytest.raises(Exception, match=r"ManifestError: .*master_key_version"):
        spark.sql(query).collect()
    secureml.spark.register(spark, manifest=known.manifest, key_manager=manager)
    assert spark.sql(query).collect()[0].ssn == "123-45-6789"


def test_another_key_in_the_workers_is_an_error_and_gives_no_row(spark: Any) -> None:
    secureml.spark.register(spark, key_manager=manager_of_rules(store_of(["e1" * 32])))
    with pytest.raises(Exception, match="WrongKeyError: the table was pseudonymized with key"):
        spark.sql("SELECT secureml_protect('123-45-6789', 'ssn')").collect()


def test_another_key_in_the_driver_is_refused_at_once(spark: Any, functions: Functions) -> None:
    with pytest.raises(WrongKeyError):
        secureml.spark.register(
            spark, manifest=functions.manifest, key_manager=manager_of_rules(store_of(KEYS[1:]))
        )


@pytest.mark.skipif(bool(without_java()), reason=without_java())
def test_a_session_of_spark_connect_has_the_functions_too(tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text(LOOPBACK)
    done = subprocess.run(
        [sys.executable, "-c", CONNECTED],
        env=spark_environment(tmp_path, SPARK_CONF_DIR=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hidden = (
        make_functions(key_manager=manager_of_rules())
        .protect(pa.array(["123-45-6789"]), "ssn")
        .to_pylist()
    )
    assert done.stdout.split() == [*hidden, "123-45-6789"]


def test_the_program_of_the_page_works(spark: Any) -> None:
    found = re.search(
        r"^```python\n(# spark_functions\.py\n.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert found
    default_manager_of_rules()
    exec(compile(found[1], str(PAGE), "exec"), {"__name__": "__main__"})


def test_without_spark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql.functions", None)
    with pytest.raises(MissingExtraError, match=r"secureml\[spark\]"):
        secureml.spark.register(None, key_manager=manager_of_rules())
