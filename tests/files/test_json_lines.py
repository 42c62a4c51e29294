"""JSON Lines there and back: every byte outside of the values that are replaced stays."""

from __future__ import annotations

import datetime
import decimal
import json

import pyarrow as pa
import pytest

from secureml import anonymize
from secureml.errors import ArgumentError, PseudonymizationError, SecureMLError
from secureml.files import (
    anonymize_file,
    key_usage,
    manifest_of,
    preview_file,
    reidentify_file,
    rekey_file,
)
from secureml.files.kinds import open_table

LINES = (
    '{"id": 1, "ssn": "219-09-9999", "big": 123456789012345678901234567890, "x": 1.50}\n'
    '  { "ssn" :"078-05-1120" , "id":2,"x":1.0,"inner":{"ssn":"457-55-5462","a":[1,{"b":{}}]}}\r\n'
    "\n"
    '{"ssn":null,"id":3,"x":1}\n'
    '{"id":4,"note":"\\u00e9 \\" , } {","x":1e-7}\n'
    '{"s\\u0073n":"987-65-4320","tags":[],"x":-0.0,"t":true,"z":NaN}\n'
    "{}\n"
    '{"note": "Zoë\u2028", "ssn": "123-45-6789", "id": 9007199254740993}\n'
    "\n \n"
)


def paths(tmp_path):
    return tuple(tmp_path / f"{name}.jsonl" for name in ("a", "hidden", "back"))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("times", [1, 40])
def test_all_bytes_but_those_of_values_stay(tmp_path, manager, mark, times):
    path, hidden, back = paths(tmp_path)
    path.write_bytes(mark + (LINES * times).encode())
    written = anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    assert written.rows == 7 * times
    assert written.manifest_path == tmp_path / "hidden.jsonl.manifest.json"
    text = hidden.read_bytes().decode()
    read = [ssn for chunk in open_table(path).chunks(["ssn"]) for ssn in chunk.table["ssn"]]
    assert len(read) == 7 * times
    for ssn in ("219-09-9999", "078-05-1120", "987-65-4320", "123-45-6789"):
        assert ssn not in text
        assert pa.scalar(ssn) in read
    assert text.count("457-55-5462") == times  # in a nested value
    rekey_file(hidden, to_key="other_key", key_manager=manager)
    assert dict(key_usage(hidden).versions) == {1: 7 * times}
    assert manifest_of(hidden)["key"]["name"] == "other_key"
    reidentify_file(hidden, back, key_manager=manager)
    assert back.read_bytes() == path.read_bytes()


def test_pseudonyms_are_those_of_csv(tmp_path, manager):
    ssns = [f"{100 + n}-12-3456" for n in range(50)]
    plain = {"a.csv": "ssn\n" + "\n".join(ssns) + "\n"}
    plain["a.jsonl"] = "".join(json.dumps({"ssn": ssn}) + "\n" for ssn in ssns)
    for name, text in plain.items():
        (tmp_path / name).write_text(text)
        anonymize_file(tmp_path / name, tmp_path / f"h-{name}", ["ssn"], key_manager=manager)
    made = (tmp_path / "h-a.jsonl").read_text().splitlines()
    assert [json.loads(line)["ssn"] for line in made] == (tmp_path / "h-a.csv").read_text().split()[
        1:
    ]


def test_numbers_are_pseudonymized_as_numbers(tmp_path, manager):
    path, hidden, back = paths(tmp_path)
    path.write_text(
        "".join(f'{{"n": {10_000_000 + n}, "s": "x"}}\n' for n in range(50)) + '{"n":null}\n'
    )
    anonymize_file(path, hidden, ["n"], key_manager=manager)
    rows = [json.loads(line) for line in hidden.read_text().splitlines()]
    assert all(isinstance(row["n"], int) for row in rows[:-1])
    assert rows[-1] == {"n": None}
    assert {row["n"] for row in rows}.isdisjoint(range(10_000_000, 10_000_050))
    reidentify_file(hidden, back, key_manager=manager)
    assert back.read_bytes() == path.read_bytes()
    anonymize_file(path, hidden, ["n"], strategy="token", force=True, key_manager=manager)
    assert isinstance(json.loads(hidden.read_text().splitlines()[0])["n"], str)
    reidentify_file(hidden, back, force=True, key_manager=manager)
    assert back.read_bytes() == path.read_bytes()


def test_columns_of_versions_are_added_and_dropped(tmp_path, manager):
    path, hidden, back = paths(tmp_path)
    path.write_text('{"ssn": "219-09-9999", "n": 1}\n{"n": 2}\n{ }\n{"ssn":"078-05-1120"}')
    versions = {"key_versions": True, "key_manager": manager}
    anonymize_file(path, hidden, ["ssn"], **versions)
    lines = hidden.read_text().splitlines()
    assert [json.loads(line)["ssn__key_version"] for line in lines] == [1, 1, 1, 1]
    manager.rotate_key("master_key")
    with hidden.open("a") as file:
        file.write('\n{"ssn__key_version": null, "n": 5}\n')
    document = manifest_of(tmp_path / "hidden.jsonl.manifest.json")
    reidentify_file(hidden, back, manifest=document, check_table=False, key_manager=manager)
    assert back.read_text() == path.read_text() + '\n{ "n": 5}\n'


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"ssn":"1"}\n{"ssn":"078-05-1120"\n', "line 2 is not a JSON object"),
        ('{"ssn":"1"}\n\n[1]\n', "line 3 is not a JSON object"),
        ('{"ssn":"1"} {"ssn":"078-05-1120"}\n', "line 1 is not a JSON object"),
        ('{"ssn":"078-05-1120","ssn":"2"}\n', "line 1 has a key twice"),
        ('{"ssn":"078-05-1120","s\\u0073n":"2"}\n', "line 1 has a key twice"),
        ('{"ssn":"078-05-1120",}\n', "line 1 is not a JSON object"),
        ('{"ssn":"078-05-1120" "a":1}\n', "line 1 is not a JSON object"),
        ('{\n  "ssn": "078-05-1120"\n}\n', "line 1 is not a JSON object"),
        ('{"a":' + "[" * 100_000 + "\n", "line 1 is not a JSON object"),
        ('{"ssn":"078-05-\\ud8001120"}\n', "half a surrogate pair"),
        ('{"ssn":"078-05-1120"}\n{"ssn":1}\n', "column 'ssn'"),
        ('{"ssn":["078-05-1120"]}\n', "column 'ssn'"),
        ('{"ssn":1.50}\n', "column 'ssn'"),
    ],
)
def test_lines_that_are_no_objects_are_refused_without_their_values(
    tmp_path, manager, content, problem
):
    path, hidden, _ = paths(tmp_path)
    path.write_text(content)
    with pytest.raises(PseudonymizationError, match=problem) as caught:
        anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    assert "078-05" not in str(caught.value)
    assert caught.value.__context__ is None
    assert list(tmp_path.iterdir()) == [path]


def test_text_that_is_not_utf_8_is_refused_with_its_line(tmp_path, manager):
    path, hidden, _ = paths(tmp_path)
    path.write_bytes(b'{"a":1}\n{"a":"\xe9"}\n')
    with pytest.raises(PseudonymizationError, match=r"a\.jsonl, line 2: the text is not UTF-8"):
        anonymize_file(path, hidden, ["a"], key_manager=manager)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, manager, monkeypatch):
    monkeypatch.setattr("secureml.files.json_lines._LONGEST", 1 << 16)
    monkeypatch.setattr("secureml.files.json_lines.CHUNK_BYTES", 1 << 10)
    path, hidden, _ = paths(tmp_path)
    path.write_text('{"a":"' + "x" * (1 << 18) + '"}\n')
    with pytest.raises(PseudonymizationError, match="a line of more than"):
        anonymize_file(path, hidden, ["a"], key_manager=manager)


def test_an_empty_file_has_no_columns(tmp_path, manager):
    path, hidden, _ = paths(tmp_path)
    path.write_text("")
    with pytest.raises(ArgumentError, match="has no column 'ssn'"):
        anonymize_file(path, hidden, ["ssn"], key_manager=manager)


def test_a_preview_shows_before_and_after(tmp_path, manager):
    path, _, _ = paths(tmp_path)
    path.write_text(LINES)
    shown = str(preview_file(path, ["ssn"], key_manager=manager))
    assert "219-09-9999" in shown


def test_an_output_of_another_kind_is_refused(tmp_path, manager):
    path, _, _ = paths(tmp_path)
    path.write_text(LINES)
    with pytest.raises(SecureMLError, match="of the kind of the input"):
        anonymize_file(path, tmp_path / "h.csv.gz", ["ssn"], key_manager=manager)


def test_a_table_of_another_kind_that_was_written_as_json_is_recovered(tmp_path, manager):
    table = pa.table(
        {
            "day": [datetime.date(1990, 1, 2), None],
            "ssn": pa.array(["078-05-1120", None]).dictionary_encode(),
            "amount": [decimal.Decimal(1234567), None],
        }
    )
    hidden, manifest = anonymize(
        table,
        sensitive_columns=["day", "ssn", "amount"],
        small_domain="permute",
        return_manifest=True,
        key_manager=manager,
    )
    path, back = tmp_path / "hidden.jsonl", tmp_path / "back.jsonl"
    lines = [{**row, "day": row["day"] and str(row["day"])} for row in hidden.to_pylist()]
    path.write_text("".join(f"{json.dumps(line, default=int)}\n" for line in lines))
    reidentify_file(path, back, manifest=manifest, key_manager=manager)
    assert [json.loads(line) for line in back.read_text().splitlines()] == [
        {"day": "1990-01-02", "ssn": "078-05-1120", "amount": 1234567},
        {"day": None, "ssn": None, "amount": None},
    ]
