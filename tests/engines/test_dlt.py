"""Pipelines of dlt: what they load is pseudonymized, and what they keep holds no key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from helpers.vault import Vault
from secureml import KeyManager, Pseudonymizer, configure, reidentify
from secureml.errors import AccessDeniedError

dlt = pytest.importorskip("dlt", reason="dlt is not installed")
PipelineStepFailed = pytest.importorskip("dlt.pipeline.exceptions").PipelineStepFailed

KEY = "5a" * 32
PAGES = [
    [{"id": 1, "ssn": "219-09-9999", "place": "Bordeaux"}],
    [{"id": 2, "ssn": "078-05-1120", "place": "Wrocław"}, {"id": 3, "ssn": None, "place": "Brno"}],
]
Load = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def token(vault: Vault) -> str:
    """A token that may read the key, with which this process logs in."""
    with KeyManager(vault.url, vault.token, vault_namespace=vault.namespace) as manager:
        manager.import_key("master_key", KEY)
    token = vault.policy_token('path "secret/data/secureml/*" { capabilities = ["read"] }')
    configure(vault_url=vault.url, vault_token=token, vault_namespace=vault.namespace)
    return token


@pytest.fixture
def model(token: str) -> Pseudonymizer:
    """The plan of the pipeline."""
    return Pseudonymizer(["ssn"], formats={"ssn": "ssn"}).fit(PAGES[0])


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Run a pipeline that merges pages of customers, and return what the database has then."""
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))

    def load(pages: list[Any], model: Pseudonymizer) -> list[dict[str, Any]]:
        @dlt.resource(name="customers", primary_key="id", write_disposition="merge")
        def customers() -> Iterator[Any]:
            for page in pages:
                yield model.transform(page)

        pipeline = dlt.pipeline(
            "crm",
            destination=dlt.destinations.duckdb(str(tmp_path / "crm.duckdb")),
            dataset_name="hidden",
            pipelines_dir=str(tmp_path / "pipelines"),
        )
        pipeline.run(customers()).raise_on_failed_jobs()
        with duckdb.connect(str(tmp_path / "crm.duckdb"), read_only=True) as database:
            rows = database.sql("SELECT id, ssn, place FROM hidden.customers ORDER BY id")
            return rows.to_arrow_table().to_pylist()

    return load


@pytest.mark.parametrize("kind", ["dicts", "arrow"])
def test_rows_are_hidden_before_they_are_loaded_and_merge_with_those_of_another_run(
    load: Load, model: Pseudonymizer, kind: str
) -> None:
    pages = PAGES if kind == "dicts" else [pa.Table.from_pylist(page) for page in PAGES]
    first = load(pages, model)
    assert [row["place"] for row in first] == ["Bordeaux", "Wrocław", "Brno"]
    assert load(pages[::-1], model) == first
    hidden = pa.Table.from_pylist(first)
    clear = reidentify(hidden, json.dumps(model.manifest_), check_table=False)
    assert clear.to_pylist() == [row for page in PAGES for row in page]
    assert not {row["ssn"] for row in first if row["ssn"]} & {"219-09-9999", "078-05-1120"}


def test_nothing_that_a_pipeline_leaves_holds_a_clear_value_a_key_or_a_token(
    load: Load, model: Pseudonymizer, token: str, tmp_path: Path
) -> None:
    load(PAGES, model)
    secrets = [KEY.encode(), bytes.fromhex(KEY), token.encode(), b"219-09-9999", b"078-05-1120"]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any("pipelines" in file.parts for file in files)
    for file in files:
        content = file.read_bytes()
        assert not any(secret in content for secret in secrets), file


def test_a_worker_that_may_not_read_the_key_loads_nothing(
    load: Load, vault: Vault, token: str, tmp_path: Path
) -> None:
    model = Pseudonymizer(["ssn"]).fit(PAGES[0])
    denied = vault.policy_token(
        'path "auth/token/lookup-self" { capabilities = ["read"] }', no_default_policy=True
    )
    configure(vault_url=vault.url, vault_token=denied, vault_namespace=vault.namespace)
    with pytest.raises(PipelineStepFailed) as caught:
        load(PAGES, model)
    causes = [caught.value.exception, caught.value.exception.__cause__]
    assert any(isinstance(cause, AccessDeniedError) for cause in causes)
    with duckdb.connect(str(tmp_path / "crm.duckdb")) as database:
        assert database.sql("SHOW ALL TABLES").fetchall() == []
