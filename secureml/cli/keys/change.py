"""``secureml keys rotate``, ``disable``, ``enable``, ``destroy`` and ``accept-rollback``."""

from __future__ import annotations

import sys

import click

from secureml.cli.base import command, fail, note
from secureml.cli.keys.output import WRITTEN, print_facts, print_keys
from secureml.cli.options import json_option, key_name_option
from secureml.cli.output import ask, confirm, show, show_json
from secureml.errors import SecretNotFoundError
from secureml.key_management import KeyManager
from secureml.keys import KeyInfo

__all__ = ["accept_rollback", "destroy", "disable", "enable", "rotate"]

_named = click.option("--key-name", required=True, metavar="NAME", help="The key.")
_version = click.option(
    "--version", type=click.IntRange(1), required=True, metavar="N", help="The version."
)
_yes = click.option("--yes", is_flag=True, help="Do it without asking.")


@command(interrupted=WRITTEN)
@key_name_option
@click.option("--all-due", is_flag=True, help="Every key whose rotation period is over, instead.")
@click.option(
    "--new-material", is_flag=True, help="Replace even a key that a transit key in Vault wraps."
)
@json_option
def rotate(
    environment: str | None,
    *,
    key_name: str | None,
    all_due: bool,
    new_material: bool,
    as_json: bool,
) -> None:
    """Give a key a new version; the older ones stay readable.

    Tables that were pseudonymized under an older version can still be recovered. Prints the new
    version and its fingerprint, not the key.

    A key that a transit key in Vault wraps stays the same: the transit key is rotated, and wraps
    it afresh. --new-material makes a new one.

    Examples:
      secureml keys rotate
      secureml keys rotate --key-name archive_key --env production
      secureml keys rotate --all-due
    """
    if all_due and (key_name is not None or new_material):
        other = "--new-material" if key_name is None else "--key-name"
        raise click.UsageError(f"--all-due and {other} can't both be given.")
    with KeyManager(environment=environment) as manager:
        if not all_due:
            rotated_key = manager.rotate_key(key_name, new_material=new_material)
            print_facts(rotated_key, as_json=as_json)
            return
        rotated = manager.rotate_due()
    print_keys(rotated, as_json=as_json)
    if not rotated and not as_json:
        note("no key is due")


@command(interrupted=WRITTEN)
@_named
@_version
@_yes
@json_option
def disable(
    environment: str | None, *, key_name: str, version: int, yes: bool, as_json: bool
) -> None:
    """Take a version of a key out of use.

    Until it is enabled again, programs that use this library can neither pseudonymize nor recover
    with it. One that has it in its cache can until its entry there is too old.

    Examples:
      secureml keys disable --key-name master_key --version 2
      secureml keys disable --key-name master_key --version 2 --yes
    """
    _need_terminal(unless=yes, option="--yes")
    with KeyManager(environment=environment) as manager:
        if not yes:
            _show(_version_of(manager, key_name, version))
            if not confirm("Disable it? Programs that need it fail until it is enabled again"):
                fail("nothing was disabled", 1)
        print_facts(manager.disable_key_version(key_name, version), as_json=as_json)


@command(interrupted=WRITTEN)
@_named
@_version
@json_option
def enable(environment: str | None, key_name: str, version: int, as_json: bool) -> None:
    """Take a disabled version of a key into use again.

    Examples:
      secureml keys enable --key-name master_key --version 2
    """
    with KeyManager(environment=environment) as manager:
        print_facts(manager.enable_key_version(key_name, version), as_json=as_json)


@command(interrupted=WRITTEN)
@_named
@_version
@click.option(
    "--fingerprint", metavar="HEX", help="The version's fingerprint; goes with --yes alone."
)
@click.option("--yes", is_flag=True, help="Do it without asking; takes --fingerprint.")
@json_option
def destroy(
    environment: str | None,
    *,
    key_name: str,
    version: int,
    fingerprint: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Destroy a version of a key for good.

    All that was pseudonymized under it and not moved is lost with it. On a terminal this shows
    the version and has its fingerprint typed.

    Examples:
      secureml keys destroy --key-name master_key --version 1
      secureml keys destroy --key-name master_key --version 1 --fingerprint 0123456789abcdef --yes
    """
    if yes != (fingerprint is not None):
        raise click.UsageError("--yes takes the version's --fingerprint, and goes with it alone.")
    _need_terminal(unless=yes, option="--yes and --fingerprint")
    with KeyManager(environment=environment) as manager:
        if fingerprint is None:
            _show(_version_of(manager, key_name, version))
            fingerprint = ask("Type its fingerprint to destroy it for good")
            if not fingerprint:
                fail("nothing was destroyed", 1)
        print_facts(manager.destroy_key_version(key_name, version, fingerprint), as_json=as_json)


@command(interrupted=WRITTEN)
@_named
@click.option(
    "--highest",
    type=click.IntRange(1),
    metavar="N",
    help="The highest version that was in use, if this machine has not seen it.",
)
@_yes
@json_option
def accept_rollback(
    environment: str | None, *, key_name: str, highest: int | None, yes: bool, as_json: bool
) -> None:
    """Give up the versions of a key that Vault lost.

    For a Vault that was restored from a backup, or took over with older data. Until this is done,
    nothing uses the key. What was pseudonymized under a lost version can't be recovered with this
    Vault; the next rotation takes a number that no version ever had.

    Examples:
      secureml keys accept-rollback --key-name master_key
      secureml keys accept-rollback --key-name master_key --highest 5 --yes
    """
    _need_terminal(unless=yes, option="--yes")
    with KeyManager(environment=environment) as manager:
        if not yes:
            newest = manager.key_history(key_name)[-1]
            _show(newest)
            show(f"created {newest.created}, the newest version that Vault has", err=True)
            if not confirm("Go on with that, and give up what was there after it?"):
                fail("nothing was changed", 1)
        lost = manager.accept_rollback(key_name, highest)
    if as_json:
        show_json({"name": key_name, "lost": list(lost)})
        return
    for version in lost:
        show(f"{key_name}, version {version}, is given up")


def _need_terminal(*, unless: bool, option: str) -> None:
    if not unless and not sys.stdin.isatty():
        raise click.UsageError(f"This asks on a terminal first; if there is none, pass {option}.")


def _version_of(manager: KeyManager, name: str, version: int) -> KeyInfo:
    for info in manager.key_history(name):
        if info.version == version:
            return info
    raise SecretNotFoundError(f"there is no version {version} of {name!r} in Vault")


def _show(info: KeyInfo) -> None:
    show(
        f"{info.name}, version {info.version}, {info.state}, at {info.path}",
        f"fingerprint {info.fingerprint or 'not known'}",
        err=True,
    )
