"""How far the work on files is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

__all__ = ["Done", "Progress"]


class Done(float):
    """The fraction that is done, 0 to 1, and what it is made of.

    It is a number, so that a function that takes the fraction alone can be given it.

    Args:
        fraction: of all files together; 0 if nobody can know it.
        rows: how many rows are done.
        bytes: how many bytes of the input are done.
        file: the number of the file that is worked on.
        files: how many files there are.
    """

    __slots__ = ("bytes", "file", "files", "rows")
    rows: int
    bytes: int
    file: int
    files: int

    def __new__(
        cls, fraction: float, *, rows: int = 0, bytes: int = 0, file: int = 1, files: int = 1
    ) -> Self:
        self = super().__new__(cls, fraction)
        self.rows, self.bytes, self.file, self.files = rows, bytes, file, files
        return self

    def among(self, file: tuple[int, int], *, rows: int, bytes: int, total: int) -> Self:
        """Return how much of several files is done, if this is how much is done of one.

        Args:
            file: its number, and how many files there are.
            rows: how many rows of others are done.
            bytes: how many bytes of others are done.
            total: how many bytes all files have.
        """
        bytes += self.bytes
        number, files = file
        return type(self)(
            min(bytes / total, 1.0), rows=rows + self.rows, bytes=bytes, file=number, files=files
        )


Progress = Callable[[Done], object]
"""Takes how much is done."""
