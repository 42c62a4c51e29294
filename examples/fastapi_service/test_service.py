from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from service import app

ROWS = [{"ssn": "219-09-9999", "age": 41}, {"ssn": "123-45-6789", "age": 52}]


@pytest.fixture
def client(secureml_keys, secureml_canary) -> Iterator[TestClient]:
    secureml_keys.import_key("master_key", secureml_canary.key)
    with TestClient(app) as client:
        yield client


def test_rows_are_hidden_and_recovered(client):
    hidden = client.post("/pseudonyms", json=ROWS).json()
    assert hidden["rows"][0]["age"] == 41
    assert hidden["rows"][0]["ssn"] != ROWS[0]["ssn"]
    assert client.post("/originals", json=hidden).json() == ROWS


def test_a_changed_manifest_is_refused(client):
    hidden = client.post("/pseudonyms", json=ROWS).json()
    hidden["manifest"]["columns"]["ssn"]["domain"] = "another"
    assert client.post("/originals", json=hidden).status_code == 422


def test_health_names_the_key(client):
    assert client.get("/health").json() == {"key": "master_key", "version": 1}


def test_a_key_that_can_not_be_had_is_a_503(client, secureml_keys):
    secureml_keys.disable_key_version("master_key", 1)
    for answer in (client.post("/pseudonyms", json=ROWS), client.get("/health")):
        assert (answer.status_code, answer.json()) == (503, {"detail": "KeyDisabledError"})
