"""Write the golden files of the present schema that are missing; one that is there stays.

python tools/golden_manifests.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from secureml import anonymize, merge_manifests
from secureml.key_management import KeyManager
from secureml.stores import MemoryStore

KEYS = [bytes(range(first, first + 32)).hex() for first in (1, 65, 129)]
PEOPLE: dict[str, list[Any]] = {
    "name": ["Zoe\u0308 O'Neill", "Łukasz Wiśniewski", "Мария Иванова", "伊藤 博文", None, "Jo"],
    "ssn": ["123-45-6789", "987-65-4321", "078-05-1120", "123-45-6789", "219-09-9999", ""],
    "code": ["AB12", "ZZ99", "AB12", None, "AA00", "x"],
    "id": [1234567, 98765432, 1000000, None, 55555555, 1234567890123],
    "when": ["2020", "2021", "2020", "2021", None, "2020"],
}
DTYPES = {"name": "string", "ssn": "string", "code": "string", "id": "Int64", "when": "string"}
RECORDS: dict[str, list[Any]] = {
    "ssn": ["123-45-6789", "078051120", "899 99 9999", None],
    "card": ["4111 1111 1111 1111", "378282246310005", "", "5555-5555-5555-4444"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", None, None],
    "host": ["192.0.2.77", "10.0.0.1", "255.255.255.255", "0.0.0.0"],
    "uuid": [
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "00112233-4455-4677-8899-aabbccddeeff",
        "F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6",
        None,
    ],
    "day": ["2020-02-29", "1999-12-31", "1900-01-01", "2099-12-31"],
    "code": ["AB-12", "0000", "ZZZZZ", "A"],
    "count": [5, 17, 999_999, None],
}
RECORD_DTYPES = {**dict.fromkeys(RECORDS, "string"), "count": "Int64"}
VISITS: dict[str, list[Any]] = {
    "plan": [
        "AB-gold/2019",
        "ZZ-сереб/0001",
        "QX-\N{KHOJKI LETTER A}\N{KHOJKI LETTER KA}/9999",
        None,
    ],
    "seen": ["2020-02-29T12:30:00", "1969-12-31T23:59:59.5", "2020-02-29T12:30:00", None],
}
VISIT_DTYPES = {"plan": "string", "seen": "datetime64[us]"}
DATA = ((RECORDS, RECORD_DTYPES), (PEOPLE, DTYPES), (VISITS, VISIT_DTYPES))
FILES: dict[str, tuple[dict[str, Any], list[list[int]]]] = {
    "formats": (
        {
            "sensitive_columns": list(RECORDS),
            "formats": {
                "ssn": "ssn",
                "card": "credit_card",
                "iban": "iban",
                "host": "ipv4",
                "uuid": "uuid",
                "day": "date",
                "code": "alphabet:-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
                "count": "integer",
            },
            "options": {"count": {"minimum": 0, "maximum": 9_999_999}, "host": {"keep_prefix": 0}},
            "small_domain": "permute",
            "on_invalid": "null",
        },
        [[1, 4]],
    ),
    "fpe": (
        {
            "sensitive_columns": ["name", "ssn", "code", "id"],
            "domains": {"name": "person"},
            "small_domain": "token",
            "normalize": "NFC",
        },
        [[1, 6]],
    ),
    "permute": (
        {
            "sensitive_columns": ["code", "id", "ssn"],
            "small_domain": "permute",
            "tweaks": {"ssn": "when"},
        },
        [[2, 6]],
    ),
    "strategies": (
        {
            "sensitive_columns": ["name", "ssn", "id"],
            "strategy": {"name": "token", "id": "token"},
            "options": {"name": {"prefix": "p_", "encoding": "base64url"}},
            "small_domain": "token",
            "tweaks": {"ssn": "when", "id": "when"},
        },
        [[3, 6]],
    ),
    "versions": (
        {
            "sensitive_columns": ["ssn", "id"],
            "key_versions": True,
            "small_domain": "token",
        },
        [[1, 2], [2, 1], [3, 3]],
    ),
    "domain_prefix": (
        {
            "sensitive_columns": ["plan", "seen"],
            "strategy": {"seen": "token"},
            "formats": {"plan": r"regex:([A-Z]{2})-(\w+)/(\d{4})"},
            "domain_prefix": "research/1",
        },
        [[1, 4]],
    ),
}


def plain(frame: pd.DataFrame) -> dict[str, Any]:
    moments = frame.select_dtypes("datetime").columns
    frame = frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in moments})
    rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    return {"columns": list(frame.columns), "data": rows}


def made(arguments: dict[str, Any], parts: list[list[int]]) -> dict[str, Any]:
    columns = set(arguments["sensitive_columns"])
    values, dtypes = next((values, dtypes) for values, dtypes in DATA if columns <= values.keys())
    before = pd.DataFrame(values, dtype=object).astype(dtypes)
    store = MemoryStore()
    for key in KEYS:
        store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)
    manager = KeyManager(environment="production", store=store)
    start, frames = 0, []
    for version, rows in parts:
        part = before.iloc[start : start + rows]
        start += rows
        frames.append(anonymize(part, master_key_version=version, key_manager=manager, **arguments))
    after = pd.concat(frames)
    return {
        "keys": KEYS,
        "environment": "production",
        "arguments": arguments,
        "parts": parts,
        "before_dtypes": dtypes,
        "dtypes": {name: str(dtype) for name, dtype in after.dtypes.items()},
        "before": plain(before),
        "after": plain(after),
        "manifest": merge_manifests(
            [frame.attrs["secureml"] for frame in frames], key_manager=manager
        ),
    }


for name, (arguments, parts) in FILES.items():
    path = Path(__file__).parents[1] / "tests" / "golden" / f"manifest_3_{name}.json"
    if not path.exists():
        text = json.dumps(made(arguments, parts), indent=1, ensure_ascii=False)
        path.write_text(text + "\n", "utf-8")
        print(path.name)
