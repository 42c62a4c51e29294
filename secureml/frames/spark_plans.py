"""Unions in the plans of Spark's frames, which have the metadata of their first part alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pyspark.sql import DataFrame

from secureml.frames.base import ATTRIBUTE

__all__ = ["mixed_in"]

_Fields = list[dict[str, Any]]


def mixed_in(frame: DataFrame) -> set[str]:
    """Return the manifests of those columns that have rows of other manifests too, or of none.

    What was written and read again has one manifest alone, and is not told apart.
    """
    mixed = set()
    for first, *others in _unions(frame):
        for at, field in enumerate(first):
            document = field["metadata"].get(ATTRIBUTE)
            if any(other[at]["metadata"].get(ATTRIBUTE) != document for other in others):
                mixed.add(document)
    return mixed - {None}


def _unions(frame: DataFrame) -> Iterator[list[_Fields]]:
    """Give the fields of each part of each union."""
    plan = getattr(frame, "_plan", None)
    if plan is not None:
        yield from _unions_of_connect(frame, plan)
        return
    pending = [frame._jdf.queryExecution().analyzed()]
    while pending:
        node = pending.pop()
        children = [node.children().apply(at) for at in range(node.children().size())]
        if node.nodeName() == "Union":
            yield [json.loads(child.schema().json())["fields"] for child in children]
        pending += children


def _unions_of_connect(frame: Any, plan: Any) -> Iterator[list[_Fields]]:
    """Give those of a plan that the server has not seen, which tells the schemas of parts."""

    def fields_of(part: Any) -> _Fields:
        fields: _Fields = type(frame)(part, frame.sparkSession).schema.jsonValue()["fields"]
        return fields

    pending = [plan]
    while pending:
        node = pending.pop()
        named = (getattr(node, name, None) for name in ("_child", "left", "right", "other"))
        pending += [child for child in named if hasattr(child, "_child")]
        if getattr(node, "set_op", None) != "union":
            continue
        first, second = fields_of(node._child), fields_of(node.other)
        if node.by_name:
            names = {field["name"].casefold(): field for field in second}
            absent: dict[str, Any] = {"metadata": {}}
            second = [names.get(field["name"].casefold(), absent) for field in first]
        yield [first, second]
