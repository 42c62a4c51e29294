"""Where a value or a problem comes from: layer, file, section and line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from secureml.settings.lines import Keys, lines_of

__all__ = ["Origin", "Place", "Problem"]


class Place(NamedTuple):
    """One layer that a value comes from.

    Attributes:
        words: the layer in words, for messages and listings.
        file: the settings file, if it is one.
        section: the section of that file; None for the whole file.
    """

    words: str
    file: Path | None = None
    section: str | None = None

    def line(self, *keys: str) -> int | None:
        """Return the line, from 1, of a setting as the file is now; None if it isn't in it.

        Args:
            *keys: its name, and those of tables inside of it.
        """
        return None if self.file is None else lines_of(self.file).get(self._whole(keys))

    def line_near(self, *keys: str) -> int | None:
        """Return the line of a setting, or else of the innermost table around it."""
        whole = self._whole(keys)
        lines = {} if self.file is None else lines_of(self.file)
        return next((lines[k] for n in range(len(whole), 0, -1) if (k := whole[:n]) in lines), None)

    def _whole(self, keys: Keys) -> Keys:
        return keys if self.section is None else (self.section, *keys)


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


class Problem(str):
    """What is wrong, as a text that tells where, and what it tells apart from each other.

    Args:
        text: the whole.
        sentence: what is wrong; the whole text by default.
        place: where.
        keys: there, the setting and tables inside of it.
        line: its line, if its keys don't tell it.
        parts: the problems that this one sums up.
    """

    __slots__ = ("keys", "known_line", "parts", "place", "sentence")
    sentence: str
    place: Place | None
    keys: Keys
    known_line: int | None
    parts: tuple[Problem, ...]

    def __new__(
        cls,
        text: str,
        sentence: str | None = None,
        *,
        place: Place | None = None,
        keys: Sequence[str] = (),
        line: int | None = None,
        parts: Sequence[Problem] = (),
    ) -> Problem:
        problem = super().__new__(cls, text)
        problem.sentence = text if sentence is None else sentence
        problem.place, problem.keys, problem.parts = place, tuple(keys), tuple(parts)
        problem.known_line = line
        return problem

    @classmethod
    def of(cls, problem: str) -> Problem:
        """Return a problem that may be told by text alone."""
        return problem if isinstance(problem, cls) else cls(problem)

    @property
    def line(self) -> int | None:
        """Its line in the file as it is now; None if it is none of a file's lines."""
        if self.known_line is not None or self.place is None:
            return self.known_line
        return self.place.line_near(*self.keys)

    def under(self, *keys: str) -> Problem:
        """Return it as one of a setting, or of a table, that is around its own keys."""
        parts = [part.under(*keys) for part in self.parts]
        return Problem(self, self.sentence, keys=(*keys, *self.keys), parts=parts)

    def at(self, place: Place, words: str) -> Problem:
        """Return it as one of a place.

        Args:
            place: the place.
            words: what the text calls it.
        """
        parts = [part.at(place, words) for part in self.parts]
        text = f"{words}: {self}"
        return Problem(
            text, self.sentence, place=place, keys=self.keys, line=self.known_line, parts=parts
        )
