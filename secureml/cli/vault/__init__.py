"""``secureml vault``: set a Vault up, run one for development, and see how one is."""

from __future__ import annotations

import click

from secureml.cli.vault.bootstrap import bootstrap
from secureml.cli.vault.dev import dev
from secureml.cli.vault.status import status

__all__ = ["vault"]


@click.group()
def vault() -> None:
    """Set a Vault up, run one for development, see how one is."""


vault.add_command(bootstrap)
vault.add_command(dev)
vault.add_command(status)
