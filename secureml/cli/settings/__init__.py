"""``secureml settings``: what is in force, where it comes from, and whether it is right."""

from __future__ import annotations

import click

from secureml.cli.base import LazyGroup

__all__ = ["settings"]


@click.group(
    cls=LazyGroup,
    package=__name__,
    commands_at={
        "show": ("show", "Print every setting and its origin"),
        "explain": ("explain", "Tell what a setting is for, and where it is set"),
        "validate": ("validate", "Print every problem of the settings files, with its line"),
        "diff": ("diff", "Print the settings that differ between two environments"),
        "schema": ("show", "Print the JSON Schema of a settings file"),
    },
)
def settings() -> None:
    """Show, explain and check the settings."""
