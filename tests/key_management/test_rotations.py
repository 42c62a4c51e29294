"""Many rotations: of one key, one after the other, and of one key by many processes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import secureml
from helpers.vault import Vault
from secureml import anonymize, reidentify
from secureml.key_management import KeyManager

ROTATIONS = 50
PROCESSES = 10
ROTATE = """
import json, sys
from secureml import KeyManager
from secureml.errors import SecretExistsError

with KeyManager() as manager:
    manager.get_key("master_key")
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        info = manager.rotate_key("master_key")
    except SecretExistsError as error:
        print(json.dumps(str(error)))
    else:
        key = manager.get_key("master_key", info.version)
        print(json.dumps([info.version, info.fingerprint, key.fingerprint]))
"""


@pytest.fixture
def manager(vault: Vault) -> Iterator[KeyManager]:
    with KeyManager(vault.url, vault.token, vault_namespace=vault.namespace) as made:
        yield made


def test_after_fifty_rotations_the_first_table_comes_back(manager):
    manager.generate_key("master_key")
    table = pd.DataFrame({"ssn": [f"{n:03}-{n % 97:02}-{n * 7:04}" for n in range(500)]})
    tables = {1: anonymize(table, sensitive_columns=["ssn"], key_manager=manager)}
    for number in range(2, ROTATIONS + 2):
        assert manager.rotate_key("master_key").version == number
        if number in (2, 11, ROTATIONS + 1):
            tables[number] = anonymize(table, sensitive_columns=["ssn"], key_manager=manager)
    for number, made in tables.items():
        assert made.attrs["secureml"]["key"]["version"] == number
        assert not made.equals(table)
        assert reidentify(made, key_manager=manager).equals(table)
    history = manager.key_history("master_key")
    assert [info.version for info in history] == list(range(1, ROTATIONS + 2))
    assert len({info.fingerprint for info in history}) == ROTATIONS + 1


def test_ten_processes_that_rotate_at_once_lose_nothing(vault, manager):
    first = manager.generate_key("master_key")
    environment = os.environ | {
        "PYTHONPATH": str(Path(secureml.__file__).parents[1]),
        "SECUREML_VAULT_URL": vault.url,
        "SECUREML_VAULT_TOKEN": vault.token,
        "SECUREML_VAULT_NAMESPACE": vault.namespace or "",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ROTATE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    with ThreadPoolExecutor(PROCESSES) as pool:
        ready = list(pool.map(lambda each: each.stdout.readline(), processes))
        printed = list(pool.map(lambda each: each.communicate("go\n", timeout=120), processes))
    assert ready == ["ready\n"] * PROCESSES, printed
    assert [errors for _, errors in printed] == [""] * PROCESSES
    results = [json.loads(output) for output, _ in printed]
    winners = sorted(result for result in results if isinstance(result, list))
    losers = [result for result in results if isinstance(result, str)]
    assert len(winners) + len(losers) == PROCESSES
    assert all("another writer" in message for message in losers)
    history = manager.key_history("master_key")
    assert [info.version for info in history] == list(range(1, len(winners) + 2))
    told = [[1, first.fingerprint, first.fingerprint], *winners]
    assert told == [[info.version, info.fingerprint, info.fingerprint] for info in history]
    keys = {manager.get_encryption_key("master_key", version=info.version) for info in history}
    assert len(keys) == len(history)
