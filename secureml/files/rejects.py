"""Rows that can't be pseudonymized as they are, in a file of their own, in clear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from secureml.errors import DomainTooSmallError, InvalidValueError
from secureml.files.base import Chunk, TableFile, TableWriter
from secureml.files.compression import writer_of
from secureml.files.locations import Location
from secureml.files.workers import Function, Outcome

__all__ = ["Rejects"]

_PRIVATE = 0o600


class Rejects:
    """Writes rejected rows as they were read, for their owner alone; used in a ``with`` block.

    Args:
        table: what is read.
        target: where they go; None if a row that can't be pseudonymized is an error.
    """

    def __init__(self, table: TableFile, target: Location | None) -> None:
        self.rows = 0
        self._table = table
        self._target = target
        self._stack = ExitStack()
        self._writer: TableWriter | None = None

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None and error[0] is None:
            self._writer.close(None)
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def accepted(
        self,
        chunk: Chunk,
        outcome: Callable[[], Outcome],
        function: Function,
        schema: pa.Schema | None,
    ) -> tuple[Chunk, Outcome]:
        """Return the rows that are not rejected, and what becomes of them.

        Args:
            chunk: the rows.
            outcome: returns what becomes of all.
            function: does the work for some.
            schema: what the outcome is to have.

        Raises:
            PseudonymizationError: the chunk can't be worked on, or rows are not to be rejected.
        """
        while True:
            places: Sequence[int] = ()
            try:
                return chunk, outcome()
            except (DomainTooSmallError, InvalidValueError) as error:
                if self._target is None or not error.places:
                    raise
                places = error.places
            wrong = np.zeros(len(chunk), np.bool_)
            wrong[places] = True
            self._add(chunk.picked(pa.array(wrong)))
            chunk = chunk.picked(pa.array(~wrong))
            outcome = partial(function, chunk.table, schema)

    def _add(self, chunk: Chunk) -> None:
        if self._writer is None:
            assert self._target is not None
            self._target.make_folder(0o700)
            file = self._stack.enter_context(self._target.writing(_PRIVATE))
            name = Path(self._target.shown)
            self._writer = writer_of(self._table, name, file, self._table.schema)
        self._writer.write(chunk, pa.table({}))
        self.rows += len(chunk)
