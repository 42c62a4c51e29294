"""Jobs over many files: which files, under which names, all under one plan, and going on."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from secureml.errors import (
    ArgumentError,
    PseudonymizationError,
    SecretNotFoundError,
    SecureMLError,
)
from secureml.files import (
    anonymize_file,
    anonymize_files,
    manifest_of,
    reidentify_file,
    reidentify_files,
)
from secureml.key_management import KeyManager

SSN = [f"{100 + number}-{number % 90 + 10}-{1000 + number}" for number in range(400)]


def write_csv(path: Path, first: int = 0, count: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{number},{SSN[number]}\n" for number in range(first, first + count))
    path.write_text("id,ssn\n" + rows)
    return path


def write_parquet(path: Path, first: int = 0, count: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(first, first + count)
    table = pa.table({"id": list(numbers), "ssn": [SSN[number] for number in numbers]})
    parquet.write_table(table, path)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "_secureml" not in path.parts
    )


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A folder of two CSV files and a Parquet file, in folders of different depths."""
    folder = tmp_path / "lake"
    write_csv(folder / "a.csv")
    write_csv(folder / "more" / "b.csv", 20)
    write_parquet(folder / "more" / "deep" / "c.parquet")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_names_below_a_folder_stay_and_the_inverse_recovers_every_file(
    lake: Path, out: Path, tmp_path: Path, manager: KeyManager
) -> None:
    written = anonymize_files(lake, out, ["ssn"], key_manager=manager)
    assert [file.path for file in written.files] == [
        out / "a.csv",
        out / "more/b.csv",
        out / "more/deep/c.parquet",
    ]
    assert (written.rows, written.left_out, written.done_before) == (60, (), 0)
    assert not any(number in (out / "a.csv").read_text() for number in SSN)
    back = tmp_path / "back"
    reidentify_files(out, back, key_manager=manager)
    assert files_below(back) == files_below(lake)
    for name in ("a.csv", "more/b.csv"):
        assert (back / name).read_bytes() == (lake / name).read_bytes()
    deep = "more/deep/c.parquet"
    assert parquet.read_table(back / deep).equals(parquet.read_table(lake / deep))
    assert (back / "a.csv").stat().st_mode & 0o777 == 0o600
    assert back.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["a.csv"]),
        ("**/*.csv", ["a.csv", "more/b.csv"]),
        ("more/*", ["b.csv", "deep/c.parquet"]),
        ("m?re/**", ["more/b.csv", "more/deep/c.parquet"]),
        ("*/*/[c-d].parquet", ["more/deep/c.parquet"]),
    ],
)
def test_a_glob_names_what_it_has_before_its_first_wildcard_as_the_root(
    lake: Path, out: Path, manager: KeyManager, pattern: str, names: list[str]
) -> None:
    written = anonymize_files(f"{lake}/{pattern}", out, ["ssn"], key_manager=manager)
    assert [Path(file.path).relative_to(out).as_posix() for file in written.files] == names


def test_a_relative_glob_is_of_the_working_directory(
    lake: Path, out: Path, manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lake)
    written = anonymize_files("**/*.csv", out, ["ssn"], key_manager=manager)
    assert [file.path for file in written.files] == [out / "a.csv", out / "more/b.csv"]


def test_a_list_of_files_keeps_the_names_below_their_common_folder(
    lake: Path, out: Path, manager: KeyManager
) -> None:
    files = [lake / "a.csv", lake / "more" / "b.csv"]
    written = anonymize_files(files, out, ["ssn"], key_manager=manager)
    assert [file.path for file in written.files] == [out / "a.csv", out / "more/b.csv"]


def test_a_file_whose_name_has_a_wildcard_is_that_file(
    tmp_path: Path, out: Path, manager: KeyManager
) -> None:
    file = write_csv(tmp_path / "in" / "a[1].csv")
    assert anonymize_files(str(file), out, ["ssn"], key_manager=manager).rows == 20


def test_what_is_no_table_is_left_out_and_told(lake: Path, out: Path, manager: KeyManager) -> None:
    left = ["_SUCCESS", ".hidden.csv", ".a.csv.crc", "_temporary/0/part.csv", "README.md"]
    left += ["a.csv.crc", "old.csv.manifest.json", "pipe.csv", "dangling.csv"]
    for name in left[:-2]:
        write_csv(lake / name)
    os.mkfifo(lake / "pipe.csv")
    (lake / "dangling.csv").symlink_to(lake / "nowhere.csv")
    written = anonymize_files(lake, out, ["ssn"], key_manager=manager)
    assert sorted(written.left_out) == sorted(left)
    assert files_below(out) == [
        "a.csv",
        "a.csv.manifest.json",
        "more/b.csv",
        "more/b.csv.manifest.json",
        "more/deep/c.parquet",
    ]


def test_an_output_folder_inside_the_input_is_not_read(lake: Path, manager: KeyManager) -> None:
    inside = lake / "hidden"
    anonymize_files(lake, inside, ["ssn"], key_manager=manager)
    again = anonymize_files(lake, inside, ["ssn"], force=True, key_manager=manager)
    assert [Path(file.path).relative_to(inside).as_posix() for file in again.files] == [
        "a.csv",
        "more/b.csv",
        "more/deep/c.parquet",
    ]


def test_the_input_is_not_the_output(lake: Path, manager: KeyManager) -> None:
    with pytest.raises(SecureMLError, match="is the input itself"):
        anonymize_files(lake, lake, ["ssn"], key_manager=manager)
    with pytest.raises(SecureMLError, match="an input itself"):
        anonymize_files(lake / "a.csv", lake, ["ssn"], force=True, key_manager=manager)


def test_a_loop_of_links_is_followed_once(lake: Path, out: Path, manager: KeyManager) -> None:
    (lake / "more" / "up").symlink_to(lake)
    (lake / "linked").symlink_to(lake / "more" / "deep")
    written = anonymize_files(lake, out, ["ssn"], key_manager=manager)
    assert [Path(file.path).relative_to(out).as_posix() for file in written.files] == [
        "a.csv",
        "linked/c.parquet",
        "more/b.csv",
        "more/deep/c.parquet",
    ]


def test_two_inputs_of_one_name_are_refused_before_anything_is_written(
    tmp_path: Path, out: Path, manager: KeyManager
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_csv(folder / "a.csv")
    with pytest.raises(SecureMLError, match=r"one/a\.csv and .*two/a\.csv would both be written"):
        anonymize_files(folders, out, ["ssn"], key_manager=manager)
    assert not out.exists()


def test_a_file_that_lacks_a_column_is_named_before_anything_is_written(
    lake: Path, out: Path, manager: KeyManager
) -> None:
    (lake / "z.csv").write_text("id,name\n1,Ada\n")
    with pytest.raises(ArgumentError, match=r"lake/z\.csv has no column 'ssn'"):
        anonymize_files(lake, out, ["ssn"], key_manager=manager)
    assert not out.exists()


def test_one_version_of_the_key_is_pinned_for_all_files(
    lake: Path, out: Path, manager: KeyManager
) -> None:
    seen = []

    def rotate(written: Any) -> None:
        seen.append(written.manifest["key"]["version"])
        manager.rotate_key("master_key")

    anonymize_files(lake, out, ["ssn"], key_manager=manager, on_file=rotate)
    assert seen == [1, 1, 1]


def test_equal_values_of_all_files_get_one_pseudonym(
    lake: Path, out: Path, manager: KeyManager
) -> None:
    anonymize_files(lake, out, ["ssn"], key_manager=manager)
    rows = [line.split(",")[1] for line in (out / "a.csv").read_text().split()[1:]]
    assert parquet.read_table(out / "more/deep/c.parquet")["ssn"].to_pylist() == rows


def test_an_output_that_is_there_is_replaced_by_force_alone(
    lake: Path, out: Path, manager: KeyManager
) -> None:
    write_csv(out / "more" / "b.csv")
    before = (out / "more" / "b.csv").read_bytes()
    with pytest.raises(SecureMLError, match=r"more/b\.csv exists already"):
        anonymize_files(lake, out, ["ssn"], key_manager=manager)
    assert files_below(out) == ["more/b.csv"]
    anonymize_files(lake, out, ["ssn"], force=True, key_manager=manager)
    assert (out / "more" / "b.csv").read_bytes() != before


@pytest.mark.parametrize("inputs", ["empty", "nowhere", "nowhere/*.csv", "empty/*.csv"])
def test_an_input_without_tables_is_an_error(
    tmp_path: Path, out: Path, manager: KeyManager, inputs: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SecureMLError, match=r"has no tables|does not exist"):
        anonymize_files(tmp_path / inputs, out, ["ssn"], key_manager=manager)
    with pytest.raises(ArgumentError, match="inputs"):
        anonymize_files([], out, ["ssn"], key_manager=manager)


def test_progress_reaches_one_over_all_files(lake: Path, out: Path, manager: KeyManager) -> None:
    told: list[float] = []
    anonymize_files(lake, out, ["ssn"], key_manager=manager, on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


class TestResume:
    """A job that was stopped goes on after the files that are complete."""

    @staticmethod
    def stopped(lake: Path, out: Path, manager: KeyManager, **arguments: Any) -> None:
        """Stop a job when its first file is complete."""

        class Stopped(Exception):
            pass

        def stop(_: object) -> None:
            raise Stopped

        with pytest.raises(Stopped):
            anonymize_files(lake, out, ["ssn"], key_manager=manager, on_file=stop, **arguments)

    def test_complete_files_are_not_done_again(
        self, lake: Path, out: Path, manager: KeyManager
    ) -> None:
        self.stopped(lake, out, manager)
        before = (out / "a.csv").stat()
        manager.rotate_key("master_key")
        written = anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager)
        assert (written.done_before, len(written.files)) == (1, 2)
        after = (out / "a.csv").stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        versions = {manifest_of(file.path)["key"]["version"] for file in written.files}
        assert versions == {1}  # that with which the job was begun
        again = anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager)
        assert (again.done_before, again.files) == (3, ())

    def test_a_job_is_not_gone_on_with_unless_asked(
        self, lake: Path, out: Path, manager: KeyManager
    ) -> None:
        self.stopped(lake, out, manager)
        with pytest.raises(SecureMLError, match="holds a job: --resume"):
            anonymize_files(lake, out, ["ssn"], key_manager=manager)
        assert len(anonymize_files(lake, out, ["ssn"], force=True, key_manager=manager).files) == 3

    def test_without_a_job_resume_begins_one(
        self, lake: Path, out: Path, manager: KeyManager
    ) -> None:
        assert len(anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager).files) == 3

    @pytest.mark.parametrize("other", [{"strategy": "token"}, {"domains": {"ssn": "tax"}}])
    def test_another_plan_is_refused(
        self, lake: Path, out: Path, manager: KeyManager, other: dict[str, Any]
    ) -> None:
        self.stopped(lake, out, manager)
        with pytest.raises(SecureMLError, match=r"a\.csv was done in another way"):
            anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager, **other)

    @pytest.mark.parametrize("other", [{"master_key_name": "other_key"}, {"master_key_version": 2}])
    def test_another_key_is_refused(
        self, lake: Path, out: Path, manager: KeyManager, other: dict[str, Any]
    ) -> None:
        self.stopped(lake, out, manager)
        manager.rotate_key("master_key")
        with pytest.raises(SecureMLError, match="was begun under key 'master_key' version 1"):
            anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager, **other)

    def test_a_complete_file_whose_input_was_changed_is_an_error(
        self, lake: Path, out: Path, manager: KeyManager
    ) -> None:
        self.stopped(lake, out, manager)
        write_csv(lake / "a.csv", 5)
        with pytest.raises(SecureMLError, match=r"a\.csv was changed since it was done"):
            anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager)

    def test_a_result_that_is_gone_is_made_again(
        self, lake: Path, out: Path, manager: KeyManager
    ) -> None:
        self.stopped(lake, out, manager)
        (out / "a.csv").unlink()
        written = anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager)
        assert len(written.files) == 3

    def test_the_journal_holds_no_name_of_an_input_and_no_value(
        self, tmp_path: Path, out: Path, manager: KeyManager
    ) -> None:
        folder = tmp_path / "lake"
        write_csv(folder / f"ssn={SSN[3]}" / "part-0.csv").write_text("id\n1\n")
        anonymize_files(folder, out, ["ssn"], key_manager=manager)
        records = b"".join(path.read_bytes() for path in (out / "_secureml").iterdir())
        assert records
        assert not any(text.encode() in records for text in (SSN[3], "part-0", "ssn"))

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": 1, "key": {"name": "x"}}'])
    def test_a_record_that_is_none_is_an_error(
        self, lake: Path, out: Path, manager: KeyManager, content: str
    ) -> None:
        self.stopped(lake, out, manager)
        (out / "_secureml" / "job.json").write_text(content)
        with pytest.raises(SecureMLError, match=r"job\.json is no record of a job"):
            anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager)

    def test_another_job_is_kept_out(self, lake: Path, out: Path, manager: KeyManager) -> None:
        refused = []

        def begin_another(_: object) -> None:
            with pytest.raises(SecureMLError, match="another job writes to") as caught:
                anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager)
            refused.append(caught.value)

        anonymize_files(lake, out, ["ssn"], key_manager=manager, on_file=begin_another)
        assert len(refused) == 3

    def test_recovery_goes_on_too(
        self, lake: Path, out: Path, tmp_path: Path, manager: KeyManager
    ) -> None:
        anonymize_files(lake, out, ["ssn"], key_manager=manager)
        back = tmp_path / "back"

        def stop(_: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            reidentify_files(out, back, key_manager=manager, on_file=stop)
        written = reidentify_files(out, back, resume=True, key_manager=manager)
        assert (written.done_before, len(written.files)) == (1, 2)
        with pytest.raises(SecureMLError, match="another kind of job"):
            anonymize_files(lake, back, ["ssn"], resume=True, key_manager=manager)


@pytest.mark.timeout(600)
def test_kills_at_random_moments_leave_whole_files_and_nothing_in_clear(
    run_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, thorough: bool
) -> None:
    script = Path(__file__).with_name("kill_job_at_random.py")
    kills = 60 if thorough else 12
    variables = {"SECUREML_ENV": "development", "SECUREML_MASTER_KEY": "hex:" + "5a" * 32}
    environment = {**os.environ, **variables}
    done = run_python(str(script), str(tmp_path), str(kills), env=environment, timeout=500)
    assert done.returncode == 0, done.stderr
    killed, _, most = map(int, done.stdout.split())
    assert killed == kills
    assert most > 0  # some fell between files


class TestFailures:
    """Errors name the file; what is complete stays, and the error tells how to go on."""

    @pytest.mark.usefixtures("small_chunks")
    def test_a_broken_file_in_the_middle(self, lake: Path, out: Path, manager: KeyManager) -> None:
        broken = write_csv(lake / "more" / "b.csv", count=400)
        broken.write_text(broken.read_text() + "7,8,9\n")
        with pytest.raises(PseudonymizationError) as caught:
            anonymize_files(lake, out, ["ssn"], key_manager=manager)
        assert "more/b.csv" in str(caught.value)
        assert "1 of 3 files are complete: --resume (resume=True) goes on" in str(caught.value)
        assert files_below(out) == ["a.csv", "a.csv.manifest.json"]
        write_csv(broken, 20)
        written = anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager)
        assert (written.done_before, len(written.files)) == (1, 2)

    def test_a_file_that_changes_after_it_was_looked_at(
        self, lake: Path, out: Path, manager: KeyManager
    ) -> None:
        def change(_: object) -> None:
            write_csv(lake / "more" / "b.csv", 3)

        with pytest.raises(SecureMLError, match=r"b\.csv was changed since the job began"):
            anonymize_files(lake, out, ["ssn"], key_manager=manager, on_file=change)

    def test_a_full_disk(self, lake: Path, out: Path, manager: KeyManager) -> None:
        write_csv(lake / "more" / "b.csv", count=400)

        def fill(_: object) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            with pytest.raises(SecureMLError, match=r"b\.csv can't be written .*1 of 3 files"):
                anonymize_files(lake, out, ["ssn"], key_manager=manager, on_file=fill)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert files_below(out) == ["a.csv", "a.csv.manifest.json"]
        written = anonymize_files(lake, out, ["ssn"], resume=True, key_manager=manager)
        assert (written.done_before, len(written.files)) == (1, 2)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_that_can_not_be_written(
        self, lake: Path, out: Path, manager: KeyManager
    ) -> None:
        out.mkdir()
        out.chmod(0o500)
        with pytest.raises(SecureMLError, match="can't be written"):
            anonymize_files(lake, out, ["ssn"], key_manager=manager)

    def test_a_missing_key_is_the_keys_error(
        self, lake: Path, out: Path, manager: KeyManager
    ) -> None:
        with pytest.raises(SecretNotFoundError):
            anonymize_files(lake, out, ["ssn"], master_key_name="nobody", key_manager=manager)
        assert not out.exists()


class TestPartitions:
    """Columns that the path tells are columns."""

    @pytest.fixture
    def dataset(self, tmp_path: Path) -> Path:
        folder = tmp_path / "dataset"
        for number, place in enumerate(
            [
                "country=DE/ssn=101-11-1001",
                "country=DE/ssn=102-12-1002",
                "country=FR/ssn=__HIVE_DEFAULT_PARTITION__",
            ]
        ):
            table = pa.table({"id": [number, 9], "name": ["Ada", "Grace"]})
            (folder / place).mkdir(parents=True)
            parquet.write_table(table, folder / place / "part-0.parquet")
        return folder

    def test_a_partition_column_that_is_replaced_is_replaced_in_the_path(
        self, dataset: Path, out: Path, tmp_path: Path, manager: KeyManager
    ) -> None:
        anonymize_files(dataset, out, ["ssn"], key_manager=manager)
        names = files_below(out)
        assert len(names) == 3
        assert not any("101-11-1001" in name or "102-12-1002" in name for name in names)
        assert "country=FR/ssn=__HIVE_DEFAULT_PARTITION__/part-0.parquet" in names
        for name in names:
            assert parquet.ParquetFile(out / name).schema_arrow.names == ["id", "name"]
            assert list(manifest_of(out / name)["columns"]) == ["ssn"]
        back = tmp_path / "back"
        reidentify_files(out, back, key_manager=manager)
        assert files_below(back) == files_below(dataset)

    def test_its_pseudonym_is_that_of_the_column_in_a_file(
        self, dataset: Path, out: Path, tmp_path: Path, manager: KeyManager
    ) -> None:
        anonymize_files(dataset, out, ["ssn"], key_manager=manager)
        path = tmp_path / "one" / "one.csv"
        path.parent.mkdir()
        path.write_text("ssn\n101-11-1001\n")
        anonymize_files(path, tmp_path / "two", ["ssn"], key_manager=manager)
        pseudonym = (tmp_path / "two" / "one.csv").read_text().split()[1]
        assert any(f"ssn={pseudonym}/" in name for name in files_below(out))

    def test_a_partition_that_is_a_tweak_is_read_and_stays(
        self, dataset: Path, out: Path, tmp_path: Path, manager: KeyManager
    ) -> None:
        anonymize_files(
            dataset, out, ["name"], strategy="token", tweaks={"name": "country"},
            key_manager=manager,
        )  # fmt: skip
        tokens = [
            parquet.read_table(out / name, partitioning=None)["name"][0]
            for name in files_below(out)
        ]
        assert tokens[0] == tokens[1] != tokens[2]
        assert all(name.startswith("country=") for name in files_below(out))
        back = tmp_path / "back"
        reidentify_files(out, back, key_manager=manager)
        assert (
            parquet.read_table(back, columns=["name"])["name"].to_pylist() == ["Ada", "Grace"] * 3
        )

    def test_a_column_in_file_and_path_is_refused_if_it_is_replaced(
        self, dataset: Path, out: Path, manager: KeyManager
    ) -> None:
        odd = dataset / "country=FR" / "ssn=1" / "part-0.parquet"
        odd.parent.mkdir()
        parquet.write_table(pa.table({"id": [1], "name": ["x"], "ssn": ["1"]}), odd)
        with pytest.raises(PseudonymizationError, match="is in the file and in its path"):
            anonymize_files(dataset, out, ["ssn"], key_manager=manager)
        assert not out.exists()

    def test_tweaks_of_a_path_do_not_lie_in_the_file(
        self, dataset: Path, out: Path, manager: KeyManager
    ) -> None:
        with pytest.raises(PseudonymizationError, match="one value for all rows"):
            anonymize_files(dataset, out, ["ssn"], tweaks={"ssn": "name"}, key_manager=manager)

    def test_partitions_that_become_one_are_refused(
        self, dataset: Path, out: Path, manager: KeyManager
    ) -> None:
        with pytest.raises(SecureMLError, match="would both be written to"):
            anonymize_files(dataset, out, ["ssn"], strategy="null", key_manager=manager)

    def test_what_a_path_escapes_comes_back_as_it_was(
        self, tmp_path: Path, out: Path, manager: KeyManager
    ) -> None:
        values = ["a%2Fb c", "Zoë%3D%25", "..%2F.."]
        folder = tmp_path / "escaped"
        for value in values:
            write_csv(folder / f"name={value}" / "part.csv")
        anonymize_files(folder, out, ["name"], strategy="token", key_manager=manager)
        back = tmp_path / "back"
        reidentify_files(out, back, key_manager=manager)
        assert files_below(back) == sorted(f"name={value}/part.csv" for value in values)

    def test_a_file_of_a_dataset_alone_tells_that_the_column_is_elsewhere(
        self, dataset: Path, out: Path, tmp_path: Path, manager: KeyManager
    ) -> None:
        anonymize_files(dataset, out, ["ssn", "name"], strategy="token", key_manager=manager)
        with pytest.warns(match="are missing"):
            reidentify_file(out / files_below(out)[0], tmp_path / "x.parquet", key_manager=manager)


def test_rules_name_partition_columns_too(
    tmp_path: Path, out: Path, manager: Callable[..., KeyManager]
) -> None:
    folder = tmp_path / "ruled"
    write_csv(folder / "email=ada@example.com" / "part.csv")
    rules: dict[str, Any] = {"columns": {"email": {"strategy": "token"}}}
    with KeyManager(environment="development", store=manager._connection.store(), **rules) as own:
        anonymize_files(folder, out, key_manager=own)
    assert "ada" not in files_below(out)[0]


class TestRejects:
    """Rows that can't be pseudonymized go to a file of their own, and the others are written."""

    @pytest.mark.usefixtures("small_chunks")
    @pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
    def test_rejected_rows_are_as_they_were_and_the_others_are_written(
        self, tmp_path: Path, manager: KeyManager, kind: str
    ) -> None:
        ssn = [number if place % 7 else "wrong" for place, number in enumerate(SSN)]
        columns = {"id": [str(place) for place in range(len(ssn))], "ssn": ssn}
        path = tmp_path / f"in.{kind}"
        if kind == "parquet":
            parquet.write_table(pa.table(columns), path, row_group_size=50)
        else:
            rows = zip(*columns.values(), strict=True)
            head, line = ("id,ssn\n", "{},{}\n")
            if kind == "jsonl":
                head, line = "", '{{"id": "{}", "ssn": "{}"}}\n'
            path.write_text(head + "".join(line.format(*row) for row in rows))
        out, wrong = tmp_path / f"out.{kind}", tmp_path / f"wrong.{kind}"
        written = anonymize_file(
            path, out, ["ssn"], formats={"ssn": "ssn"}, rejects=wrong, key_manager=manager
        )
        few = len([each for each in ssn if each == "wrong"])
        assert (written.rows, written.rejected) == (len(ssn) - few, few)
        assert written.rejects == wrong
        assert wrong.stat().st_mode & 0o777 == 0o600
        back = tmp_path / f"back.{kind}"
        reidentify_file(out, back, key_manager=manager)
        if kind == "parquet":
            assert parquet.read_table(wrong)["id"].to_pylist() == columns["id"][::7]
            assert parquet.read_table(back)["ssn"].to_pylist() == [n for n in ssn if n != "wrong"]
            return
        lines = path.read_text().splitlines()
        assert wrong.read_text().splitlines() == [
            line for line in lines if "wrong" in line or line == "id,ssn"
        ]
        assert back.read_text().splitlines() == [line for line in lines if "wrong" not in line]

    def test_small_domains_and_values_of_another_format_are_rejected_both(
        self, tmp_path: Path, manager: KeyManager
    ) -> None:
        path = tmp_path / "in.csv"
        path.write_text("ssn,name\n123-45-6789,Ada Lovelace\n,Al\nwrong,Grace Hopper\n")
        anonymize_file(
            path, tmp_path / "out.csv", ["ssn", "name"], formats={"ssn": "ssn"},
            rejects=tmp_path / "wrong.csv", key_manager=manager,
        )  # fmt: skip
        assert (tmp_path / "wrong.csv").read_text().split("\n")[1:] == [
            "wrong,Grace Hopper",
            ",Al",
            "",
        ]

    def test_without_rejects_there_is_no_file_and_without_the_argument_an_error(
        self, tmp_path: Path, manager: KeyManager
    ) -> None:
        path = write_csv(tmp_path / "in.csv")
        wrong = tmp_path / "wrong.csv"
        written = anonymize_file(
            path, tmp_path / "out.csv", ["ssn"], rejects=wrong, key_manager=manager
        )
        assert (written.rejected, written.rejects, wrong.exists()) == (0, None, False)
        path.write_text("id,ssn\n1,wrong\n")
        with pytest.raises(PseudonymizationError, match="row 1: column 'ssn'"):
            anonymize_file(
                path, tmp_path / "o.csv", ["ssn"], formats={"ssn": "ssn"}, key_manager=manager
            )

    def test_a_job_keeps_the_rejected_rows_of_each_file_under_its_name(
        self, lake: Path, out: Path, tmp_path: Path, manager: KeyManager
    ) -> None:
        with (lake / "more" / "b.csv").open("a") as file:
            file.write("7,wrong\n")
        wrong = lake / "rejected"  # which is no input of the next job
        for force in (False, True):
            written = anonymize_files(
                lake, out, ["ssn"], formats={"ssn": "ssn"}, rejects=wrong, force=force,
                key_manager=manager,
            )  # fmt: skip
            assert (written.rows, written.rejected) == (60, 1)
            assert files_below(wrong) == ["more/b.csv"]
        assert (wrong / "more" / "b.csv").read_text() == "id,ssn\n7,wrong\n"
