"""``secureml keys generate-key`` and ``import``: new keys, never over existing ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from secureml.cli.base import command
from secureml.cli.keys.output import WRITTEN, print_facts
from secureml.cli.options import content_of, json_option, key_name_option, period
from secureml.cli.output import ask_hidden
from secureml.errors import KeyMaterialError
from secureml.key_management import KeyManager
from secureml.keys import Encoding, decode_exactly
from secureml.secret_types import SecretBytes, SecretText

__all__ = ["generate_key", "import_key"]

_LONGEST_INPUT = 65_536

_kept_as = click.option(
    "--encoding",
    type=click.Choice(["hex", "base64"]),
    default="hex",
    show_default=True,
    help="How Vault keeps it.",
)
_purpose = click.option(
    "--purpose", metavar="TEXT", help="What it is for; whoever may list keys sees it."
)
_rotation_period = click.option(
    "--rotation-period",
    metavar="PERIOD",
    callback=period,
    help="When rotate --all-due gives it a new version: a number with d, h, m or s, such as 90d.",
)


@command(interrupted=WRITTEN)
@key_name_option
@click.option(
    "--length",
    type=click.IntRange(16, 8160),
    default=32,
    show_default=True,
    metavar="BYTES",
    help="Its length.",
)
@_kept_as
@_purpose
@_rotation_period
@json_option
def generate_key(
    environment: str | None,
    *,
    key_name: str | None,
    length: int,
    encoding: Encoding,
    as_json: bool,
    **described: Any,
) -> None:
    """Make a new key in Vault, never over an existing one.

    Prints where the key lives, its version and its fingerprint, not the key.

    Examples:
      secureml keys generate-key --key-name master_key
      secureml keys generate-key --key-name archive_key --length 64 --encoding base64 --env staging
      secureml keys generate-key --key-name orders_key --purpose orders --rotation-period 90d
    """
    with KeyManager(environment=environment) as manager:
        name = manager.settings.master_key_name if key_name is None else key_name
        made = manager.generate_key(name, length, encoding, **described)
    print_facts(made, as_json=as_json)


@command(interrupted=WRITTEN)
@key_name_option
@click.option(
    "--file",
    "source",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    metavar="FILE",
    help="Where the key is, as hex or base64 text; - for standard input.",
)
@click.option("--raw", is_flag=True, help="The file holds the bytes of the key themselves.")
@click.option(
    "--length",
    type=click.IntRange(16, 8160),
    metavar="BYTES",
    help="The length that it must have; any by default.",
)
@_kept_as
@_purpose
@_rotation_period
@json_option
def import_key(
    environment: str | None,
    *,
    key_name: str | None,
    source: Path,
    raw: bool,
    length: int | None,
    encoding: Encoding,
    as_json: bool,
    **described: Any,
) -> None:
    """Store a key that was made elsewhere.

    It is never stored over an existing one. Prints where the key lives, its version and its
    fingerprint, not the key.

    Examples:
      secureml keys import --key-name master_key --file old-key.txt
      some-program | secureml keys import --key-name archive_key --file - --length 64
      secureml keys import --key-name device_key --file key.bin --raw
    """
    material = _material(source, raw=raw, length=length)
    with KeyManager(environment=environment) as manager:
        name = manager.settings.master_key_name if key_name is None else key_name
        made = manager.import_key(name, material, encoding, **described)
    print_facts(made, as_json=as_json)


def _material(source: Path, *, raw: bool, length: int | None) -> SecretBytes | SecretText:
    if str(source) != "-":
        content = content_of(source, "--file")
    elif sys.stdin.isatty():
        content = SecretBytes(ask_hidden("Key").encode())
    else:
        content = SecretBytes(sys.stdin.buffer.read(_LONGEST_INPUT))
    if raw:
        if length not in (None, len(content)):
            raise KeyMaterialError(f"the key has {len(content)} bytes, and not {length}")
        return content
    # A key as text is ASCII; whatever else is there must not end up in an error message.
    text = SecretText(content.reveal().decode("ascii", "replace"))
    return text if length is None else SecretBytes(decode_exactly(text, length))
