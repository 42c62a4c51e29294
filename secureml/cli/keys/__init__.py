"""``secureml keys``: make, read, list, rotate, disable, destroy, export and restore keys."""

from __future__ import annotations

import click

from secureml.cli.keys.change import destroy, disable, enable, rotate
from secureml.cli.keys.check import check
from secureml.cli.keys.configure_vault import configure_vault
from secureml.cli.keys.export import export, restore, verify_backup
from secureml.cli.keys.make import generate_key, import_key
from secureml.cli.keys.read import get_key, history, info, list_keys
from secureml.cli.keys.rollback import accept_rollback
from secureml.cli.keys.usage import usage

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Make, read and rotate keys.

    configure-vault sets up the connection that all others use.
    """


for _command in (
    configure_vault,
    generate_key,
    import_key,
    get_key,
    list_keys,
    info,
    history,
    rotate,
    disable,
    enable,
    destroy,
    accept_rollback,
    usage,
    check,
    export,
    restore,
    verify_backup,
):
    keys.add_command(_command)
