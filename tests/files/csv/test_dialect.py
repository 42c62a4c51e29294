"""How a CSV file is written is found out or told, kept, and known again when it is recovered."""

from __future__ import annotations

import gzip
import json

import pytest

from secureml.errors import ArgumentError, PseudonymizationError
from secureml.files import anonymize_file, preview_file, reidentify_file, rekey_file
from secureml.files.csv import CsvTable


def round_trip(tmp_path, manager, content, columns=("ssn",), **told):
    """Recover a file without telling again how it is written."""
    path, hidden, back = (tmp_path / name for name in ("a.csv", "h.csv", "b.csv"))
    path.write_bytes(content)
    written = anonymize_file(path, hidden, columns, key_manager=manager, force=True, **told)
    assert hidden.read_bytes() != content
    manager.rotate_key("master_key")
    rekey_file(hidden, key_manager=manager)
    reidentify_file(hidden, back, key_manager=manager, force=True)
    assert back.read_bytes() == content
    return hidden.read_bytes(), written


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("a,b\n1;5,2;5\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb;c\n1\t2\n3\t4\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ('"a,b";c\n"1,2,3";4\n', ";"),
        ('a;b\n"x\n,,";2\n', ";"),
        ("text\nhello, world; again\n", ","),
        ("a;b\n123456789\n", ","),
        ("a;b;c\n1;2;3\n1;2\n", ";"),
        ("a;b\n", ";"),
    ],
)
def test_what_separates_values_is_found_out(tmp_path, head, delimiter):
    path = tmp_path / "a.csv"
    path.write_text(head)
    assert CsvTable(path).dialect.delimiter == delimiter


@pytest.mark.parametrize(
    ("content", "about"),
    [
        (b"ssn;x\r\n123-45-6789;\xc3\xa9\r\n", "UTF-8, separated by ';'"),
        (b"\xef\xbb\xbfssn\tx\n123-45-6789\t1", "UTF-8 with a byte order mark, separated by tab"),
        (
            "\ufeffssn;x\r\n123-45-6789;é\u20ac\r\n".encode("utf-16-le"),
            "UTF-16-LE with a byte order mark, separated by ';'",
        ),
        (
            "\ufeffssn|x\n123-45-6789|\U0001f600\n".encode("utf-16-be"),
            "UTF-16-BE with a byte order mark, separated by '|'",
        ),
    ],
)
def test_a_file_that_tells_how_it_is_written_is_read_and_written_so(
    tmp_path, manager, content, about
):
    hidden, written = round_trip(tmp_path, manager, content)
    assert written.about == about
    assert hidden[:3] == content[:3]
    assert "dialect" not in json.loads(written.manifest_path.read_text())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"ssn;x\r\n123-45-6789;\xe9\x80\r\n", {"encoding": "cp1252"}),
        (b"ssn;x\n123-45-6789;\xa4\n", {"encoding": "iso8859-15", "delimiter": ";"}),
        ("ssn,x\n123-45-6789,é\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        (b"x,y;ssn\n1,2;123-45-6789\n", {"delimiter": ";"}),
        (b"ssn^x\n123-45-6789^,\n", {"delimiter": "^"}),
    ],
)
def test_what_a_file_does_not_tell_is_recorded_beside_it(tmp_path, manager, content, told):
    _, written = round_trip(tmp_path, manager, content, **told)
    record = json.loads(written.manifest_path.read_text())["dialect"]
    assert record.keys() <= told.keys() | {"delimiter"}
    rekeyed = json.loads(written.manifest_path.read_text())
    assert rekeyed["dialect"] == record


def test_columns_without_a_header_have_numbers(tmp_path, manager):
    content = b"1,123-45-6789\n2,219-09-9999"
    hidden, written = round_trip(tmp_path, manager, content, ["2"], header=False)
    assert list(written.manifest["columns"]) == ["2"]
    assert written.rows == 2
    assert hidden.startswith(b"1,")
    shown = preview_file(tmp_path / "a.csv", ["2"], header=False, key_manager=manager)
    assert shown.rows["2, before"].tolist() == ["123-45-6789", "219-09-9999"]


def test_a_compressed_file_is_known_again_too(tmp_path, manager):
    path, hidden, back = (tmp_path / name for name in ("a.csv.gz", "h.csv.gz", "b.csv.gz"))
    content = b"ssn;x\r\n123-45-6789;\xe9\x80\r\n"
    path.write_bytes(gzip.compress(content))
    written = anonymize_file(path, hidden, ["ssn"], encoding="cp1252", key_manager=manager)
    assert written.about == "CP1252, separated by ';'"
    reidentify_file(hidden, back, key_manager=manager)
    assert gzip.decompress(back.read_bytes()) == content


def test_what_is_told_precedes_what_was_recorded(tmp_path, manager):
    path, hidden = tmp_path / "a.csv", tmp_path / "h.csv"
    path.write_bytes(b"ssn^x\n123-45-6789^1\n")
    anonymize_file(path, hidden, ["ssn"], delimiter="^", key_manager=manager)
    with pytest.raises(PseudonymizationError, match="read as UTF-8, separated by '/'"):
        anonymize_file(hidden, tmp_path / "b.csv", ["x"], delimiter="/", key_manager=manager)


def test_letters_are_not_guessed(tmp_path, manager):
    path = tmp_path / "a.csv"
    path.write_bytes(b"ssn,x\n123-45-6789,\xe9\n")
    with pytest.raises(PseudonymizationError, match="for instance with --encoding cp1252"):
        anonymize_file(path, tmp_path / "h.csv", ["ssn"], key_manager=manager)
    path.write_bytes(b"ssn,x\n123-45-6789,\x81\n")
    with pytest.raises(PseudonymizationError, match="not cp1252"):
        anonymize_file(path, tmp_path / "h.csv", ["ssn"], encoding="cp1252", key_manager=manager)
    path.write_bytes(b"\xff\xfes\0")
    with pytest.raises(PseudonymizationError, match="has no header"):
        anonymize_file(path, tmp_path / "h.csv", ["ssn"], key_manager=manager)


def test_a_value_that_the_encoding_can_not_hold_is_refused(tmp_path, manager):
    path, hidden = tmp_path / "a.csv", tmp_path / "h.csv"
    path.write_bytes(b"n,x\n123456789,\xe9\n")
    how = {"encoding": "cp1252", "key_manager": manager}
    with pytest.raises(PseudonymizationError, match="cp1252 does not have") as caught:
        anonymize_file(path, hidden, ["n"], strategy={"n": lambda s: s + "Ł"}, **how)
    assert caught.value.__context__ is None
    assert not hidden.exists()


@pytest.mark.parametrize(
    "encoding", ["utf-7", "cp037", "shift_jis", "euc-jp", "rot13", "no such", "base64"]
)
def test_an_encoding_that_would_not_keep_every_byte_is_refused(tmp_path, manager, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(b"ssn\n123-45-6789\n")
    with pytest.raises(ArgumentError, match="neither UTF-8 nor UTF-16"):
        anonymize_file(path, tmp_path / "h.csv", ["ssn"], encoding=encoding, key_manager=manager)
