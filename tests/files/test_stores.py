"""Tables in stores: in memory, in a folder by URL, and on an S3 server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from helpers.network import FaultyServer, http_answer
from helpers.store import S3Server
from secureml.errors import ArgumentError, ManifestError, SecureMLError
from secureml.files import (
    anonymize_file,
    anonymize_files,
    preview_file,
    reidentify_file,
    reidentify_files,
)
from secureml.files.locations import location_of, shown
from secureml.key_management import KeyManager

fsspec = pytest.importorskip("fsspec")

CSV = b"id,ssn\n1,123-45-6789\n2,987-65-4321\n"


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    pytest.importorskip("s3fs")
    server = S3Server()
    yield server
    server.close()


@pytest.fixture(params=["memory", "s3"])
def lake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty store and the URL of a folder in it."""
    fsspec.AbstractFileSystem.clear_instance_cache()
    if request.param == "memory":
        store = fsspec.filesystem("memory")
        store.store.clear()
        store.pseudo_dirs[:] = [""]
        yield store, "memory://lake"
        store.store.clear()
        return
    server = request.getfixturevalue("s3_server")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    server.reset()
    store = fsspec.filesystem("s3")
    store.mkdir("lake")
    yield store, "s3://lake"
    fsspec.filesystem("s3").clear_instance_cache()


def sheet(path: Path) -> bytes:
    parquet.write_table(pa.table({"id": [1, 2], "ssn": ["123-45-6789", "987-65-4321"]}), path)
    return path.read_bytes()


def test_one_csv_file_goes_from_a_store_to_a_store_and_back(lake: Any, manager: KeyManager) -> None:
    store, url = lake
    store.pipe_file(f"{url}/in.csv", CSV)
    written = anonymize_file(f"{url}/in.csv", f"{url}/out.csv", ["ssn"], key_manager=manager)
    assert (written.path, written.rows) == (f"{url}/out.csv", 2)
    assert written.manifest_path == f"{url}/out.csv.manifest.json"
    assert b"123-45-6789" not in store.cat_file(f"{url}/out.csv")
    reidentify_file(f"{url}/out.csv", f"{url}/back.csv", key_manager=manager)
    assert store.cat_file(f"{url}/back.csv") == CSV
    names = sorted(name.rpartition("/")[2] for name in store.find(url))
    assert names == ["back.csv", "in.csv", "out.csv", "out.csv.manifest.json"]


def test_a_parquet_file_goes_to_a_store_and_back_to_a_folder(
    lake: Any, tmp_path: Path, manager: KeyManager
) -> None:
    _, url = lake
    sheet(tmp_path / "in.parquet")
    anonymize_file(tmp_path / "in.parquet", f"{url}/out.parquet", ["ssn"], key_manager=manager)
    reidentify_file(f"{url}/out.parquet", tmp_path / "back.parquet", key_manager=manager)
    before, after = (parquet.read_table(tmp_path / f"{name}.parquet") for name in ("in", "back"))
    assert after.equals(before)


def test_a_file_url_is_the_path(tmp_path: Path, manager: KeyManager) -> None:
    path = tmp_path / "a b.csv"
    path.write_bytes(CSV)
    written = anonymize_file(
        path.as_uri(), (tmp_path / "out.csv").as_uri(), ["ssn"], key_manager=manager
    )
    assert written.path == tmp_path / "out.csv"


def test_a_folder_of_a_store_with_partitions(
    lake: Any, tmp_path: Path, manager: KeyManager
) -> None:
    store, url = lake
    content = sheet(tmp_path / "x.parquet")
    store.pipe_file(f"{url}/in/email=ada@example.com/part-0.parquet", content)
    store.pipe_file(f"{url}/in/email=bob@example.com/part-0.parquet", content)
    store.pipe_file(f"{url}/in/_SUCCESS", b"")
    store.pipe_file(f"{url}/in/email=bob@example.com/more.csv", CSV)
    written = anonymize_files(f"{url}/in/", f"{url}/out/", ["ssn", "email"], key_manager=manager)
    assert (len(written.files), written.rows, written.left_out) == (3, 6, ("_SUCCESS",))
    assert not any("ada@" in name or "bob@" in name for name in store.find(f"{url}/out"))
    again = anonymize_files(
        f"{url}/in/", f"{url}/out/", ["ssn", "email"], resume=True, key_manager=manager
    )
    assert (again.done_before, again.files) == (3, ())
    reidentify_files(f"{url}/out/", f"{url}/back/", key_manager=manager)
    found = {name.partition("back/")[2] for name in store.find(f"{url}/back")}
    assert {name for name in found if "_secureml" not in name} == {
        "email=ada@example.com/part-0.parquet",
        "email=bob@example.com/part-0.parquet",
        "email=bob@example.com/more.csv",
    }
    assert store.cat_file(f"{url}/back/email=bob@example.com/more.csv") == CSV


def test_a_glob_of_a_store(lake: Any, manager: KeyManager) -> None:
    store, url = lake
    for name in ("a.csv", "deep/b.csv", "deep/c.txt"):
        store.pipe_file(f"{url}/in/{name}", CSV)
    written = anonymize_files(f"{url}/in/**/*.csv", f"{url}/out", ["ssn"], key_manager=manager)
    assert [file.path for file in written.files] == [f"{url}/out/a.csv", f"{url}/out/deep/b.csv"]


def test_an_output_that_is_there_is_replaced_by_force_alone(lake: Any, manager: KeyManager) -> None:
    store, url = lake
    for name in ("in.csv", "out.csv"):
        store.pipe_file(f"{url}/{name}", CSV)
    with pytest.raises(SecureMLError, match="exists already"):
        anonymize_file(f"{url}/in.csv", f"{url}/out.csv", ["ssn"], key_manager=manager)
    anonymize_file(f"{url}/in.csv", f"{url}/out.csv", ["ssn"], force=True, key_manager=manager)
    assert store.cat_file(f"{url}/out.csv") != CSV


def test_nothing_appears_when_a_file_is_not_a_whole_table(lake: Any, manager: KeyManager) -> None:
    store, url = lake
    rows = b"".join(b"%d,123-45-%04d\n" % (number, number) for number in range(400_000))
    store.pipe_file(f"{url}/in.csv", b"id,ssn\n" + rows + b"1,2,3\n")
    with pytest.raises(SecureMLError, match=r"//lake/in\.csv is not a whole table"):
        anonymize_file(f"{url}/in.csv", f"{url}/out.csv", ["ssn"], key_manager=manager)
    assert [name.rpartition("/")[2] for name in store.find(url)] == ["in.csv"]


def test_a_manifest_of_another_state_is_refused(lake: Any, manager: KeyManager) -> None:
    store, url = lake
    store.pipe_file(f"{url}/in.csv", CSV)
    anonymize_file(f"{url}/in.csv", f"{url}/out.csv", ["ssn"], key_manager=manager)
    store.pipe_file(f"{url}/out.csv", CSV)
    with pytest.raises(ManifestError, match=r"//lake/out\.csv is not as it was when"):
        reidentify_file(f"{url}/out.csv", f"{url}/back.csv", key_manager=manager)
    store.rm_file(f"{url}/out.csv.manifest.json")
    with pytest.raises(ManifestError, match=r"no manifest \w+://lake/out\.csv\.manifest\.json"):
        reidentify_file(f"{url}/out.csv", f"{url}/back.csv", key_manager=manager)


def test_a_preview_of_an_object(lake: Any, manager: KeyManager) -> None:
    store, url = lake
    store.pipe_file(f"{url}/in.csv", CSV)
    assert "ssn" in str(preview_file(f"{url}/in.csv", ["ssn"], key_manager=manager))


def test_an_object_that_changes_while_it_is_read_is_no_table(
    manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pipe("/lake/people.csv", CSV)
    get_file = type(store).get_file

    def changed_meanwhile(self: Any, path: str, target: str, **more: Any) -> None:
        get_file(self, path, target, **more)
        self.pipe(path, CSV + b"3,555-45-6789\n")

    monkeypatch.setattr(type(store), "get_file", changed_meanwhile)
    with pytest.raises(SecureMLError, match=r"people\.csv was changed while it was read"):
        anonymize_file(
            "memory://lake/people.csv", "memory://lake/hidden.csv", ["ssn"], key_manager=manager
        )
    assert store.find("/lake") == ["/lake/people.csv"]


def test_what_is_not_there_is_told_with_a_remedy(lake: Any, manager: KeyManager) -> None:
    _, url = lake
    with pytest.raises(SecureMLError, match=r"absent\.csv can't be read \(it does not exist"):
        anonymize_file(f"{url}/absent.csv", f"{url}/out.csv", ["ssn"], key_manager=manager)
    with pytest.raises(SecureMLError, match=r"does not exist|has no tables"):
        anonymize_files(f"{url}/absent/", f"{url}/out/", ["ssn"], key_manager=manager)


def test_a_bucket_that_is_not_there_is_not_made(
    lake: Any, tmp_path: Path, manager: KeyManager
) -> None:
    store, url = lake
    if not url.startswith("s3:"):
        pytest.skip("it has no buckets")
    (tmp_path / "a.csv").write_bytes(CSV)
    with pytest.raises(SecureMLError, match=r"can't be (read|written) \(it does not exist"):
        anonymize_files(tmp_path, "s3://lakes/out", ["ssn"], key_manager=manager)
    assert store.ls("") == ["lake"]


@pytest.mark.parametrize("status", ["403 Forbidden", "500 Internal Server Error"])
def test_a_store_that_refuses_is_our_error_without_its_words(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, manager: KeyManager, status: str
) -> None:
    fsspec.AbstractFileSystem.clear_instance_cache()
    server = FaultyServer([http_answer(b"", f"{status} words-of-the-server")])
    for name, value in {**s3_server.variables, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(SecureMLError, match=r"s3://lake/in\.csv can't be read") as caught:
        anonymize_file("s3://lake/in.csv", "s3://lake/out.csv", ["ssn"], key_manager=manager)
    server.close()
    assert caught.value.__context__ is None
    assert not any(text in str(caught.value) for text in ("words-of", "wJalr", "AKID", "127.0.0.1"))
    assert ("access is denied" in str(caught.value)) == status.startswith("403")


def test_nothing_is_left_of_a_spool_when_the_process_is_killed(
    tmp_path: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    program = """
import os, signal, fsspec
from secureml.files.locations import location_of
fsspec.filesystem("memory").pipe_file("/in.csv", b"123-45-6789")
with location_of("memory://in.csv").reading() as path, location_of("memory://o").writing(None) as f:
    assert path.read_bytes() == b"123-45-6789"
    f.write(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = run_python("-c", program, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert ended.returncode == -9, ended.stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ftp://ada:pass@host/a.csv", "ftp://host/a.csv"),
        ("ftp://ada:p@ss/w@host/a.csv", "ftp://host/a.csv"),
        ("https://token@host/a.csv?sig=secret", "https://host/a.csv"),
        ("s3://lake/a/part-?.csv", "s3://lake/a/part-?.csv"),
        ("s3://lake/mail@example.com.csv", "s3://lake/mail@example.com.csv"),
    ],
)
def test_an_address_is_shown_without_credentials(address: str, expected: str) -> None:
    assert shown(address) == expected


def test_credentials_of_an_address_are_in_no_repr() -> None:
    assert "hunter2" not in repr(location_of("memory://user:hunter2@lake/a.csv"))


def test_credentials_of_an_address_are_in_no_message(manager: KeyManager) -> None:
    with pytest.raises(SecureMLError) as caught:
        anonymize_file("ftp://ada:pa55word@127.0.0.1:1/a.csv", "x.csv", ["s"], key_manager=manager)
    assert "pa55word" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_scheme_that_is_not_known_is_told(manager: KeyManager) -> None:
    with pytest.raises(ArgumentError, match="fsspec does not know"):
        anonymize_file("nobody://a.csv", "x.csv", ["ssn"], key_manager=manager)


@pytest.mark.parametrize(("module", "extra"), [("s3fs", "s3"), ("fsspec", "s3")])
def test_a_package_that_is_missing_is_told_with_its_extra(
    run_python: Callable[..., subprocess.CompletedProcess[str]], module: str, extra: str
) -> None:
    program = f"""
import sys; sys.modules[{module!r}] = None
from secureml.errors import MissingExtraError
from secureml.files.locations import location_of
try:
    location_of("s3://lake/a.csv")
except MissingExtraError as error:
    print(error)
"""
    assert f"secureml[{extra}]" in run_python("-c", program).stdout


def test_local_files_do_not_import_fsspec(
    tmp_path: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    program = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from secureml.files import anonymize_files\n"
        "from secureml import KeyManager\n"
        "from secureml.stores import MemoryStore\n"
        "manager = KeyManager(environment='development', store=MemoryStore())\n"
        "manager.generate_key('master_key')\n"
        f"anonymize_files({str(tmp_path)!r}, {str(tmp_path / 'out')!r}, ['ssn'],"
        " key_manager=manager)\n"
    )
    ended = run_python("-c", program)
    assert ended.returncode == 0, ended.stderr
