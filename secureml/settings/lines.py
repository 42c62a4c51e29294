"""Where the keys of a TOML document stand in its text."""

from __future__ import annotations

import functools
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Keys", "blanked", "lines_of"]

Keys = tuple[str, ...]
"""The keys that lead to a value, from the outermost."""

_QUOTED = re.compile(
    r'''"""(?:\\.|[^\\])*?(?:"""|\\?\Z)|"(?:\\.|[^"\\\n])*+"?'''
    r"""|'''.*?(?:'''|\Z)|'[^'\n]*+'?|#[^\n]*+""",
    re.DOTALL,
)
"""Strings and comments of TOML; each alternative fits whatever follows, so none is tried twice."""


def blanked(text: str) -> str:
    """Return the text of a document with a letter for each character of strings and comments."""
    return _QUOTED.sub(lambda found: "k" * len(found[0]), text)


def lines_of(path: Path) -> Mapping[Keys, int]:
    """Return the lines, from 1, at which tables and values first stand in a file as it is now.

    Args:
        path: the file; one that can't be read or parsed has none.
    """
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            return _lines_of(path, _version(status))
    except (OSError, ValueError, RecursionError):
        pass
    return {}


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=8)
def _lines_of(path: Path, _as_of: tuple[int, ...]) -> Mapping[Keys, int]:
    lines: dict[Keys, int] = {}
    header: Keys = ()
    for line, statement in _statements(path.read_text("utf-8-sig")):
        said = tomllib.loads(statement)
        is_header = statement.lstrip().startswith("[")
        outer = () if is_header else header
        for keys in _keys_of(said):
            lines.setdefault((*outer, *keys), line)
        if is_header:
            *_, header = ((), *_keys_of(said))
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Split a document into its statements, with the line at which each begins."""
    begin, line, depth = 0, 1, 0
    for found in re.finditer(r"[\[\]{}\n]|\Z", blanked(text)):
        if found[0] in ("[", "{"):
            depth += 1
        elif found[0] in ("]", "}"):
            depth -= 1
        elif depth <= 0 or not found[0]:
            yield line, text[begin : found.end()]
            line += text.count("\n", begin, found.end())
            begin = found.end()


def _keys_of(tree: Any, outer: Keys = ()) -> Iterator[Keys]:
    """Return the keys that a statement names, the outermost first."""
    table = tree[0] if isinstance(tree, list) and tree else tree
    for key, value in table.items() if isinstance(table, dict) else ():
        yield (*outer, key)
        yield from _keys_of(value, (*outer, key))
