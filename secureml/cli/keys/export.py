"""``secureml keys export``, ``restore`` and ``verify-backup``: whole keys in files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from secureml.atomic_files import check_replaceable, write_file
from secureml.cli.base import command, fail, note, warn
from secureml.cli.keys.output import WRITTEN, print_keys
from secureml.cli.options import content_of, json_option, key_name_option
from secureml.cli.output import ask_hidden, show, show_json
from secureml.errors import ConfigurationError, SecretError, SecretNotFoundError
from secureml.key_management import KeyManager
from secureml.keys.export import KeyExport
from secureml.secret_types import SecretBytes, SecretText

__all__ = ["export", "restore", "verify_backup"]

_LARGEST_EXPORT = 64 * 2**20

_file = click.Path(path_type=Path, dir_okay=False)
_passphrase_option = click.option(
    "--passphrase-file", type=_file, metavar="FILE", help="Holds the passphrase in its first line."
)
_transit_option = click.option(
    "--transit-key", metavar="MOUNT/NAME", help="A key of a transit engine in Vault."
)
_private_option = click.option(
    "--private-key", type=_file, metavar="FILE", help="The X25519 private key in PEM."
)


@command()
@key_name_option
@click.option("--output", type=_file, required=True, metavar="FILE", help="A new file.")
@_passphrase_option
@click.option("--public-key", type=_file, metavar="FILE", help="An X25519 public key in PEM.")
@_transit_option
def export(
    environment: str | None,
    *,
    key_name: str | None,
    output: Path,
    passphrase_file: Path | None,
    public_key: Path | None,
    transit_key: str | None,
) -> None:
    """Write a whole key into a sealed file.

    It is for a backup or another Vault. Every version is in it, with its number, state, purpose and
    rotation period, except for the content of what is deleted or destroyed. Without an option
    that says what is to open it, a passphrase is asked for. Check the file with verify-backup.

    Examples:
      secureml keys export --output master_key.export --public-key backup.pub
      secureml keys export --key-name archive_key --output archive.export --passphrase-file phrase
    """
    if check_replaceable(output):
        fail(f"{output} exists already", 1)
    passphrase = _passphrase(passphrase_file, public_key, transit_key, twice=True)
    pem = None if public_key is None else content_of(public_key, "--public-key").reveal()
    with KeyManager(environment=environment) as manager:
        content = manager.export_key(
            key_name, passphrase=passphrase, public_key=pem, transit_key=transit_key
        )
    write_file(output, content)


@command(interrupted=WRITTEN)
@click.option("--file", type=_file, required=True, metavar="FILE", help="What export wrote.")
@click.option("--key-name", metavar="NAME", help="Another name than the key had.")
@_passphrase_option
@_private_option
@_transit_option
@json_option
def restore(
    environment: str | None,
    *,
    file: Path,
    key_name: str | None,
    as_json: bool,
    **protection: Any,
) -> None:
    """Write every version of an exported key to Vault.

    Each gets its number. Never over an existing key, and into the same environment alone. No
    version can be used before all are there. Numbers without content are written, to count, and
    destroyed.

    Examples:
      secureml keys restore --file master_key.export --private-key backup.pem
      secureml keys restore --file archive.export --passphrase-file phrase --env production
    """
    with KeyManager(environment=environment) as manager:
        found = _opened(manager, file, **protection)
        print_keys(manager.restore_key(found, key_name), as_json=as_json)


@command()
@click.argument("file", metavar="EXPORT", type=_file)
@click.option(
    "--table", "tables", multiple=True, metavar="FILE", help="A table, or a manifest alone."
)
@_passphrase_option
@_private_option
@_transit_option
@json_option
def verify_backup(
    environment: str | None,
    *,
    file: Path,
    tables: Sequence[str],
    as_json: bool,
    **protection: Any,
) -> None:
    """Check an exported key, against Vault and tables too.

    Opens it, which shows whether it was changed, and checks the fingerprint of every version.
    If Vault can be read, each version is compared with the one there. With --table, it is
    checked whether the file could be recovered with it. Ends with 1 if something differs.

    Examples:
      secureml keys verify-backup master_key.export --private-key backup.pem
      secureml keys verify-backup master_key.export --private-key backup.pem --table hidden.csv
    """
    from secureml.files.backup import lacking_for  # which loads pandas

    with KeyManager(environment=environment) as manager:
        found = _opened(manager, file, **protection)
        rows = list(_compared(manager, found))
    problems = [f"{table}: {each}" for table in tables for each in lacking_for(found, table)]
    if as_json:
        show_json({"versions": rows, "problems": problems})
    else:
        for row in rows:
            known = f"fingerprint {row['fingerprint']}" if row["fingerprint"] else "no content"
            show(
                f"{found.name}  version {row['version']}  {row['state']}  {known}  "
                f"in Vault: {row['vault']}"
            )
    for problem in problems:
        warn(problem)
    differing = [row for row in rows if row["vault"] not in ("the same", "not known")]
    if differing or problems:
        count = len(differing) + len(problems)
        fail(f"the backup is not what is needed: {count} problem{'s' * (count != 1)}", 1)


def _compared(manager: KeyManager, export: KeyExport) -> Iterator[dict[str, object]]:
    """Compare each version with the one in Vault, if that can be read."""
    there = None
    try:
        if manager.environment == export.environment:
            there = {info.version: info for info in manager.key_history(export.name)}
        else:
            note(f"the export is of the environment {export.environment!r}; see --env")
    except SecretNotFoundError:
        there = {}
    except (SecretError, ConfigurationError) as error:
        note(f"it is not compared with Vault: {error}")
    for each in export.versions:
        vault = "not known"
        if there is not None:
            known = there.get(each.version)
            vault = "missing" if known is None else "another key"
            if known is not None and known.fingerprint == each.fingerprint:
                vault = "the same"
            elif known is not None and known.fingerprint is None:
                vault = known.state
        yield {
            "version": each.version,
            "state": each.state,
            "fingerprint": each.fingerprint,
            "vault": vault,
        }
    exported = {each.version for each in export.versions}
    for info in (there or {}).values():
        if info.version not in exported:
            yield {
                "version": info.version,
                "state": "not in the export",
                "fingerprint": info.fingerprint,
                "vault": info.state,
            }


def _opened(
    manager: KeyManager,
    file: Path,
    *,
    passphrase_file: Path | None,
    private_key: Path | None,
    transit_key: str | None,
) -> KeyExport:
    content = content_of(file, "the export", _LARGEST_EXPORT).reveal()
    passphrase = _passphrase(passphrase_file, private_key, transit_key)
    pem = None if private_key is None else content_of(private_key, "--private-key")
    return manager.read_export(
        content, passphrase=passphrase, private_key=pem, transit_key=transit_key
    )


def _passphrase(file: Path | None, *others: object, twice: bool = False) -> SecretText | None:
    """Return the passphrase in a file, or what is typed if nothing else is given."""
    given = [one for one in (file, *others) if one is not None]
    if len(given) > 1:
        raise click.UsageError("One option alone says what protects the export.")
    if file is not None:
        return _first_line(content_of(file, "--passphrase-file"))
    if given:
        return None
    if not sys.stdin.isatty():
        raise click.UsageError("Name what protects the export: there is no terminal to ask on.")
    typed = SecretText(ask_hidden("Passphrase"))
    if twice and typed != SecretText(ask_hidden("The same again")):
        fail("these were two different ones", 1)
    return typed


def _first_line(content: SecretBytes) -> SecretText:
    try:
        return SecretText(content.reveal().decode().partition("\n")[0].rstrip("\r"))
    except UnicodeDecodeError:
        pass
    raise click.UsageError("--passphrase-file is not text in UTF-8.")
