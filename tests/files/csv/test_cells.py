"""Cells that are found in bytes are those that other readers find, and all other bytes stay."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow

from secureml.errors import PseudonymizationError
from secureml.files import anonymize_file, reidentify_file, rekey_file
from secureml.files.csv import CsvTable, Told
from secureml.files.csv import table as module
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

COMMA = Told(delimiter=",")

# Quotation marks anywhere, line ends of all kinds, empty lines, characters of several bytes.
wild = st.text(st.sampled_from('ab,"\n\ré '), max_size=60)
blocks = st.sampled_from([64, 100, 1 << 20])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells") / "a.csv"


@pytest.fixture(scope="module")
def key() -> Iterator[KeyManager]:
    with KeyManager(environment="development", store=MemoryStore()) as manager:
        manager.import_key("master_key", "5e" * 32)
        manager.rotate_key("master_key")
        yield manager


def read(place: Path, content: bytes, block: int = 1 << 20) -> tuple[CsvTable, list]:
    place.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        table = CsvTable(place, COMMA)
        return table, list(table.chunks())


def written(table, chunks, columns=None) -> bytes:
    file = io.BytesIO()
    writer = table.writer(file, table.schema)
    for chunk in chunks:
        writer.write(chunk, chunk.table if columns is None else chunk.table.select(columns))
    return file.getvalue()


def arrow_reads(content: bytes) -> pa.Table:
    parse = {"newlines_in_values": True}
    with arrow.open_csv(pa.BufferReader(content), parse_options=arrow.ParseOptions(**parse)) as one:
        names = one.schema.names
    return arrow.read_csv(
        pa.BufferReader(content),
        arrow.ReadOptions(use_threads=False),
        arrow.ParseOptions(ignore_empty_lines=len(names) > 1, **parse),
        arrow.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


@settings(max_examples=300, deadline=None)
@given(text=wild, block=blocks)
@example(text='a"b",1\n"a""b"c,\r\n,""\n\n\r"x\ny",z\n', block=64)
def test_cells_are_those_that_arrow_finds(place, text, block):
    content = f"x,y\n{text}\n".encode()
    refused = None
    try:
        expected = arrow_reads(content)
    except pa.ArrowInvalid:
        expected = None
    try:
        table, chunks = read(place, content, block)
    except PseudonymizationError as error:
        refused = str(error)
    if refused is not None:
        assert expected is None or "inside of quotation marks" in refused
        return
    assert expected is not None
    assert pa.concat_tables(chunk.table for chunk in chunks).equals(expected)
    assert written(table, chunks, []) == content
    assert arrow_reads(written(table, chunks)).equals(expected)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(cells, min_size=2, max_size=2), max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    block=blocks,
)
def test_cells_are_those_that_the_module_csv_wrote(place, rows, quoting, end, block):
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=quoting, lineterminator=end)
    if end == "\n":  # which leaves a carriage return without quotation marks
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    writer.writerows([["x", "y"], *rows])
    content = file.getvalue().encode()
    table, chunks = read(place, content, block)
    columns = pa.concat_tables(chunk.table for chunk in chunks).to_pydict()
    nothing = {"": None} if quoting == csv.QUOTE_MINIMAL else {}
    assert columns == {
        name: [nothing.get(row[number], row[number]) for row in rows]
        for number, name in enumerate("xy")
    }
    assert written(table, chunks, []) == written(table, chunks) == content


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.from_regex(r"[0-9]{9}(, [A-Z][a-z]{8})?", fullmatch=True), max_size=9),
    quoted=st.lists(st.booleans(), min_size=9, max_size=9),
    others=st.lists(st.sampled_from(['" a"', "", '""', '"x\ny"', 'a"b', "é "]), min_size=9),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    tail=st.sampled_from(["", "{end}", "{end}{end}"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_a_recovered_file_is_the_same_to_the_byte(
    place, key, values, quoted, others, end, tail, mark
):
    lines = ["a,n,b"]
    for value, in_marks, other in zip(values, quoted, others, strict=False):
        needs = in_marks or "," in value
        lines.append(f"{other},{chr(34) * needs}{value}{chr(34) * needs},{other}")
    if len(lines) == 1:
        tail = "{end}"
    content = mark + (end.join(lines) + tail.format(end=end)).encode()
    place.write_bytes(content)
    hidden, back = place.with_name("hidden.csv"), place.with_name("back.csv")
    how = {"force": True, "key_manager": key}
    anonymize_file(place, hidden, ["n"], master_key_version=1, **how)
    reidentify_file(hidden, back, **how)
    assert back.read_bytes() == content
    rekey_file(hidden, key_manager=key)
    reidentify_file(hidden, back, **how)
    assert back.read_bytes() == content
    assert hidden.read_bytes().count(end.encode()) == content.count(end.encode())


def hide(place, key, content: str, **how) -> str:
    place.write_bytes(content.encode())
    hidden = place.with_name("hidden.csv")
    anonymize_file(place, hidden, key_manager=key, force=True, **how)
    return hidden.read_bytes().decode()


def test_a_new_value_has_quotation_marks_if_the_old_one_had_or_if_it_needs_them(place, key):
    def shout(series):
        return series.replace({"1": "a,b", "2": 'say "x"', "3": "", "4": None, "5": "two\nlines"})

    how = {"strategy": {"n": shout}, "sensitive_columns": ["n"]}
    plain = hide(place, key, "n,m\n1,a\n2,b\n3,c\n4,d\n5,e\n6,f\n", **how)
    assert plain == 'n,m\n"a,b",a\n"say ""x""",b\n"",c\n,d\n"two\nlines",e\n6,f\n'
    marked = hide(place, key, '"n",m\r\n"1",a\r\n"2",b\r\n"3",c\r\n"4",d\r\n"6",f', **how)
    empty = hide(place, key, "n,m\n1,a\n\n2,b\n", **how)
    assert empty == 'n,m\n"a,b",a\n\n"say ""x""",b\n'
    loose = hide(place, key, 'n,m\n1,5" pipe\n2,b\n', **how)
    assert loose == 'n,m\n"a,b",5" pipe\n"say ""x""",b\n'
    assert marked == '"n",m\r\n"a,b",a\r\n"say ""x""",b\r\n"",c\r\n,d\r\n"6",f'


def test_nothing_stays_nothing_and_an_empty_string_an_empty_string(place, key):
    hidden = hide(place, key, 'n,m\n,1\n"",2\n123456789,\n', sensitive_columns=["n"])
    assert hidden.startswith('n,m\n,1\n"",2\n')


def test_values_of_other_lengths_shift_what_follows(place, key):
    content = 'a,n,b\n1,123456789, x \n"2","987654321","y"\r\n3,,\n'
    hidden = hide(place, key, content, sensitive_columns=["n", "a"], strategy="token")
    lines = hidden.split("\n")
    assert lines[1].endswith(", x ")
    assert lines[2].endswith('","y"\r')
    assert lines[3].endswith(",,")
    reidentify_file(place.with_name("hidden.csv"), place, key_manager=key, force=True)
    assert place.read_bytes().decode() == content


def test_columns_of_versions_are_added_behind_and_taken_away_again(place, key):
    content = '"a","n"\r\n1,123456789\r\n"2","987654321"\r\n\r\n3,'
    hidden = hide(
        place, key, content, sensitive_columns=["n", "a"], strategy="token", key_versions=True
    )
    lines = hidden.split("\r\n")
    assert lines[0] == '"a","n",n__key_version,a__key_version'
    assert lines[3] == ""
    assert [line.split(",")[2:] for line in lines[1:3] + lines[4:]] == [["2", "2"]] * 3
    reidentify_file(place.with_name("hidden.csv"), place, key_manager=key, force=True)
    assert place.read_bytes().decode() == content


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_may_be_longer_than_a_block(place, key, end):
    long = '"' + f"two{end}lines, " * 200_000 + '"'
    content = f"n,m{end}123456789,{long}{end}234567891,x{end}"
    hidden = hide(place, key, content, sensitive_columns=["n"])
    assert f",{long}{end}" in hidden
    reidentify_file(place.with_name("hidden.csv"), place, key_manager=key, force=True)
    assert place.read_bytes().decode() == content


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a,b\n1,2\n\n\n1,2,3\n", r"row 3 has 3 values, not 2 \(line 5"),
        ('a,b\n"1\n1",2\n1\n', r"row 3 has 1 values, not 2 \(line 4"),
        ('a,b\n1,2\n1,"x\n\n', r"row 3 ends inside of quotation marks.* \(line 3"),
        ("a,b\n" + "1,2\n" * 400_000 + "1\n", r"row 400002 has 1 values, not 2 \(line 400002"),
        ("a,b\n" + "1,2\n" * 9 + f'1,"{"x" * (5 << 20)}"\n', r"row 11 has more than 4 MiB"),
    ],
)
def test_a_wrong_row_is_told_with_its_number_and_its_line(place, content, problem):
    with pytest.raises(PseudonymizationError, match=problem) as caught:
        read(place, content.encode())
    assert str(place) in str(caught.value)
    assert caught.value.__context__ is None
