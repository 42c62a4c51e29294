"""Write the vectors of manifest schema 3, if they are missing.

python tools/manifest_vectors.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from secureml import anonymize, merge_manifests
from secureml.key_management import KeyManager
from secureml.pseudonymization.keys import keyring_that_made
from secureml.pseudonymization.manifest import Manifest
from secureml.stores import MemoryStore

KEYS = {"1": bytes(range(1, 33)).hex(), "2": bytes(range(101, 133)).hex()}
PEOPLE: dict[str, list[Any]] = {
    "name": ["Zoë O'Neill", "Łukasz Wiśniewski", "Мария Иванова", None, "", "Jo"],
    "ssn": ["123-45-6789", "765432109", "078 05 1120", "123-45-6789", None, "899-99-9999"],
    "card": [
        "4111 1111 1111 1111",
        "378282246310005",
        "",
        None,
        "5555-5555-5555-4444",
        "4111111111111111",
    ],
    "email": ["zoë@example.org", "x", None, "", "m.ivanova@example.com", "x"],
    "ward": ["Cardiology", "Cardiology", "Cardiology", "Oncology", None, "Oncology"],
    "visit": ["007", "7", None, "", "8", "2020-02-29"],
    "id": [1_234_567, -98_765_432, 9_223_372_036_854_775_807, None, 1_000_000, 7_654_321],
    "note": ["a", "b", "a", None, "", "c"],
}
DTYPES = {**dict.fromkeys(PEOPLE, "string"), "id": "Int64"}
ARGUMENTS: dict[str, Any] = {
    "sensitive_columns": ["name", "ssn", "card", "email", "ward", "id", "note"],
    "strategy": {"email": "token", "note": "hash"},
    "formats": {"ssn": "ssn", "card": "credit_card"},
    "options": {"email": {"prefix": "e_"}},
    "domains": {"name": "person"},
    "tweaks": {"ward": "visit", "email": "visit"},
    "small_domain": "token",
}


def table(frame: pd.DataFrame) -> dict[str, Any]:
    return frame.astype(object).where(frame.notna(), None).to_dict("list")


def key_manager() -> KeyManager:
    store = MemoryStore()
    for key in KEYS.values():
        store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)
    return KeyManager(environment="production", store=store)


def made(name: str, cuts: list[tuple[int, slice]], **arguments: Any) -> dict[str, Any]:
    manager = key_manager()
    before = pd.DataFrame(PEOPLE, dtype=object).astype(DTYPES)
    parts = [
        anonymize(
            before.iloc[rows],
            master_key_version=version,
            key_manager=manager,
            **{**ARGUMENTS, **arguments},
        )
        for version, rows in cuts
    ]
    documents = [part.attrs["secureml"] for part in parts]
    manifest = merge_manifests(documents, key_manager=manager)
    return {
        "name": name,
        "manifest": manifest,
        "table": table(pd.concat(parts)),
        "result": table(before),
    }


def unread(vector: dict[str, Any]) -> dict[str, Any]:
    """Return a vector with the manifest that is signed before the rows are read."""
    manifest = Manifest.parse(vector["manifest"])
    columns = {
        name: replace(entry, counts=None, sketches=None) for name, entry in manifest.columns.items()
    }
    keyring = keyring_that_made(key_manager(), manifest.key)
    document = Manifest.of(keyring, columns, manifest.older).document()
    return {**vector, "name": f"{vector['name']}, rows unread", "manifest": document}


def write(name: str, tables: Callable[[], list[dict[str, Any]]]) -> None:
    path = Path(__file__).parents[1] / "tests" / "vectors" / name
    if path.exists():
        return
    text = json.dumps({"keys": KEYS, "tables": tables()}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8")
    print(name)


def one_version() -> dict[str, Any]:
    return made("one version", [(2, slice(None))])


def two_versions() -> dict[str, Any]:
    return made("two versions", [(1, slice(0, 3)), (2, slice(3, None))], key_versions=True)


def numbers() -> dict[str, Any]:
    return made(
        "numbers",
        [(2, slice(None))],
        sensitive_columns=["ssn", "id"],
        tweaks={"id": "visit"},
        small_domain="error",
        strategy=None,
        options=None,
        domains=None,
        formats={"ssn": "ssn"},
    )


write("manifest_3.json", lambda: [one_version(), two_versions(), numbers()])
write("manifest_3_unread.json", lambda: [unread(one_version()), unread(two_versions())])
