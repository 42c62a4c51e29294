"""Tables of PostgreSQL, pseudonymized from one into another: the extra ``postgres``."""

from secureml.engines.postgres import (
    Database,
    WrittenTable,
    anonymize_tables,
    preview_table,
    reidentify_tables,
    rekey_tables,
)

__all__ = [
    "Database",
    "WrittenTable",
    "anonymize_tables",
    "preview_table",
    "reidentify_tables",
    "rekey_tables",
]
