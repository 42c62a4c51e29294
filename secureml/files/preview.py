"""What would become of a table in a file, shown without writing anything."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pandas as pd

from secureml.anonymization import anonymize
from secureml.anonymization.preview import Preview
from secureml.files.checks import check_columns
from secureml.files.frames import sample_of
from secureml.files.manifests import GivenManifest, earlier_manifest
from secureml.files.tables import open_table
from secureml.frames.pandas import check_levels

__all__ = ["preview_file"]

_LOOKED_AT = 100_000


def preview_file(
    path: str | os.PathLike[str],
    sensitive_columns: Iterable[str] | None = None,
    *,
    rows: int = 5,
    manifest: GivenManifest | None = None,
    delimiter: str = ",",
    **arguments: Any,
) -> Preview:
    """Show what ``anonymize_file`` would make of the first 100,000 rows of a file.

    Args:
        path: a CSV or Parquet file.
        sensitive_columns: as for ``anonymize``.
        rows: how many rows to show before and after.
        manifest: as for ``anonymize_file``.
        delimiter: of CSV.
        **arguments: the other arguments of ``anonymize``.

    Raises:
        SecureMLError: the file can't be read.
        PseudonymizationError: the file is no table, or an argument does not fit.
        SecretError: the key can't be had.
    """
    table = open_table(path, delimiter)
    if sensitive_columns is not None and not isinstance(sensitive_columns, str):
        sensitive_columns = list(sensitive_columns)
        check_columns(table, sensitive_columns)
    frames: list[pd.DataFrame] = []
    wanted = _LOOKED_AT
    for chunk in table.chunks():
        frames.append(sample_of(chunk.slice(0, wanted)))
        wanted -= len(frames[-1])
        if wanted <= 0:
            break
    frame = pd.concat(frames, ignore_index=True)
    made = anonymize(
        frame,
        sensitive_columns=sensitive_columns,
        manifest=earlier_manifest(table, manifest),
        preview=rows,
        **arguments,
    )
    check_levels(table.levels, [column.column for column in made.columns])
    return made
