"""``secureml keys configure-vault``: test and save how Vault is reached."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from secureml.atomic_files import NewFile, private_folder, write_together
from secureml.cli.base import command, exit_code_of, fail, note, warn
from secureml.cli.output import ask_hidden, show
from secureml.cli.settings.settings_file import edited, is_tracked, place_for
from secureml.errors import ConfigurationError
from secureml.secret_types import SecretText
from secureml.settings import Layers, Settings, clashes, load_settings
from secureml.vault.auth import TokenAuth
from secureml.vault.connection_check import check_connection

__all__ = ["configure_vault"]

_TOKEN_VARIABLE = "SECUREML_VAULT_TOKEN"  # noqa: S105  # the name of a variable
_LONGEST_TOKEN = 64 * 1024


@command(interrupted="what was saved stands in the settings file; see `secureml settings show`")
@click.option("--vault-url", metavar="URL", help="The address of Vault or OpenBao.")
@click.option(
    "--vault-token",
    metavar="TOKEN",
    help="The token, or - to read it from standard input. Other users of the machine can read a "
    "command's arguments.",
)
@click.option(
    "--vault-token-file",
    type=click.Path(path_type=Path),
    help="A file that holds the token; it is named in the settings, not copied.",
)
@click.option("--vault-path", metavar="PATH", help="The path under the mount.")
@click.option("--vault-mount", metavar="MOUNT", help="Where the KV version 2 engine is mounted.")
@click.option("--vault-namespace", metavar="NAMESPACE", help="The namespace.")
@click.option(
    "--vault-ca-cert",
    type=click.Path(exists=True, path_type=Path),
    help="A file or folder of CA certificates to trust.",
)
@click.option(
    "--test-connection",
    is_flag=True,
    help="Try the connection first; if anything fails, nothing is saved.",
)
def configure_vault(
    environment: str | None,
    *,
    vault_token: str | None,
    vault_token_file: Path | None,
    vault_ca_cert: Path | None,
    test_connection: bool,
    **texts: str | None,
) -> None:
    """Save the connection to Vault, and test it.

    After it no variable has to be exported.

    The settings go into settings.local.toml beside the project's settings.toml, under the
    selected environment, or [default] if none is selected. Production doesn't read that file;
    its settings go into settings.toml.

    The token goes into a file of its own in .secureml/ there, which only you can read and which
    git ignores. It is taken from --vault-token or, if no option gives one, from the variable
    SECUREML_VAULT_TOKEN.

    --test-connection checks that Vault can be reached and is unsealed, that it accepts the token,
    and that the token may read and write keys on the path. It writes nothing to Vault. Given
    alone, it tests the settings that are in force.

    Examples:
      secureml keys configure-vault --vault-url http://127.0.0.1:8200 --vault-token myroot \\
          --test-connection
      secureml keys configure-vault --vault-url https://vault.example.com:8200 \\
          --vault-token-file ~/.vault-token --env production
      print-token | secureml keys configure-vault --vault-token -
      secureml keys configure-vault --test-connection
    """
    paths = {"vault_token_file": vault_token_file, "vault_ca_cert": vault_ca_cert}
    wanted = {name: text for name, text in texts.items() if text is not None}
    wanted |= {name: str(path.absolute()) for name, path in paths.items() if path is not None}
    token = _token(vault_token, vault_token_file, only_test=test_connection and not wanted)
    if not wanted and token is None and not test_connection:
        raise click.UsageError("There is nothing to save; give an option such as --vault-url.")

    # All layers with the new values on top: what is wrong in any is found before a file changes.
    arguments = {**wanted, "vault_token": token}
    settings = load_settings(Layers(environment=environment, arguments=arguments))
    change = _change(settings.environment, wanted, token) if wanted or token else None
    if test_connection:
        _test(settings, vault_token_file)
    if change:
        files = [NewFile(change.file, change.content)]
        if change.token_file is not None and token is not None:
            private_folder(change.token_file.parent)
            files.insert(0, NewFile(change.token_file, token.reveal().encode() + b"\n", 0o600))
        write_together(files)
        _report(change, environment, token)


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be saved, and where.

    Args:
        file: the settings file.
        section: its section.
        values: the settings, as they are to stand there.
        token_file: where the token goes; None if there is none to save.
        content: what the settings file is to hold.
    """

    file: Path
    section: str
    values: Mapping[str, str]
    token_file: Path | None
    content: bytes = field(repr=False)


def _change(
    environment: str | None, wanted: Mapping[str, str], token: SecretText | None
) -> _Change:
    """Work out what is to be saved, and that it can be; nothing is written."""
    file = place_for(environment, os.environ)
    section = environment or "default"
    values = dict(wanted)
    token_file = None
    if token is not None:
        # Two projects may keep their settings files in one folder.
        stem = file.stem.removesuffix(".local")
        prefix = "" if stem == "settings" else f"{stem}."
        token_file = file.parent / ".secureml" / f"{prefix}vault-token.{section}"
        values["vault_token_file"] = str(token_file)
    for name in ("vault_token_file", "vault_ca_cert"):
        if name in values and Path(values[name]).is_relative_to(file.parent):
            values[name] = Path(values[name]).relative_to(file.parent).as_posix()
    content = edited(file, section, values)
    saved = tomllib.loads(content.decode("utf-8-sig"))[section]
    problems = [f"{file} [{section}]: {problem}" for _, problem in clashes(saved)]
    if problems:
        raise ConfigurationError.of(problems)
    return _Change(file, section, values, token_file, content)


def _test(settings: Settings, token_file: Path | None) -> None:
    """Print what each check found; end the program if one failed."""
    if settings.vault_url is None:
        raise ConfigurationError("vault_url is not set; give --vault-url")
    # A token file that was named is what is to be tested, even if a variable holds a token too.
    auth = None if token_file is None else TokenAuth.of_file(token_file)
    first = None
    for check in check_connection(settings, auth):
        if check.error is not None:
            first = first or check.error
            show(f"failed   {check.name}: {check.error}; {check.detail}", err=True)
        elif check.is_known:
            show(f"ok       {check.name}: {check.detail}")
        else:
            show(f"unknown  {check.name}: {check.detail}", err=True)
    if first is not None:
        fail("the connection test failed; nothing was saved", exit_code_of(first))


def _report(change: _Change, environment: str | None, token: SecretText | None) -> None:
    """Print what was saved, and warn of what keeps it from being used."""
    show(f"saved in {change.file} [{change.section}]: {', '.join(change.values)}")
    if change.token_file is not None:
        show(f"the token is in {change.token_file}, for you alone to read")
    private = [change.file] if change.file.stem.endswith(".local") else []
    private += [change.token_file] if change.token_file is not None else []
    for path in private:
        if is_tracked(path):
            place = path.relative_to(change.file.parent)
            warn(f"git does not ignore {place}; add it to .gitignore")

    effective = load_settings(Layers(environment=environment))
    saved = f"{change.file.name} [{change.section}]"
    for name in change.values:
        beaten = name == "vault_token_file" and effective.vault_token is not None
        if effective.origins[name] != saved and not beaten:
            warn(f"{name} was saved, but {effective.origins[name]} sets it too and wins")
    if "vault_token_file" in change.values and effective.vault_token not in (None, token):
        origin = effective.origins["vault_token"]
        warn(f"a token file was saved, but {origin} sets vault_token and wins")
    if effective.vault_url is None:
        warn("vault_url is not set yet, so Vault is not used")


def _token(option: str | None, file: Path | None, *, only_test: bool) -> SecretText | None:
    """Return the token to save, if one is given."""
    if option is not None and file is not None:
        raise click.UsageError("--vault-token and --vault-token-file can't both be given.")
    if file is not None and not os.path.isfile(file):  # noqa: PTH113  # which takes any text
        # Not repeated: it may be the token itself.
        raise click.UsageError("--vault-token-file does not name a file.")
    if option is None:
        variable = "" if file is not None or only_test else os.environ.get(_TOKEN_VARIABLE)
        return SecretText(variable) if variable else None
    if option == "-":
        return SecretText(_token_from_input())
    note(
        "other users of this machine can read a command's arguments; --vault-token-file, "
        f"--vault-token - or {_TOKEN_VARIABLE} keep the token from them"
    )
    return SecretText(option)


def _token_from_input() -> str:
    if sys.stdin.isatty():
        return ask_hidden("Vault token").strip()
    # A token is ASCII; whatever else is there must not end up in an error message.
    return sys.stdin.buffer.read(_LONGEST_TOKEN).decode("ascii", "replace").strip()
