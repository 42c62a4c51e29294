"""What notebooks show of a manifest: its key and its columns, without options or sketches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from secureml.notebooks import html_table
from secureml.pseudonymization.manifest.layouts import COUNTS

if TYPE_CHECKING:
    from secureml.pseudonymization.keys import KeyReference
    from secureml.pseudonymization.manifest.columns import Column
    from secureml.pseudonymization.manifest.signed import Manifest

__all__ = ["manifest_html"]

_RECIPE = ("strategy", "format", "key_domain", "domain_prefix", "tweak")


def manifest_html(manifest: Manifest) -> str:
    """Return a manifest as two tables in HTML: what all of it is of, and its columns.

    Args:
        manifest: of a table; its MAC is shown as it is, because no key is at hand to check it.
    """
    names = ("column", *(name.removeprefix("key_") for name in _RECIPE), "reversible", *COUNTS)
    rows = ((name, *_cells(column)) for name, column in manifest.columns.items())
    return f"{html_table(('field', 'value'), _fields(manifest))}\n{html_table(names, rows)}"


def _fields(manifest: Manifest) -> Iterator[tuple[str, object]]:
    yield "environment", manifest.key.environment
    yield "key", manifest.key.name
    for version in (*manifest.older, manifest.key):
        yield "version", _described(version)
    yield "schema", manifest.schema
    yield "MAC", manifest.mac


def _described(key: KeyReference) -> str:
    version = "none" if key.version is None else key.version
    wrapped = "" if key.envelope is None else f", wrapped by {key.envelope.get('transit_key')}"
    return f"{version} (check {key.check}{wrapped})"


def _cells(column: Column) -> Iterator[object]:
    for name in _RECIPE:
        yield getattr(column.recipe, name)
    yield "yes" if column.recipe.reversible else "no"
    for name in COUNTS:
        yield getattr(column.counts, name, None)
