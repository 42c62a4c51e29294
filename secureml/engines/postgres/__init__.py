"""Tables of PostgreSQL: from one into another by ADBC, in one transaction, in bounded memory."""

from secureml.engines.postgres.database import Database, is_database
from secureml.engines.postgres.jobs import (
    anonymize_tables,
    preview_table,
    reidentify_tables,
    rekey_tables,
    sample_of_table,
)
from secureml.engines.postgres.transfer import WrittenTable

__all__ = [
    "Database",
    "WrittenTable",
    "anonymize_tables",
    "is_database",
    "preview_table",
    "reidentify_tables",
    "rekey_tables",
    "sample_of_table",
]
