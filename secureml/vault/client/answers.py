"""JSON objects in Vault's answers; each member is checked for its type when it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from secureml.errors import MalformedAnswerError

__all__ = ["Members"]

_DEEPEST = 200
_HIGHEST_INTEGER = 2**63 - 1
_LONGEST_SECONDS = _HIGHEST_INTEGER // 10**9
"""A duration in Go is a number of nanoseconds."""

_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Members(Mapping[str, Any]):
    """A JSON object of an answer.

    Its representation shows no members, so that no traceback that shows variables does; and no
    method puts a member into a variable before it raises. A member that is missing or null is None
    or empty; one of another type than the method's is a `MalformedAnswerError`.

    Args:
        members: the members by name.
        place: where it comes from, for messages.
    """

    __slots__ = ("_members", "_place")

    def __init__(self, members: Mapping[str, Any], place: str) -> None:
        self._members = members
        self._place = place

    @classmethod
    def parse(cls, content: bytes, place: str) -> Members | None:
        """Read the body of an answer; None if it is no JSON object that Vault could send.

        Args:
            content: the body.
            place: where it comes from, for messages.
        """
        try:
            text = content.decode()
            members = json.loads(text)
            # A text with half of a surrogate pair can't be encoded, wherever it goes from here.
            if "\\u" in text:
                json.dumps(members, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            return None
        if not isinstance(members, dict):
            return None
        is_deep = text.count("[") + text.count("{") > _DEEPEST and _is_deep(members)
        return None if is_deep else cls(members, place)

    def __getitem__(self, name: str) -> Any:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<{len(self._members)} members of an answer>"

    @property
    def request_id(self) -> str | None:
        """The id of the request in Vault's audit log; only a UUID, as our own log will hold it."""
        text = self.text("request_id")
        return text if text and _UUID.fullmatch(text) else None

    def text(self, name: str) -> str | None:
        """Return a text."""
        self._expect(name, str)
        return self._members.get(name)

    def word(self, name: str) -> str | None:
        """Return a text that can be shown as it is, such as the type of a mount."""
        if not _WORD.fullmatch(self.text(name) or "-"):
            raise self.malformed(name)
        return self._members.get(name)

    def flag(self, name: str) -> bool:
        """Return a boolean; False if there is none."""
        self._expect(name, bool)
        return bool(self._members.get(name))

    def integer(self, name: str) -> int | None:
        """Return a whole number that is not negative."""
        self._expect(name, int)
        if isinstance(self._members.get(name), bool):
            raise self.malformed(name)
        if not 0 <= (self._members.get(name) or 0) <= _HIGHEST_INTEGER:
            raise self.malformed(name)
        return self._members.get(name)

    def seconds(self, name: str) -> int:
        """Return a duration; 0 if there is none."""
        seconds = self.integer(name) or 0
        if seconds > _LONGEST_SECONDS:
            raise self.malformed(name)
        return seconds

    def time(self, name: str) -> datetime | None:
        """Return a moment, with its time zone; None if the text is empty as well."""
        if not self.text(name):
            return None
        try:
            moment = datetime.fromisoformat(self._members[name])
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise self.malformed(name)
        return moment

    def mapping(self, name: str) -> Members | None:
        """Return an object; None if there is none."""
        self._expect(name, dict)
        return (
            None if self._members.get(name) is None else Members(self._members[name], self._place)
        )

    def section(self, name: str) -> Members:
        """Return an object; empty if there is none."""
        self._expect(name, dict)
        return Members(self._members.get(name) or {}, self._place)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; empty if there is none."""
        self._expect(name, list)
        if not all(isinstance(each, str) for each in self._members.get(name) or ()):
            raise self.malformed(name)
        return list(self._members.get(name) or ())

    def labels(self, name: str) -> dict[str, str]:
        """Return an object of texts; empty if there is none."""
        if not all(isinstance(each, str) for each in self.section(name).values()):
            raise self.malformed(name)
        return dict(self.section(name))

    def says(self, words: str) -> bool:
        """Tell whether one of the answer's errors holds these words, in any case."""
        return any(words.lower() in text.lower() for text in self.texts("errors"))

    def malformed(self, name: str) -> MalformedAnswerError:
        """Return the error of an answer with a member that Vault does not send."""
        return MalformedAnswerError(
            f"what answers at {self._place} does not answer as Vault: {name!r} is missing or of "
            "another type"
        )

    def _expect(self, name: str, kind: type) -> None:
        if not isinstance(self._members.get(name), kind | None):
            raise self.malformed(name)


def _is_deep(members: object) -> bool:
    """Tell whether objects and lists are nested deeper than recursion allows."""
    level = [members]
    for _ in range(_DEEPEST):
        level = [child for each in level for child in _children(each)]
        if not level:
            return False
    return True


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
