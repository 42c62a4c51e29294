"""What somebody planted in the folder of a rekey, or in its place, does nothing."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from secureml.errors import SecretNotFoundError, SecureMLError
from secureml.files import anonymize_file, manifest_of, reidentify_file, rekey_file
from secureml.files.rekey_plan import RekeyPlan
from secureml.files.storage import digest_of
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import keyring_of
from secureml.stores import MemoryStore

pytestmark = pytest.mark.usefixtures("small_chunks")


@pytest.fixture
def hidden(people: Path, tmp_path: Path, manager: KeyManager) -> Path:
    path = tmp_path / "hidden.csv"
    anonymize_file(people, path, ["ssn", "na,me"], key_manager=manager)
    manager.rotate_key("master_key")
    return path


@pytest.fixture
def folder(hidden: Path) -> Path:
    """Where a rekey keeps its work, made by somebody else in the same account."""
    path = hidden.with_name("hidden.csv.rekey")
    path.mkdir(mode=0o700)
    return path


def plan_of(hidden, **changes):
    manifest = manifest_of(hidden)
    plan = RekeyPlan(
        data=digest_of(hidden),
        manifest=manifest,
        key_name="master_key",
        key_version=2,
        target=hidden.name,
        place=f"{hidden.name}.manifest.json",
    )
    return replace(plan, **changes)


def unsealed(plan):
    return json.dumps({"plan": json.dumps(asdict(plan)), "mac": "00" * 64})


def refused(hidden, manager, problem, **options):
    before = hidden.read_bytes()
    with pytest.raises(SecureMLError, match=problem):
        rekey_file(hidden, key_manager=manager, **options)
    assert hidden.read_bytes() == before


def test_planted_moves_overwrite_no_file(hidden, folder, tmp_path, manager):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    moves = {"rows": 1, "moves": {"data": "victim", "manifest.json": "../victim"}}
    plan = plan_of(hidden, rows=1, target="victim", place="victim")
    contents = [json.dumps(moves), unsealed(plan), unsealed(plan_of(hidden, rows=1))]
    (folder / "data").write_text("theirs")
    (folder / "manifest.json").write_text("theirs")
    for content in contents:
        (folder / "moves.json").write_text(content)
        refused(hidden, manager, r"moves\.json can't be read, or is not as a rekey left it")
    assert victim.read_text() == "mine"


def test_a_rekey_folder_that_is_a_link_empties_no_folder(hidden, tmp_path, manager):
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    for name in ("plan.json", "moves.json", "data", "part-000000.json"):
        (mine / name).write_text("{}")
    hidden.with_name("hidden.csv.rekey").symlink_to(mine)
    refused(hidden, manager, "can't be used")
    assert len(list(mine.iterdir())) == 4


def test_a_rekey_folder_with_other_files_is_left_alone(hidden, folder, manager):
    (folder / "thesis.txt").write_text("mine")
    refused(hidden, manager, r"holds 'thesis\.txt', which is of no rekey")
    assert [entry.name for entry in folder.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["plan.json", "part-000000.arrow", "data", "moves.json"])
def test_a_rekey_writes_nothing_through_a_link(hidden, folder, tmp_path, manager, name):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (folder / f"{name}.tmp").symlink_to(victim)
    rekey_file(hidden, key_manager=manager)
    assert victim.read_text() == "mine"
    assert manifest_of(hidden)["key"]["version"] == 2
    assert not folder.exists()


def test_a_rekey_reads_nothing_through_a_link(hidden, folder, tmp_path, manager):
    elsewhere = tmp_path / "plan.json"
    elsewhere.write_text(json.dumps(plan_of(hidden).sealed(manager)))
    (folder / "plan.json").symlink_to(elsewhere)
    refused(hidden, manager, r"plan\.json can't be read")


def test_a_planted_plan_moves_no_row_to_another_key(hidden, folder, manager):
    plan = plan_of(hidden, key_name="other_key", key_version=1)
    (folder / "plan.json").write_text(unsealed(plan))
    refused(hidden, manager, r"plan\.json can't be read, or is not as a rekey left it")
    sealed = plan_of(hidden).sealed(manager)
    (folder / "plan.json").write_text(json.dumps({**sealed, "plan": json.dumps(asdict(plan))}))
    refused(hidden, manager, r"plan\.json can't be read")


def test_the_new_key_alone_makes_no_valid_plan(hidden, folder, manager):
    """They know a key of the same Vault, and not the one that the data are under."""
    text = json.dumps(asdict(plan_of(hidden, key_name="other_key", key_version=1)))
    new = keyring_of(manager, "other_key", 1).mac_of(text.encode())
    for mac in (new, new + new, "00" * 32 + new):
        (folder / "plan.json").write_text(json.dumps({"plan": text, "mac": mac}))
        refused(hidden, manager, r"plan\.json can't be read")


def test_the_plan_of_another_file_is_not_followed(hidden, folder, tmp_path, manager):
    """Whoever may write to the folder around can give one folder the name of another."""
    (folder / "data").write_text("of another file")
    plan = plan_of(hidden, rows=300, target="other.csv", place="other.csv.manifest.json")
    (folder / "moves.json").write_text(json.dumps(plan.sealed(manager)))
    refused(hidden, manager, r"holds a rekey of other\.csv with other\.csv\.manifest\.json")
    plan = plan_of(hidden, rows=300, place="../.ssh/config")
    (folder / "moves.json").write_text(json.dumps(plan.sealed(manager)))
    refused(hidden, manager, "name the same files as then")


def test_the_version_of_another_key_is_not_the_one_that_was_planned(hidden, folder, manager):
    """A restored server gave the number to another key."""
    other = KeyManager(environment="development", store=MemoryStore())
    other.import_key("master_key", manager.get_encryption_key("master_key", version=1))
    other.rotate_key("master_key")
    (folder / "plan.json").write_text(json.dumps(plan_of(hidden).sealed(other)))
    refused(hidden, manager, "not as a rekey left it")


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_in_which_others_may_write_is_not_taken(hidden, folder, manager, mode):
    (folder / "plan.json").write_text(json.dumps(plan_of(hidden).sealed(manager)))
    folder.chmod(mode)
    refused(hidden, manager, "others may write in it")
    assert (folder / "plan.json").exists()


def test_a_folder_of_another_user_is_not_taken(hidden, folder, manager, monkeypatch):
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    refused(hidden, manager, "is another user's")


def test_a_folder_that_loses_its_name_is_still_the_one_that_is_written_to(
    people, hidden, tmp_path, manager
):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "plan.json").write_text("mine")

    def swap(fraction):
        folder = hidden.with_name("hidden.csv.rekey")
        if not folder.is_symlink():
            folder.rename(tmp_path / "away")
            folder.symlink_to(mine)

    rekey_file(hidden, key_manager=manager, on_progress=swap)
    assert manifest_of(hidden)["key"]["version"] == 2
    assert [entry.name for entry in mine.iterdir()] == ["plan.json"]
    assert not list((tmp_path / "away").iterdir())
    reidentify_file(hidden, tmp_path / "again.csv", key_manager=manager)
    assert (tmp_path / "again.csv").read_bytes() == people.read_bytes()


def test_a_manifest_in_a_folder_of_others_is_not_found(hidden, folder, people, tmp_path, manager):
    """The folder holds a manifest of this very data, under a key that is not there."""
    theirs = KeyManager(environment="development", store=MemoryStore())
    theirs.generate_key("theirs")
    copy = tmp_path / "copy.csv"
    made = anonymize_file(
        people, copy, ["ssn", "na,me"], master_key_name="theirs", key_manager=theirs
    )
    pair = json.loads(made.manifest_path.read_text())
    pair["data"] = asdict(digest_of(hidden))
    (folder / "manifest.json").write_text(json.dumps(pair))
    with pytest.raises(SecretNotFoundError):
        reidentify_file(hidden, tmp_path / "a.csv", key_manager=manager)
    away = tmp_path / "away"
    folder.chmod(0o777)
    reidentify_file(hidden, tmp_path / "b.csv", key_manager=manager)
    folder.chmod(0o700)
    shutil.move(folder, away)
    folder.symlink_to(away)
    reidentify_file(hidden, tmp_path / "c.csv", key_manager=manager)


@pytest.mark.parametrize(
    ("output", "named"), [(None, "path='/'"), ("/", "output='/'"), (".", "output='.'")]
)
def test_a_rekey_of_a_folder_is_refused(tmp_path, hidden, manager, output, named, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SecureMLError, match=f"{named} is a folder; name a file in it"):
        rekey_file(hidden if output else "/", output, key_manager=manager)


def test_a_system_without_locks_is_told_so(hidden, folder, tmp_path, manager, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    for name in ("geteuid", "O_NOFOLLOW", "O_DIRECTORY"):
        monkeypatch.delattr(os, name)
    refused(hidden, manager, r"needs locks of POSIX \(fcntl\)")
    monkeypatch.setattr("secureml.atomic_files.fcntl", None)
    assert reidentify_file(hidden, tmp_path / "again.csv", key_manager=manager).rows == 300
