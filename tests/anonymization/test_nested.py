"""Columns inside structs, lists and maps of Arrow tables, by path."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from secureml import KeyManager, anonymize, merge_manifests, preview, reidentify, rekey
from secureml.errors import ArgumentError, InvalidValueError, PseudonymizationError
from secureml.files import anonymize_file, preview_file, reidentify_file, rekey_file
from secureml.scanning import scan
from secureml.stores import MemoryStore

PATIENT = pa.struct(
    [
        pa.field("name", pa.string()),
        pa.field("ssn", pa.string(), metadata={"unit": "none"}),
        pa.field("born", pa.date32()),
        pa.field("address", pa.struct([("street", pa.string()), ("city", pa.string())])),
    ]
)
ITEM = pa.struct([("email", pa.string()), ("owner", pa.string()), ("count", pa.int64())])
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("patient", PATIENT),
        pa.field("items", pa.large_list(ITEM)),
        pa.field("tags", pa.map_(pa.string(), pa.string())),
    ]
)
ADDRESS = {"street": "Lindenstraße 45", "city": "Heidelberg"}
ZOE = {"email": "zoe.longman@example.com", "owner": "Zoe Longman", "count": 11_700_123}
JOSE = {"email": "jose.maria@example.org", "owner": "Jose Maria", "count": 76_400_321}
ROWS: list[dict[str, Any]] = [
    {
        "id": "first-row",
        "patient": {
            "name": "Alexandra Hamilton",
            "ssn": "219-09-9999",
            "born": date(1990, 1, 2),
            "address": ADDRESS,
        },
        "items": [ZOE, JOSE],
        "tags": [("kontrolle", "wertvolle worte"), ("befundung", None)],
    },
    {"id": "second-row", "patient": None, "items": [], "tags": None},
    {
        "id": "third-row",
        "patient": {"name": None, "ssn": "123-45-6789", "born": None, "address": None},
        "items": None,
        "tags": [],
    },
    {
        "id": "fourth-row",
        "patient": {
            "name": "Bartholomew Longman",
            "ssn": "219-09-9999",
            "born": date(2001, 12, 31),
            "address": {"street": None, "city": "Schwetzingen"},
        },
        "items": [None, ZOE],
        "tags": [("ergebnisse", "sonderbare zeichen")],
    },
]
TABLE = pa.Table.from_pylist(ROWS, SCHEMA)
SECRETS = ["Alexandra", "219-09", "Lindenstraße", "Schwetzingen", "zoe.long", "Jose Maria"]
PATHS = [
    "patient.name",
    "patient.ssn",
    "patient.born",
    "patient.address.street",
    "patient.address.city",
    "items[].email",
    "items[].owner",
    "items[].count",
    "tags{keys}",
    "tags{}",
]
FORMATS = {"patient.ssn": "ssn", "items[].email": "email"}


def hidden(manager: KeyManager, table: pa.Table = TABLE, **more: Any) -> pa.Table:
    arguments = {"sensitive_columns": PATHS, "formats": FORMATS, "small_domain": "token"}
    return anonymize(table, key_manager=manager, **arguments | more)


def buffers(array: pa.Array) -> Iterator[bytes]:
    for buffer in filter(None, array.buffers()):
        yield buffer.to_pybytes()


def test_all_kinds_of_paths_are_replaced_and_recovered(manager: KeyManager) -> None:
    result = hidden(manager)
    assert result.schema.names == SCHEMA.names
    before, after = TABLE.to_pylist()[0], result.to_pylist()[0]
    assert after["id"] == before["id"]
    assert after["patient"]["ssn"] != "219-09-9999"
    assert len(after["items"]) == 2
    assert after["items"][0]["email"].endswith("@example.com")
    assert after["tags"][1][1] is None
    for name in ("name", "ssn", "born"):
        assert after["patient"][name] != before["patient"][name]
    assert after["patient"]["address"].keys() == ADDRESS.keys()
    back = reidentify(result, key_manager=manager)
    assert back.equals(TABLE)
    assert back.schema.equals(SCHEMA, check_metadata=True)


def test_equal_values_of_a_path_get_equal_pseudonyms_which_are_those_of_a_flat_column(
    manager: KeyManager,
) -> None:
    first, _, _, fourth = hidden(manager).to_pylist()
    assert first["patient"]["ssn"] == fourth["patient"]["ssn"]
    assert first["items"][0] == fourth["items"][1]
    flat = anonymize(
        pa.table({"ssn": ["219-09-9999"]}),
        sensitive_columns=["ssn"],
        formats={"ssn": "ssn"},
        domains={"ssn": "patient.ssn"},
        key_manager=manager,
    )
    assert flat["ssn"].to_pylist() == [first["patient"]["ssn"]]


@pytest.mark.parametrize("cuts", [[0, 4], [0, 1, 3, 4], [0, 2, 2, 4]])
def test_chunks_and_slices_give_the_same_rows(manager: KeyManager, cuts: list[int]) -> None:
    whole = hidden(manager).to_pylist()
    pieces = [TABLE.slice(start, end - start) for start, end in pairwise(cuts)]
    assert hidden(manager, pa.concat_tables(pieces)).to_pylist() == whole
    assert hidden(manager, TABLE.slice(1)).to_pylist() == whole[1:]
    batch = TABLE.combine_chunks().to_batches()[0]
    result = hidden(manager, batch)
    assert isinstance(result, pa.RecordBatch)
    assert result.to_pylist() == whole


def test_no_buffer_of_the_result_holds_what_was_replaced(manager: KeyManager) -> None:
    under_nulls = pa.StructArray.from_arrays(
        [pa.array(["Alexandra Hamilton", "Lindenstraße 45", "zoe.longman@example.com"])],
        ["name"],
        mask=pa.array([False, True, False]),
    )
    table = pa.table({"id": [1, 2], "person": under_nulls.slice(0, 2)})
    hides = hidden(manager, table, sensitive_columns=["person.name"], formats=None)
    for result in (hidden(manager), hides):
        octets = b"".join(
            each
            for column in result.columns
            if column.type != pa.string()
            for chunk in column.chunks
            for each in buffers(chunk)
        )
        assert octets
        assert not [secret for secret in SECRETS if secret.encode() in octets]


def test_what_stands_beside_a_path_stays(manager: KeyManager) -> None:
    result = hidden(manager, sensitive_columns=["items[].email"], formats=None)
    assert result.drop_columns("items").equals(TABLE.drop_columns("items"))
    for row, before in zip(result.to_pylist(), ROWS, strict=True):
        for item, old in zip(row["items"] or [], before["items"] or [], strict=True):
            assert item is old is None or item | {"email": ""} == old | {"email": ""}


def test_numbers_in_a_list_become_tokens_and_come_back(manager: KeyManager) -> None:
    result = hidden(manager, sensitive_columns=["items[].count"], strategy="token", formats=None)
    assert result.schema.field("items").type.value_type.field("count").type == pa.large_string()
    assert reidentify(result, key_manager=manager).equals(TABLE)


@pytest.mark.parametrize("name", ["patient", "patient.address", "items", "items[]", "tags"])
def test_what_holds_columns_is_refused_with_their_paths(manager: KeyManager, name: str) -> None:
    inside = [path for path in PATHS if path.startswith(name)]
    with pytest.raises(PseudonymizationError) as caught:
        hidden(manager, sensitive_columns=[name], formats=None)
    assert f"{name!r} is no column of values" in str(caught.value)
    assert "name " + ", ".join(map(repr, inside)) in str(caught.value)


def test_a_struct_is_replaced_as_a_whole_by_what_reads_no_values(manager: KeyManager) -> None:
    arguments: dict[str, Any] = {"sensitive_columns": ["patient"], "formats": None}
    redacted = hidden(manager, strategy="redact", **arguments)
    assert set(redacted["patient"].to_pylist()) == {"[redacted]", None}
    nulls = hidden(manager, strategy="null", **arguments)
    assert nulls["patient"].null_count == 4
    assert nulls.schema.field("patient").type == PATIENT
    arguments["sensitive_columns"] = ["patient.ssn", "patient"]
    with pytest.raises(PseudonymizationError, match=r"'patient' holds 'patient\.ssn', and both"):
        hidden(manager, strategy="redact", **arguments)


def test_a_path_that_is_misspelt_is_refused_with_the_one_that_was_meant(
    manager: KeyManager,
) -> None:
    with pytest.raises(PseudonymizationError, match=r"did you mean 'items\[].email'"):
        hidden(manager, sensitive_columns=["items[].emial"], formats=None)
    with pytest.raises(ArgumentError, match=r"did you mean 'patient.ssn'"):
        hidden(manager, formats={"patient.sns": "ssn"})


def test_two_fields_of_one_name_are_refused_if_they_are_named(manager: KeyManager) -> None:
    fields = [pa.field("x", pa.string()), pa.field("x", pa.string())]
    twice = pa.StructArray.from_arrays([pa.array(["some text"]), pa.array(["x"])], fields=fields)
    table = pa.table({"a": twice, "b": ["another text"]})
    with pytest.raises(PseudonymizationError, match=r"has 2 columns or fields 'a.x'"):
        hidden(manager, table, sensitive_columns=["a.x"], formats=None)
    result = hidden(manager, table, sensitive_columns=["b"], formats=None)
    assert result["a"].equals(table["a"])


def test_a_column_whose_name_reads_like_a_path_wins_over_it(manager: KeyManager) -> None:
    both = pa.table({"a.b": ["upper text"], "a": [{"b": "inner text"}]})
    for path, other in (("a.b", ".a.b"), (".a.b", "a.b")):
        result = hidden(manager, both, sensitive_columns=[path], formats=None)
        changed = result["a.b"][0].as_py() != "upper text", result["a"][0]["b"].as_py()
        assert changed == ((True, "inner text") if path == "a.b" else (False, changed[1]))
        assert reidentify(result, key_manager=manager).equals(both), other


def ruled(columns: dict[str, dict[str, Any]], **settings: Any) -> KeyManager:
    manager = KeyManager(store=MemoryStore(), columns=columns, **settings)
    manager.generate_key("master_key")
    return manager


def test_rules_name_paths_exactly_or_by_pattern() -> None:
    manager = ruled(
        {
            "patient.ssn": {"strategy": "fpe", "format": "ssn"},
            "*email*": {"strategy": "token", "prefix": "mail_"},
            "patient.address": {"strategy": "keep"},
        }
    )
    result = anonymize(TABLE, key_manager=manager)
    assert result["patient"][0]["ssn"].as_py() != "219-09-9999"
    assert result["patient"][0]["address"].as_py() == ADDRESS
    assert result["items"][0][0]["email"].as_py().startswith("mail_")
    assert result["items"][0][0]["owner"].as_py() == "Zoe Longman"
    assert reidentify(result, key_manager=manager).equals(TABLE)


def test_strict_columns_wants_a_rule_for_each_path_or_for_what_holds_it() -> None:
    rules: dict[str, dict[str, Any]] = {
        "id": {"strategy": "keep"},
        "patient.ssn": {"strategy": "fpe", "format": "ssn"},
        "patient": {"strategy": "keep"},
        "items*": {"strategy": "keep"},
    }
    with pytest.raises(PseudonymizationError, match=r"no rule names 'tags\{keys\}', 'tags\{\}'\."):
        anonymize(TABLE, key_manager=ruled(rules, strict_columns=True))
    manager = ruled({**rules, "tags": {"strategy": "keep"}}, strict_columns=True)
    result = anonymize(TABLE, key_manager=manager)
    assert result["patient"][0]["name"].as_py() == "Alexandra Hamilton"
    assert result["patient"][0]["ssn"].as_py() != "219-09-9999"
    whole = anonymize(
        TABLE,
        strategy="redact",
        sensitive_columns=["id", "patient", "items", "tags"],
        key_manager=ruled({}, strict_columns=True),
    )
    assert whole["patient"][0].as_py() == "[redacted]"


def test_a_rule_that_would_replace_the_values_of_a_struct_is_refused() -> None:
    with pytest.raises(PseudonymizationError, match=r"'patient' is no column of values"):
        anonymize(TABLE, key_manager=ruled({"patient": {"strategy": "fpe"}}))


def test_a_rule_that_removes_a_struct_takes_what_is_inside_with_it() -> None:
    rules = {"patient": {"strategy": "redact"}, "patient.ssn": {"strategy": "fpe"}}
    result = anonymize(TABLE, key_manager=ruled(rules))
    assert set(result["patient"].to_pylist()) == {"[redacted]", None}


@pytest.mark.parametrize(
    ("path", "tweak"),
    [
        ("patient.ssn", "id"),
        ("patient.ssn", "patient.name"),
        ("id", "patient.name"),
        ("items[].email", "items[].owner"),
        ("items[].email", "id"),
        ("items[].count", "patient.born"),
        ("tags{}", "tags{keys}"),
        ("tags{}", "patient.address.city"),
    ],
)
def test_tweaks_lie_beside_a_value_or_in_its_row(
    manager: KeyManager, path: str, tweak: str
) -> None:
    arguments: dict[str, Any] = {"sensitive_columns": [path], "tweaks": {path: tweak}}
    if tweak == "patient.born":
        with pytest.raises(PseudonymizationError, match=r"neither text nor whole numbers"):
            hidden(manager, formats=None, **arguments)
        return
    result = hidden(manager, formats=None, **arguments)
    assert not result.equals(hidden(manager, formats=None, sensitive_columns=[path]))
    assert reidentify(result, key_manager=manager).equals(TABLE)
    moved = rekey(result, "other_key", key_manager=manager)
    assert reidentify(moved, key_manager=manager).equals(TABLE)


def test_equal_values_of_a_list_differ_if_their_rows_have_other_tweaks(manager: KeyManager) -> None:
    arguments: dict[str, Any] = {"sensitive_columns": ["items[].email"], "formats": None}
    result = hidden(manager, tweaks={"items[].email": "id"}, **arguments).to_pylist()
    assert result[0]["items"][0]["email"] != result[3]["items"][1]["email"]


def test_tweaks_in_another_list_are_refused(manager: KeyManager) -> None:
    for path, tweak in (("id", "items[].owner"), ("items[].email", "tags{}")):
        arguments: dict[str, Any] = {"sensitive_columns": [path], "tweaks": {path: tweak}}
        with pytest.raises(PseudonymizationError, match=r"does not have one value for each value"):
            hidden(manager, formats=None, **arguments)


def test_a_tweak_may_not_be_in_what_is_replaced(manager: KeyManager) -> None:
    with pytest.raises(PseudonymizationError, match=r"its tweaks can't lie in 'patient.name'"):
        hidden(
            manager,
            sensitive_columns=["id", "patient"],
            strategy={"patient": "redact"},
            tweaks={"id": "patient.name"},
            formats=None,
        )


def test_rows_of_a_struct_tell_the_version_of_their_key(manager: KeyManager) -> None:
    arguments: dict[str, Any] = {
        "sensitive_columns": ["patient.ssn", "patient.name"],
        "formats": {"patient.ssn": "ssn"},
        "key_versions": True,
    }
    old = hidden(manager, TABLE.slice(0, 2), **arguments)
    assert old.schema.names[-2:] == ["patient.ssn__key_version", "patient.name__key_version"]
    manager.rotate_key("master_key")
    new = hidden(manager, TABLE.slice(2), **arguments)
    both = [new.slice(0, 1), old, new.slice(1)]
    mixed = pa.concat_tables([part.replace_schema_metadata() for part in both])
    parts = [part.schema.metadata[b"secureml"].decode() for part in (old, new)]
    merged = merge_manifests(parts, key_manager=manager)
    back = reidentify(mixed, merged, key_manager=manager)
    assert back.equals(TABLE.take([2, 0, 1, 3]))
    moved = rekey(mixed, manifest=merged, key_manager=manager)
    assert set(moved["patient.ssn__key_version"].to_pylist()) == {2}
    assert reidentify(moved, key_manager=manager).equals(back)


def test_values_of_a_list_can_not_tell_the_version_of_their_key(manager: KeyManager) -> None:
    with pytest.raises(PseudonymizationError, match=r"'items\[].email': a row has any number"):
        hidden(manager, key_versions=True)


def test_a_function_gets_the_values_of_a_path(manager: KeyManager) -> None:
    seen = []

    def upper(values: Any) -> Any:
        seen.append(values.to_pylist())
        return pa.array([value and value.upper() for value in seen[0]])

    result = hidden(
        manager, sensitive_columns=["items[].owner"], strategy=upper, formats=None
    ).to_pylist()
    assert seen == [["Zoe Longman", "Jose Maria", "Zoe Longman"]]
    assert result[3]["items"][1]["owner"] == "ZOE LONGMAN"


def test_an_error_tells_the_row_of_the_table(manager: KeyManager) -> None:
    rows = [{"x": [{"ssn": "219-09-9999"}] * 3}, {"x": []}, {"x": [{"ssn": "bad"}, {"ssn": "no"}]}]
    table = pa.Table.from_pylist(rows)
    with pytest.raises(InvalidValueError, match=r"1 row is not .*, the first of them row 3,") as e:
        hidden(manager, table, sensitive_columns=["x[].ssn"], formats={"x[].ssn": "ssn"})
    assert e.value.rows == 1


def test_a_field_that_may_not_be_null_stays_so_or_is_refused(manager: KeyManager) -> None:
    kind = pa.struct([pa.field("ssn", pa.string(), nullable=False)])
    table = pa.table({"p": pa.array([{"ssn": "219-09-9999"}, None, {"ssn": "bad"}], kind)})
    arguments: dict[str, Any] = {"sensitive_columns": ["p.ssn"], "formats": {"p.ssn": "ssn"}}
    with pytest.raises(PseudonymizationError, match=r"'p.ssn' may not be null"):
        hidden(manager, table, on_invalid="null", **arguments)
    result = hidden(manager, table, on_invalid="token", **arguments)
    assert result.schema.field("p").type == kind
    assert reidentify(result, key_manager=manager).equals(table)


def test_a_preview_shows_the_values_of_rows(manager: KeyManager) -> None:
    shown = preview(
        TABLE,
        3,
        sensitive_columns=PATHS,
        formats=FORMATS,
        small_domain="token",
        key_manager=manager,
    )
    assert shown.passes
    assert shown.rows["patient.ssn, before"].tolist() == ["219-09-9999", None, "123-45-6789"]
    emails = shown.rows["items[].email, before"].tolist()
    assert emails == [["zoe.longman@example.com", "jose.maria@example.org"], None, None]
    assert [len(each) for each in shown.rows["items[].email, after"] if each] == [2]
    bad = preview(
        TABLE,
        1,
        sensitive_columns=["items[].owner"],
        formats={"items[].owner": "ssn"},
        key_manager=manager,
    )
    assert bad.rows["items[].owner, after"].tolist() == [["<refused>", "<refused>"]]


def test_a_scan_proposes_rules_for_paths() -> None:
    found = {proposal.column: proposal.kind for proposal in scan(TABLE)}
    assert found["items[].email"] == "e-mail address"
    assert found["patient.ssn"] == "US social security number"
    assert not {"patient", "items", "tags"} & found.keys()


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_files_are_pseudonymized_by_path_and_back(
    manager: KeyManager, tmp_path: Path, suffix: str
) -> None:
    def write(path: Path) -> None:
        if suffix == "parquet":
            parquet.write_table(TABLE, path, row_group_size=2)
        else:
            feather.write_feather(TABLE, path, chunksize=2)

    def read(path: Path) -> pa.Table:
        return parquet.read_table(path) if suffix == "parquet" else feather.read_table(path)

    source, target, back = (tmp_path / f"{name}.{suffix}" for name in ("in", "out", "back"))
    write(source)
    arguments: dict[str, Any] = {
        "sensitive_columns": PATHS,
        "formats": FORMATS,
        "tweaks": {"items[].owner": "id"},
        "small_domain": "token",
        "key_manager": manager,
    }
    assert preview_file(source, rows=2, **arguments).passes
    anonymize_file(source, target, **arguments)
    assert read(target).equals(hidden(manager, tweaks={"items[].owner": "id"}))
    octets = target.read_bytes()
    assert not [secret for secret in SECRETS if secret.encode() in octets]
    rekey_file(target, "other_key", key_manager=manager)
    reidentify_file(target, back, key_manager=manager)
    assert read(back).equals(TABLE)


def test_a_file_has_the_versions_of_the_rows_of_a_struct(
    manager: KeyManager, tmp_path: Path
) -> None:
    source, target, back = (tmp_path / f"{name}.parquet" for name in ("in", "out", "back"))
    parquet.write_table(TABLE, source)
    arguments: dict[str, Any] = {"sensitive_columns": ["patient.ssn"], "key_manager": manager}
    anonymize_file(source, target, key_versions=True, **arguments)
    assert parquet.read_schema(target).names[-1] == "patient.ssn__key_version"
    reidentify_file(target, back, key_manager=manager)
    assert parquet.read_table(back).equals(TABLE)


def test_a_path_that_a_file_does_not_have_is_refused(manager: KeyManager, tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    parquet.write_table(TABLE, source)
    with pytest.raises(ArgumentError, match=r"column 'patient.nmae'; did you mean 'patient.name"):
        anonymize_file(
            source,
            tmp_path / "out.parquet",
            sensitive_columns=["patient.nmae"],
            key_manager=manager,
        )
