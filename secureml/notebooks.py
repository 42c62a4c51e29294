"""What notebooks show of objects: tables in HTML."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["html_table"]


def html_table(names: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in HTML, in which nothing of a value is markup.

    Args:
        names: of the columns.
        rows: their values; None is shown as nothing.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    return f"<td>{'' if value is None else escape(str(value))}</td>"
