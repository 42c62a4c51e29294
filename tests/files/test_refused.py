"""What is no table, no manifest, or can't be written: a clear error, and everything as it was."""

from __future__ import annotations

import json
import os
import resource
import shutil
import traceback
from pathlib import Path

import pytest

from secureml.errors import (
    DomainTooSmallError,
    ManifestChangedError,
    ManifestError,
    PseudonymizationError,
    SecureMLError,
)
from secureml.files import (
    anonymize_file,
    manifest_of,
    preview_file,
    reidentify_file,
    rekey_file,
)
from secureml.files.kinds import open_table

VALUE = b"123-45-6789"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has no header"),
        (b"ssn,b", "has no header"),
        (b"ssn,ssn\n1,2\n", "more than once: 'ssn'"),
        (
            b"ssn,b\n123-45-6789,1\n123-45-6789\n",
            r"row 3 has 1 values, not 2 \(line 3 of the file; it is read as UTF-8",
        ),
        (b"ssn,b\n123-45-6789,1,2\n", "row 2 has 3 values, not 2"),
        (b"ssn,b\n123-45-6789,\xff\n", "not UTF-8"),
        (b"ss\xffn,b\n123-45-6789,x\n", "not UTF-8"),
        (b'b,ssn\n1,"123-45-6789\n', "ends inside of quotation marks"),
        (b'b,ssn\n1,123-45-6789\n2,"', "ends inside of quotation marks"),
        (b"\x1f\x8b\x08\0", "is not whole: gzip can't decompress it"),
        (b"\x28\xb5\x2f\xfd\0", "is not whole: zstd can't decompress it"),
        (b"ssn,b\n123-45-6789,\x80\n", "name its encoding, for instance with --encoding cp1252"),
        (b"PK\x03\x04\0\0\0ssn", "zip: decompress it first with unzip"),
        (b"PAR1 and then 123-45-6789", "not a whole Parquet file"),
        (b"123-45-6789,1\n234-56-7890,2\n", "no column 'ssn'; its first line must name"),
        (b"ssm,b\n123-45-6789,2\n", "no column 'ssn'; did you mean 'ssm'"),
    ],
)
def test_a_csv_file_that_is_no_table_is_refused_without_its_values(
    tmp_path, manager, content, problem
):
    path, hidden = tmp_path / "a.csv", tmp_path / "h.csv"
    path.write_bytes(content)
    with pytest.raises(PseudonymizationError, match=problem) as caught:
        anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    assert VALUE.decode() not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.usefixtures("small_chunks")
def test_a_quotation_mark_that_is_not_closed_is_refused(tmp_path, manager):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"' + "x,\n" * 5000)
    with pytest.raises(PseudonymizationError, match="a quotation mark that is not"):
        anonymize_file(path, tmp_path / "h.csv", ["a"], key_manager=manager)


@pytest.mark.parametrize("ending", ['"\n"\n', '""\n', '"""x"\n', '"x"', "x", '5""', '"a\n"\r\n'])
def test_a_quoted_field_may_end_with_the_file(tmp_path, manager, ending):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n123456789," + ending.encode())
    assert anonymize_file(path, tmp_path / "h.csv", ["a"], key_manager=manager).rows == 1


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "é"])
def test_a_delimiter_that_is_not_one_ascii_character_is_refused(
    people, tmp_path, manager, delimiter
):
    with pytest.raises(PseudonymizationError, match="one ASCII character"):
        anonymize_file(
            people, tmp_path / "h.csv", ["ssn"], delimiter=delimiter, key_manager=manager
        )


def test_half_a_parquet_file_is_refused(sheet, tmp_path, manager):
    path = sheet({"ssn": ["123-45-6789"] * 1000})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PseudonymizationError, match="not a whole Parquet file"):
        anonymize_file(path, tmp_path / "h.parquet", ["ssn"], key_manager=manager)


def test_a_missing_file_or_a_folder_in_its_place_is_refused(people, tmp_path, manager):
    with pytest.raises(SecureMLError, match=r"no\.csv can't be read \(No such file"):
        anonymize_file(tmp_path / "no.csv", tmp_path / "h.csv", ["a"], key_manager=manager)
    with pytest.raises(SecureMLError, match="Is a directory"):
        anonymize_file(tmp_path, tmp_path / "h.csv", ["a"], key_manager=manager)
    with pytest.raises(SecureMLError, match="can't be written"):
        anonymize_file(people, tmp_path / "no" / "h.csv", ["ssn"], key_manager=manager)


def test_an_output_that_is_the_input_or_of_another_kind_is_refused(
    people, sheet, tmp_path, manager
):
    before = people.read_bytes()
    (tmp_path / "link.csv").symlink_to(people)
    for output in (people, tmp_path / "link.csv", tmp_path / "x" / ".." / "people.csv"):
        with pytest.raises(SecureMLError, match="is the input itself"):
            anonymize_file(people, output, ["ssn"], force=True, key_manager=manager)
    assert people.read_bytes() == before
    with pytest.raises(SecureMLError, match="of the kind of the input"):
        anonymize_file(people, tmp_path / "h.parquet", ["ssn"], key_manager=manager)
    with pytest.raises(SecureMLError, match="of the kind of the input"):
        anonymize_file(sheet({"a": ["x"]}), tmp_path / "h.csv", ["a"], key_manager=manager)


def test_no_file_is_replaced_without_force(people, tmp_path, manager):
    hidden, again = tmp_path / "hidden.csv", tmp_path / "again.csv"
    for taken in (hidden, tmp_path / "hidden.csv.manifest.json"):
        taken.write_text("mine")
        with pytest.raises(SecureMLError, match="exists already"):
            anonymize_file(people, hidden, ["ssn"], key_manager=manager)
        assert taken.read_text() == "mine"
        taken.unlink()
    anonymize_file(people, hidden, ["ssn"], key_manager=manager)
    again.write_text("mine")
    for function in (reidentify_file, rekey_file):
        with pytest.raises(SecureMLError, match="exists already"):
            function(hidden, again, key_manager=manager)
    assert again.read_text() == "mine"
    reidentify_file(hidden, again, force=True, key_manager=manager)
    assert again.read_bytes() == people.read_bytes()
    assert not list(tmp_path.glob("*.rekey"))


@pytest.mark.usefixtures("small_chunks")
def test_values_that_can_not_be_pseudonymized_name_their_rows(tmp_path, manager):
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "123456789\n" * 500 + "12\n")
    with pytest.raises(DomainTooSmallError, match=r"^rows \d+ to 501: values with fewer") as caught:
        anonymize_file(path, tmp_path / "h.csv", ["a"], key_manager=manager)
    assert (caught.value.column, caught.value.domain_size, caught.value.rows) == ("a", 100, 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_full_disk_leaves_the_output_as_it_was(people, sheet, tmp_path, manager, kind):
    path = people if kind == "csv" else sheet({"ssn": [f"{n:09}" for n in range(50_000)]})
    folder = tmp_path / "out"
    folder.mkdir()
    hidden = folder / f"h.{kind}"
    hidden.write_text("mine")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(SecureMLError, match=r"can't be written \(File too large\)"):
            anonymize_file(path, hidden, ["ssn"], force=True, key_manager=manager)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert hidden.read_text() == "mine"
    assert list(folder.iterdir()) == [hidden]


@pytest.mark.usefixtures("small_chunks")  # one is read ahead
def test_an_input_that_changes_while_it_is_read_is_an_error(people, tmp_path, manager):
    changed = []

    def change(_fraction):
        if not changed:
            with people.open("a") as file:
                file.write("301,123-45-6789,Ada Lovelace,plain\n")
        changed.append(True)

    with pytest.raises(SecureMLError, match="was changed while it was read"):
        anonymize_file(people, tmp_path / "h.csv", ["ssn"], key_manager=manager, on_progress=change)
    assert [entry.name for entry in tmp_path.iterdir()] == ["people.csv"]


@pytest.mark.usefixtures("small_chunks")
def test_an_input_that_is_gone_while_it_is_read_is_an_error(people):
    def read():
        for _ in open_table(people).chunks():
            people.unlink(missing_ok=True)

    with pytest.raises(SecureMLError, match=r"people\.csv can't be read \(No such file"):
        read()


def test_a_pipe_is_no_input(tmp_path, manager):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(SecureMLError, match="is a pipe"):
        anonymize_file(tmp_path / "pipe.csv", tmp_path / "h.csv", ["a"], key_manager=manager)


@pytest.mark.parametrize("output", ["/", ".", "", os.devnull])
def test_only_files_are_replaced(people, tmp_path, manager, output):
    hidden = tmp_path / "hidden.csv"
    anonymize_file(people, hidden, ["ssn"], key_manager=manager)
    before = Path(output or ".").stat()
    for function in (reidentify_file, rekey_file):
        with pytest.raises(SecureMLError, match="name a file"):
            function(hidden, output, force=True, key_manager=manager)
    with pytest.raises(SecureMLError, match="name a file"):
        anonymize_file(people, output, ["ssn"], force=True, key_manager=manager)
    assert os.path.samestat(Path(output or ".").stat(), before)
    sidecar = tmp_path / "new.csv.manifest.json"
    sidecar.mkdir()
    with pytest.raises(SecureMLError, match=r"new\.csv\.manifest\.json is a folder"):
        anonymize_file(people, tmp_path / "new.csv", ["ssn"], force=True, key_manager=manager)


def test_a_missing_broken_or_changed_manifest_is_refused(people, tmp_path, manager):
    hidden, again = tmp_path / "hidden.csv", tmp_path / "again.csv"
    place = anonymize_file(people, hidden, ["ssn"], key_manager=manager).manifest_path
    pair = json.loads(place.read_text())

    def recover(content, kind, problem, **options):
        place.write_text(content)
        with pytest.raises(kind, match=problem):
            reidentify_file(hidden, again, key_manager=manager, **options)
        assert not again.exists()

    changed = json.loads(place.read_text())
    changed["manifest"]["columns"]["ssn"]["domain"] = "other"
    recover(json.dumps(changed), ManifestChangedError, "MAC")
    recover("{", ManifestError, "not a JSON object")
    recover("[]", ManifestError, "not a JSON object")
    recover("{}", ManifestError, "lacks schema")
    recover(json.dumps({**pair, "data": 1}), ManifestError, "what it says of its data")
    recover(json.dumps({**pair, "data": {"sha256": "00", "bytes": 1}}), ManifestError, "changed")
    place.unlink()
    with pytest.raises(ManifestError, match="there is no manifest"):
        reidentify_file(hidden, again, key_manager=manager)
    with pytest.raises(SecureMLError, match="can't be read"):
        reidentify_file(hidden, again, manifest=tmp_path / "no.json", key_manager=manager)
    place.write_text(json.dumps(pair["manifest"]))
    assert manifest_of(place) == manifest_of(hidden) == pair["manifest"]
    reidentify_file(hidden, again, key_manager=manager)
    assert again.read_bytes() == people.read_bytes()
    shutil.copy(people, hidden)
    with pytest.raises(ManifestError, match="not of this table"):
        reidentify_file(hidden, again, force=True, key_manager=manager)


@pytest.mark.parametrize("content", [b'"a;b"\n1;2\n', b"a;b\n123456789\n"])
def test_one_column_with_a_semicolon_in_its_name_is_read(tmp_path, manager, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    how = {"small_domain": "permute", "key_manager": manager}
    assert anonymize_file(path, tmp_path / "h.csv", ["a;b"], **how).rows == 1


def test_a_byte_order_mark_is_kept(tmp_path, manager):
    path, hidden, back = (tmp_path / name for name in ("a.csv", "h.csv", "b.csv"))
    path.write_bytes(b"\xef\xbb\xbfssn\n123456789\n")
    anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    assert hidden.read_bytes().startswith(b"\xef\xbb\xbfssn\n")
    reidentify_file(hidden, back, key_manager=manager)
    assert back.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("order", [("ssn", "id"), ("id", "ssn")])
def test_a_column_and_its_tweaks_are_not_both_pseudonymized(people, tmp_path, manager, order):
    """Neither with the manifest beside the file, nor with one that is named."""
    rules = {"ssn": {"tweaks": {"ssn": "id"}}, "id": {"small_domain": "token"}}
    first, second = order
    hidden, moved, again = (tmp_path / name for name in ("hidden.csv", "moved.csv", "again.csv"))
    anonymize_file(people, hidden, [first], key_manager=manager, **rules[first])
    shutil.copy(hidden, moved)
    beside = hidden.with_name("hidden.csv.manifest.json")
    for path, manifest in ((hidden, None), (moved, beside), (moved, manifest_of(hidden))):
        with pytest.raises(PseudonymizationError, match=r"'id', which is|recovery of 'ssn' reads"):
            anonymize_file(
                path, again, [second], manifest=manifest, key_manager=manager, **rules[second]
            )
        with pytest.raises(PseudonymizationError, match=r"'id', which is|recovery of 'ssn' reads"):
            preview_file(path, [second], manifest=manifest, key_manager=manager, **rules[second])
    with pytest.raises(PseudonymizationError, match="rows in clear that were added"):
        anonymize_file(moved, again, [first], manifest=beside, key_manager=manager)
