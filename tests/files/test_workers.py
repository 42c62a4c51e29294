"""Chunks that go to processes: the same results, no secret on the way, and ends that are told."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import secureml
from secureml.errors import PseudonymizationError, SecretNotFoundError, SecureMLError
from secureml.files import anonymize_file, anonymize_files, reidentify_file, workers
from secureml.files.kinds import open_table
from secureml.files.transfer import _Pseudonymizing, plan_file
from secureml.key_management import KeyManager
from secureml.key_management.recipe import recipe_of

MATERIAL = "5a" * 32


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyManager]:
    """A manager whose key is in a variable, so that other processes have it too."""
    monkeypatch.setenv("SECUREML_MASTER_KEY", f"hex:{MATERIAL}")
    with KeyManager(environment="development") as manager:
        yield manager


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the machine had four cores, and every file were large."""
    monkeypatch.setattr(workers, "cores", lambda: 4)
    monkeypatch.setattr(workers, "_PAYS", 0)


def in_children(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """Give processes that are started another key than this one, or none."""
    start = workers._Worker.__init__

    def start_with(self: workers._Worker, *arguments: object) -> None:
        with monkeypatch.context() as patch:
            patch.delenv("SECUREML_MASTER_KEY")
            if key is not None:
                patch.setenv("SECUREML_MASTER_KEY", key)
            start(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(workers._Worker, "__init__", start_with)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "plain.csv"
    rows = "".join(f"{n},{n % 500 + 100}-{n % 90 + 10}-{n % 9000 + 1000}\n" for n in range(3000))
    path.write_text("id,ssn\n" + rows)
    return path


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_results_are_those_of_one_process(
    table: Path, tmp_path: Path, own: KeyManager, kind: str
) -> None:
    if kind == "parquet":
        columns = {"id": [*range(3000)], "ssn": [f"{n:09}" for n in range(3000)]}
        table = tmp_path / "plain.parquet"
        parquet.write_table(pa.table(columns), table, row_group_size=200)
    paths = [tmp_path / f"{name}.{kind}" for name in ("one", "two", "back")]
    for path, count in zip(paths, (1, 2), strict=False):
        anonymize_file(table, path, ["ssn"], workers=count, key_manager=own)
    reidentify_file(paths[1], paths[2], workers=2, key_manager=own)
    if kind == "csv":
        assert paths[0].read_bytes() == paths[1].read_bytes()
        assert paths[2].read_bytes() == table.read_bytes()
    else:
        first, second, back = map(parquet.read_table, paths)
        assert first.equals(second)
        assert back.equals(parquet.read_table(table))


@pytest.mark.usefixtures("small_chunks")
def test_one_set_of_processes_does_all_files_of_a_job(
    table: Path, tmp_path: Path, own: KeyManager
) -> None:
    folder = tmp_path / "lake"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_bytes(table.read_bytes())
    (folder / "c.csv").write_text("ssn,id\n" + "12-345-67,7\n" * 500)
    for out, count in (("one", 1), ("two", 2)):
        anonymize_files(folder, tmp_path / out, ["ssn"], workers=count, key_manager=own)
    for name in ("a.csv", "b.csv", "c.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_processes_get_holds_no_key_material(table: Path, own: KeyManager) -> None:
    planned = plan_file(open_table(table), ["ssn"], None, {"key_manager": own})
    sent = pickle.dumps((recipe_of(own), _Pseudonymizing(planned.plan)))
    assert b"master_key" in sent
    assert not any(each in sent for each in (MATERIAL.encode(), bytes.fromhex(MATERIAL)))


def test_a_manager_of_this_process_alone_works_alone(
    table: Path, tmp_path: Path, manager: KeyManager, cores: None
) -> None:
    anonymize_file(table, tmp_path / "out.csv", ["ssn"], key_manager=manager)
    with pytest.raises(SecureMLError, match="workers=2: other processes can't fetch the key"):
        anonymize_file(table, tmp_path / "o.csv", ["ssn"], workers=2, key_manager=manager)


@pytest.mark.usefixtures("small_chunks")
def test_processes_without_the_key_are_done_without_unless_they_are_asked_for(
    table: Path, tmp_path: Path, own: KeyManager, monkeypatch: pytest.MonkeyPatch, cores: None
) -> None:
    anonymize_file(table, tmp_path / "one.csv", ["ssn"], workers=1, key_manager=own)
    in_children(monkeypatch, None)
    with pytest.raises(SecretNotFoundError):
        anonymize_file(table, tmp_path / "two.csv", ["ssn"], workers=2, key_manager=own)
    anonymize_file(table, tmp_path / "two.csv", ["ssn"], key_manager=own)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


@pytest.mark.usefixtures("small_chunks")
def test_another_key_in_a_process_is_refused(
    table: Path, tmp_path: Path, own: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    anonymize_file(table, tmp_path / "one.csv", ["ssn"], workers=1, key_manager=own)
    in_children(monkeypatch, "hex:" + "a5" * 32)
    with pytest.raises(SecureMLError, match="was pseudonymized with key 'master_key'"):
        anonymize_file(table, tmp_path / "two.csv", ["ssn"], workers=2, key_manager=own)
    assert not (tmp_path / "two.csv").exists()


@pytest.mark.usefixtures("small_chunks")
def test_an_error_of_a_process_tells_the_rows(table: Path, tmp_path: Path, own: KeyManager) -> None:
    with table.open("a") as file:
        file.write("9,wrong\n")
    with pytest.raises(PseudonymizationError, match=r"^rows 2\d\d\d to 3001: column 'ssn'"):
        anonymize_file(
            table, tmp_path / "out.csv", ["ssn"], formats={"ssn": "ssn"}, workers=2,
            key_manager=own,
        )  # fmt: skip


@pytest.mark.usefixtures("small_chunks")
def test_a_process_that_dies_is_an_error_and_leaves_nothing(
    table: Path, tmp_path: Path, own: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    put = workers._Worker.put

    def kill_then_put(self: workers._Worker, *arguments: object) -> None:
        started.append(self._process)
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        put(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(workers._Worker, "put", kill_then_put)
    with pytest.raises(SecureMLError, match=r"a worker process ended early \(signal 9\)"):
        anonymize_file(table, tmp_path / "out.csv", ["ssn"], workers=2, key_manager=own)
    assert started
    assert not (tmp_path / "out.csv").exists()


PROGRAM = """
import sys
from secureml.files import anonymize_file
def told(fraction):
    print(fraction, flush=True)
anonymize_file(sys.argv[1], sys.argv[2], ["ssn"], workers=2, on_progress=told)
"""


def test_ctrl_c_ends_all_processes(tmp_path: Path) -> None:
    plain = tmp_path / "plain.csv"
    block = "".join(f"{n},{n % 500 + 100}-{n % 90 + 10}-{n % 9000 + 1000}\n" for n in range(10_000))
    with plain.open("w") as file:
        file.write("id,ssn\n")
        for _ in range(300):
            file.write(block)
    variables = {
        "SECUREML_ENV": "development",
        "SECUREML_MASTER_KEY": f"hex:{MATERIAL}",
        "PYTHONPATH": str(Path(secureml.__file__).parents[1]),
    }
    running = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(plain), str(tmp_path / "out.csv")],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert running.stdout is not None
        assert running.stdout.readline()
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        _, errors = running.communicate(timeout=30)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == -signal.SIGINT or b"KeyboardInterrupt" in errors
    end = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < end:
        pass
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not (tmp_path / "out.csv").exists()
