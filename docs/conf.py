"""Build: sphinx-build -n -W docs docs/_build/html. Nothing is fetched from the network."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click
from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import secureml
from secureml.cli import main
from secureml.errors import SecureMLError
from secureml.settings import reference

project = "secureml"
author = "the secureml developers"
version = release = secureml.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
pygments_dark_style = "a11y-high-contrast-dark"  # as the light one; the default underlines imports
html_title = f"secureml {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_favicon = "_static/favicon.svg"

# The docstrings are plain text: a name in single backquotes is code and no link.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_display_short_literal_types = True

# Other projects' types: without a network there is nothing that a link to them could be made from.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|datetime|os|pathlib|types|typing|typing_extensions)\..*"),
    ("py:.*", r"(duckdb|numpy|pandas|pd|polars|pyarrow|pyspark|hvac)\..*"),
    ("py:class", r"secureml\.anonymization\.(plan\.Plan|\w+\.Frame)"),
    ("py:class", r"secureml\.settings\.run_secrets\.RunSecrets|SparkSession|(\w+\.)*KeyArguments"),
]

# Policies are HCL in their own manner, which Pygments reads only in part.
suppress_warnings = ["misc.highlighting_failure"]


class SettingsReference(SphinxDirective):
    """The list of all settings, as the package itself describes them."""

    def run(self) -> list[Node]:
        """Make the list."""
        return self.parse_text_to_nodes(reference())


class ErrorReference(SphinxDirective):
    """Each error with its code, its cause and its remedy, as the classes themselves tell."""

    def run(self) -> list[Node]:
        """Make a section for each error."""
        pages = "\n".join(_entry_of(error) for error in _tree(SecureMLError))
        return self.parse_text_to_nodes(pages, allow_section_headings=True)


def _tree(error: type[SecureMLError]) -> Iterator[type[SecureMLError]]:
    yield error
    for child in error.__subclasses__():
        yield from _tree(child)


def _entry_of(error: type[SecureMLError]) -> str:
    cause = inspect.cleandoc(error.__doc__ or "").replace("``", "`")
    bases = " and ".join(f"`{base.__name__}`" for base in error.__bases__)
    paragraphs = (cause, f"Remedy: {error.remedy}", f"Bases: {bases}.")
    return "\n\n".join((f"## {error.code} {error.__name__}", *paragraphs)) + "\n"


class CommandReference(SphinxDirective):
    """What ``--help`` prints, for every command."""

    def run(self) -> list[Node]:
        """Make a section for each command."""
        pages = "\n".join(_help_of(main, "secureml"))
        return self.parse_text_to_nodes(pages, allow_section_headings=True)


def _help_of(command: click.Command, path: str) -> Iterator[str]:
    context = click.Context(command, info_name=path, max_content_width=88, terminal_width=88)
    yield f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _help_of(inner, f"{path} {name}")


REPLACED = {
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    "<p><img": '<p tabindex="0"><img',
    'role="heading"': 'role="heading" aria-level="2"',
}
"""What scrolls takes the focus, for keyboards; a heading without a level is none to a reader."""


CODE = re.compile(r'(?<=<span class="pre">)[^<]+')
INSIDE_NAMES = re.compile(r"(?<=[_/:])(?=\w)")


def make_accessible(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Node | None
) -> None:
    """Add to a page what assistive technology and narrow windows need."""
    for part in {"body", "furo_navigation_tree"} & set(context):
        for text, better in REPLACED.items():
            context[part] = context[part].replace(text, better)
        context[part] = CODE.sub(lambda code: INSIDE_NAMES.sub("<wbr>", code[0]), context[part])


def setup(app: Sphinx) -> None:
    """Register the directives of these pages, and what is done to each page at last."""
    app.connect("html-page-context", make_accessible, priority=900)
    app.add_directive("settings-reference", SettingsReference)
    app.add_directive("error-reference", ErrorReference)
    app.add_directive("command-reference", CommandReference)
