"""``secureml keys``: make, read, list, rotate, disable, destroy, export and restore keys."""

from __future__ import annotations

import click

from secureml.cli.base import LazyGroup

__all__ = ["keys"]


@click.group(
    cls=LazyGroup,
    package=__name__,
    commands_at={
        "configure-vault": ("configure_vault", "Save the connection to Vault, and test it"),
        "generate-key": ("make", "Make a new key in Vault, never over an existing one"),
        "import": ("make:import_key", "Store a key that was made elsewhere"),
        "get-key": ("read", "Print a key, alone on standard output"),
        "list": ("read:list_keys", "List the keys in Vault"),
        "info": ("read", "Print what is known of a key, and not the key itself"),
        "history": ("read", "List every version of a key in Vault, oldest first"),
        "rotate": ("change", "Give a key a new version; the older ones stay readable"),
        "disable": ("change", "Take a version of a key out of use"),
        "enable": ("change", "Take a disabled version of a key into use again"),
        "destroy": ("change", "Destroy a version of a key for good"),
        "accept-rollback": ("change", "Give up the versions of a key that Vault lost"),
        "usage": ("usage", "Tell which versions of keys files need"),
        "check": ("check", "Check that keys can be used, for monitoring"),
        "export": ("export", "Write a whole key into a sealed file"),
        "restore": ("export", "Write every version of an exported key to Vault"),
        "verify-backup": ("export", "Check an exported key, against Vault and tables too"),
    },
)
def keys() -> None:
    """Make, read and rotate keys.

    configure-vault sets up the connection that all others use.
    """
