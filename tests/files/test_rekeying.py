"""rekey_file: to another version or key, stopped and gone on with, and refused where it must be."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from helpers.manifests import before_reading
from secureml import anonymize, merge_manifests
from secureml.errors import (
    IrreversibleWarning,
    ManifestChangedError,
    ManifestError,
    MissingColumnWarning,
    SecretNotFoundError,
    SecureMLError,
    UncheckedTableWarning,
    WrongTableError,
)
from secureml.files import (
    anonymize_file,
    key_usage,
    manifest_of,
    reidentify_file,
    rekey_file,
)
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import keyring_of
from secureml.pseudonymization.manifest import Manifest

pytestmark = pytest.mark.usefixtures("small_chunks")


class Stopped(Exception):
    """Raised in place of the next chunk."""


@pytest.fixture
def hidden(people: Path, tmp_path: Path, manager: KeyManager) -> Path:
    """A pseudonymized file; its key has a newer version by now."""
    path = tmp_path / "hidden.csv"
    anonymize_file(people, path, ["ssn", "na,me"], key_manager=manager)
    manager.rotate_key("master_key")
    return path


@pytest.fixture
def stopped(hidden: Path, manager: KeyManager) -> Path:
    """The same, and a rekey that was stopped half-way."""
    stop(hidden, manager)
    return hidden


def stop(path, manager, at=0.5, **options):
    def give_up(fraction):
        if fraction >= at:
            raise Stopped

    with pytest.raises(Stopped):
        rekey_file(path, key_manager=manager, on_progress=give_up, **options)


def recovered(path, manager, **options):
    again = path.with_name("again.csv")
    reidentify_file(path, again, force=True, key_manager=manager, **options)
    return again.read_bytes()


def folder_of(path):
    return path.with_name(f"{path.name}.rekey")


def test_a_rekey_moves_a_file_to_the_newest_version(people, hidden, manager):
    before = hidden.read_bytes()
    hidden.chmod(0o640)
    written = rekey_file(hidden, key_manager=manager)
    assert written.rows == 300
    assert written.manifest["key"]["version"] == 2
    assert written.manifest == manifest_of(hidden)
    assert written.manifest["columns"]["ssn"]["rows"] == 300
    assert hidden.read_bytes() != before
    assert hidden.stat().st_mode & 0o777 == 0o640
    assert recovered(hidden, manager) == people.read_bytes()
    assert not folder_of(hidden).exists()


def test_rekey_makes_what_anonymize_would_have_made(people, hidden, tmp_path, manager):
    rekey_file(hidden, key_manager=manager)
    direct = tmp_path / "direct.csv"
    anonymize_file(people, direct, ["ssn", "na,me"], key_manager=manager)
    assert hidden.read_bytes() == direct.read_bytes()


def test_a_full_disk_during_a_rekey_loses_no_row(people, hidden, manager):
    before = hidden.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(SecureMLError, match=r"can't be written \(File too large\)"):
            rekey_file(hidden, key_manager=manager)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert hidden.read_bytes() == before
    assert recovered(hidden, manager) == people.read_bytes()
    rekey_file(hidden, key_manager=manager)
    assert manifest_of(hidden)["key"]["version"] == 2
    assert recovered(hidden, manager) == people.read_bytes()


def test_a_second_rekey_changes_nothing(hidden, manager):
    first = rekey_file(hidden, key_manager=manager)
    state = hidden.stat()
    second = rekey_file(hidden, key_manager=manager)
    assert (second.rows, second.manifest) == (first.rows, first.manifest)
    assert hidden.stat().st_mtime_ns == state.st_mtime_ns
    assert not folder_of(hidden).exists()


def test_a_rekey_may_write_another_file_under_another_key(people, hidden, tmp_path, manager):
    before = hidden.read_bytes()
    moved = tmp_path / "moved.csv"
    written = rekey_file(hidden, moved, to_key="other_key", key_manager=manager)
    assert written.manifest["key"]["name"] == "other_key"
    assert written.manifest_path == tmp_path / "moved.csv.manifest.json"
    assert hidden.read_bytes() == before
    for path in (hidden, moved):
        assert recovered(path, manager) == people.read_bytes()


def test_a_rekey_of_a_link_replaces_the_file_and_keeps_the_link(people, hidden, tmp_path, manager):
    link = tmp_path / "link.csv"
    link.symlink_to(hidden)
    rekey_file(link, key_manager=manager)
    assert link.is_symlink()
    assert manifest_of(hidden)["key"]["version"] == 2
    assert recovered(hidden, manager) == people.read_bytes()


def test_a_named_manifest_is_replaced_with_the_file(people, hidden, tmp_path, manager):
    place = tmp_path / "elsewhere.json"
    (tmp_path / "hidden.csv.manifest.json").rename(place)
    written = rekey_file(hidden, manifest=place, key_manager=manager)
    assert written.manifest_path == place
    assert recovered(hidden, manager, manifest=place) == people.read_bytes()
    assert not (tmp_path / "hidden.csv.manifest.json").exists()


def test_a_stopped_rekey_continues_where_it_was(people, stopped, manager):
    before = stopped.read_bytes()
    assert recovered(stopped, manager) == people.read_bytes()
    done = len(list(folder_of(stopped).glob("part-*.arrow")))
    assert done > 2
    assert folder_of(stopped).stat().st_mode & 0o777 == 0o700
    fractions = []
    rekey_file(stopped, key_manager=manager, on_progress=fractions.append)
    assert len(fractions) > 2
    assert fractions[0] > 0.5
    assert stopped.read_bytes() != before
    assert recovered(stopped, manager) == people.read_bytes()


def test_a_rekey_keeps_the_replaced_columns_alone(people, stopped, manager):
    parts = sorted(folder_of(stopped).glob("part-*.arrow"))
    for part in parts:
        with pa.ipc.open_file(part) as reader:
            assert reader.schema.names == ["ssn", "na,me"]
    # One that keeps all of them, as an earlier version did, is gone on with.
    with pa.ipc.open_file(parts[0]) as reader:
        columns = reader.read_all()
    whole = columns.add_column(0, "id", pa.array(["x"] * len(columns)))
    with pa.ipc.new_file(parts[0], whole.schema) as writer:
        writer.write_table(whole)
    rekey_file(stopped, key_manager=manager)
    assert recovered(stopped, manager) == people.read_bytes()


def test_a_stopped_rekey_continues_to_the_version_it_began_with(people, stopped, manager):
    manager.rotate_key("master_key")
    assert rekey_file(stopped, key_manager=manager).manifest["key"]["version"] == 2
    assert rekey_file(stopped, key_manager=manager).manifest["key"]["version"] == 3
    assert recovered(stopped, manager) == people.read_bytes()


def test_a_stopped_rekey_does_not_continue_with_a_changed_file(people, stopped, manager):
    kept = stopped.read_bytes()
    stopped.write_bytes(kept + b"x,,y,z\n")
    with pytest.raises(ManifestError, match="changed since"):
        rekey_file(stopped, key_manager=manager)
    place = stopped.with_name("hidden.csv.manifest.json")
    with pytest.raises(SecureMLError, match="was begun and stopped, and the file or its manifest"):
        rekey_file(stopped, manifest=place, key_manager=manager)
    stopped.write_bytes(kept)
    with pytest.raises(SecureMLError, match="it moves the file to 'master_key'"):
        rekey_file(stopped, to_key="other_key", key_manager=manager)
    shutil.rmtree(folder_of(stopped))
    rekey_file(stopped, to_key="other_key", key_manager=manager)
    assert recovered(stopped, manager) == people.read_bytes()


def test_a_file_that_changes_at_the_last_moment_is_not_replaced(hidden, manager):
    content = hidden.read_bytes()

    def change(fraction):
        if fraction == 1:
            hidden.write_bytes(content + b"x,,y,z\n")

    with pytest.raises(SecureMLError, match="was changed while it was read"):
        rekey_file(hidden, key_manager=manager, on_progress=change)
    assert hidden.read_bytes() == content + b"x,,y,z\n"


def test_a_second_rekey_at_the_same_time_is_refused(people, hidden, manager):
    refused = []

    def again(_fraction):
        with pytest.raises(SecureMLError, match="another rekey works in") as caught:
            rekey_file(hidden, key_manager=manager)
        refused.append(caught)

    rekey_file(hidden, key_manager=manager, on_progress=again)
    assert refused
    assert recovered(hidden, manager) == people.read_bytes()


def test_a_changed_part_of_a_stopped_rekey_is_refused(stopped, manager):
    record = folder_of(stopped) / "part-000001.json"
    part = json.loads(record.read_text())
    part["manifest"]["columns"]["ssn"]["rows"] += 1
    record.write_text(json.dumps(part))
    before = stopped.read_bytes()
    with pytest.raises(ManifestChangedError):
        rekey_file(stopped, key_manager=manager)
    record.write_text("{")
    with pytest.raises(SecureMLError, match=r"part-000001\.json can't be read"):
        rekey_file(stopped, key_manager=manager)
    (folder_of(stopped) / "plan.json").write_text("{}")
    with pytest.raises(SecureMLError, match=r"plan\.json can't be read"):
        rekey_file(stopped, key_manager=manager)
    assert stopped.read_bytes() == before


def test_a_rekey_that_fails_at_its_start_leaves_no_folder(hidden, tmp_path, manager):
    before = hidden.read_bytes()
    with pytest.raises(SecretNotFoundError):
        rekey_file(hidden, to_key="no_such_key", key_manager=manager)
    with pytest.raises(SecureMLError, match="can't be read"):
        rekey_file(tmp_path / "no.csv", key_manager=manager)
    with pytest.raises(SecureMLError, match="can't be used"):
        rekey_file(tmp_path / "no" / "no.csv", key_manager=manager)
    (tmp_path / "hidden.csv.manifest.json").unlink()
    with pytest.raises(ManifestError, match="there is no manifest"):
        rekey_file(hidden, key_manager=manager)
    assert hidden.read_bytes() == before
    assert not list(tmp_path.glob("**/*.rekey"))


def test_the_manifest_of_another_version_is_noticed(hidden, people, tmp_path, manager):
    newer = tmp_path / "newer.csv"
    place = anonymize_file(people, newer, ["ssn", "na,me"], key_manager=manager).manifest_path
    with pytest.raises(WrongTableError):
        rekey_file(hidden, manifest=place, to_key="other_key", key_manager=manager)


def test_a_rekey_leaves_irreversible_columns_as_they_are(people, tmp_path, manager):
    path = tmp_path / "hidden.csv"
    strategy = {"ssn": "fpe", "na,me": "hash"}
    first = anonymize_file(people, path, ["ssn", "na,me"], strategy=strategy, key_manager=manager)
    names = [line.split(",")[2:] for line in path.read_text().splitlines()]
    manager.rotate_key("master_key")
    with pytest.warns(IrreversibleWarning) as caught:
        written = rekey_file(path, key_manager=manager)
    assert "'na,me'" in caught[0].message.details
    assert [line.split(",")[2:] for line in path.read_text().splitlines()] == names
    assert written.manifest["columns"]["na,me"] == first.manifest["columns"]["na,me"]
    assert written.manifest["columns"]["ssn"]["rows"] == 300


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_rekey_moves_rows_of_several_versions(tmp_path, manager, kind):
    plain = pd.DataFrame(
        {
            "ssn": [f"{100 + n}-{10 + n % 90}-{1000 + n}" for n in range(300)],
            "n": [str(n) for n in range(300)],
        }
    )
    parts = []
    for start in (0, 100, 200):
        part = plain.iloc[start : start + 100]
        parts.append(
            anonymize(part, sensitive_columns=["ssn"], key_versions=True, key_manager=manager)
        )
        manager.rotate_key("master_key")
    documents = [one.attrs["secureml"] for one in parts]
    manifest = merge_manifests(documents, key_manager=manager)
    table = pd.concat(parts).sample(frac=1, random_state=1)
    path, again = tmp_path / f"h.{kind}", tmp_path / f"r.{kind}"
    place = None
    if kind == "csv":
        table.to_csv(path, index=False)
        place = tmp_path / "h.csv.manifest.json"
        place.write_text(json.dumps(manifest))
    else:
        table.attrs["secureml"] = manifest
        table.to_parquet(path, index=False)
    assert key_usage(path).versions == {1: 100, 2: 100, 3: 100}
    written = rekey_file(path, key_manager=manager)
    assert written.manifest["key"]["version"] == 4
    assert key_usage(path).versions == {4: 300}
    reidentify_file(path, again, key_manager=manager)
    back = pd.read_csv(again, dtype="str") if kind == "csv" else pd.read_parquet(again)
    expected = plain.loc[table.index].reset_index(drop=True)
    assert back.to_dict("list") == expected.to_dict("list")


def test_key_usage_counts_the_rows_of_each_version(people, hidden, tmp_path, manager):
    found = key_usage(hidden)
    assert (found.key, found.environment) == ("master_key", "development")
    assert (found.columns, found.versions) == (("ssn", "na,me"), {1: 300})
    place = tmp_path / "hidden.csv.manifest.json"
    assert key_usage(place).versions == {1: 300}
    with pytest.raises(ManifestError):
        key_usage(people)
    hashed = tmp_path / "hashed.csv"
    anonymize_file(people, hashed, ["ssn"], strategy="hash", key_manager=manager)
    assert (key_usage(hashed).columns, key_usage(hashed).versions) == ((), {})
    both = tmp_path / "both.csv"
    anonymize_file(people, both, ["ssn"], key_versions=True, key_manager=manager)
    assert key_usage(both).versions == key_usage(f"{both}.manifest.json").versions
    both.unlink()
    with pytest.raises(ManifestError, match="only the table tells"):
        key_usage(f"{both}.manifest.json")


def test_rows_that_no_manifest_counts_are_counted_in_the_table(people, hidden, tmp_path, manager):
    place = tmp_path / "hidden.csv.manifest.json"
    beside = json.loads(place.read_bytes())
    beside["manifest"] = before_reading(beside["manifest"], manager)
    place.write_text(json.dumps(beside))
    assert key_usage(hidden).versions == key_usage(place).versions == {1: 300}
    with pytest.warns(UncheckedTableWarning):
        assert recovered(hidden, manager) == people.read_bytes()
    with pytest.warns(UncheckedTableWarning):
        assert rekey_file(hidden, key_manager=manager).rows == 300
    assert manifest_of(hidden)["columns"]["ssn"]["rows"] == 300
    assert recovered(hidden, manager) == people.read_bytes()


def test_a_rekey_without_anything_to_do_counts_the_rows_that_no_manifest_does(
    people, tmp_path, manager
):
    path, place = tmp_path / "hidden.csv", tmp_path / "hidden.csv.manifest.json"
    anonymize_file(people, path, ["ssn"], key_manager=manager)
    beside = json.loads(place.read_bytes())
    beside["manifest"] = before_reading(beside["manifest"], manager)
    place.write_text(json.dumps(beside))
    assert rekey_file(path, key_manager=manager).rows == 300
    path.unlink()
    with pytest.raises(ManifestError, match="only the table tells"):
        key_usage(place)


def test_a_column_that_is_missing_is_not_forgotten(hidden, people, tmp_path, manager):
    frame = pd.read_csv(hidden, dtype=str)
    place = hidden.with_name("hidden.csv.manifest.json")
    frame.rename(columns={"ssn": "SSN"}).to_csv(hidden, index=False)
    renamed = hidden.read_bytes()
    with pytest.raises(WrongTableError, match="lacks 'ssn' of the manifest"):
        rekey_file(hidden, manifest=place, key_manager=manager)
    assert hidden.read_bytes() == renamed
    assert not folder_of(hidden).exists()
    again = tmp_path / "again.csv"
    with pytest.warns(MissingColumnWarning) as caught:
        reidentify_file(hidden, again, manifest=place, key_manager=manager)
    assert caught[0].message.details.endswith(": 'ssn'")
    stop(hidden, manager, manifest=place, drop_missing=True)
    written = rekey_file(hidden, manifest=place, drop_missing=True, key_manager=manager)
    assert list(written.manifest["columns"]) == ["na,me"]
    assert recovered(hidden, manager) == again.read_bytes()


@pytest.mark.parametrize("order", [("ssn", "id"), ("id", "ssn")])
def test_a_column_and_its_tweaks_come_back_in_whatever_order_they_were_hidden(
    people, tmp_path, manager, order
):
    """Earlier versions did not refuse it."""
    path, columns = tmp_path / "hidden.csv", {}
    for name in order:
        tweaks = {"ssn": "id"} if name == "ssn" else None
        source, moved = (people, path) if not columns else (path, tmp_path / "next.csv")
        bare = shutil.copy(source, tmp_path / "bare.csv")
        made = anonymize_file(
            bare, moved, [name], tweaks=tweaks, small_domain="token", key_manager=manager
        )
        columns |= Manifest.parse(made.manifest).columns
        path = moved
    place = tmp_path / "both.json"
    place.write_text(json.dumps(Manifest.of(keyring_of(manager, None), columns).document()))
    assert recovered(path, manager, manifest=place) == people.read_bytes()
    manager.rotate_key("master_key")
    before = path.read_bytes()
    rekey_file(path, tmp_path / "moved.csv", manifest=place, key_manager=manager)
    assert (tmp_path / "moved.csv").read_bytes() != before
    assert recovered(tmp_path / "moved.csv", manager) == people.read_bytes()
