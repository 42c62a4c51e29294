"""``secureml keys``: make, read, list and rotate keys."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from secureml.cli.base import command, note
from secureml.cli.configure_vault import configure_vault

if TYPE_CHECKING:
    from secureml.keys import Encoding, KeyInfo

__all__ = ["keys"]

_key_name = click.option(
    "--key-name", metavar="NAME", help="The key; by default the setting master_key_name."
)
_length = click.option(
    "--length", type=int, default=32, show_default=True, metavar="BYTES", help="Its length."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def keys() -> None:
    """Make, read and rotate keys.

    configure-vault sets up the connection that all others use.
    """


keys.add_command(configure_vault)


@keys.add_command
@command(
    "generate-key",
    examples="""
secureml keys generate-key --key-name master_key
secureml keys generate-key --key-name archive_key --length 64 --encoding base64 --env staging
""",
)
@_key_name
@_length
@click.option(
    "--encoding",
    type=click.Choice(["hex", "base64"]),
    default="hex",
    show_default=True,
    help="How Vault keeps it.",
)
def generate_key(
    environment: str | None, key_name: str | None, length: int, encoding: Encoding
) -> None:
    """Make a new key in Vault, never over an existing one.

    Prints where the key lives, its version and its fingerprint, not the key.
    """
    from secureml.key_management import KeyManager

    with KeyManager(environment=environment) as manager:
        name = manager.settings.master_key_name if key_name is None else key_name
        _print_facts(_facts(manager.generate_key(name, length, encoding)))


@keys.add_command
@command(
    "get-key",
    examples="""
secureml keys get-key --key-name master_key
secureml keys get-key --key-name master_key --encoding base64 --version 1 | some-program
secureml keys get-key --info
""",
)
@_key_name
@click.option(
    "--length",
    type=int,
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
@click.option("--version", type=int, metavar="N", help="A version; the newest by default.")
@click.option("--info", is_flag=True, help="Print where the key comes from, and not the key.")
@_as_json
def get_key(
    environment: str | None,
    *,
    key_name: str | None,
    length: int | None,
    encoding: Encoding,
    version: int | None,
    info: bool,
    as_json: bool,
) -> None:
    """Print a key, alone on standard output.

    Where it comes from is printed on standard error.
    """
    from secureml.key_management import KeyManager
    from secureml.keys import encode

    with KeyManager(environment=environment) as manager:
        if info and length is None:
            facts = _facts(manager.key_info(key_name, version))
        else:
            key = manager.get_key(key_name, version, key_bytes=32 if length is None else length)
            facts = _facts(key.info)
    if info:
        _print_json(facts) if as_json else _print_facts(facts)
    elif as_json:
        _print_json({"key": encode(key.reveal(), encoding), "encoding": encoding, **facts})
    else:
        kept = f"version {facts['version']}" if facts["version"] else "no version"
        note(
            f"{facts['name']}, {kept}, from {facts['source']} {facts['path']}, "
            f"fingerprint {facts['fingerprint']}"
        )
        click.echo(encode(key.reveal(), encoding))


@keys.add_command
@command(
    "list",
    examples="""
secureml keys list
secureml keys list --env production --json
""",
)
@_as_json
def list_keys(environment: str | None, as_json: bool) -> None:
    """List the keys in Vault.

    Prints the newest version of each, and not the keys themselves.
    """
    from secureml.key_management import KeyManager

    with KeyManager(environment=environment) as manager:
        found = [_facts(info) for info in manager.list_keys()]
    if as_json:
        _print_json(found)
        return
    for facts in found:
        click.echo(
            f"{facts['name']}  version {facts['version']}  fingerprint {facts['fingerprint']}  "
            f"{facts['path']}"
        )
    if not found:
        note("there are no keys")


@keys.add_command
@command(
    "rotate",
    examples="""
secureml keys rotate
secureml keys rotate --key-name archive_key --env production
""",
)
@_key_name
def rotate(environment: str | None, key_name: str | None) -> None:
    """Give a key a new version; the older ones stay readable.

    Tables that were pseudonymized under an older version can still be recovered. Prints the new
    version and its fingerprint, not the key.
    """
    from secureml.key_management import KeyManager

    with KeyManager(environment=environment) as manager:
        _print_facts(_facts(manager.rotate_key(key_name)))


def _facts(info: KeyInfo) -> dict[str, object]:
    """Return what is known of a key as values that JSON has."""
    facts = dataclasses.asdict(info)
    return facts | {"created": info.created.isoformat() if info.created else None}


def _print_facts(facts: Mapping[str, object]) -> None:
    for name, value in facts.items():
        if value is not None and value is not False:
            click.echo(f"{name + ':':<13}{value}")


def _print_json(value: Mapping[str, object] | Sequence[object]) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
