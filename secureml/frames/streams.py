"""What comes in batches: a table whose columns are known before its rows, and is worked on later.

All is decided by the schema: names, types and key. Batches are worked on when somebody reads the
result, and errors about their values come then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from secureml.errors import PseudonymizationError
from secureml.frames.base import Table
from secureml.pseudonymization.keys import Keyring
from secureml.pseudonymization.manifest import Manifest

__all__ = ["OfBatch", "Stream", "carried", "check_types", "given_back", "in_batch"]

OfBatch = Callable[[Table], Table]
"""What is applied to each batch; it pickles if streams of its kind do."""


class Stream(ABC):
    """A table that comes in batches.

    Attributes:
        empty: a table of the same columns without rows.
        by_column: whether each column carries a manifest of its own.
    """

    empty: Table
    by_column: bool = False

    @abstractmethod
    def first(self, rows: int) -> Table:
        """Return the first rows, which a reader does not give again."""

    @abstractmethod
    def mapped(self, function: OfBatch, result: Table, manifest: Mapping[str, Any] | None) -> Any:
        """Return what gives the batches with a function applied to each, as the caller has it.

        Args:
            function: what is applied.
            result: what it makes of the table without rows.
            manifest: of the result, for kinds that can carry one; if columns carry their own, that
                of each column of the table that is to have another one, None for none.
        """


def carried(
    source: Table | Stream, manifest: Manifest, keyring: Keyring | None = None
) -> Mapping[str, Any] | None:
    """Return what the result of a source carries, as its kind does it.

    Args:
        source: what the caller gave.
        manifest: of the result; or, if there is no keyring, of the columns that were recovered.
        keyring: of its key.
    """
    if not (isinstance(source, Stream) and source.by_column):
        return None if keyring is None else manifest.document()
    columns: dict[str, list[str]] = {}
    for name in manifest.columns:
        columns.setdefault(source.empty.holders.get(name, (name,))[0], []).append(name)
    return {
        column: None if keyring is None else manifest.of_columns(names, keyring).document()
        for column, names in columns.items()
    }


def given_back(
    source: Table | Stream, result: Table, manifest: Mapping[str, Any] | None, function: OfBatch
) -> Any:
    """Return a result as the caller has the source.

    Args:
        source: what the caller gave.
        result: what became of it, or of the stream's table without rows.
        manifest: as the result carries it, or None for none.
        function: what makes the result of a batch.
    """
    if isinstance(source, Stream):
        return source.mapped(function, result, manifest)
    return result.native(manifest)


def in_batch(where: str, function: OfBatch, table: Table) -> Table:
    """Apply a function to a batch, and say in its error which one it is."""
    try:
        return function(table)
    except PseudonymizationError as error:
        error.reword(f"{where}: {error.message}")
        raise


def check_types(names: Sequence[str], types: Sequence[Any], made: Sequence[Any]) -> None:
    """Check that the columns of a batch have the types that the schema of all batches tells.

    Args:
        names: of the columns.
        types: as the schema tells.
        made: of the batch.

    Raises:
        PseudonymizationError: some have others, as what a function of the caller's made.
    """
    columns = zip(names, types, made, strict=True)
    told = [f"{name!r} is {new}, not {one}" for name, one, new in columns if one != new]
    if told:
        raise PseudonymizationError(
            "columns of a batch have other types than those without rows, by which the schema was"
            f" made: {', '.join(told)}"
        )
