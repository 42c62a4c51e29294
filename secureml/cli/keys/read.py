"""``secureml keys get-key``, ``list``, ``info`` and ``history``: what there is."""

from __future__ import annotations

import click

from secureml.cli.base import command, note
from secureml.cli.keys.output import facts_of, print_facts, print_keys
from secureml.cli.options import json_option, key_name_option
from secureml.cli.output import show, show_json
from secureml.key_management import KeyManager
from secureml.keys import Encoding, encode

__all__ = ["get_key", "history", "info", "list_keys"]

_any_version = click.option(
    "--version", type=click.IntRange(1), metavar="N", help="A version; the newest by default."
)


@command()
@key_name_option
@click.option(
    "--length",
    type=click.IntRange(16, 8160),
    metavar="BYTES",
    help="The length that it must have; 32 by default. With --info any length will do.",
)
@click.option(
    "--encoding",
    type=click.Choice(["hex", "base64"]),
    default="hex",
    show_default=True,
    help="How to print it.",
)
@_any_version
@click.option(
    "--info", "only_info", is_flag=True, help="Print where the key comes from, and not the key."
)
@json_option
def get_key(
    environment: str | None,
    *,
    key_name: str | None,
    length: int | None,
    encoding: Encoding,
    version: int | None,
    only_info: bool,
    as_json: bool,
) -> None:
    """Print a key, alone on standard output.

    Where it comes from is printed on standard error.

    Examples:
      secureml keys get-key --key-name master_key
      secureml keys get-key --key-name master_key --encoding base64 --version 1 | some-program
      secureml keys get-key --info
    """
    with KeyManager(environment=environment) as manager:
        if only_info and length is None:
            print_facts(manager.key_info(key_name, version), as_json=as_json)
            return
        key = manager.get_key(key_name, version, key_bytes=32 if length is None else length)
    if only_info:
        print_facts(key.info, as_json=as_json)
        return
    if as_json:
        shown = {"key": encode(key.material, encoding), "encoding": encoding}
        show_json(shown | facts_of(key.info))
        return
    kept = f"version {key.version}" if key.version else "no version"
    note(f"{key.name}, {kept}, from {key.source} {key.path}, fingerprint {key.fingerprint}")
    show(encode(key.material, encoding))


@command()
@json_option
def list_keys(environment: str | None, as_json: bool) -> None:
    """List the keys in Vault.

    Prints the newest version of each, and not the keys themselves.

    Examples:
      secureml keys list
      secureml keys list --env production --json
    """
    with KeyManager(environment=environment) as manager:
        found = manager.list_keys()
    print_keys(found, as_json=as_json)
    if not found and not as_json:
        note("there are no keys")


@command()
@key_name_option
@_any_version
@json_option
def info(environment: str | None, key_name: str | None, version: int | None, as_json: bool) -> None:
    """Print what is known of a key, and not the key itself.

    Examples:
      secureml keys info
      secureml keys info --key-name archive_key --version 2 --json
    """
    with KeyManager(environment=environment) as manager:
        print_facts(manager.key_info(key_name, version), as_json=as_json)


@command()
@key_name_option
@json_option
def history(environment: str | None, key_name: str | None, as_json: bool) -> None:
    """List every version of a key in Vault, oldest first.

    Disabled and destroyed ones are among them; what is destroyed has no fingerprint.

    Examples:
      secureml keys history
      secureml keys history --key-name archive_key --json
    """
    with KeyManager(environment=environment) as manager:
        print_keys(manager.key_history(key_name), as_json=as_json)
