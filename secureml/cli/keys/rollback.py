"""``secureml keys accept-rollback``: go on with a Vault that went back to older data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from secureml.cli.base import command, fail
from secureml.cli.keys.output import WRITTEN, as_json_option
from secureml.cli.output import confirm, show, show_json

if TYPE_CHECKING:
    from secureml.key_management import KeyManager

__all__ = ["accept_rollback"]


@command(
    "accept-rollback",
    examples="""
secureml keys accept-rollback --key-name master_key
secureml keys accept-rollback --key-name master_key --highest 5 --yes
""",
    interrupted=WRITTEN,
)
@click.option("--key-name", required=True, metavar="NAME", help="The key.")
@click.option(
    "--highest",
    type=click.IntRange(1),
    metavar="N",
    help="The highest version that was in use, if this machine has not seen it.",
)
@click.option("--yes", is_flag=True, help="Do it without asking.")
@as_json_option
def accept_rollback(
    environment: str | None, *, key_name: str, highest: int | None, yes: bool, as_json: bool
) -> None:
    """Give up the versions of a key that Vault lost.

    For a Vault that was restored from a backup, or took over with older data. Until this is done,
    nothing uses the key. What was pseudonymized under a lost version can't be recovered with this
    Vault; the next rotation takes a number that no version ever had.
    """
    from secureml.key_management import KeyManager

    if not (yes or sys.stdin.isatty()):
        raise click.UsageError("This asks on a terminal first; if there is none, pass --yes.")
    with KeyManager(environment=environment) as manager:
        if not (yes or _is_confirmed(manager, key_name)):
            fail("nothing was changed", 1)
        lost = manager.accept_rollback(key_name, highest)
    if as_json:
        show_json({"name": key_name, "lost": list(lost)})
        return
    for version in lost:
        show(f"{key_name}, version {version}, is given up")


def _is_confirmed(manager: KeyManager, name: str) -> bool:
    newest = manager.key_history(name)[-1]
    show(
        f"Vault has {name} up to version {newest.version}, {newest.state}, at {newest.path}",
        f"fingerprint {newest.fingerprint or 'not known'}, created {newest.created}",
        err=True,
    )
    return confirm("Go on with that, and give up what was there after it?")
