"""Which keys files need."""

from __future__ import annotations

import json

from secureml.key_management import KeyManager


def test_usage_tells_what_each_file_needs(run, plain, hidden):
    with KeyManager() as manager:
        manager.generate_key("archive_key")
        manager.rotate_key("master_key")
        line = "--columns ssn --key-name archive_key"
        assert run("anonymize", plain, "--output", "old.csv", *line.split()).code == 0
        assert run("anonymize", plain, "--output", "new.csv", "--columns", "ssn").code == 0
        manager.disable_key_version("master_key", 1)
        info = manager.key_history("archive_key")[0]
        manager.destroy_key_version("archive_key", 1, confirm=info.fingerprint)
    ran = run("keys", "usage", hidden, "new.csv", "old.csv.manifest.json", plain, "no.json")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        f"{hidden}  master_key  version 1  disabled  100 rows  ssn, name",
        "new.csv  master_key  version 2  enabled  100 rows  ssn",
        "old.csv.manifest.json  archive_key  version 1  destroyed  100 rows  ssn",
    ]
    lines = ran.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["warning", "warning", "error"]
    assert f"{plain}: there is no manifest" in lines[0]
    assert "no.json: " in lines[1]


def test_usage_as_json_marks_keys_that_can_not_be_looked_at(run, plain, hidden, monkeypatch):
    found = json.loads(run("keys", "usage", hidden, plain, "--json").out)
    assert found[0] == {
        "file": str(hidden),
        "key": "master_key",
        "version": 1,
        "version_now": 1,
        "environment": "development",
        "state": "enabled",
        "rows": 100,
        "columns": ["ssn", "name"],
    }
    assert found[1]["file"] == str(plain)
    assert "there is no manifest" in found[1]["error"]
    other = run("keys", "usage", hidden, "--env", "staging")
    assert (other.code, other.out.split()[4]) == (0, "unknown")
    assert "--env" in other.err
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", "s.no-such-token")
    denied = run("keys", "usage", hidden)
    assert (denied.code, denied.out.split()[4]) == (0, "unknown")
    assert denied.err.startswith("note: the states of the key 'master_key' can't be told: ")
    assert "s.no-such-token" not in denied.err


def test_usage_goes_by_the_number_of_a_key_if_metadata_alone_may_be_read(
    run, hidden, vault, monkeypatch
):
    metadata = 'path "secret/metadata/*" { capabilities = ["read"] }'
    token = vault.policy_token(metadata, no_default_policy=False)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", token)
    ran = run("keys", "usage", hidden)
    assert (ran.code, ran.out.split()[4]) == (0, "enabled")
    assert ran.err.startswith("note: key 'master_key' version 1")
    assert "is shown by its number alone: Vault denies" in ran.err


def test_usage_goes_by_the_check_of_a_key_and_not_by_its_number(run, plain, hidden):
    with KeyManager() as manager:
        manager.rotate_key("master_key")
        path = "secureml/development/master_key"
        assert run("anonymize", plain, "--output", "new.csv", "--columns", "ssn").code == 0
        kv = manager.vault_client.secrets.kv.v2
        first = kv.read_secret_version(path, version=1, raise_on_deleted_version=True)
        kv.delete_metadata_and_all_versions(path)
        del first["data"]["data"]["states"]
        for fields in ({"value": "ab" * 32}, first["data"]["data"]):
            kv.create_or_update_secret(path, fields)
    ran = run("keys", "usage", hidden, "new.csv")
    assert ran.out.splitlines() == [
        f"{hidden}  master_key  version 1 (now 2)  enabled  100 rows  ssn, name",
        "new.csv  master_key  version 2  missing  100 rows  ssn",
    ]
