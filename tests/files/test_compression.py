"""Tables that are compressed as a whole, and those that come by standard input and output."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import resource
import subprocess
import sys
import tempfile
import zipfile

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from secureml.errors import ArgumentError, ManifestError, PseudonymizationError, SecureMLError
from secureml.files import (
    anonymize_file,
    key_usage,
    manifest_of,
    reidentify_file,
    rekey_file,
)

SSNS = [f"{100 + n}-{10 + n % 90}-{1000 + n}" for n in range(300)]
TABLE = pa.table({"ssn": SSNS, "n": range(300)})
KINDS = [".csv", ".jsonl", ".parquet", ".feather", ".arrows"]
CODECS = {".gz": "gzip", ".zst": "zstd"}


def content_of(kind: str) -> bytes:
    made = io.BytesIO()
    if kind == ".csv":
        made.write(b"ssn,n\n" + b"".join(f"{ssn},{n}\n".encode() for n, ssn in enumerate(SSNS)))
    elif kind == ".jsonl":
        for row in TABLE.to_pylist():
            made.write(json.dumps(row).encode() + b"\n")
    elif kind == ".parquet":
        parquet.write_table(TABLE, made)
    elif kind == ".feather":
        feather.write_feather(TABLE, made)
    else:
        with pa.ipc.new_stream(made, TABLE.schema) as writer:
            writer.write_table(TABLE)
    return made.getvalue()


def compressed(content: bytes, codec: str) -> bytes:
    made = pa.BufferOutputStream()
    with pa.CompressedOutputStream(made, codec) as stream:
        stream.write(content)
    return made.getvalue().to_pybytes()


def decompressed(content: bytes, codec: str) -> bytes:
    return pa.CompressedInputStream(pa.BufferReader(content), codec).read()


def rows_of(kind: str, content: bytes) -> list[dict]:
    if kind == ".parquet":
        return parquet.read_table(io.BytesIO(content)).to_pylist()
    if kind in (".feather", ".arrows"):
        opened = pa.ipc.open_file if kind == ".feather" else pa.ipc.open_stream
        return opened(content).read_all().to_pylist()
    if kind == ".jsonl":
        return [json.loads(line) for line in content.splitlines()]
    lines = content.decode().split()
    return [{"ssn": line.split(",")[0], "n": int(line.split(",")[1])} for line in lines[1:]]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_compressed_table_is_recovered(tmp_path, manager, kind, suffix):
    codec = CODECS[suffix]
    path, hidden, back = (tmp_path / f"{name}{kind}{suffix}" for name in "ahb")
    path.write_bytes(compressed(content_of(kind), codec))
    anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    anonymize_file(path, tmp_path / f"plain{kind}", ["ssn"], key_manager=manager)
    made = rows_of(kind, decompressed(hidden.read_bytes(), codec))
    assert made == rows_of(kind, (tmp_path / f"plain{kind}").read_bytes())
    assert {row["ssn"] for row in made}.isdisjoint(SSNS)
    rekey_file(hidden, to_key="other_key", key_manager=manager)
    assert manifest_of(hidden)["key"]["name"] == "other_key"
    assert dict(key_usage(hidden).versions) == {1: 300}
    reidentify_file(hidden, back, key_manager=manager)
    assert rows_of(kind, decompressed(back.read_bytes(), codec)) == TABLE.to_pylist()
    left = {each.name for each in tmp_path.iterdir()}
    assert not any("rekey" in name or name.endswith(".new") for name in left)


@pytest.mark.parametrize(
    ("given", "output", "codec"),
    [
        ("a.csv", "h.csv.gz", "gzip"),
        ("a.csv.gz", "h.csv", None),
        ("a.csv.gz", "h.csv.zst", "zstd"),
        ("a.csv.gz", "h", "gzip"),
        ("gzip.csv", "h.csv", None),
    ],
)
def test_the_name_of_the_output_tells_its_compression(tmp_path, manager, given, output, codec):
    content = content_of(".csv")
    path, hidden = tmp_path / given, tmp_path / output
    path.write_bytes(content if given == "a.csv" else compressed(content, "gzip"))
    anonymize_file(path, hidden, ["ssn"], key_manager=manager)
    made = hidden.read_bytes()
    made = made if codec is None else decompressed(made, codec)
    assert made.startswith(b"ssn,n\n")
    assert len(made) == len(content)


def test_a_rekey_keeps_the_compression_that_the_name_does_not_tell(tmp_path, manager):
    path, hidden = tmp_path / "a.csv", tmp_path / "h.csv"
    path.write_bytes(content_of(".csv"))
    anonymize_file(path, tmp_path / "h.csv.gz", ["ssn"], key_manager=manager)
    (tmp_path / "h.csv.gz").rename(hidden)
    (tmp_path / "h.csv.gz.manifest.json").rename(tmp_path / "h.csv.manifest.json")
    rekey_file(hidden, to_key="other_key", key_manager=manager)
    assert decompressed(hidden.read_bytes(), "gzip").startswith(b"ssn,n\n")


@pytest.mark.parametrize("given", ["a.csv", "a.csv.gz"])
def test_the_dialect_of_a_compressed_csv_file_is_known_again(tmp_path, manager, given):
    content = "ssn;city\r\n123-45-6789;Zürich\r\n".encode("cp1252")
    path, hidden, back = tmp_path / given, tmp_path / "h.csv.zst", tmp_path / "b.csv"
    path.write_bytes(content if given == "a.csv" else gzip.compress(content))
    written = anonymize_file(path, hidden, ["ssn"], encoding="cp1252", key_manager=manager)
    assert written.about == "CP1252, separated by ';'"
    rekey_file(hidden, to_key="other_key", key_manager=manager)
    reidentify_file(hidden, back, key_manager=manager)
    assert back.read_bytes() == content


@pytest.mark.parametrize("codec", CODECS.values())
def test_streams_that_follow_each_other_are_one(tmp_path, manager, codec):
    content = content_of(".csv")
    path, hidden = tmp_path / "a.csv.gz", tmp_path / "h.csv"
    path.write_bytes(compressed(content[:1000], codec) + compressed(content[1000:], codec))
    assert anonymize_file(path, hidden, ["ssn"], key_manager=manager).rows == 300


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
def test_a_compressed_stream_that_was_cut_off_is_refused(tmp_path, manager, kind, suffix):
    codec, path = CODECS[suffix], tmp_path / f"a{kind}{suffix}"
    whole = compressed(content_of(kind), codec)
    problem = f"is not whole: {codec} can't decompress it to its end"
    for size in (4, 10, len(whole) // 2, len(whole) - 9, len(whole) - 4, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(PseudonymizationError, match=problem) as caught:
            anonymize_file(path, tmp_path / f"h{kind}", ["ssn"], key_manager=manager)
        assert caught.value.__context__ is None
        assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(whole[:-12] + bytes([whole[-12] ^ 1]) + whole[-11:])
    with pytest.raises(PseudonymizationError):
        anonymize_file(path, tmp_path / f"h{kind}", ["ssn"], key_manager=manager)


def zipped(content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.csv", content)
    return made.getvalue()


@pytest.mark.parametrize(
    ("compress", "problem"),
    [
        (bz2.compress, "bzip2: decompress it first with bunzip2"),
        (lzma.compress, "xz: decompress it first with unxz"),
        (zipped, "zip: decompress it first with unzip"),
        (lambda content: compressed(content, "lz4"), "lz4: decompress it first with unlz4"),
        (lambda content: b"\xff\x06\0\0sNaPpY" + content, "snappy: decompress it first"),
        (lambda content: gzip.compress(gzip.compress(content)), "is compressed twice"),
        (lambda content: gzip.compress(bz2.compress(content)), "bzip2"),
    ],
)
def test_what_is_compressed_otherwise_is_refused_with_the_remedy(
    tmp_path, manager, compress, problem
):
    path = tmp_path / "a.csv"
    path.write_bytes(compress(content_of(".csv")))
    with pytest.raises(PseudonymizationError, match=problem) as caught:
        anonymize_file(path, tmp_path / "h.csv", ["ssn"], key_manager=manager)
    assert "/proc/" not in str(caught.value)


def test_errors_name_the_file_and_not_its_copy(tmp_path, manager):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n{"a":\n'))
    with pytest.raises(PseudonymizationError, match=r"^/.*/a\.jsonl\.gz, line 2 is not"):
        anonymize_file(path, tmp_path / "h.jsonl", ["a"], key_manager=manager)


def test_a_stream_that_grows_a_thousandfold_needs_no_memory(tmp_path, manager):
    """Its lines are read from a file, whatever they are compressed from."""
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"ssn,n\n")
        for _ in range(48):
            file.write(
                b"078-05-1120,0000000000000000000000000000000000000000000000000000\n" * 16384
            )
    assert path.stat().st_size < 4 << 20
    before = pa.total_allocated_bytes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    anonymize_file(path, tmp_path / "h.csv.gz", ["ssn"], key_manager=manager)
    assert pa.total_allocated_bytes() - before < 64 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100 << 10


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files here have names")
@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet.gz", "a.feather"])
def test_a_copy_has_no_name_that_could_outlive_the_process(tmp_path, manager, monkeypatch, name):
    path, folder = tmp_path / name, tmp_path / "temporary"
    content = content_of(f".{name.split('.')[1]}")
    path.write_bytes(compressed(content, "gzip") if name.endswith(".gz") else content)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    seen: list[list[str]] = []
    anonymize_file(
        path,
        tmp_path / f"h{name}",
        ["ssn"],
        on_progress=lambda _: seen.append(os.listdir(folder)),  # noqa: PTH208
        key_manager=manager,
    )
    assert seen
    assert not any(seen)


PROGRAM = """
import sys
from secureml import KeyManager
from secureml.errors import SecureMLError
from secureml.files import anonymize_file, preview_file, reidentify_file
from secureml.stores import MemoryStore
manager = KeyManager(environment="development", store=MemoryStore())
manager.import_key("master_key", "5e" * 32)
work, path, output, manifest = sys.argv[1:]
try:
    if work == "anonymize":
        anonymize_file(path, output, ["ssn"], manifest_output=manifest or None, key_manager=manager)
    elif work == "preview":
        print(preview_file(path, ["ssn"], key_manager=manager))
    else:
        reidentify_file(path, output, manifest=manifest or None, key_manager=manager)
except SecureMLError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def run(*arguments: object, given: bytes = b"") -> tuple[int, bytes, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        input=given,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_goes_from_standard_input_to_standard_output_and_back(tmp_path, kind):
    manifest = "" if kind in (".parquet", ".feather", ".arrows") else tmp_path / "m.json"
    code, hidden, told = run("anonymize", "-", "-", manifest, given=content_of(kind))
    assert (code, told) == (0, "")
    assert {row["ssn"] for row in rows_of(kind, hidden)}.isdisjoint(SSNS)
    code, back, told = run("reidentify", "-", "-", manifest, given=hidden)
    assert (code, told) == (0, "")
    assert rows_of(kind, back) == TABLE.to_pylist()


def test_compression_passes_through_standard_output(tmp_path):
    given = compressed(content_of(".csv"), "zstd")
    code, hidden, told = run("anonymize", "-", "-", tmp_path / "m.json", given=given)
    assert (code, told) == (0, "")
    assert decompressed(hidden, "zstd").startswith(b"ssn,n\n")


def test_nothing_is_written_to_standard_output_if_the_work_fails(tmp_path):
    given = content_of(".csv") + b"12,1\n"
    code, hidden, told = run("anonymize", "-", "-", tmp_path / "m.json", given=given)
    assert (code, hidden) == (1, b"")
    assert "DomainTooSmallError" in told
    assert list(tmp_path.iterdir()) == []


def test_csv_on_standard_output_wants_a_place_for_its_manifest(tmp_path, manager):
    code, hidden, told = run("anonymize", "-", "-", "", given=content_of(".csv"))
    assert (code, hidden) == (1, b"")
    assert "manifest_output is missing" in told
    path = tmp_path / "a.csv"
    path.write_bytes(content_of(".csv"))
    with pytest.raises(ArgumentError, match="manifest_output is for standard output alone"):
        anonymize_file(
            path, tmp_path / "h.csv", ["ssn"], manifest_output="m.json", key_manager=manager
        )


def test_standard_input_of_csv_wants_its_manifest_named(tmp_path):
    code, _, told = run("reidentify", "-", tmp_path / "b.csv", "", given=content_of(".csv"))
    assert code == 1
    assert told.startswith("ManifestError: standard input has no manifest beside it")


def test_errors_of_standard_input_name_it(tmp_path):
    code, _, told = run("anonymize", "-", tmp_path / "h.csv", "", given=b'{"ssn":\n')
    assert code == 1
    assert told.startswith("PseudonymizationError: standard input, line 1 is not a JSON object")


def test_a_preview_reads_standard_input():
    code, shown, told = run("preview", "-", "", "", given=content_of(".jsonl"))
    assert (code, told) == (0, "")
    assert SSNS[0].encode() in shown


def test_a_reader_that_goes_away_is_an_error(tmp_path):
    large = b"ssn,n\n" + b"078-05-1120,1\n" * 100_000
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "anonymize", "-", "-", str(tmp_path / "m.json")],
        input=large,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 1
    assert b"standard output can't be written (Broken pipe)" in done.stderr


def test_a_rekey_takes_no_standard_input_or_output(tmp_path, manager):
    for arguments in (("-",), (tmp_path / "a.csv", "-")):
        with pytest.raises(SecureMLError, match="takes files"):
            rekey_file(*arguments, key_manager=manager)
    assert not list(tmp_path.iterdir())


def test_a_named_manifest_of_nothing_is_refused(tmp_path, manager):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(compressed(content_of(".csv"), "gzip"))
    with pytest.raises(ManifestError, match="there is no manifest"):
        manifest_of(path)
