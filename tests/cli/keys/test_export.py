"""Keys exported, checked and restored by command, on a real server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from helpers.commands import Run
from helpers.vault import Vault
from secureml.key_management import KeyManager

PHRASE = "correct horse battery staple"


@pytest.fixture
def use(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lead the commands to a mount of the test's own namespace."""
    vault.client().sys.enable_secrets_engine("kv", "other", options={"version": "2"})
    monkeypatch.setenv("SECUREML_ENV", "staging")
    monkeypatch.setenv("SECUREML_VAULT_URL", vault.url)
    monkeypatch.setenv("SECUREML_VAULT_TOKEN", vault.token)
    monkeypatch.setenv("SECUREML_VAULT_NAMESPACE", vault.namespace or "")

    def use(mount: str) -> None:
        monkeypatch.setenv("SECUREML_VAULT_MOUNT", mount)

    use("secret")
    return use


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """The files of a pair of keys, as openssl makes them."""
    private, public = tmp_path / "backup.pem", tmp_path / "backup.pub"
    make = ["openssl", "genpkey", "-algorithm", "X25519", "-out", str(private)]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(
        ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True
    )
    return private, public


@pytest.fixture
def exported(run: Run, use: Callable[[str], None], keys: tuple[Path, Path], tmp_path: Path) -> Path:
    """A key of two versions, exported."""
    with KeyManager() as manager:
        manager.generate_key("master_key")
        manager.rotate_key()
    ran = run("keys", "export", "--output", tmp_path / "k.export", "--public-key", keys[1])
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    return tmp_path / "k.export"


def test_export_and_restore_move_a_key_to_another_mount(run, use, keys, exported):
    assert exported.stat().st_mode & 0o777 == 0o600
    before = json.loads(run("keys", "history", "--json").out)
    use("other")
    ran = run("keys", "restore", "--file", exported, "--private-key", keys[0], "--json")
    restored = json.loads(ran.out)
    facts = ("version", "state", "fingerprint")
    assert [[one[f] for f in facts] for one in restored] == [
        [one[f] for f in facts] for one in before
    ]
    ran = run("keys", "restore", "--file", exported, "--private-key", keys[0])
    assert ran.code == 1
    assert "exists already" in ran.err


def test_export_takes_a_passphrase_from_a_file(run, use, exported, tmp_path):
    phrase = tmp_path / "phrase"
    phrase.write_text(PHRASE + "\n")
    out = tmp_path / "p.export"
    assert run("keys", "export", "--output", out, "--passphrase-file", phrase).code == 0
    ran = run("keys", "verify-backup", out, "--passphrase-file", phrase)
    assert (ran.code, ran.out.count("in Vault: the same")) == (0, 2)
    phrase.write_bytes(b"correct horse battery \xff\n")
    ran = run("keys", "verify-backup", out, "--passphrase-file", phrase)
    assert (ran.code, "not text in UTF-8" in ran.err) == (2, True)
    phrase.write_text("another passphrase\n")
    ran = run("keys", "verify-backup", out, "--passphrase-file", phrase)
    assert ran.code == 1
    assert "was changed, or the passphrase" in ran.err
    assert PHRASE not in ran.err + ran.out


def test_verify_backup_tells_an_export_that_is_behind_or_of_another_key(run, use, keys, exported):
    check = ("keys", "verify-backup", exported, "--private-key", keys[0])
    assert run(*check).code == 0
    assert run("keys", "rotate").code == 0
    ran = run(*check)
    assert ran.code == 1
    assert "version 3  not in the export" in ran.out
    use("other")
    ran = run(*check)
    assert (ran.code, ran.out.count("in Vault: missing")) == (1, 2)
    assert run("keys", "generate-key").code == 0
    ran = run(*check, "--json")
    assert ran.code == 1
    found = json.loads(ran.out)["versions"]
    assert [one["vault"] for one in found] == ["another key", "missing"]


def test_verify_backup_checks_the_export_alone_without_vault(run, use, keys, exported, monkeypatch):
    monkeypatch.setenv("SECUREML_VAULT_URL", "http://127.0.0.1:9")
    ran = run("keys", "verify-backup", exported, "--private-key", keys[0])
    assert ran.code == 0
    assert "it is not compared with Vault" in ran.err
    assert ran.out.count("in Vault: not known") == 2


@pytest.fixture
def table(run: Run, use: Callable[[str], None], exported: Path) -> str:
    pd.DataFrame({"ssn": [f"{n}-45-6789" for n in range(100, 140)]}).to_csv("t.csv", index=False)
    ran = run("anonymize", "t.csv", "--columns", "ssn", "--format", "ssn=ssn", "--output", "h.csv")
    assert ran.code == 0, ran.err
    return "h.csv"


def test_verify_backup_checks_a_table_with_the_export_alone(
    run, use, keys, exported, table, monkeypatch
):
    check = ("keys", "verify-backup", exported, "--private-key", keys[0], "--table")
    assert run(*check, table).code == 0
    assert run(*check, f"{table}.manifest.json").code == 0
    monkeypatch.setenv("SECUREML_VAULT_URL", "http://127.0.0.1:9")
    assert run(*check, table).code == 0


def test_verify_backup_tells_a_table_of_another_key_or_version(run, use, keys, exported, tmp_path):
    pd.DataFrame({"ssn": [f"{n}-45-6789" for n in range(100, 140)]}).to_csv("t.csv", index=False)
    hide = ("anonymize", "t.csv", "--columns", "ssn", "--format", "ssn=ssn", "--output")
    check = ("keys", "verify-backup", exported, "--private-key", keys[0], "--table")
    assert run("keys", "rotate").code == 0
    assert run(*hide, "third.csv").code == 0
    ran = run(*check, "third.csv")
    assert ran.code == 1
    assert "warning: third.csv: " in ran.err
    assert "version 3" in ran.err
    use("other")
    for _ in range(2):
        run("keys", "generate-key")
        run("keys", "rotate")
    assert run(*hide, "another.csv").code == 0
    manifest = Path("another.csv.manifest.json")
    manifest.write_text(manifest.read_text().replace('"version": 3', '"version": 2'))
    ran = run(*check, "another.csv")
    assert ran.code == 1
    assert "warning: another.csv: " in ran.err


def test_export_overwrites_no_file(run, use, keys, exported):
    content = exported.read_bytes()
    ran = run("keys", "export", "--output", exported, "--public-key", keys[1])
    assert ran.code == 1
    assert "exists already" in ran.err
    assert exported.read_bytes() == content


def test_export_without_a_terminal_needs_exactly_one_protection(run, use, keys, exported, tmp_path):
    for more in ((), ("--public-key", keys[1], "--transit-key", "transit/x")):
        ran = run("keys", "export", "--output", tmp_path / "new", *more)
        assert ran.code == 2
        assert not (tmp_path / "new").exists()
