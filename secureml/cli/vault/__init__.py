"""``secureml vault``: set a Vault up, run one for development, and see how one is."""

from __future__ import annotations

import click

from secureml.cli.base import LazyGroup

__all__ = ["vault"]


@click.group(
    cls=LazyGroup,
    package=__name__,
    commands_at={
        "bootstrap": ("bootstrap", "Set Vault up: mount, policies, roles"),
        "dev": ("dev", "Run a server for development"),
        "status": ("status", "Show how Vault is, and what the token may do"),
    },
)
def vault() -> None:
    """Set a Vault up, run one for development, see how one is."""
