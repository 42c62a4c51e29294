"""Odd and broken Parquet files come through unchanged, or are refused by an error of ours."""

from __future__ import annotations

import base64
import datetime
import decimal
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from helpers.thrift import with_footer
from secureml.errors import PseudonymizationError, SecureMLError
from secureml.files import anonymize_file, reidentify_file

N = 40
SSNS = [f"{100 + n}-12-3456" for n in range(N)]
BASE = pa.table({"ssn": SSNS, "n": range(N)})
MOMENTS = pa.array([datetime.datetime(2020, 1, 1, n % 24, 5, 6, 789) for n in range(N)])
MAP_OF_MOMENTS = pa.map_(pa.string(), pa.timestamp("ns"))

# What FileMetaData, its schema and its row groups have in parquet.thrift.
SCHEMA, ROWS, GROUPS = 2, 3, 4
CONVERTED, LOGICAL = 6, 10
CHUNKS, GROUP_BYTES = 1, 2
META, CODEC = 3, 4


def written(table: pa.Table, **options: Any) -> bytes:
    made = io.BytesIO()
    parquet.write_table(table, made, **options)
    return made.getvalue()


def decimals(digits: int) -> pa.Table:
    values = [decimal.Decimal(n % 10) for n in range(N)]
    return BASE.append_column("d", pa.array(values, pa.decimal128(digits, 0)))


def column(values: Any) -> pa.Table:
    return BASE.append_column("x", values)


def extension(name: str, storage: pa.Array) -> pa.Table:
    return column(pa.ExtensionArray.from_storage(getattr(pa, name)(), storage))


PLAIN = {"use_dictionary": False}
ODD: dict[str, tuple[pa.Table, dict[str, Any]]] = {
    **{f"codec {name}": (BASE, {"compression": name}) for name in ("BROTLI", "LZ4", "GZIP")},
    "no rows": (BASE.slice(0, 0), {}),
    "a row in each group": (BASE, {"row_group_size": 1}),
    "data pages v2": (BASE, {"data_page_version": "2.0", "data_page_size": 50}),
    "delta byte array": (BASE, {**PLAIN, "column_encoding": {"ssn": "DELTA_BYTE_ARRAY"}}),
    "delta length": (BASE, {**PLAIN, "column_encoding": {"ssn": "DELTA_LENGTH_BYTE_ARRAY"}}),
    "delta binary packed": (BASE, {**PLAIN, "column_encoding": {"n": "DELTA_BINARY_PACKED"}}),
    "byte stream split": (
        column(pa.array(np.arange(N) / 7)),
        {**PLAIN, "use_byte_stream_split": ["x"]},
    ),
    "run lengths": (
        column(pa.array([True, None] * (N // 2))),
        {**PLAIN, "data_page_version": "2.0", "column_encoding": {"x": "RLE"}},
    ),
    "float16": (column(pa.array(np.arange(N, dtype="f2"))), {}),
    "int96": (column(MOMENTS.cast(pa.timestamp("ns"))), {"use_deprecated_int96_timestamps": True}),
    "int96 in maps": (
        column(pa.array([[("a", moment)] for moment in MOMENTS.to_pylist()], MAP_OF_MOMENTS)),
        {"use_deprecated_int96_timestamps": True},
    ),
    **{
        f"decimals of {digits} digits": (decimals(digits), {"store_decimal_as_integer": True})
        for digits in (9, 18, 38)
    },
    "decimals as bytes": (decimals(18), {}),
    "unsigned in version 1": (column(pa.array(range(N), pa.uint32())), {"version": "1.0"}),
    "nested": (
        pa.table(
            {
                "ssn": SSNS,
                "l": [[1, None], None, [], [3]] * (N // 4),
                "ls": [[{"x": 1}], [None], None, []] * (N // 4),
                "ss": [{"s": {"t": None}}] * N,
                "m": pa.array([[("a", 1)], None] * (N // 2), pa.map_(pa.string(), pa.int32())),
            }
        ),
        {},
    ),
    "lists with other names": (column(pa.array([[1]] * N)), {"use_compliant_nested_type": False}),
    **{
        name: (extension(name, storage), {})
        for name, storage in (
            ("uuid", pa.array([b"0" * 16] * N, pa.binary(16))),
            ("json_", pa.array(['{"a": 1}'] * N)),
        )
        if hasattr(pa, name)  # from pyarrow 19 on
    },
    "no schema of Arrow": (BASE, {"store_schema": False}),
    "odd names": (
        pa.Table.from_arrays([pa.array(SSNS)] * 6, ["ssn", "", "a.b", "a\nb", "SSN", "x" * 5000]),
        {},
    ),
    "many columns": (pa.table({"ssn": SSNS, **{f"c{n}": range(N) for n in range(1000)}}), {}),
    "an index of pages": (BASE, {"write_page_index": True, "write_page_checksum": True}),
}


def check(path: Path, manager) -> str:
    """Pseudonymize and recover a file, and return what came of it."""
    hidden, back = path.with_suffix(".hidden"), path.with_suffix(".back")
    with parquet.ParquetFile(path) as file:
        before = file.read()
    anonymize_file(path, hidden, ["ssn"], key_manager=manager, force=True)
    made = parquet.read_table(hidden)
    assert made.column_names == before.column_names
    for name in before.column_names:
        if name != "ssn":
            assert made[name].equals(before[name]), name
            assert made.schema.field(name).type == before.schema.field(name).type
    reidentify_file(hidden, back, key_manager=manager, force=True)
    return "same" if parquet.read_table(back).equals(before) else "other"


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_comes_through_unchanged(tmp_path, manager, odd):
    table, options = ODD[odd]
    path = tmp_path / "a.parquet"
    path.write_bytes(written(table, **options))
    assert check(path, manager) == "same"


def test_a_repeated_field_that_no_list_is_around_comes_through(tmp_path, manager):
    lists = [[1, 2], [], None, [3]] * (N // 4)
    content = written(pa.table({"ssn": SSNS, "l": lists}), store_schema=False)

    def bare(footer):
        for element in footer[SCHEMA][1][1]:
            element.pop(CONVERTED, None)
            element.pop(LOGICAL, None)

    path = tmp_path / "a.parquet"
    path.write_bytes(with_footer(content, bare))
    schema = parquet.read_schema(path)
    assert pa.types.is_struct(schema.field("l").type)
    # Of the strings, nothing tells that they are; a rule of any kind can't replace bytes.
    with pytest.raises(PseudonymizationError, match="column 'ssn'"):
        anonymize_file(path, tmp_path / "h.parquet", ["ssn"], key_manager=manager)

    def bare_list(footer):
        for element in footer[SCHEMA][1][1][2:]:
            element.pop(CONVERTED, None)
            element.pop(LOGICAL, None)

    path.write_bytes(with_footer(content, bare_list))
    assert check(path, manager) == "same"


def test_the_lz4_of_hadoop_is_written_as_the_one_that_all_read(tmp_path, manager):
    def older(footer):
        for group in footer[GROUPS][1][1]:
            for chunk in group[CHUNKS][1][1]:
                chunk[META][1][CODEC] = (5, 5)

    path = tmp_path / "a.parquet"
    path.write_bytes(with_footer(written(BASE, compression="lz4"), older))
    assert check(path, manager) == "same"
    about = parquet.read_metadata(tmp_path / "a.hidden").row_group(0).column(0)
    assert about.compression == "LZ4"


def test_groups_that_tell_no_size_come_through(tmp_path, manager):
    def sizeless(footer):
        for group in footer[GROUPS][1][1]:
            group[GROUP_BYTES] = (6, 0)

    path = tmp_path / "a.parquet"
    path.write_bytes(with_footer(written(BASE, row_group_size=7), sizeless))
    assert check(path, manager) == "same"


@pytest.mark.parametrize("codec", [0, 2, 3, 4, 5, 6, 8, 63])
@pytest.mark.parametrize("place", [0, 1])
def test_a_codec_that_is_another_one_or_none_is_refused(tmp_path, manager, place, codec):
    def other(footer):
        footer[GROUPS][1][1][0][CHUNKS][1][1][place][META][1][CODEC] = (5, codec)

    refused(tmp_path, manager, with_footer(written(BASE), other))


@pytest.mark.parametrize("rows", [-1, 0, N - 1, N + 1, 2**62])
def test_a_count_of_rows_that_is_wrong_is_refused_or_comes_through(tmp_path, manager, rows):
    def miscounted(footer):
        footer[ROWS] = (6, rows)

    path = tmp_path / "a.parquet"
    path.write_bytes(with_footer(written(BASE), miscounted))
    try:
        assert check(path, manager) == "same"
    except SecureMLError as error:
        assert "-12-3456" not in str(error)  # noqa: PT017  # either is right


def refused(folder: Path, manager, content: bytes) -> str:
    path = folder / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(PseudonymizationError) as caught:
        anonymize_file(path, folder / "h.parquet", ["ssn"], key_manager=manager)
    assert caught.value.__context__ is None
    assert "-12-3456" not in str(caught.value)
    assert list(folder.iterdir()) == [path]
    return str(caught.value)


def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path, manager):
    whole = written(BASE, row_group_size=20)
    for size in {*range(4, len(whole), 37), *range(len(whole) - 12, len(whole))}:
        assert "is not a whole Parquet file" in refused(tmp_path, manager, whole[:size])


@pytest.mark.parametrize(
    "content", [b"PAR1", b"PAR1PAR1", b"PAR1\0\0\0\0PAR1", b"PAR1\xff\xff\xff\xffPAR1"]
)
def test_a_file_of_magic_bytes_alone_is_refused(tmp_path, manager, content):
    assert "is not a whole Parquet file" in refused(tmp_path, manager, content)


@pytest.mark.parametrize("plain_footer", [True, False])
def test_an_encrypted_file_is_refused_and_told_for_one(tmp_path, manager, plain_footer):
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Kms(encryption.KmsClient):
        def __init__(self, _config):
            super().__init__()

        def wrap_key(self, key, _name):
            return base64.b64encode(key)

        def unwrap_key(self, key, _name):
            return base64.b64decode(key)

    keys = encryption.EncryptionConfiguration(
        footer_key="f", column_keys={"k": ["n"]}, plaintext_footer=plain_footer
    )
    factory = encryption.CryptoFactory(Kms)
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), keys)
    made = io.BytesIO()
    with parquet.ParquetWriter(made, BASE.schema, encryption_properties=properties) as writer:
        writer.write_table(BASE)
    assert "encrypted" in refused(tmp_path, manager, made.getvalue())


def test_columns_of_one_name_are_refused(tmp_path, manager):
    twice = pa.Table.from_arrays([pa.array(SSNS)] * 3, ["ssn", "a", "a"])
    assert "occur more than once: 'a'" in refused(tmp_path, manager, written(twice))


@pytest.mark.parametrize(
    "inside",
    [
        lambda moments: moments,
        lambda moments: pa.StructArray.from_arrays([moments], ["at"]),
        lambda moments: pa.ListArray.from_arrays(range(len(moments) + 1), moments),
        lambda moments: pa.MapArray.from_arrays(
            range(len(moments) + 1), moments.cast("str"), moments
        ),
    ],
    ids=["alone", "struct", "list", "map"],
)
def test_moments_beyond_those_of_nanoseconds_are_refused(tmp_path, manager, inside):
    """INT96 holds the year 9999, and Arrow reads it as another one without a word."""
    moments = inside(pa.array([datetime.datetime(2020, 1, 1)] * N).cast(pa.timestamp("ns")))
    options = {"use_deprecated_int96_timestamps": True, **PLAIN, "compression": "none"}
    content = written(column(moments), **options)
    day = (2440588 + 18262).to_bytes(4, "little")
    assert content.count(day) >= N
    later = content.replace(day, (2440588 + 2932896).to_bytes(4, "little"))
    assert "'x'" in refused(tmp_path, manager, later)
