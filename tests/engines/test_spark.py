"""Spark's own: plans, partitions, types, and manifests in the metadata of columns."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from helpers.frames import manager_of, shared_manager
from secureml import Pseudonymizer, anonymize, preview, reidentify, rekey
from secureml.errors import ManifestError, PseudonymizationError, UncheckedTableWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas"),
    pytest.mark.filterwarnings("ignore::secureml.errors.UncheckedTableWarning"),
]

SSNS = """
    select id, format_string('%03d-%02d-%04d', id % 600 + 1, id % 99 + 1, id % 9999 + 1) as ssn,
        'x' || id as note
    from range(0, 1000, 1, 4)
"""
ALL_TYPES = """
    select cast(id as byte) as byte, cast(id as short) as short, cast(id as int) as int,
        cast(id as float) as float, id / 3 as double, cast(cast(id as string) as binary) as octets,
        id % 2 = 0 as flag, date'1961-07-30' + cast(id as int) as day,
        timestamp'2020-07-01 12:00:00' as moment, timestamp_ntz'2020-07-01 12:00:00' as local,
        cast(id as decimal(38, 0)) as big, map('a', id) as map, array(array(id), null) as lists,
        interval '1 02:03:04' day to second as days, interval '1-2' year to month as months,
        make_interval(1, 2, 3, cast(id as int)) as calendar, cast(null as void) as nothing,
        'a' collate utf8_lcase as collated, named_struct('y', array(1, null), 'z', id) as struct,
        'ssn-' || (100000000 + id) as text, id + 1000000000 as number, id as `a.b`, 'B' as `A``B`,
        array(named_struct('x', 'qwerty' || id, 'keep', id), null) as items
    from range(0, 20, 1, 3)
"""


@pytest.fixture
def manager() -> Any:
    """A manager of keys that the workers have too."""
    return shared_manager()


@pytest.fixture
def people(spark: Any) -> Any:
    """A frame of 1,000 rows in four partitions."""
    return spark.sql(SSNS)


def hidden(frame: Any, *columns: str, **arguments: Any) -> Any:
    arguments = {"key_manager": shared_manager()} | arguments
    return anonymize(frame, sensitive_columns=columns or ["ssn"], **arguments)


def recovered(frame: Any, **arguments: Any) -> Any:
    return reidentify(frame, key_manager=shared_manager(), **arguments)


def rows(frame: Any, *columns: str) -> list[Any]:
    shown = frame.selectExpr(*columns) if columns else frame
    return sorted(map(tuple, shown.collect()), key=str)


def carried(frame: Any) -> dict[str, list[str]]:
    """Return by column the columns that the manifest it carries is of."""
    return {
        field.name: list(json.loads(field.metadata["secureml"])["columns"])
        for field in frame.schema
        if "secureml" in field.metadata
    }


def test_every_type_of_spark_comes_through_and_keeps_its_place(spark: Any) -> None:
    frame = spark.sql(ALL_TYPES)
    named = ["text", "number", "moment", "items[].x", "a.b"]
    made = hidden(frame, *named, small_domain="token")
    shown = [
        f"cast(`{field.name.replace('`', '``')}` as string)"
        for field in frame.schema
        if field.name not in ("text", "number", "moment", "items", "a.b")
    ]
    assert rows(made, *shown) == rows(frame, *shown)
    types = {field.name: (field.dataType, field.nullable) for field in frame.schema}
    changed = dict.fromkeys(("number", "moment", "a.b"), ("string", False))
    assert made.columns == frame.columns
    for field in made.schema:
        told = changed.get(field.name, types[field.name])
        kind = field.dataType.simpleString() if field.name in changed else field.dataType
        # The cast that brings an interval of the calendar back may fail, as Spark sees it.
        assert (kind, field.nullable) == told or field.name == "calendar", field
    assert made.rdd.getNumPartitions() == frame.rdd.getNumPartitions()
    assert rows(made, "items.keep") == rows(frame, "items.keep")
    assert not set(rows(made, "items[0].x")) & set(rows(frame, "items[0].x"))
    back = recovered(made)
    assert rows(back, "text", "number", "moment", "items", "`a.b`") == rows(
        frame, "text", "number", "moment", "items", "`a.b`"
    )
    assert carried(back) == {}


def test_pseudonyms_are_those_of_an_arrow_table_in_every_partition(people: Any) -> None:
    expected = hidden(people.toArrow())
    made = hidden(people)
    assert made.toArrow().to_pydict() == expected.to_pydict()
    assert made.schema["id"].nullable is False


def test_a_column_may_be_null_afterwards_only_if_values_become_null(spark: Any) -> None:
    frame = spark.sql("select 'ab' as short, '123456789' as long from range(2)")
    assert [field.nullable for field in frame.schema] == [False, False]
    made = hidden(frame, "short", "long", small_domain="null", strategy={"long": "token"})
    assert [field.nullable for field in made.schema] == [True, False]
    assert [row.short for row in made.collect()] == [None, None]


def test_columns_of_names_that_differ_in_case_stay_apart(spark: Any) -> None:
    frame = spark.sql("select 'abcdefghi' as x from range(1)").toDF("x")
    wide = frame.withColumn("y.z", frame["x"]).toDF("X", "x")
    made = hidden(wide, "x")
    assert made.columns == ["X", "x"]
    assert made.collect()[0][0] == "abcdefghi"
    assert made.collect()[0][1] != "abcdefghi"


def test_parquet_carries_what_recovery_needs(spark: Any, people: Any, tmp_path: Path) -> None:
    hidden(people, "ssn", "note", small_domain="token").write.parquet(str(tmp_path / "people"))
    read = spark.read.parquet(str(tmp_path / "people"))
    with pytest.warns(UncheckedTableWarning):
        back = recovered(read)
    assert rows(back) == rows(people)
    some = read.where("id < 10").select("note", "id")
    assert rows(recovered(some)) == rows(people.where("id < 10"), "note", "id")


def test_metadata_of_others_stays(people: Any) -> None:
    told = people.withMetadata("ssn", {"about": "people"}).withMetadata("id", {"about": "rows"})
    made = hidden(told)
    assert made.schema["ssn"].metadata.keys() == {"about", "secureml"}
    assert made.schema["id"].metadata == {"about": "rows"}
    back = recovered(made)
    assert back.schema == told.schema


def test_a_column_that_was_renamed_or_copied_is_refused_by_name(people: Any) -> None:
    made = hidden(people)
    renamed = made.withColumnRenamed("ssn", "number")
    swapped = hidden(people, "ssn", "note", small_domain="token").toDF("id", "note", "ssn")
    copied = made.withColumn("again", made["ssn"])
    for frame, name in ((renamed, "number"), (swapped, "note"), (copied, "again")):
        with pytest.raises(ManifestError, match=f"column '{name}' has the manifest of"):
            recovered(frame)
    assert rows(recovered(renamed.withColumnRenamed("number", "ssn"))) == rows(people)


def test_a_column_that_was_computed_of_pseudonyms_carries_no_manifest(people: Any) -> None:
    made = hidden(people).selectExpr("upper(ssn) as ssn", "id")
    with pytest.raises(ManifestError, match="no manifest"):
        recovered(made)


def test_joined_frames_of_two_keys_are_recovered_each_by_its_own(people: Any) -> None:
    first = hidden(people, "ssn", master_key_version=1).drop("note")
    second = hidden(people, "note", master_key_version=2, small_domain="token").drop("ssn")
    joined = first.join(second, "id")
    assert carried(joined) == {"ssn": ["ssn"], "note": ["note"]}
    assert rows(recovered(joined), "id", "ssn", "note") == rows(people)
    with pytest.raises(ManifestError, match=r"version 1 .*, and 'note' with key .* version 2"):
        rekey(joined, key_manager=shared_manager())


def test_rows_of_one_manifest_may_be_put_together_and_of_others_not(people: Any) -> None:
    parts = people.where("id < 500"), people.where("id >= 500")
    alike = hidden(parts[0]).union(hidden(parts[1]))
    assert rows(recovered(alike)) == rows(people)
    other = hidden(parts[1], master_key_version=1)
    for mixed in (hidden(parts[0]).union(other), hidden(parts[0]).unionByName(parts[1])):
        with pytest.raises(ManifestError, match="rows of several manifests"):
            recovered(mixed.where("id > 3").select("ssn"))


def test_columns_that_are_replaced_later_join_the_manifest(people: Any, manager: Any) -> None:
    made = hidden(hidden(people), "note", small_domain="token")
    assert carried(made) == {"ssn": ["ssn"], "note": ["note"]}
    assert rows(recovered(made)) == rows(people)
    with pytest.raises(PseudonymizationError, match="already pseudonymized: 'ssn'"):
        hidden(made)
    _, document = anonymize(
        hidden(people),
        sensitive_columns=["note"],
        small_domain="token",
        key_manager=manager,
        return_manifest=True,
    )
    assert list(document["columns"]) == ["ssn", "note"]
    assert rows(recovered(made.select("*"), manifest=document)) == rows(people)


def test_rekey_replaces_the_manifest_that_columns_carry(people: Any, manager: Any) -> None:
    old = hidden(people, master_key_version=1)
    new = rekey(old, to_version=2, key_manager=manager)
    assert rows(new) == rows(hidden(people, master_key_version=2))
    assert json.loads(new.schema["ssn"].metadata["secureml"])["key"]["version"] == 2
    assert rows(recovered(new)) == rows(people)


def test_versions_beside_a_column_travel_with_it(people: Any) -> None:
    made = hidden(people, key_versions=True, master_key_version=2)
    assert made.columns[-1] == "ssn__key_version"
    assert {row[0] for row in made.select("ssn__key_version").collect()} == {2}
    back = recovered(made)
    assert back.columns == people.columns
    assert rows(back) == rows(people)


def test_a_plan_is_applied_and_undone(people: Any, manager: Any) -> None:
    plan = Pseudonymizer(["ssn"], key_manager=manager).fit(people)
    plan = pickle.loads(pickle.dumps(plan)).set_params(key_manager=manager)
    made = plan.transform(people)
    assert rows(made) == rows(hidden(people))
    assert rows(plan.inverse_transform(made)) == rows(people)
    with pytest.raises(PseudonymizationError, match="lacks 'note'"):
        plan.transform(people.drop("note"))


def test_a_preview_reads_the_rows_that_it_shows(people: Any, manager: Any) -> None:
    shown = preview(people, 3, sensitive_columns=["ssn"], key_manager=manager)
    assert shown.rows["ssn, before"].tolist() == [row.ssn for row in people.limit(3).collect()]
    assert shown.columns[0].rows == 3


def test_a_function_in_place_of_a_strategy_gets_arrow_arrays(people: Any) -> None:
    def upper(column: Any) -> Any:
        assert isinstance(column, pa.ChunkedArray)
        return pc.utf8_upper(column)

    made = hidden(people, "note", strategy=upper)
    assert rows(made, "note") == rows(people, "upper(note)")


def test_an_error_tells_partition_and_rows_and_no_value(people: Any) -> None:
    wrong = people.selectExpr("if(id = 700, 'Hieronymus', ssn) as ssn")
    made = hidden(wrong, formats={"ssn": "ssn"})
    with pytest.raises(Exception, match="partition 2, rows 1 to 250") as caught:
        made.collect()
    assert "InvalidValueError" in str(caught.value)
    assert "Hieronymus" not in str(caught.value)


def test_what_spark_hands_to_no_worker_is_refused_by_name(spark: Any) -> None:
    frame = spark.sql("select array(interval '1-2' year to month) as spans, '123456789' as ssn")
    with pytest.raises(PseudonymizationError, match=r"column 'spans': its type is array<interval"):
        hidden(frame)
    assert rows(recovered(hidden(frame.drop("spans")))) == [("123456789",)]


def test_another_key_in_the_workers_is_an_error_and_gives_no_row(people: Any) -> None:
    made = anonymize(people, sensitive_columns=["ssn"], key_manager=manager_of(["e1" * 32]))
    with pytest.raises(Exception, match=r"WrongKeyError: partition [0-3], rows"):
        made.collect()


def test_small_batches_are_put_together_and_large_ones_divided() -> None:
    from secureml.frames.spark import _OCTETS, _ROWS, _groups

    def batches(count: int, length: int, width: int) -> Any:
        one = pa.record_batch({"x": pa.array(["x" * width] * length)})
        return (one for _ in range(count))

    def sizes(*shape: int) -> list[int]:
        return [sum(map(len, group)) for group in _groups(batches(*shape))]

    assert sizes(40, 10_000, 9) == [130_000, 130_000, 130_000, 10_000]
    assert sizes(2, _ROWS + 1, 1) == [_ROWS + 1, _ROWS + 1]
    assert sizes(8, 100, 1 << 17) == [200, 200, 200, 200]
    assert sizes(1, 1_000, 1 << 16) == [511, 489]
    assert sizes(1, 2, _OCTETS + 1) == [1, 1]
    assert sizes(0, 1, 1) == []
    assert sizes(3, 0, 1) == []
