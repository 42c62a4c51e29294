"""The one text of a document, which is what a MAC is of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

__all__ = ["canonical", "is_well_formed", "read_json"]


def read_json(text: str | bytes) -> Any:
    """Read JSON in which every name is given once.

    Raises:
        ValueError: it is not JSON, or holds a name twice, of which others may take either.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)


def canonical(body: Mapping[str, Any]) -> bytes:
    """Return the one text of a document: names sorted by code point, ASCII, no spaces.

    Documents that are not well-formed may share a text: two surrogates are written as the one
    character that they would make.
    """
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii")


def is_well_formed(document: object) -> bool:
    """Tell whether no text in a document has a lone surrogate, which is no character."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name is given twice")
    return fields


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
