"""``secureml settings``: what is in force and where it comes from."""

from __future__ import annotations

import click

from secureml.cli.base import LazyGroup

__all__ = ["settings"]


@click.group(
    cls=LazyGroup,
    package=__name__,
    commands_at={
        "show": ("show", "Print every setting and its origin"),
        "schema": ("show", "Print the JSON Schema of a settings file"),
    },
)
def settings() -> None:
    """Show the settings and their schema."""
