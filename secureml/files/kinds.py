"""The kinds of files that hold tables, told apart by what they begin with."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from secureml.errors import SecureMLError
from secureml.files.base import TableFile
from secureml.files.csv import UNTOLD, CsvTable, Told
from secureml.files.parquet import MAGIC, ParquetTable

__all__ = ["is_parquet", "open_table"]


def open_table(path: str | os.PathLike[str], told: Told = UNTOLD) -> TableFile:
    """Open a table: Parquet by what its first bytes are, everything else as CSV.

    Args:
        path: the file.
        told: what is known of a CSV file.

    Raises:
        PseudonymizationError: the file is no table.
        SecureMLError: the file can't be read.
    """
    path = Path(os.path.realpath(path))
    problem = ""
    try:
        if stat.S_ISFIFO(path.stat().st_mode):
            # It is read more than once, and opening it may wait for ever.
            raise SecureMLError(f"{path} is a pipe: name a file")
        return ParquetTable(path) if is_parquet(path) else CsvTable(path, told)
    except OSError as error:
        problem = f"{path} can't be read ({error.strerror or type(error).__name__})"
    raise SecureMLError(problem)


def is_parquet(path: Path) -> bool:
    """Tell whether a file begins as Parquet does; one that can't be read does not."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
