"""Whether an exported key recovers a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from secureml import anonymize, merge_manifests
from secureml.files import anonymize_file
from secureml.files.backup import lacking_for
from secureml.key_management import KeyManager
from secureml.keys.export import KeyExport

PHRASE = "correct horse battery staple"
SSNS = [f"{n}-45-6789" for n in range(100, 140)]


def exported(manager: KeyManager, name: str = "master_key") -> KeyExport:
    sealed = manager.export_key(name, passphrase=PHRASE)
    return manager.read_export(sealed, passphrase=PHRASE)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.csv"
    pd.DataFrame({"ssn": SSNS}).to_csv(path, index=False)
    return path


def test_an_export_of_another_key_or_environment_recovers_nothing(
    plain: Path, tmp_path: Path, manager: KeyManager
) -> None:
    path = tmp_path / "hidden.csv"
    anonymize_file(plain, path, ["ssn"], key_manager=manager)
    assert lacking_for(exported(manager), path) == ()
    (problem,) = lacking_for(exported(manager, "other_key"), path)
    assert problem == "it needs the key 'master_key' of 'development'"


def test_each_version_that_rows_need_is_looked_for(tmp_path: Path, manager: KeyManager) -> None:
    first = exported(manager)
    frame = pd.DataFrame({"ssn": SSNS})
    options = {"sensitive_columns": ["ssn"], "key_versions": True, "key_manager": manager}
    tables = [anonymize(frame, **options)]
    manager.rotate_key("master_key")
    second = exported(manager)
    tables.append(anonymize(frame, **options))
    merged = merge_manifests([each.attrs["secureml"] for each in tables], key_manager=manager)
    together = pd.concat(tables, ignore_index=True)
    together.attrs["secureml"] = merged
    path = tmp_path / "together.parquet"
    together.to_parquet(path)
    assert lacking_for(second, path) == ()
    (problem,) = lacking_for(first, path)
    assert "version 2" in problem
