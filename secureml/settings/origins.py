"""Where a value comes from: layer, file, section and line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Origin", "Place"]


class Place(NamedTuple):
    """One layer that a value comes from.

    Attributes:
        words: the layer in words, for messages and listings.
        file: the settings file, if it is one.
        section: the section of that file.
    """

    words: str
    file: Path | None = None
    section: str | None = None

    def line(self, name: str) -> int | None:
        """Return the line, from 1, of a setting as the file is now; None if it isn't in it."""
        if self.file is None or self.section is None:
            return None
        try:
            return _line(self.file.read_text("utf-8-sig"), self.section, name)
        except (OSError, ValueError):
            return None


class Origin(str):
    """The layers that a value comes from, weakest first, as text.

    Args:
        *places: the layers.

    Attributes:
        places: the layers.
    """

    __slots__ = ("places",)
    places: tuple[Place, ...]

    def __new__(cls, *places: Place) -> Origin:
        origin = super().__new__(cls, ", ".join(place.words for place in places))
        origin.places = places
        return origin

    def __reduce__(self) -> tuple[Any, ...]:
        return Origin, self.places

    @classmethod
    def of(cls, *origins: str) -> Origin:
        """Return the origin of what several layers, or one, make up."""
        one_by_one = (each.places if isinstance(each, cls) else (Place(each),) for each in origins)
        return cls(*(place for places in one_by_one for place in places))


def _line(text: str, section: str, name: str) -> int | None:
    """Find the first statement of a TOML document that says something of a setting."""
    header: list[str] = []
    statement, first = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        statement += f"{line}\n"
        try:
            said: Any = tomllib.loads(statement)
        except ValueError:
            continue  # it goes on in the next line
        is_header = statement.lstrip().startswith("[")
        tree = said
        for part in reversed([] if is_header else header):
            tree = {part: tree}
        if name in tree.get(section, {}):
            return first
        if is_header:
            header = _path(said)
        statement, first = "", number + 1
    return None


def _path(table: Any) -> list[str]:
    """Return the keys of a header, which hold nothing but one another."""
    path = []
    while table:
        if isinstance(table, list):
            table = table[0]
            continue
        ((key, table),) = table.items()
        path.append(key)
    return path
