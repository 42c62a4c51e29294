"""Rules and keys for functions of single values, and columns that the rules are for."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from helpers.frames import KEYS
from secureml.key_management import KeyManager, configure_default_key_manager
from secureml.stores import MemoryStore

RULES: dict[str, dict[str, Any]] = {
    "ssn": {"strategy": "fpe", "format": "ssn"},
    "name": {"strategy": "fpe", "small_domain": "token", "on_invalid": "token"},
    "number": {"strategy": "fpe"},
    "permuted": {"strategy": "fpe", "small_domain": "permute"},
    "removed": {"strategy": "fpe", "small_domain": "null"},
    "price": {"strategy": "fpe", "format": "decimal"},
    "weight": {"strategy": "fpe", "format": "decimal", "scale": 2},
    "email": {"strategy": "token", "domain": "mail", "prefix": "e_"},
    "*_mail": {"strategy": "token", "domain": "mail", "prefix": "e_"},
    "*_id": {"strategy": "fpe"},
    "hashed": {"strategy": "hash"},
    "masked": {"strategy": "mask"},
    "gone": {"strategy": "null"},
    "visit": {"strategy": "fpe", "tweak": "patient"},
    "total": {"strategy": "keep"},
}
PROFILES = {"press": {"domain_prefix": "press", "columns": {"hashed": {"strategy": "token"}}}}

_NAMES = ["Margarethe Żiżek", None, "Bo", "", "Ana-Łucja Ünal", "Margarethe Żiżek", "~x", "x" * 40]
_SSNS = ["123-45-6789", "219-09-9999", None, "123-45-6789", "078-05-1120", "", None, "001-01-0001"]
_LONG = [1234567, None, -9876543, *range(10**8, 10**8 + 5)]
_PRICES = [Decimal("123456.25"), None, Decimal("-98765.50")]
_DAYS = [date(1931, 1, 2) + timedelta(days=997 * row) for row in range(8)]
_MOMENTS = [datetime(1961, 7, 30, 4, 53, 11) + timedelta(hours=9999 * row) for row in range(8)]

COLUMNS: dict[str, tuple[str, pa.Array]] = {
    "text of a format": ("ssn", pa.array(_SSNS)),
    "text with tokens": ("name", pa.array(_NAMES)),
    "tokens": ("email", pa.array(_NAMES)),
    "whole numbers of 64 bits": (
        "number",
        pa.array(_LONG),
    ),
    "whole numbers of 32 bits": ("number", pa.array([1234567, None, -9876543] * 2, pa.int32())),
    "whole numbers of 16 bits": ("permuted", pa.array([12345, None, -10000] * 2, pa.int16())),
    "whole numbers without a sign": ("number", pa.array([1234567, None, 4 * 10**9], pa.uint32())),
    "floats": ("number", pa.array([1234567.0, None, -9876543.0])),
    "floats with a scale": ("weight", pa.array([123456.25, None, -98765.5])),
    "decimals": (
        "price",
        pa.array(_PRICES, pa.decimal128(12, 2)),
    ),
    "days": ("permuted", pa.array([*_DAYS, None])),
    "moments": ("number", pa.array([*_MOMENTS, None], pa.timestamp("us"))),
    "moments of a zone": ("number", pa.array([*_MOMENTS, None], pa.timestamp("us", tz="UTC"))),
    "hashes": ("hashed", pa.array(_NAMES)),
    "masks": ("masked", pa.array(_NAMES)),
    "nulls": ("gone", pa.array(_NAMES)),
}
"""A rule and a column for each."""

REVERSIBLE = [
    name for name, (rule, _) in COLUMNS.items() if rule not in ("hashed", "masked", "gone")
]


def store_of(keys: list[str] = KEYS[:1]) -> MemoryStore:
    """Return a store of a key that has these versions."""
    store = MemoryStore()
    for key in keys:
        rotate(store, key)
    return store


def rotate(store: MemoryStore, key: str = KEYS[1]) -> None:
    """Give the key another version."""
    store.write("master_key", {"value": key, "encoding": "hex"}, cas=None)


def manager_of_rules(store: MemoryStore | None = None, **settings: Any) -> KeyManager:
    """Return a manager with the rules, or with others."""
    return KeyManager(**_arguments(store, settings))


def default_manager_of_rules(store: MemoryStore | None = None, **settings: Any) -> KeyManager:
    """Make the default manager one with the rules."""
    return configure_default_key_manager(**_arguments(store, settings))


def _arguments(store: MemoryStore | None, settings: dict[str, Any]) -> dict[str, Any]:
    rules = {"columns": RULES, "profiles": PROFILES, "environment": "development", "cache_ttl": 0}
    return {"store": store_of() if store is None else store, **rules, **settings}
