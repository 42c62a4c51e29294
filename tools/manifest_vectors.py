"""Write the vectors of manifest schema 3, if they are missing.

python tools/manifest_vectors.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from secureml import anonymize, merge_manifests
from secureml.key_management import KeyManager
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


def made(name: str, cuts: list[tuple[int, slice]], **arguments: Any) -> dict[str, Any]:
    store = MemoryStore()
    for key in KEYS.values():
        store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)
    manager = KeyManager(environment="production", store=store)
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


path = Path(__file__).parents[1] / "tests" / "vectors" / "manifest_3.json"
if not path.exists():
    one = made("one version", [(2, slice(None))])
    two = made("two versions", [(1, slice(0, 3)), (2, slice(3, None))], key_versions=True)
    numbers = made(
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
    text = json.dumps({"keys": KEYS, "tables": [one, two, numbers]}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8")
    print(path.name)
